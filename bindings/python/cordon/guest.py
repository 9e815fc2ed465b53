"""A guest's memory as the test laid it: the judge of where a byte belongs, which asks the library
nothing."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, SupportsInt

from .buffer import Buffer
from .canary import Canary, Touched
from .domain import Domain
from .errors import NotOwner, Pending
from .types import (PAGE, Bytes, Extent, Extents, Gpa, GpaLike, HpaLike, Iova, IovaLike, Perm, PermLike, Size,
                    address, extents_of, size_bytes)

if TYPE_CHECKING:
    from .device import Device
    from .platform import Platform

RAM_GPA = 0x10_0000_0000     # where the memory of its own stands
BUFFER_GPA = 0x20_0000_0000  # where buffers go that ask for no place
_LARGE, _SMALL = 2 << 20, 64 << 10


@dataclass(frozen=True, slots=True)
class Page:
    """What stands at one page of a guest: its host page, its rights, and whether devices have it."""

    hpa: int
    perms: Perm
    dma: bool


class Guest:
    """A domain, and this side's own record of each page that was granted to it. With `memory`, a size,
    it has that much RAM from RAM_GPA on, with a canary in every byte."""

    def __init__(self, platform: "Platform", name: str, domain: Domain, memory: Size | None = None) -> None:
        self.platform, self.name, self.domain = platform, name, domain
        self.pages: dict[int, Page] = {}   # by the GPA of the page
        self.msis: dict[int, int] = {}     # interrupt file number: its host page
        self.buffers: list[Buffer] = []    # every one that was made, the guest's RAM first
        self.ram: Buffer | None = None
        self._canary: Canary | None = None
        if memory is not None:
            self._ram_make(size_bytes(memory, "memory"))

    def _ram_make(self, size: int) -> None:
        """2 MiB pieces and, for what remains but at least 64 KiB, single pages; both shuffled."""
        small = min(size, (size - _SMALL) % _LARGE + _SMALL)
        context = self.platform.context
        extents = context.scatter(size - small, pieces=(9,)) if size > small else []
        extents += context.scatter(small)
        self.ram = self._buffer(RAM_GPA, extents, Perm.RWX, "ram")
        runs, gpa = [], RAM_GPA
        for extent in extents:
            runs.append((gpa, self.platform.memory(extent.hpa, extent.len), int(extent.hpa)))
            gpa += extent.len
        self._canary = Canary(self.name, runs)

    def untouched(self) -> bool | Touched:
        """Whether every byte of the guest's RAM is the canary's: True, or a false Touched that says
        where it is not. Writes of the test's own count."""
        if self._canary is None:
            raise ValueError(f"guest {self.name} has no memory of its own: guest(name, \"16M\") gives it some")
        return self._canary.untouched()

    # ---- devices ------------------------------------------------------------------------------------

    @contextmanager
    def assign(self, device: "Device", *, own_view: bool = False) -> Iterator["Device"]:
        """In this block the guest has DEVICE, reset where it can be. When it ends, the device is
        quiesced, withdrawn and drained: it is closed off, and still known to its IOMMU."""
        self.platform.assign(self, device, own_view=own_view)
        try:
            yield device
        except BaseException:
            self.platform.evidence.note_contexts()
            with suppress(Exception):
                self.platform.withdraw(device)
            raise
        if device.domain is self.domain:
            self.platform.withdraw(device)

    def map(self, device: "Device", *, size: Size, iova: IovaLike | None = None, perm: PermLike = Perm.RW,
            name: str | None = None) -> Buffer:
        """A Buffer of SIZE bytes that DEVICE, which the guest has, reaches from IOVA on (a free place):
        scattered pages, none at the host address that the guest knows it by."""
        if device.domain is not self.domain:
            raise NotOwner("Guest.map", f"{device.name} is not assigned to {self.name}", device=device.name)
        size = size_bytes(size, "size")
        gpa = self._free_gpa(size) if iova is None else int(address(Iova, iova))
        name = name or f"{self.name}-buffer{sum(b is not self.ram for b in self.buffers)}"
        return self._buffer(gpa, self._elsewhere(gpa, size), perm, name)

    def _free_gpa(self, size: int) -> int:
        """Past every page above BUFFER_GPA, with one page between."""
        return max((gpa + 2 * PAGE for gpa in self.pages if gpa >= BUFFER_GPA), default=BUFFER_GPA)

    def _elsewhere(self, gpa: int, size: int) -> list[Extent]:
        """Scattered pages, none of which has the host address GPA + its offset."""
        context, unfit = self.platform.context, []
        try:
            for seed in range(1, 9):
                extents = context.scatter(size, seed=seed)
                if all(int(e.hpa) != gpa + n * PAGE for n, e in enumerate(extents)):
                    return extents
                unfit += extents
        finally:
            for extent in unfit:
                context.free(extent)
        raise ValueError(f"no memory can be found for {gpa:#x} that is not at that host address")

    def _buffer(self, gpa: int, extents: list[Extent], perms: PermLike, name: str) -> Buffer:
        try:
            self.grant(gpa, extents, perms)
        except BaseException:
            for extent in extents:
                self.platform.context.free(extent)
            raise
        buffer = Buffer(self, name, gpa, extents)
        self.buffers.append(buffer)
        return buffer

    def name_of(self, gpa: SupportsInt) -> str:
        """The name of the buffer that holds, or held, GPA; the newest one, else ""."""
        return next((b.name for b in reversed(self.buffers) if 0 <= int(gpa) - int(b.gpa) < b.size), "")

    # ---- changes, noted before they are made --------------------------------------------------------

    def grant(self, gpa: GpaLike, extents: Extents, perms: PermLike = "rwx", **flags: bool) -> None:
        """Grant EXTENTS at GPA, and note where each page stands."""
        extents = [extents] if isinstance(extents, Extent) else extents_of(extents)
        self.domain.grant(gpa, extents, perms, **flags)
        dma = flags.get("dma", True) and (not flags.get("mmio") or flags.get("peer", False))
        at, perms = int(address(Gpa, gpa)), Perm.of(perms)
        for extent in extents:
            hosts = range(int(extent.hpa), int(extent.end), PAGE)
            self.pages.update((at + n * PAGE, Page(hpa, perms, dma)) for n, hpa in enumerate(hosts))
            at += extent.len

    def _range(self, gpa: GpaLike, length: Size) -> range:
        return range(int(address(Gpa, gpa)), int(address(Gpa, gpa)) + size_bytes(length), PAGE)

    def revoke(self, gpa: GpaLike, length: Size) -> None:
        """Revoke, and note it: Pending too means that the map no longer has the range."""
        def note() -> None:
            for page in self._range(gpa, length):
                del self.pages[page]
        self._change(lambda: self.domain.revoke(gpa, length), note)

    def protect(self, gpa: GpaLike, length: Size, perms: PermLike) -> None:
        """Change rights, and note it: Pending too means that the map says so already."""
        def note() -> None:
            for page in self._range(gpa, length):
                self.pages[page] = replace(self.pages[page], perms=Perm.of(perms))
        self._change(lambda: self.domain.protect(gpa, length, perms), note)

    @staticmethod
    def _change(change: Callable[[], None], note: Callable[[], None]) -> None:
        try:
            change()
        except Pending:
            note()
            raise
        note()

    def msi_set(self, index: int, file: HpaLike | None) -> None:
        self.domain.msi_set(index, file)
        if file is None:
            del self.msis[index]
        else:
            self.msis[index] = int(file)

    # ---- memory, as the guest sees it ----------------------------------------------------------------

    def hpa(self, gpa: SupportsInt) -> int:
        """Where this side knows GPA to stand; KeyError where nothing does."""
        gpa = int(gpa)
        return self.pages[gpa - gpa % PAGE].hpa + gpa % PAGE

    def host_pages(self) -> set[int]:
        return {page.hpa for page in self.pages.values()}

    def _runs(self, gpa: SupportsInt, length: int) -> Iterator[tuple[int, int]]:
        """(hpa, bytes) for the stretch, page by page."""
        gpa = int(gpa)
        while length:
            step = min(length, PAGE - gpa % PAGE)
            yield self.hpa(gpa), step
            gpa, length = gpa + step, length - step

    def read(self, gpa: SupportsInt, length: int) -> bytes:
        """What the guest would read."""
        return b"".join(bytes(self.platform.memory(hpa, step)) for hpa, step in self._runs(gpa, length))

    def write(self, gpa: SupportsInt, data: Bytes) -> None:
        done = 0
        for hpa, step in self._runs(gpa, len(data)):
            self.platform.memory(hpa, step)[:] = data[done:done + step]
            done += step

    def __repr__(self) -> str:
        return f"<Guest {self.name}: {self.domain!r}, {len(self.pages)} pages>"
