"""A world: a platform, and this side's own record of all that may be reached in it. Every step is
followed by all judges. A failing program of steps can be pasted:

    from cordon.judged import World
    with World("model") as w:
        w.guest()
        w.grant(0, 1, 0, (9, 0, 0))
        w.attach(0, 0)
        w.revoke(0, 0, 0, 3)
"""
from collections import Counter

from ..checks import findings
from ..model._abi import CORDON_MODEL_CAPABILITIES
from ..parts import Dma
from ..platform import Platform
from ..types import PAGE, Drain, Perm
from . import judges
from .changes import Changes
from .content import Content, runs_of
from .places import FILE_BASE, FILES, LIMIT, WINDOW
from .steps import Disagreement
from .traffic import Traffic

_MSI_FLAT = 1 << 22
VARIANTS = {
    "model": {"extended": {}, "base": {"capabilities": CORDON_MODEL_CAPABILITIES & ~_MSI_FLAT},
              "small": {"cache_entries": 64}},
    "qemu": {"extended": {}, "base": {"globals_": ("riscv-iommu.intremap=off",)}, "pci": {"iommu": "pci"}},
}


class World(Changes, Traffic):
    """World(backend, variant="extended"): steps take plain numbers only, which choose among what there
    is, so that every program of steps is a good one. `journal` is a file that always has the program
    as far as it went, should the process die; other settings are those of Platform."""

    def __init__(self, backend="model", variant="extended", *, journal=None, **settings):
        shown = "".join(f", {name}={value!r}" for name, value in settings.items())
        self.lines, self._journal = [], journal
        if journal is not None:
            journal.seek(0)
            journal.truncate()
        self.note("from cordon.judged import World")
        self.note(f"with World({backend!r}, {variant!r}{shown}) as w:")
        self.backend, self.variant, self.steps = backend, variant, 0
        self.windows = variant != "base"
        drains = [Drain.IOMMU] * 3 + ([Drain.RESET] if backend == "model" else [])
        parts = [Dma(2 + n, drain=drain) for n, drain in enumerate(drains)]
        self.plat = Platform(backend, parts, ram="32M", **{**VARIANTS[backend][variant], **settings})
        self.context = self.plat.context
        self.devices = [self.plat.device(part.name) for part in parts]
        names = [device.name for device in self.devices]
        self.holder, self.awaited = dict.fromkeys(names), dict.fromkeys(names)
        self.flights = {name: [] for name in names}
        self.owner, self.kept, self.limbo = {}, set(), {}
        self.loans, self.clinging = {}, {}  # by (borrower's name, host page)
        self.due, self.fresh, self.came, self.lost = Counter(), set(), [], (0, 0)  # faults
        self.ghosts, self.excuses, self.doubtful, self._made = [], {}, {}, 0
        self.content = Content(self.plat)
        self.bystanders = self.context.scatter(8 * PAGE)
        for extent in self.bystanders:
            self.content.own(int(extent.hpa), "nobody's")
        for n in range(FILES if self.windows else 0):
            self.context.resource_add(FILE_BASE + n * PAGE, PAGE)
        self.guest_add()

    @property
    def guests(self):
        return self.plat.guests

    def guest_add(self):
        self._made += 1
        guest = self.plat.guest(f"guest{self._made}", gpa_limit=LIMIT)
        if self.windows:
            guest.domain.msi_window(WINDOW, FILES - 1)

    def pick(self, n):
        """The Nth guest; there is always one."""
        if not self.guests:
            self.guest_add()
        return self.guests[n % len(self.guests)]

    @staticmethod
    def areas(g):
        """(gpa, bytes) of each contiguous stretch that a guest has."""
        return [(start, length) for start, length in runs_of(g.pages)]

    # ---- who waits, and who borrows -------------------------------------------------------------------

    def slow_devices(self, g):
        """Devices that drain by reset and whose DMA to a guest's memory may be in flight."""
        return {d.name for d in self.devices if d.drain is Drain.RESET
                and (self.holder[d.name] is g or self.awaited[d.name] is g)}

    def borrowers(self, hpa):
        """Names of guests that borrow a frame, or whose devices are not drained of it."""
        return {name for name, page in (*self.loans, *self.clinging) if page == hpa}

    def lends(self, g):
        return any(self.owner.get(hpa) is g for _, hpa in (*self.loans, *self.clinging))

    def clinging_of(self, g):
        return {hpa for name, hpa in self.clinging if name == g.name}

    clinging_to = clinging_of

    def in_use(self, g, pages):
        return any(self.owner[p.hpa] is g and self.borrowers(p.hpa) for p in pages.values())

    def beyond_loan(self, g, page, perms):
        return self.owner[page.hpa] is not g and perms & ~self.loans[g.name, page.hpa]

    def takes_from_borrower(self, g, pages, perms):
        """Whether a borrower has a right that its owner would not have any more."""
        return any(self.owner[p.hpa] is g and p.perms & ~perms and self.borrowers(p.hpa) for p in pages)

    # ---- the judges -------------------------------------------------------------------------------------

    def judge(self):
        """Every judge, after a step; Disagreement."""
        judges.judge(self)

    def views_end(self, device):
        """The order checker need not wait for a view that goes with its last device."""
        if self.context.order is not None:
            judges.expect_views(self, without=device)

    def views_not_of(self, g, pages):
        """The order checker expects every view of a domain to be told. Of frames that no device view
        holds, none needs to be: then it expects nothing, for this step."""
        if self.context.order is not None and not all(page.dma for page in pages.values()):
            self.context.order.expect_views(g.domain.number, 0)

    def fail(self, text):
        raise Disagreement(text, self)

    def note(self, line):
        self.lines.append(line)
        if self._journal is not None:
            print(line, file=self._journal, flush=True)

    @property
    def program(self):
        """The steps so far, as a program."""
        return "\n".join(self.lines)

    # ---- the end ------------------------------------------------------------------------------------------

    def finish(self):
        """Take everything down in order: nothing may be left."""
        for d in self.devices:
            self.land(d) if self.flights[d.name] else None
        judges.faults(self)
        for d in self.devices:
            if self.holder[d.name] is not None:
                self.views_end(d)
                self.plat.withdraw(d)
                self.holder[d.name] = None
            elif self.awaited[d.name] is not None:
                self.reset_now(d)
        if self.context.order is not None:
            judges.expect_views(self, nobody=True)
        for g in self.guests:
            for gpa, page in list(g.pages.items()):
                if self.owner[page.hpa] is not g:
                    g.revoke(gpa, PAGE)
        for extent in self.bystanders:
            self.context.free(extent)
        kept = len(self.kept) + sum(keep for *_, keep in self.limbo.values())
        told = findings(self.plat, held_before=kept * PAGE)
        for check in (judges.order, judges.hardware):
            check(self)
        if told:
            self.fail("\n".join(told))

    def close(self):
        self.plat.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def __repr__(self):
        return f"<World {self.backend} {self.variant}: {self.steps} steps, {self.plat!r}>"


__all__ = ["VARIANTS", "Perm", "World"]
