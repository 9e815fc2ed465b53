"""Changes of maps as steps: what each must do, by the world's own record, and whether it did."""
from ..errors import AlreadyExists, Busy, NotFound, OutOfMemory, OutOfRange, Pending
from ..guest import Page
from ..types import PAGE, FrameState, Perm
from .places import LIMIT, MOST_GUESTS, MOST_PAGES, ZONES
from .steps import step


class Changes:
    """Steps of a World that change maps."""

    @step
    def guest(self):
        """One guest more."""
        if len(self.guests) < MOST_GUESTS:
            self.guest_add()

    @step
    def end(self, guest):
        """A guest ends; refused while a device is its, or somebody borrows of it."""
        g = self.pick(guest)
        if any(waiting is g for waiting in self.awaited.values()) or self.clinging_to(g):
            return
        busy = any(holder is g for holder in self.holder.values()) or self.lends(g)
        pages = dict(g.pages)
        self.views_not_of(g, pages)
        if self.refused(Busy if busy else None, g.domain.close):
            return
        g.pages.clear()
        self.plat.guests.remove(g)
        self.gone(g, pages, set())

    @step
    def grant(self, guest, zone, page, orders, perms="rwx", dma=True, keep=False, seed=1):
        """Scattered pieces of 2**ORDER pages at a page of a zone."""
        g, gpa = self.pick(guest), ZONES[zone % len(ZONES)] + page * PAGE
        extents = self.scattered(orders, seed)
        if extents:
            self.place(g, gpa, extents, perms, dma=dma, keep=keep)

    @step
    def run(self, guest, zone, page, pages, align=0, boundary=0, highest=0, perms="rw"):
        """One contiguous run under constraints: powers of two of pages, and 1/16ths of RAM."""
        g, gpa = self.pick(guest), ZONES[zone % len(ZONES)] + page * PAGE
        want = {"align": PAGE << align if align else 0, "highest": self.sixteenth(highest),
                "boundary": max(PAGE << boundary, PAGE << (pages - 1).bit_length()) if boundary else 0}
        try:
            extent = self.context.alloc(pages * PAGE, **want)
        except OutOfMemory:
            at = self.run_that_fits(pages, **want)
            if at is not None:
                self.fail(f"no run of {pages} pages with {want}, but {at:#x} is free")
            return
        first, last = int(extent.hpa), int(extent.end) - 1
        if (want["align"] and first % want["align"] or want["highest"] and last > want["highest"]
                or want["boundary"] and first // want["boundary"] != last // want["boundary"]):
            self.fail(f"{extent!r} is not what {want} asked for")
        self.place(g, gpa, [extent], perms)

    def place(self, g, gpa, extents, perms, **flags):
        """Grant, after a look at what has to come of it."""
        hosts = [int(e.hpa) + at for e in extents for at in range(0, e.len, PAGE)]
        at = range(gpa, gpa + len(hosts) * PAGE, PAGE)
        taken = [hpa for hpa in hosts if hpa in self.content.stamps or hpa in self.limbo]
        if taken:
            self.fail(f"{taken[0]:#x} was handed out, and is somebody's")
        expected = OutOfRange if at.stop > LIMIT else AlreadyExists if any(a in g.pages for a in at) else None
        if any(a == hpa for a, hpa in zip(at, hosts)):
            self.give_back(extents)
        elif self.refused(expected, lambda: g.grant(gpa, extents, perms, **flags)):
            self.give_back(extents)
        else:
            self.fill(g, zip(at, hosts), flags.get("keep", False))

    def fill(self, g, places, keep=False):
        for gpa, hpa in places:
            if not self.content.own(hpa, f"{g.name} {gpa:#x}"):
                self.fail(f"{hpa:#x} was handed out, and still holds what was in it")
            self.owner[hpa] = g
            if keep:
                self.kept.add(hpa)

    def stretch(self, guest, area, first, count, beyond=False):
        """(guest, gpa, bytes) of a part of what a guest has; BEYOND: one page more than there is."""
        g = self.pick(guest)
        areas = self.areas(g)
        if not areas:
            return g, 0, 0
        start, length = areas[area % len(areas)]
        start, length = start + first * PAGE % length, length - first * PAGE % length
        length = min(length, length if beyond else count * PAGE)
        self.warm(g, start, length)
        return g, start, length + PAGE if beyond else length

    @step
    def revoke(self, guest, area, first, count, beyond=False):
        """Take a part of a guest's memory away."""
        g, gpa, length = self.stretch(guest, area, first, count, beyond)
        if not length:
            return
        pages = {at: g.pages[at] for at in range(gpa, gpa + length, PAGE) if at in g.pages}
        expected = NotFound if beyond else Busy if self.in_use(g, pages) else None
        self.views_not_of(g, pages)
        if self.refused(expected, lambda: g.revoke(gpa, length), pending=self.slow_devices(g)):
            return
        self.gone(g, pages, self.slow_devices(g))

    @step
    def protect(self, guest, area, first, count, perms, beyond=False):
        """Change the rights of a part of a guest's memory."""
        g, gpa, length = self.stretch(guest, area, first, count, beyond)
        if not length:
            return
        pages = [g.pages[at] for at in range(gpa, gpa + length, PAGE) if at in g.pages]
        if beyond:
            expected = NotFound
        elif any(self.beyond_loan(g, page, Perm.of(perms)) for page in pages):
            return
        else:
            expected = Busy if self.takes_from_borrower(g, pages, Perm.of(perms)) else None
        self.refused(expected, lambda: g.protect(gpa, length, perms), pending=self.slow_devices(g))

    @step
    def unanswered(self, guest, area, first, count):
        """The IOMMU does not answer while a part of a guest's memory goes, and does when asked again."""
        g, gpa, length = self.stretch(guest, area, first, count)
        pages = {at: g.pages[at] for at in range(gpa, gpa + length, PAGE)}
        plain = all(page.dma and self.owner[page.hpa] is g for page in pages.values())
        asked = any(holder is g for holder in self.holder.values()) and not self.slow_devices(g)
        if self.backend != "model" or not (pages and plain and asked) or self.in_use(g, pages):
            return
        with self.plat.model.hold(commands=True):
            try:
                g.revoke(gpa, length)
            except Pending:
                free = [p.hpa for p in pages.values()
                        if self.context.frame(p.hpa).state is not FrameState.REVOKING]
            else:
                self.fail("the IOMMU did not answer, and yet the revoke is over")
        if free:
            self.fail(f"the IOMMU did not answer, and {free[0]:#x} is {self.context.frame(free[0]).state.name}")
        g.domain.retire()
        self.gone(g, pages, set())

    @step
    def retire(self, guest):
        """Ask again for what is pending."""
        g = self.pick(guest)
        self.refused(None, g.domain.retire, pending=self.slow_devices(g))

    # ---- moves --------------------------------------------------------------------------------------

    @step
    def move(self, guest, area, first, count, zone, page):
        """A part of a guest's memory goes to another GPA, with its frames."""
        g, gpa, length = self.stretch(guest, area, first, count)
        to = ZONES[zone % len(ZONES)] + page * PAGE
        pages = [g.pages[at] for at in range(gpa, gpa + length, PAGE)]
        if to == gpa or not self.can_remap(g, pages) or any(to + n * PAGE == p.hpa for n, p in enumerate(pages)):
            return
        target = range(to, to + length, PAGE)
        self.views_not_of(g, dict(enumerate(pages)))
        expected = (OutOfRange if to + length > LIMIT else
                    AlreadyExists if any(at in g.pages for at in target) else None)
        if self.refused(expected, lambda: g.domain.move(gpa, to, length), pending=self.slow_devices(g)):
            return
        for at in range(gpa, gpa + length, PAGE):
            del g.pages[at]
        g.pages.update(zip(target, pages))

    @step
    def swap(self, guest, area, first, count, seed=1):
        """A part of a guest's memory gets other frames, one page each."""
        g, gpa, length = self.stretch(guest, area, first, min(count, 64))
        places = range(gpa, gpa + length, PAGE)
        pages = [g.pages[at] for at in places]
        if not self.can_remap(g, pages):
            return
        extents = self.scattered((0,) * len(pages), seed)
        hosts = [int(extent.hpa) for extent in extents]
        if not extents or any(at == hpa for at, hpa in zip(places, hosts)):
            self.give_back(extents)
            return
        busy = Busy if self.in_use(g, dict(zip(places, pages))) else None
        self.views_not_of(g, dict(zip(places, pages)))
        if self.refused(busy, lambda: g.domain.replace(gpa, extents), pending=self.slow_devices(g)):
            self.give_back(extents)
            return
        keep = {hpa for page, hpa in zip(pages, hosts) if page.hpa in self.kept}
        g.pages.update((at, Page(hpa, page.perms, page.dma)) for at, page, hpa in zip(places, pages, hosts))
        self.gone(g, dict(zip(places, pages)), self.slow_devices(g))
        self.fill(g, zip(places, hosts))
        self.kept |= keep

    def can_remap(self, g, pages):
        """Frames of its own, one kind of region: the others are refused, elsewhere tested."""
        kinds = {(page.perms, page.dma, page.hpa in self.kept) for page in pages}
        return len(kinds) == 1 and all(self.owner[page.hpa] is g for page in pages)

    # ---- loans --------------------------------------------------------------------------------------

    @step
    def share(self, guest, area, first, count, borrower, zone, page, perms="rw", dma=True):
        """Another guest reaches a part of a guest's memory, too."""
        g, gpa, length = self.stretch(guest, area, first, count)
        b, to = self.pick(borrower), ZONES[zone % len(ZONES)] + page * PAGE
        pages = [g.pages[at] for at in range(gpa, gpa + length, PAGE)]
        allowed = all(self.owner[p.hpa] is g and not Perm.of(perms) & ~p.perms and p.dma >= dma for p in pages)
        if not pages or b is g or not allowed or any(p.hpa == to + n * PAGE for n, p in enumerate(pages)):
            return
        target, has = range(to, to + length, PAGE), b.host_pages() | self.clinging_of(b)
        expected = (OutOfRange if to + length > LIMIT else AlreadyExists
                    if any(at in b.pages for at in target) or any(p.hpa in has for p in pages) else None)

        def lend():
            g.domain.share(b.domain, gpa, to, length, perms, dma=dma)
        if not self.refused(expected, lend, pending=self.slow_devices(b)):
            b.pages.update((at, Page(p.hpa, Perm.of(perms), dma)) for at, p in zip(target, pages))
            self.loans.update(((b.name, p.hpa), Perm.of(perms)) for p in pages)

    # ---- frames -------------------------------------------------------------------------------------

    def scattered(self, orders, seed):
        """HELD extents of these sizes, or none: too much is out already."""
        if sum(1 << order for order in orders) + len(self.content.stamps) + len(self.limbo) > MOST_PAGES:
            return []
        extents = []
        try:
            for n, order in enumerate(orders):
                extents += self.context.scatter(PAGE << order, pieces=(order,), seed=seed + n)
        except OutOfMemory:
            self.give_back(extents)
            return []
        return extents

    def give_back(self, extents):
        for extent in extents:
            self.context.free(extent)

    def sixteenth(self, n):
        return self.plat.ram_base + len(self.plat.ram) // 16 * n - 1 if n else 0

    def run_that_fits(self, pages, align, boundary, highest):
        """By the states of all frames: where such a run is free, or None."""
        found, start = 0, None
        step, top = align or PAGE, highest or self.plat.ram_base + len(self.plat.ram) - 1
        for hpa in range(self.plat.ram_base, self.plat.ram_base + len(self.plat.ram), PAGE):
            crosses = start is not None and boundary and hpa // boundary != start // boundary
            if self.context.frame(hpa).state is not FrameState.FREE or hpa + PAGE - 1 > top:
                found, start = 0, None
                continue
            if found == 0 or crosses:
                found, start = 0, None
                if hpa % step:
                    continue
                start = hpa
            found += 1
            if found == pages:
                return start
        return None

    def gone(self, g, pages, waiting):
        """PAGES are G's no more; WAITING are the devices that may still have DMA to them in flight."""
        for gpa, page in pages.items():
            on_its_way = set(waiting) if page.dma else set()
            if self.owner[page.hpa] is not g:
                self.loans.pop((g.name, page.hpa))
                if on_its_way:
                    self.clinging[g.name, page.hpa] = on_its_way
                continue
            del self.owner[page.hpa]
            self.content.forget(page.hpa)
            self.limbo[page.hpa] = (g, on_its_way, page.hpa in self.kept)
            self.kept.discard(page.hpa)

    # ---- what has to come of a call ---------------------------------------------------------------

    def refused(self, expected, call, pending=()):
        """Carry CALL out. It must be refused with EXPECTED (None: must not be), and then nothing has
        changed; PENDING says that it may also be left pending. Whether it was refused."""
        before = self.totals()
        try:
            call()
        except Pending:
            if expected is None and pending:
                return False
            raise
        except OutOfMemory:
            if before[0] > 2 << 20:
                raise
        except (AlreadyExists, Busy, NotFound, OutOfRange) as error:
            if expected is None or not isinstance(error, expected):
                raise
        else:
            if expected is not None:
                self.fail(f"this was not refused with {expected.__name__}")
            return False
        if self.totals() != before:
            self.fail(f"refused, but (free, held, table, owned, revoking) went from {before} to {self.totals()}")
        return True

    def totals(self):
        stats = self.context.stats()
        return stats.free, stats.held, stats.table, stats.owned, stats.revoking


__all__ = ["Changes"]
