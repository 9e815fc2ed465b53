"""A guest's memory as the test laid it: the judge of where a byte belongs, which asks the library
nothing."""
from dataclasses import dataclass, replace

from ..errors import Pending
from ..types import PAGE, Extent, Gpa, Perm, address, extents_of, size_bytes


@dataclass(frozen=True)
class Page:
    """What stands at one page of a guest: its host page, its rights, and whether devices have it."""

    hpa: int
    perms: Perm
    dma: bool


class Guest:
    """A domain, and this side's own record of each page that was granted to it."""

    def __init__(self, platform, name, domain):
        self.platform, self.name, self.domain = platform, name, domain
        self.pages = {}  # gpa of a page: Page
        self.msis = {}   # interrupt file number: its host page

    # ---- changes, noted before they are made --------------------------------------------------------

    def grant(self, gpa, extents, perms="rwx", **flags):
        """Grant EXTENTS at GPA, and note where each page stands."""
        extents = [extents] if isinstance(extents, Extent) else extents_of(extents)
        self.domain.grant(gpa, extents, perms, **flags)
        dma = flags.get("dma", True) and (not flags.get("mmio") or flags.get("peer", False))
        at = int(address(Gpa, gpa))
        for extent in extents:
            for offset in range(0, extent.len, PAGE):
                self.pages[at] = Page(int(extent.hpa) + offset, Perm.of(perms), dma)
                at += PAGE

    def _range(self, gpa, length):
        return range(int(address(Gpa, gpa)), int(address(Gpa, gpa)) + size_bytes(length), PAGE)

    def revoke(self, gpa, length):
        """Revoke, and note it: Pending too means that the map no longer has the range."""
        def note():
            for page in self._range(gpa, length):
                del self.pages[page]
        self._change(lambda: self.domain.revoke(gpa, length), note)

    def protect(self, gpa, length, perms):
        """Change rights, and note it: Pending too means that the map says so already."""
        def note():
            for page in self._range(gpa, length):
                self.pages[page] = replace(self.pages[page], perms=Perm.of(perms))
        self._change(lambda: self.domain.protect(gpa, length, perms), note)

    @staticmethod
    def _change(change, note):
        try:
            change()
        except Pending:
            note()
            raise
        note()

    def msi_set(self, index, file):
        self.domain.msi_set(index, file)
        if file is None:
            del self.msis[index]
        else:
            self.msis[index] = int(file)

    # ---- memory, as the guest sees it ----------------------------------------------------------------

    def hpa(self, gpa):
        """Where this side knows GPA to stand; KeyError where nothing does."""
        gpa = int(gpa)
        return self.pages[gpa - gpa % PAGE].hpa + gpa % PAGE

    def host_pages(self):
        return {page.hpa for page in self.pages.values()}

    def _runs(self, gpa, length):
        """(hpa, bytes) for the stretch, page by page."""
        gpa = int(gpa)
        while length:
            step = min(length, PAGE - gpa % PAGE)
            yield self.hpa(gpa), step
            gpa, length = gpa + step, length - step

    def read(self, gpa, length):
        """What the guest would read."""
        return b"".join(bytes(self.platform.memory(hpa, step)) for hpa, step in self._runs(gpa, length))

    def write(self, gpa, data):
        done = 0
        for hpa, step in self._runs(gpa, len(data)):
            self.platform.memory(hpa, step)[:] = data[done:done + step]
            done += step

    def __repr__(self):
        return f"<Guest {self.name}: {self.domain!r}, {len(self.pages)} pages>"
