"""First touch: regions whose frames come when they are needed, and go again."""
import ctypes
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _abi
from .log import Mark
from .types import Gpa, GpaLike, Hpa, Perm, PermLike, Size, address, size_bytes

if TYPE_CHECKING:
    from .domain import Domain


@dataclass(frozen=True)
class Demand:
    """A new region without frames: they come at first touch, one at a time, or with `huge` 2 MiB where they
    fit. With `promised` the pool keeps enough for all of it; without, memory may run out."""

    gpa: GpaLike
    len: Size
    perms: PermLike = Perm.RWX
    dma: bool = True
    huge: bool = False
    promised: bool = False

    def fill(self, op: _abi.Op) -> None:
        op.kind, op.perms = _abi.CORDON_OP_GRANT, int(Perm.of(self.perms))
        op.gpa, op.len = address(Gpa, self.gpa), size_bytes(self.len)
        op.flags = (_abi.CORDON_REGION_DEMAND | (0 if self.dma else _abi.CORDON_REGION_NODMA)
                    | (_abi.CORDON_REGION_HUGE if self.huge else 0)
                    | (_abi.CORDON_REGION_PROMISED if self.promised else 0))


@dataclass(frozen=True)
class Discard:
    """Give the frames of GPA and LEN bytes from there back; the next touch brings zeroes."""

    gpa: GpaLike
    len: Size

    def fill(self, op: _abi.Op) -> None:
        op.kind, op.gpa, op.len = _abi.CORDON_OP_DISCARD, address(Gpa, self.gpa), size_bytes(self.len)


class TouchWhat(enum.IntEnum):
    """What a touch did."""

    SPURIOUS = _abi.CORDON_TOUCH_SPURIOUS
    FILLED = _abi.CORDON_TOUCH_FILLED
    LOGGED = _abi.CORDON_TOUCH_LOGGED


@dataclass(frozen=True)
class Touched:
    """What a touch did, and what stands there now: the page's HPA, and the level of its leaf."""

    what: TouchWhat
    hpa: Hpa
    level: int


def touch(domain: "Domain", gpa: GpaLike, access: PermLike) -> Touched:
    out, at, perms = _abi.Touched(), address(Gpa, gpa), Perm.of(access)
    domain.context.call("cordon_touch", domain.ptr, at, int(perms), ctypes.byref(out), domain=domain.number,
                        gpa=at, access=perms)
    return Touched(TouchWhat(out.what), out.hpa, out.level)


def populate(domain: "Domain", gpa: GpaLike, length: Size) -> None:
    at, size = address(Gpa, gpa), size_bytes(length)
    domain.context.call("cordon_populate", domain.ptr, at, size, domain=domain.number, gpa=at, len=size)


def marks(domain: "Domain", gpa: GpaLike, length: Size, *, log: bool | None = None,
          pin: bool | None = None) -> list[Mark]:
    """Operations that set or take one mark in a range and leave the other as it is, region by region."""
    at = int(address(Gpa, gpa))
    end = at + size_bytes(length)
    ops: list[Mark] = []
    for region in domain.regions():
        first, last = max(at, int(region.gpa)), min(end, int(region.end))
        if first < last:
            ops.append(Mark(first, last - first,
                            log=bool(region.flags & _abi.CORDON_REGION_LOG) if log is None else log,
                            pin=bool(region.flags & _abi.CORDON_REGION_PIN) if pin is None else pin))
    whole = sum(size_bytes(op.len) for op in ops) == end - at
    return ops if whole else [Mark(gpa, length, log=bool(log), pin=bool(pin))]


__all__ = ["Demand", "Discard", "TouchWhat", "Touched"]
