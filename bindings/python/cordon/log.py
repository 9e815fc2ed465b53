"""Dirty and access logging: which pages were written or used since they were last asked about."""
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _abi
from .types import PAGE, Gpa, GpaLike, Size, address, size_bytes

if TYPE_CHECKING:
    from .domain import Domain


@dataclass(frozen=True)
class Mark:
    """Say anew which marks GPA and LEN bytes from there have: `log`, dirty and access logging; `pin`, frames
    that never move and are not discarded (what is absent is filled first)."""

    gpa: GpaLike
    len: Size
    log: bool = False
    pin: bool = False

    def fill(self, op: _abi.Op) -> None:
        op.kind, op.gpa, op.len = _abi.CORDON_OP_MARK, address(Gpa, self.gpa), size_bytes(self.len)
        op.flags = ((_abi.CORDON_REGION_LOG if self.log else 0)
                    | (_abi.CORDON_REGION_PIN if self.pin else 0))


@dataclass(frozen=True)
class PageSet:
    """Pages of a range, as a bitmap: bit i of byte i // 8 is page `gpa` + i * 4096."""

    gpa: Gpa
    bitmap: bytes

    def __contains__(self, gpa: GpaLike) -> bool:
        page = (int(address(Gpa, gpa)) - int(self.gpa)) // PAGE
        return 0 <= page < 8 * len(self.bitmap) and bool(self.bitmap[page // 8] >> page % 8 & 1)

    def __iter__(self) -> Iterator[Gpa]:
        for index, byte in enumerate(self.bitmap):
            if byte:
                yield from (self.gpa + (8 * index + bit) * PAGE for bit in range(8) if byte >> bit & 1)

    def __len__(self) -> int:
        return int.from_bytes(self.bitmap, "little").bit_count()


@dataclass(frozen=True)
class Harvest:
    """What a harvest found. `unknown` of the dirty pages are so only because a device may have written
    them; `used` is None unless it was asked for; `words` leaf words were read."""

    dirty: PageSet
    used: PageSet | None
    logged: int
    unknown: int
    words: int

    def __str__(self) -> str:
        used = "" if self.used is None else f", {len(self.used):,} used"
        doubt = f" ({self.unknown:,} only because a device may have written them)" if self.unknown else ""
        return f"{self.logged:,} pages logged: {len(self.dirty):,} dirty{doubt}{used}"


@dataclass(frozen=True)
class Coalesced:
    """What coalescing made: leaves of 2 MiB and of 1 GiB, out of `looked` tables, and of 64 KiB (`napot`)."""

    mega: int
    giga: int
    looked: int
    napot: int = 0


def harvest(domain: "Domain", gpa: GpaLike, length: Size, used: bool, keep: bool) -> Harvest:
    start, size = address(Gpa, gpa), size_bytes(length)
    words = max(1, -(-size // PAGE // 64))
    maps: list[Any] = [(ctypes.c_uint64 * words)() for _ in range(2 if used else 1)]
    what = _abi.Harvest(flags=_abi.CORDON_LOG_KEEP if keep else 0, gpa=start, len=size, dirty=maps[0],
                        used=maps[1] if used else None)
    out = _abi.Harvested()
    domain.context.call("cordon_log_harvest", domain.ptr, ctypes.byref(what), ctypes.byref(out),
                        domain=domain.number, gpa=start, len=size)
    return Harvest(PageSet(start, bytes(maps[0])), PageSet(start, bytes(maps[1])) if used else None,
                   out.logged, out.unknown, out.words)


def coalesce(domain: "Domain", gpa: GpaLike, length: Size, budget: int) -> Coalesced:
    at = int(address(Gpa, gpa))
    end = at + size_bytes(length)
    mega = giga = looked = napot = 0
    while at < end:
        what = _abi.Coalesce(gpa=Gpa(at), len=end - at, budget=budget)
        out = _abi.Coalesced()
        domain.context.call("cordon_coalesce", domain.ptr, ctypes.byref(what), ctypes.byref(out),
                            domain=domain.number, gpa=Gpa(at), len=end - at)
        mega, giga, looked, at = mega + out.mega, giga + out.giga, looked + out.looked, int(out.next)
        napot += out.napot
    return Coalesced(mega, giga, looked, napot)


__all__ = ["Coalesced", "Harvest", "Mark", "PageSet"]
