"""Which pages of a guest are present, and how that goes on over time: `Present`, `History`."""
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..types import PAGE, Gpa, MemoryType, Perm
from .channel import Channel, Event
from .dirty import DirtyRate

if TYPE_CHECKING:
    from .guests import MachineGuest

STREAM = 2  # of hyp/manage/manage.h
SIZES = {12: "4K", 16: "64K", 21: "2M", 30: "1G"}  # by log2 of their bytes
COLOURS = ("#6baed6", "#4292c6", "#2171b5", "#08306b")  # the larger, the darker
_RECORD = struct.Struct("<QIHH")  # hyp/manage/present.c
_BINS = 512  # parts of the GPA space in a picture


@dataclass(frozen=True)
class Present:
    """LEN bytes from GPA on that stand in leaves of `size` ("4K", "64K", "2M", "1G") with equal rights and one memory
    type."""

    gpa: Gpa
    len: int
    size: str
    perms: Perm
    type: MemoryType = MemoryType.PMA

    @property
    def end(self) -> int:
        return self.gpa.v + self.len


def pieces(ask: Callable[[int], Event], channel: Channel) -> list[Present]:
    """All of it, joined across answers."""
    found: list[Present] = []
    for _, records in channel.pieces(ask, STREAM):
        for first, pages, shift, perms in _RECORD.iter_unpack(records):
            _join(found, Present(Gpa(first * PAGE), pages * PAGE, SIZES[shift], Perm(perms & Perm.RWX),
                                 MemoryType.of_flags(perms)))
    return found


def _join(found: list[Present], one: Present) -> None:
    last = found[-1] if found else None
    if last and last.end == one.gpa.v and (last.size, last.perms, last.type) == (one.size, one.perms, one.type):
        found[-1] = replace(last, len=last.len + one.len)
    else:
        found.append(one)


class History:
    """What was present of a guest's RAM at which time, and how fast it was written to while it was logged: sample() as
    often as one likes, then picture() and rate_picture()."""

    def __init__(self, guest: "MachineGuest") -> None:
        self.guest = guest
        self.samples: list[tuple[float, list[Present]]] = []
        self.rates: list[tuple[float, float]] = []  # when, and pages that were written a second since the last one
        self._looked: DirtyRate | None = None
        self._started = time.monotonic()

    def sample(self) -> int:
        """Look now; how many bytes of its RAM are present."""
        low, high = self._range()
        runs = [run for run in self.guest.present() if run.gpa.v < high and run.end > low]
        self.samples.append((time.monotonic() - self._started, runs))
        if self.guest.is_logged:
            now = self.guest.dirty_rate()
            self.rates.append((time.monotonic() - self._started, now.since(self._looked)))
            self._looked = now
        return sum(min(run.end, high) - max(run.gpa.v, low) for run in runs)

    def _range(self) -> tuple[int, int]:
        return self.guest.ram_base, self.guest.ram_base + self.guest.ram_bytes

    def rows(self, bins: int = _BINS) -> Iterator[list[int]]:
        """For each sample, for each of BINS equal parts of RAM: 0 where nothing is present, else 1 to 4 for the
        largest leaf there (4 KiB, 64 KiB, 2 MiB, 1 GiB)."""
        low, high = self._range()
        ranks = {size: rank for rank, size in enumerate(SIZES.values(), 1)}
        for _, runs in self.samples:
            row = [0] * bins
            for run in runs:
                first = max(run.gpa.v - low, 0) * bins // (high - low)
                last = (min(run.end, high) - 1 - low) * bins // (high - low)
                for at in range(first, last + 1):
                    row[at] = max(row[at], ranks[run.size])
            yield row

    def picture(self, path: str | Path) -> None:
        """Draw it: GPA from left to right, time downwards. The ending of PATH (svg, png, pdf) decides the format."""
        if not self.samples:
            raise ValueError("nothing was sampled: call sample() first")
        # By name: a checker of types that does not know matplotlib would see nothing else of a user's file.
        matplotlib, pyplot, colors, patches = map(
            import_module, ("matplotlib", "matplotlib.pyplot", "matplotlib.colors", "matplotlib.patches"))
        matplotlib.use("Agg")
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
        low, high = self._range()
        times = [at for at, _ in self.samples]
        figure, axis = pyplot.subplots(figsize=(11, 1.5 + 0.12 * len(times)))
        axis.imshow(list(self.rows()), aspect="auto", interpolation="nearest", vmin=0, vmax=len(COLOURS),
                    cmap=colors.ListedColormap(["#f0f0f0", *COLOURS]), extent=(low, high, len(times), 0))
        axis.set_yticks([0.5, len(times) - 0.5], [f"{times[0]:.1f} s", f"{times[-1]:.1f} s"])
        axis.set_xticks([low, high], [f"{low:#x}", f"{high:#x}"])
        axis.set_title(f"{self.guest.name}: what of its RAM is present, over time", loc="left", fontsize=9)
        axis.legend(handles=[patches.Patch(color=colour, label=size)
                             for colour, size in zip(COLOURS, SIZES.values())],
                    loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)
        figure.savefig(path, bbox_inches="tight")
        pyplot.close(figure)

    def rate_picture(self, path: str | Path) -> None:
        """Draw how many pages were written a second, over time, as far as the guest was logged when samples were
        taken."""
        if not self.rates:
            raise ValueError("nothing was logged when samples were taken: call log() of the guest, then sample()")
        matplotlib, pyplot = map(import_module, ("matplotlib", "matplotlib.pyplot"))
        matplotlib.use("Agg")
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
        figure, axis = pyplot.subplots(figsize=(11, 3))
        axis.step(*zip(*self.rates, strict=True), where="pre", color=COLOURS[1])
        axis.set_ylim(bottom=0)
        axis.set_xlabel("s")
        axis.set_ylabel("pages written a second")
        axis.set_title(f"{self.guest.name}: pages of its RAM that were written, over time", loc="left", fontsize=9)
        figure.savefig(path, bbox_inches="tight")
        pyplot.close(figure)


__all__ = ["History", "Present", "pieces"]
