"""Devices and their DMA as steps, honest or not: what must come of it, by the world's own record."""
import random
from dataclasses import dataclass

from ..errors import Busy
from ..guest import BUFFER_GPA
from ..iommu import Cause
from ..types import PAGE, Drain, Perm
from .judges import refused
from .places import FILE_BASE, FILES, WINDOW
from .steps import step

PAGE_FAULT = {"r": Cause.READ_GUEST_PAGE, "w": Cause.WRITE_GUEST_PAGE, "x": Cause.INSN_GUEST_PAGE}


@dataclass
class Flight:
    """A request that a device has made and that has not landed, as far as is known. HPA is None as
    long as nobody has translated it; STAMP is the life of the frame that it leads to."""

    iova: int
    data: bytes
    write: bool
    hpa: int | None
    stamp: int | None


class Traffic:
    """Steps of a World that move devices and bytes."""

    @step
    def attach(self, device, guest, own_view=False):
        """A device is led to a guest, reset before where it can be; refused while it has another."""
        d, g = self.device(device), self.pick(guest)
        if self.holder[d.name] is not None or self.awaited[d.name] is not None:
            self.refused(Busy, lambda: d.attach(g.domain, own_view=own_view))
            return
        self.plat.assign(g, d, own_view=own_view)
        self.holder[d.name] = g
        self.reset_done(d)

    @step
    def detach(self, device):
        """A device is quiesced, withdrawn and drained, which a reset does where only it can."""
        d = self.device(device)
        if self.holder[d.name] is not None:
            self.views_end(d)
            self.plat.withdraw(d)
            self.holder[d.name] = None
            self.reset_done(d)

    @step
    def pull(self, device):
        """The context of a device that drains by reset goes, without the reset."""
        d = self.device(device)
        if self.holder[d.name] is not None and d.drain is Drain.RESET:
            self.views_end(d)
            d.detach()
            self.awaited[d.name], self.holder[d.name] = self.holder[d.name], None

    @step
    def reset(self, device):
        """A device that drains by reset is reset, and the library is told."""
        d = self.device(device)
        if d.drain is Drain.RESET:
            self.reset_now(d)

    def reset_now(self, d):
        part = self.plat.part(d.name)
        g = self.awaited[d.name] or self.holder[d.name]
        self.plat.quiet(part)
        self.plat.reset(part)
        self.refused(None, d.drained, pending=self.slow_devices(g) - {d.name} if g else ())
        self.plat.wake(part)
        self.awaited[d.name] = None
        self.reset_done(d)

    def reset_done(self, d):
        """Nothing of a device that was reset is in flight any more."""
        if d.drain is Drain.RESET:
            self.flights[d.name].clear()
            for waiting in (*(w for _, w, _ in self.limbo.values()), *self.clinging.values()):
                waiting.discard(d.name)
        self.clinging = {key: waiting for key, waiting in self.clinging.items() if waiting}

    # ---- DMA ----------------------------------------------------------------------------------------

    @step
    def write(self, device, where, offset, length, salt=0):
        """DMA to some place, within what the device's guest has, at its edge or far from it."""
        d, iova = self.device(device), self.place_of(device, where, offset)
        data = random.Random(f"{salt} {self.steps}").randbytes(length)
        pieces = list(self.pieces(d, iova, length, "w"))
        if any(self.is_msi(d, at) for at, *_ in pieces) or self.flying(d, [hpa for *_, hpa in pieces]):
            return
        self.plat.device(d.name).dma.write(iova, data)
        for at, done, part, hpa in pieces:
            if hpa is None:
                self.fault(d, at, "w")
            else:
                self.content.poke(hpa, data[done:done + part])

    @step
    def read(self, device, where, offset, length):
        """DMA from some place: it brings the bytes that have to be there, and where it must not reach,
        nothing."""
        d, iova = self.device(device), self.place_of(device, where, offset)
        pieces = list(self.pieces(d, iova, length, "r"))
        if any(self.is_msi(d, at) for at, *_ in pieces) or self.flying(d, [hpa for *_, hpa in pieces]):
            return
        if self.backend != "model" and not self.can_show(d):
            return
        got = self.plat.device(d.name).dma.read(iova, length)
        for at, done, part, hpa in pieces:
            here = got[done:done + part]
            if hpa is None:
                self.fault(d, at, "r")
            if hpa is not None and here != self.content.wanted(hpa, part):
                self.fail(f"{d.name} read {at:#x} and got {here[:16].hex()}..., "
                          f"there stands {self.content.wanted(hpa, part)[:16].hex()}...")
            if hpa is None and any(here) and set(here) != {0xff}:
                self.fail(f"{d.name} read {at:#x}, which it may not, and got {here[:16].hex()}...")

    def warm(self, g, gpa, length):
        """Each device of G makes requests at the edges of what is about to change, so that caches have
        it; the judges ask for the same addresses after the change."""
        edges = sorted({gpa, gpa + length // PAGE // 2 * PAGE, gpa + length - PAGE})
        self.ghosts = [*self.ghosts, *edges][-12:]
        for d in self.devices:
            for at in edges:
                if self.holder[d.name] is not g or self.is_msi(d, at):
                    continue
                if self.backend == "model":
                    for access in "rwx":
                        if self.plat.model.translate(d.device_id, at, access).cause:
                            self.fault(d, at, access)
                elif self.reach(d, at, "r")[1] is not None and self.can_show(d):
                    d.dma.read(at, 4)

    def can_show(self, d):
        """QEMU's device shows what it read through a page that it may write."""
        g = self.holder[d.name]
        return g is not None and any(p.dma and Perm.W in p.perms for p in g.pages.values())

    @step
    def signal(self, device, index, value=1):
        """A message to an interrupt file's page."""
        d = self.device(device)
        if self.backend != "model":
            return
        before, iova = len(self.plat.messages), WINDOW + index % FILES * PAGE
        d.dma.write(iova, value.to_bytes(4, "little"))
        cause, hpa = self.reach(d, iova, "w")
        came = self.plat.messages[before:]
        if came != ([] if cause else [(hpa, value)]):
            self.fail(f"{d.name}'s message to {iova:#x} came as {came}, cause {cause}, file {hpa}")
        if cause:
            self.fault(d, iova, "w")

    @step
    def msi(self, guest, index, file):
        """A page of the guest's MSI window leads to an interrupt file; to none with file 0."""
        g, index = self.pick(guest), index % FILES
        hpa = FILE_BASE + (file - 1) * PAGE if file else None
        held = hpa is not None and any(hpa in other.msis.values() for other in self.plat.guests)
        if not self.windows or held or self.slow_devices(g) or hpa is None and index not in g.msis:
            return
        g.msi_set(index, hpa)

    # ---- in flight ------------------------------------------------------------------------------------

    @step
    def hold(self, device, where, offset, length, late=False, write=True, salt=0):
        """A request that stays in flight: until a fence waits for it, or, of a device that drains by
        reset, until that; LATE: it is not even translated yet."""
        d, iova = self.device(device), self.place_of(device, where, offset)
        data = random.Random(f"{salt} {self.steps}").randbytes(length)
        pieces = list(self.pieces(d, iova, length, "w" if write else "r"))
        flying = self.flying(d, [hpa for *_, hpa in pieces], own=True)
        if self.backend != "model" or flying or any(self.is_msi(d, at) for at, *_ in pieces):
            return
        if sum(len(f.data) for f in self.flights[d.name]) + length > 32 << 10:
            return
        mode = "late" if late else "rogue" if d.drain is Drain.RESET else "held"
        with getattr(d.dma, mode)():
            if write:
                d.dma.write(iova, data)
            else:
                d.dma.read(iova, length)
        for at, done, part, hpa in pieces:
            if hpa is None and not late:
                self.fault(d, at, "w" if write else "r")
                continue
            self.flights[d.name].append(Flight(at, data[done:done + part], write, None if late else hpa,
                                               None if late else self.content.stamps[hpa // PAGE * PAGE]))

    @step
    def let_go(self, device):
        """All that a device has in flight goes on."""
        if self.flights[self.device(device).name]:
            self.land(self.device(device))

    def land(self, d):
        """Everything in flight lands now: what was translated where it led then, what is late where it
        may go now. Frames that were taken away since must not see it, once they are FREE."""
        flights, self.flights[d.name] = self.flights[d.name], []
        free = {f.hpa // PAGE * PAGE: None for f in flights if f.hpa is not None
                and self.content.stamps.get(f.hpa // PAGE * PAGE) != f.stamp
                and self.context.frame(f.hpa).state.name in ("FREE", "HELD", "TABLE")}
        before = {hpa: self.content.found(hpa, PAGE) for hpa in free}
        d.dma.step()
        for hpa, bytes_before in before.items():
            if self.content.found(hpa, PAGE) != bytes_before:
                self.fail(f"DMA of {d.name} was in flight to {hpa:#x}, which was free already")
        for flight in flights:
            self.landed(d, flight)

    def landed(self, d, flight):
        hpa = flight.hpa
        if hpa is None:
            cause, hpa = self.reach(d, flight.iova, "w" if flight.write else "r")
            if cause:
                self.fault(d, flight.iova, "w" if flight.write else "r")
                return
        elif self.content.stamps.get(hpa // PAGE * PAGE) != flight.stamp:
            return
        if flight.write:
            self.content.poke(hpa, flight.data)

    def settle(self):
        """What has landed meanwhile, oldest first, by what stands in memory."""
        for name, flights in self.flights.items():
            known = [f for f in flights if f.write and f.hpa is not None
                     and self.content.stamps.get(f.hpa // PAGE * PAGE) == f.stamp]
            done = [f for f in known if self.content.found(f.hpa, len(f.data)) == f.data]
            for flight in done:
                self.content.poke(flight.hpa, flight.data)
            flights[:] = [f for f in flights if not any(f is other for other in done)]
            if any(f.hpa is not None and self.content.stamps.get(f.hpa // PAGE * PAGE) != f.stamp
                   and self.context.frame(f.hpa).state.name != "REVOKING" for f in flights):
                self.land(self.plat.device(name))

    def flying(self, d, hosts, own=False):
        """Whether one of these frames has a write in flight to it, of another device's; OWN: of any."""
        wanted = {hpa // PAGE for hpa in hosts if hpa is not None}
        late = own and any(f.hpa is None for f in self.flights[d.name])
        return late or any(f.hpa is not None and f.hpa // PAGE in wanted
                           for flights in self.flights.values() for f in flights)

    # ---- where, and what may be reached ---------------------------------------------------------------

    def device(self, n):
        return self.devices[n % len(self.devices)]

    def place_of(self, device, where, offset):
        """An address near what the device's guest has, what was taken away, or what others have."""
        g = self.holder[self.device(device).name]
        own = [edge for start, length in self.areas(g) for edge in (start, start + length)] if g else []
        places = own * 2 + self.ghosts + [a for o in self.plat.guests if o is not g for a, _ in self.areas(o)]
        return max(0, (places or [BUFFER_GPA])[where % len(places or [0])] + offset)

    def pieces(self, d, iova, length, access):
        """(iova, offset, bytes, hpa or None) page by page."""
        done = 0
        while done < length:
            at = iova + done
            part = min(length - done, PAGE - at % PAGE)
            yield at, done, part, self.reach(d, at, access)[1]
            done += part

    def is_msi(self, d, iova):
        return self.windows and WINDOW <= iova < WINDOW + FILES * PAGE

    def reach(self, d, iova, access):
        """By this side's own record: (cause, None), or (0, hpa)."""
        g = self.holder[d.name]
        if g is None:
            return Cause.DDT_INVALID, None
        if self.is_msi(d, iova):
            if (file := g.msis.get((iova - WINDOW) // PAGE)) is None:
                return Cause.MSI_INVALID, None
            return (1, None) if access == "x" else (0, file + iova % PAGE)
        page = g.pages.get(iova // PAGE * PAGE)
        if page is None or not page.dma or Perm.of(access) not in page.perms:
            return PAGE_FAULT[access], None
        return 0, page.hpa + iova % PAGE

    def fault(self, d, iova, access):
        """A record is due for this request."""
        cause, _ = self.reach(d, iova, access)
        refused(self, d, cause, iova, access)


__all__ = ["Flight", "Traffic"]
