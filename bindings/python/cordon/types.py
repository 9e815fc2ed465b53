"""Addresses, rights and extents as the Python interface takes and gives them."""
import enum
from dataclasses import dataclass

from . import _abi
from ._abi import Gpa, Gva, Hpa, Iova
from ._base import Address, as_int

PAGE = _abi.CORDON_PAGE_SIZE


class Perm(enum.IntFlag):
    """Rights of a region, and kinds of access. Also written as a string: "r", "rw", "rwx"."""

    NONE = 0
    R = _abi.CORDON_READ
    W = _abi.CORDON_WRITE
    X = _abi.CORDON_EXEC
    RW = _abi.CORDON_RW
    RWX = _abi.CORDON_RWX

    @classmethod
    def of(cls, value):
        if isinstance(value, str):
            unknown = set(value) - set("rwx-")
            if unknown:
                raise ValueError(f"rights are written with r, w, x and -, not {value!r}")
            return cls(sum(cls[c.upper()] for c in set(value) - {"-"}))
        return cls(as_int(value, "rights"))

    def __str__(self):
        return "".join(letter if self & cls else "-" for letter, cls in zip("rwx", (Perm.R, Perm.W, Perm.X)))


class Mode(enum.IntFlag):
    """Second-stage formats."""

    SV39X4 = _abi.CORDON_MODE_SV39X4
    SV48X4 = _abi.CORDON_MODE_SV48X4
    SV57X4 = _abi.CORDON_MODE_SV57X4
    ANY = SV39X4 | SV48X4 | SV57X4


class FrameState(enum.IntEnum):
    """Who a frame of RAM belongs to."""

    NONE = _abi.CORDON_FRAME_NONE
    FREE = _abi.CORDON_FRAME_FREE
    HYP = _abi.CORDON_FRAME_HYP
    HELD = _abi.CORDON_FRAME_HELD
    TABLE = _abi.CORDON_FRAME_TABLE
    OWNED = _abi.CORDON_FRAME_OWNED
    REVOKING = _abi.CORDON_FRAME_REVOKING


class Drain(enum.IntEnum):
    """What proves that a device's DMA is over."""

    IOMMU = _abi.CORDON_DRAIN_IOMMU
    RESET = _abi.CORDON_DRAIN_RESET


def address(kind, value):
    """VALUE as an address of KIND: that kind, an int or a hex string; another kind is refused."""
    if isinstance(value, Address) and type(value) is not kind:
        raise TypeError(f"{value!r} is not a {kind.__name__}: only a lookup leads from one to the other")
    return value if isinstance(value, kind) else kind(value)


def size_bytes(value, what="length"):
    """Bytes out of an int, a hex string, or "16K", "4M", "1G"."""
    if isinstance(value, str) and value[-1:].upper() in "KMG" and not value.lower().startswith("0x"):
        return as_int(value[:-1], what) << {"K": 10, "M": 20, "G": 30}[value[-1].upper()]
    return as_int(value, what)


@dataclass(frozen=True)
class Extent:
    """A run of host physical memory."""

    hpa: Hpa
    len: int

    def __post_init__(self):
        object.__setattr__(self, "hpa", address(Hpa, self.hpa))
        object.__setattr__(self, "len", size_bytes(self.len))

    @property
    def end(self):
        return self.hpa + self.len

    def __repr__(self):
        return f"Extent({self.hpa.v:#x}, {self.len:#x})"


def extents_of(items):
    """A list of Extent out of extents and (hpa, len) pairs."""
    return [item if isinstance(item, Extent) else Extent(*item) for item in items]


def extents_array(items):
    """A C array of extents, and its length."""
    extents = extents_of(items)
    array = (_abi.Extent * len(extents))(*(_abi.Extent(hpa=e.hpa, len=e.len) for e in extents))
    return array, len(extents)


__all__ = ["PAGE", "Drain", "Extent", "FrameState", "Gpa", "Gva", "Hpa", "Iova", "Mode", "Perm",
           "address", "extents_array", "extents_of", "size_bytes"]
