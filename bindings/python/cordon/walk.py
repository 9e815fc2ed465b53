"""Walk: why an address leads where it does, each word told; and what a view holds, leaf by leaf."""
import ctypes
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from . import _abi
from .errors import NotFound
from .types import Gpa, GpaLike, Hpa, MemoryType, Perm, PermLike, address

if TYPE_CHECKING:
    from .domain import Domain

SPANS = ("4K", "2M", "1G", "512G", "256T")
MODES = {8: "Sv39x4", 9: "Sv48x4", 10: "Sv57x4"}


class WalkEnd(IntEnum):
    """How a walk ended."""

    LEADS = _abi.CORDON_WALK_LEADS
    EMPTY = _abi.CORDON_WALK_EMPTY
    RIGHTS = _abi.CORDON_WALK_RIGHTS
    WIDTH = _abi.CORDON_WALK_WIDTH
    CORRUPT = _abi.CORDON_WALK_CORRUPT


def flags_of(word: int) -> str:
    """The flag bits of a table word, "da-u-wrv": - where a bit is clear, V last; and N and a memory type."""
    low = "".join(name if word >> bit & 1 else "-" for bit, name in reversed(list(enumerate("vrwxugad"))))
    return low + (" N" if word >> 63 else "") + ("", " NC", " IO", " type 3")[word >> 61 & 3]


@dataclass(frozen=True)
class Step:
    """One word that was read."""

    level: int
    index: int
    word: Hpa
    value: int

    def __str__(self) -> str:
        return (f"level {self.level} ({SPANS[self.level]:>4}) [{self.index:4}] at {self.word.v:#012x}: "
                f"{self.value:#018x} {flags_of(self.value)} -> {self.value >> 10 << 12 & (1 << 56) - 1:#x}")


@dataclass(frozen=True)
class Walk:
    """A walk of GPA in a view: the words read, root first, and why it ended. str() tells it all."""

    gpa: Gpa
    access: Perm
    view: int
    mode: str
    root: Hpa
    end: WalkEnd
    steps: tuple[Step, ...]
    hpa: Hpa | None = None
    perms: Perm | None = None

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence."""
        if self.end is WalkEnd.LEADS and self.hpa is not None:
            return f"leads to {self.hpa.v:#x}, {self.perms}"
        if self.end is WalkEnd.RIGHTS and self.hpa is not None:
            return f"fault: the leaf to {self.hpa.v:#x} allows {self.perms}, not {self.access}"
        if self.end is WalkEnd.WIDTH:
            return f"fault: {self.gpa.v:#x} is beyond what {self.mode} can address"
        if self.end is WalkEnd.EMPTY:
            return f"fault: nothing stands here at level {self.steps[-1].level}"
        return "CORRUPT: this word is not one that the library writes"

    def __str__(self) -> str:
        head = f"{self.gpa.v:#x} in view {self.view}, {self.mode}, root {self.root.v:#x}"
        return "\n".join([head, *(f"  {step}" for step in self.steps), f"  {self.reason}"])

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values; addresses are numbers."""
        plain = asdict(self)
        plain.update({k: v.v for k, v in vars(self).items() if isinstance(v, (Gpa, Hpa))},
                     access=str(self.access), end=self.end.name, reason=self.reason,
                     perms=None if self.perms is None else str(self.perms),
                     steps=[{**asdict(s), "word": s.word.v} for s in self.steps])
        return plain


def walk(domain: "Domain", gpa: GpaLike, access: PermLike, view: int) -> Walk:
    """Ask the library for a walk; what stops it is an answer, not an exception."""
    raw, gpa, access = _abi.Walk(), address(Gpa, gpa), Perm.of(access)
    domain.context.call("cordon_walk", domain.ptr, view, gpa, int(access), ctypes.byref(raw),
                        gpa=gpa, view=view, access=access)
    return walk_of(raw, gpa, access, view)


def walk_of(raw: _abi.Walk, gpa: Gpa, access: Perm, view: int) -> Walk:
    """What the library has filled in, as a Walk."""
    steps = tuple(Step(s.level, s.index, s.word, s.value) for s in raw.step[:raw.step_count])
    leaf = {"hpa": raw.hit.hpa, "perms": Perm(raw.hit.perms)} if raw.hit.span else {}
    return Walk(Gpa(gpa), access, view, MODES[raw.mode], raw.root, WalkEnd(raw.end), steps, **leaf)


@dataclass(frozen=True)
class Leaf:
    """LEN bytes that a view holds at GPA, in one leaf."""

    gpa: Gpa
    hpa: Hpa
    len: int
    perms: Perm
    level: int
    type: MemoryType = MemoryType.PMA

    def __str__(self) -> str:
        size = ("64K" if self.len == 64 << 10 else SPANS[self.level]) + (f" {self.type.name}" if self.type else "")
        return f"{self.gpa.v:#014x}-{self.gpa.v + self.len - 1:#014x} -> {self.hpa.v:#014x} {self.perms} {size}"


def leaves(domain: "Domain", view: int) -> Iterator[Leaf]:
    """The leaves of a view in the order of their GPA."""
    gpa, hit = Gpa(0), _abi.Hit()
    while True:
        at = Gpa(gpa)
        try:
            domain.context.call("cordon_leaf_next", domain.ptr, view, ctypes.byref(at),
                                ctypes.byref(hit), gpa=gpa, view=view)
        except NotFound:
            return
        yield Leaf(Gpa(at), Hpa(hit.hpa), hit.span, Perm(hit.perms), hit.level,
                   MemoryType.of_flags(hit.type))
        gpa = at + hit.span
