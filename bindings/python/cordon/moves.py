"""Contiguous memory under pressure: what was moved, runs that were made, and a picture of what could move."""
import ctypes
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _abi
from .errors import CordonError, NotFound
from .types import PAGE, Extent, GpaLike, Hpa, HpaLike, Size, address, size_bytes

if TYPE_CHECKING:
    from .context import Context
    from .domain import Domain

KINDS = ("free", "movable", "pinned", "device", "lent", "revoking", "held", "table", "hyp")
BLOCK = 2 << 20
_LETTERS = {"pinned": "P", "device": "D", "lent": "L", "revoking": "R", "held": "H",
            "table": "T", "hyp": "X"}
_MOVES = ("free", "movable")


@dataclass(frozen=True)
class Moves:
    """`pages` moved, `large` of them in 2 MiB leaves that stayed large, in `stops` moments of at most
    `longest_us` microseconds, in which the pages that moved were absent."""

    pages: int = 0
    large: int = 0
    stops: int = 0
    longest_us: int = 0

    @classmethod
    def of(cls, raw: Any) -> "Moves":
        return cls(raw.pages, raw.large, raw.stops, raw.longest_us)


@dataclass(frozen=True)
class MadeRun:
    """A run, or why there is none: `run` is its Extent, or None; `places` were tried and given up; `kinds` says
    how many frames of each kind stand where it could have been, if that was looked for."""

    run: Extent | None
    moves: Moves
    places: int
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """A block of 2 MiB, LEN bytes of it RAM: how many frames of each kind (KINDS) it has. `fixed`: it is kept for
    what never moves."""

    hpa: Hpa
    len: int
    fixed: bool
    pages: Mapping[str, int]

    @property
    def can_be_free(self) -> bool:
        """Whether nothing in it would stay if all moved that can."""
        return not any(count for kind, count in self.pages.items() if kind not in _MOVES)

    @property
    def letter(self) -> str:
        """What it is, as picture() draws it."""
        if self.can_be_free:
            moves = self.pages["movable"]
            return "." if not moves else ":" if moves < BLOCK // PAGE // 2 else "m"
        most = max(self.pages, key=lambda kind: self.pages[kind])
        return "-" if most in _MOVES else _LETTERS[most]


def picture(blocks: Iterable[Block], width: int = 64) -> str:
    """Memory by block as text, WIDTH blocks a line: "." free; ":" and "m" free once all moved that can, with less
    than half of it in use and with more; "-" the same beside what never moves; and by what most of it is: P pinned,
    D devices', L lent, R revoking, H held, T tables, X the hypervisor's."""
    lines: list[tuple[int, str]] = []
    for block in blocks:
        if lines and len(lines[-1][1]) < width and \
                lines[-1][0] + len(lines[-1][1]) * BLOCK == block.hpa.v // BLOCK * BLOCK:
            lines[-1] = (lines[-1][0], lines[-1][1] + block.letter)
        else:
            lines.append((block.hpa.v // BLOCK * BLOCK, block.letter))
    return "\n".join(f"{start:#014x} {letters}" for start, letters in lines)


def blocks_of(context: "Context") -> Iterator[Block]:
    """Every block of a context's RAM, each as it is at its moment."""
    at = Hpa(0)
    while True:
        raw = _abi.BlockInfo()
        try:
            context.call("cordon_block_query", context.ptr, at, ctypes.byref(raw))
        except NotFound:
            return
        yield Block(Hpa(raw.hpa.v), raw.len, bool(raw.fixed), dict(zip(KINDS, raw.pages, strict=True)))
        at = Hpa(raw.hpa.v + BLOCK)


def make_run(context: "Context", length: Size, *, align: Size = 0, boundary: Size = 0, highest: HpaLike = 0,
             budget: Size = 0, zero: bool = True) -> MadeRun:
    """See Context.make_run."""
    want = _abi.RunWant(len=size_bytes(length), align=size_bytes(align), highest=address(Hpa, highest).v,
                        boundary=size_bytes(boundary), flags=0 if zero else _abi.CORDON_RUN_NOZERO)
    raw = _abi.RunMade()
    try:
        context.call("cordon_run_make", context.ptr, ctypes.byref(want), size_bytes(budget), ctypes.byref(raw),
                     len=want.len, align=want.align, boundary=want.boundary, highest=want.highest)
    except CordonError as error:
        error.fields["made"] = _made(raw, None)
        raise
    return _made(raw, Extent(raw.hpa, want.len))


def _made(raw: Any, run: Extent | None) -> MadeRun:
    return MadeRun(run, Moves.of(raw.moves), raw.places, dict(zip(KINDS, raw.kinds, strict=True)))


def relocate(domain: "Domain", gpa: GpaLike, length: Size) -> Moves:
    """See Domain.relocate."""
    raw, first = _abi.Moves(), address(_abi.Gpa, gpa)
    try:
        domain.context.call("cordon_relocate", domain.ptr, first, size_bytes(length), ctypes.byref(raw),
                            domain=domain.number, gpa=first, len=size_bytes(length))
    except CordonError as error:
        error.fields["moves"] = Moves.of(raw)
        raise
    return Moves.of(raw)
