"""Looks at the machine's memory from outside: which frames changed while they should not have.

Takes a RAM file that the emulator shares, and the hypervisor's own list of who owns each frame. The
hypervisor is not believed in what it says of confinement: a frame that changed is found by its
hash.
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


def _extents(fd):
    """The parts of a sparse file that hold data, whole pages, in order; the rest reads as zeros."""
    at, size = 0, os.fstat(fd).st_size
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # no data behind
            return
        at = os.lseek(fd, data, os.SEEK_HOLE)
        yield data // PAGE * PAGE, -(-at // PAGE) * PAGE


def _populated(fd, ram_base, runs):
    """The parts of RUNS that hold data: (first byte, end) in the file, in order."""
    ranges = []
    for run in sorted(runs, key=lambda r: r.first):
        start, end = run.first * PAGE - ram_base, (run.first + run.pages) * PAGE - ram_base
        if ranges and ranges[-1][1] == start:
            ranges[-1][1] = end
        else:
            ranges.append([start, end])
    at = 0
    for low, high in _extents(fd):
        while at < len(ranges) and ranges[at][1] <= low:
            at += 1
        number = at
        while number < len(ranges) and ranges[number][0] < high:
            yield max(low, ranges[number][0]), min(high, ranges[number][1])
            number += 1


class Snapshot:
    """A hash of every frame in RUNS, taken while the machine stands still."""

    def __init__(self, ram_file, ram_base, runs):
        self.digests = {}
        self.frames = sum(run.pages for run in runs)
        with memoryview(ram_file.map) as view:
            for start, end in _populated(ram_file.fd, ram_base, runs):
                for at in range(start, end, PAGE):
                    digest = hashlib.blake2b(view[at:at + PAGE], digest_size=16).digest()
                    if digest != _ZERO:
                        self.digests[(at + ram_base) // PAGE] = digest

    def changed(self, later):
        """Page numbers that differ between this snapshot and a LATER one of the same runs."""
        return sorted(n for n in self.digests.keys() | later.digests.keys()
                      if self.digests.get(n) != later.digests.get(n))


def find_pages(ram_file, ram_base, runs, patterns):
    """{pattern: host address} of the pages in RUNS that begin with one of PATTERNS, twice over."""
    view, found = memoryview(ram_file.map), {}
    for start, end in _populated(ram_file.fd, ram_base, runs):
        for at in range(start, end, PAGE):
            pattern = next((p for p in patterns if view[at:at + 2 * len(p)] == p * 2), None)
            if pattern:
                found[pattern] = at + ram_base
    return found


def search(ram_file, ram_base, runs, pattern):
    """Host addresses in RUNS where PATTERN stands, at most one a populated stretch."""
    found = ((ram_file.map.find(pattern, start, end)) for start, end in
             _populated(ram_file.fd, ram_base, runs))
    return [at + ram_base for at in found if at >= 0]


def frames(runs, wanted):
    """The page numbers of the runs that WANTED says."""
    return {run.first + n for run in runs if wanted(run) for n in range(run.pages)}


def without(runs, holes):
    """RUNS less the page ranges HOLES ((first, pages), ...)."""
    holes = sorted((first, first + pages) for first, pages in holes if pages)
    kept, next_hole = [], 0
    for run in sorted(runs, key=lambda r: r.first):
        at, end = run.first, run.first + run.pages
        while next_hole < len(holes) and holes[next_hole][1] <= at:
            next_hole += 1
        for low, high in _until(holes, next_hole, end):
            if high <= at:
                continue
            if low > at:
                kept.append(Run(at, low - at, run.domain, run.state))
            at = max(at, high)
        if at < end:
            kept.append(Run(at, end - at, run.domain, run.state))
    return kept


def _until(holes, number, end):
    """The HOLES from NUMBER on that begin before END."""
    while number < len(holes) and holes[number][0] < end:
        yield holes[number]
        number += 1


def who(runs, frame):
    """The run that holds a page number, or None."""
    for run in runs:
        if run.first <= frame < run.first + run.pages:
            return run
    return None
