"""Looks at the machine's memory from outside: which frames changed while they should not have.

Takes a RAM file that the emulator shares, and the hypervisor's own list of who owns each frame. The
hypervisor is not believed in what it says of confinement: a frame that changed is found by its hash.
"""
import hashlib
import os
import struct
from dataclasses import dataclass

PAGE = 4096
_RECORD = struct.Struct("<QIHH")  # hyp/manage/owners.c: first frame, pages, domain, state
STATES = ("none", "free", "hypervisor", "held", "table", "owned", "revoking")
_ZERO = hashlib.blake2b(bytes(PAGE), digest_size=16).digest()


@dataclass(frozen=True)
class Run:
    """Frames of one owner: FIRST is a page number of the host."""
    first: int
    pages: int
    domain: int
    state: str

    def label(self, names):
        return f"{names.get(self.domain, f'domain {self.domain}')}'s" if self.domain else self.state


def read_owners(data):
    """The records of the hypervisor's list, as runs."""
    if len(data) % _RECORD.size:
        raise ValueError(f"an owners list of {len(data)} bytes is no whole number of records")
    return [Run(first, pages, domain, STATES[state])
            for first, pages, domain, state in _RECORD.iter_unpack(data)]


def _populated(fd, start, end):
    """The parts of [start, end) of a sparse file that hold data; the rest reads as zeros."""
    while start < end:
        try:
            data = os.lseek(fd, start, os.SEEK_DATA)
        except OSError:  # no data behind START
            return
        if data >= end:
            return
        hole = min(os.lseek(fd, data, os.SEEK_HOLE), end)
        yield data // PAGE * PAGE, -(-hole // PAGE) * PAGE
        start = hole


class Snapshot:
    """A hash of every frame in RUNS, taken while the machine stands still."""

    def __init__(self, ram_file, ram_base, runs):
        view = memoryview(ram_file.map)
        self.digests = {}
        self.frames = 0
        for run in runs:
            offset = run.first * PAGE - ram_base
            self.frames += run.pages
            for start, end in _populated(ram_file.fd, offset, offset + run.pages * PAGE):
                for at in range(start, end, PAGE):
                    digest = hashlib.blake2b(view[at:at + PAGE], digest_size=16).digest()
                    if digest != _ZERO:
                        self.digests[(at + ram_base) // PAGE] = digest

    def changed(self, later):
        """Page numbers that differ between this snapshot and a LATER one of the same runs."""
        return sorted(n for n in self.digests.keys() | later.digests.keys()
                      if self.digests.get(n) != later.digests.get(n))


def without(runs, holes):
    """RUNS less the page ranges HOLES ((first, pages), ...)."""
    holes = sorted((first, first + pages) for first, pages in holes if pages)
    kept = []
    for run in runs:
        at, end = run.first, run.first + run.pages
        for low, high in holes:
            if high <= at or low >= end:
                continue
            if low > at:
                kept.append(Run(at, low - at, run.domain, run.state))
            at = max(at, high)
        if at < end:
            kept.append(Run(at, end - at, run.domain, run.state))
    return kept


def who(runs, frame):
    """The run that holds a page number, or None."""
    for run in runs:
        if run.first <= frame < run.first + run.pages:
            return run
    return None
