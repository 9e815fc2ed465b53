"""Addresses, rights and extents as the Python interface takes and gives them."""
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from . import _abi
from ._abi import Gpa, Gva, Hpa, Iova
from ._base import Address, as_int

PAGE = _abi.CORDON_PAGE_SIZE

# What may be given for an address of a kind, for a size, and for bytes. An address of another kind is none.
GpaLike = Gpa | int | str
HpaLike = Hpa | int | str
IovaLike = Iova | int | str
Size = int | str
Bytes = bytes | bytearray | memoryview
_Kind = TypeVar("_Kind", bound=Address)


class Perm(enum.IntFlag):
    """Rights of a region, and kinds of access. Also written as a string: "r", "rw", "rwx"."""

    NONE = 0
    R = _abi.CORDON_READ
    W = _abi.CORDON_WRITE
    X = _abi.CORDON_EXEC
    RW = _abi.CORDON_RW
    RWX = _abi.CORDON_RWX

    @classmethod
    def of(cls, value: "PermLike") -> "Perm":
        if isinstance(value, str):
            unknown = set(value) - set("rwx-")
            if unknown:
                raise ValueError(f"rights are written with r, w, x and -, not {value!r}")
            return cls(sum(cls[c.upper()] for c in set(value) - {"-"}))
        return cls(as_int(value, "rights"))

    def __str__(self) -> str:
        return "".join(letter if self & cls else "-" for letter, cls in zip("rwx", (Perm.R, Perm.W, Perm.X)))


PermLike = Perm | int | str
LEGAL_PERMS = [Perm.of(text) for text in ("r", "rw", "x", "rx", "rwx")]  # that a leaf can say


class MemoryType(enum.IntEnum):
    """What a leaf says of its memory [Privileged, Svpbmt]: nothing, so that it is as the machine has it; main memory
    that harts do not cache; or I/O."""

    PMA = 0
    NC = _abi.CORDON_REGION_NC >> 8
    IO = _abi.CORDON_REGION_IO >> 8

    @property
    def flag(self) -> int:
        """As a flag of a region."""
        return self << 8

    @classmethod
    def of_flags(cls, flags: int) -> "MemoryType":
        return cls((flags & _abi.CORDON_REGION_TYPES) >> 8)


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


def address(kind: type[_Kind], value: Address | int | str) -> _Kind:
    """VALUE as an address of KIND: that kind, an int or a hex string; another kind is refused."""
    if isinstance(value, Address) and type(value) is not kind:
        raise TypeError(f"{value!r} is not a {kind.__name__}: only a lookup leads from one to the other")
    return value if isinstance(value, kind) else kind(value)


def size_bytes(value: Size, what: str = "length") -> int:
    """Bytes out of an int, a hex string, or "16K", "4M", "1G"."""
    if isinstance(value, str) and value[-1:].upper() in "KMG" and not value.lower().startswith("0x"):
        return as_int(value[:-1], what) << {"K": 10, "M": 20, "G": 30}[value[-1].upper()]
    return as_int(value, what)


def size_pages(value: Size, what: str) -> int:
    """Bytes of RAM: as above, and whole pages."""
    size = size_bytes(value, what)
    if size <= 0 or size % PAGE:
        raise ValueError(f"{what}: {size:#x} bytes are not whole pages")
    return size


@dataclass(frozen=True, init=False)
class Extent:
    """A run of host physical memory."""

    hpa: Hpa
    len: int

    def __init__(self, hpa: HpaLike, len: Size) -> None:
        object.__setattr__(self, "hpa", address(Hpa, hpa))
        object.__setattr__(self, "len", size_bytes(len))

    @property
    def end(self) -> Hpa:
        return self.hpa + self.len

    def __repr__(self) -> str:
        return f"Extent({self.hpa.v:#x}, {self.len:#x})"


ExtentLike = Extent | tuple[HpaLike, Size]
Extents = Extent | Iterable[ExtentLike]


def extents_of(items: Iterable[ExtentLike]) -> list[Extent]:
    """A list of Extent out of extents and (hpa, len) pairs."""
    return [item if isinstance(item, Extent) else Extent(*item) for item in items]


def extents_array(items: Iterable[ExtentLike]) -> tuple[Any, int]:
    """A C array of extents, and its length."""
    extents = extents_of(items)
    array = (_abi.Extent * len(extents))(*(_abi.Extent(hpa=e.hpa, len=e.len) for e in extents))
    return array, len(extents)


__all__ = ["PAGE", "Bytes", "Drain", "Extent", "ExtentLike", "Extents", "FrameState", "Gpa", "GpaLike", "Gva",
           "Hpa", "HpaLike", "Iova", "IovaLike", "Mode", "Perm", "PermLike", "Size", "address",
           "extents_array", "extents_of", "size_bytes"]
