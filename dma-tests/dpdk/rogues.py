"""The program rogue on two machines: in a guest of Cordon's, and where nobody confines it.

Both scenes are asked alike: `place(kind)` is what to aim at, `look(place)` what stands there, seen from outside;
`order(text)` has the rogue act. What the loose one shows, the confined one must not.
"""
import json
import re
import struct
from contextlib import contextmanager
from dataclasses import dataclass

import guests
from cordon.machine import Machine
from machine import MIB, bare, bare_guest
from reach import FREE, OWNED, TABLE, frames_of
from wire import Wire, arguments

PAGE, PIECE = 4096, 1024  # PIECE: dma-tests/dpdk/rogue/line.h
WHERES = ["first", "middle", "last"]
SECRET = b"not for network cards; "
SLOTS = SENDER, RECEIVER, THIRD = 1, 4, 7  # the third is on no wire: its registers are aimed at
RAM_END = 192 * MIB  # of the rogue's guest, whose memory begins at 0: no host address is one of its own
REGISTERS = {"e1000e": (0, 0x5400), "igb": (0, 0x5400), "virtio-net-pci": (1, 16)}  # BAR, offset: addresses; messages
REGISTER_BYTES = 64
TOLD = 768 * MIB  # what Linux alone on the machine knows of
TOLD_END, HIDDEN = 0x80000000 + TOLD, 0xB4000000


@dataclass(frozen=True)
class Place:
    """PIECE bytes: where they are on the bus, and in host memory. Without `hpa` nobody can look at them."""

    iova: int
    hpa: int | None
    registers: bool = False

    @property
    def page(self):
        return Place(self.iova & -PAGE, self.hpa and self.hpa & -PAGE, self.registers)


def mark(where):
    """What an honest piece holds again and again."""
    return b"%d-CORDON-BY-DPDK" % WHERES.index(where)


class Scene:
    """A machine with a rogue that has the cards at SLOTS on one wire, of which each packet is kept."""

    def __init__(self, machine, model, wire):
        self.machine, self.model, self.wire = machine, model, wire

    def order(self, text):
        """The rogue's answer, and the packets that went over the wire."""
        self._type(text)
        answer = json.loads(self._wait(rf'\{{"order": "{text}".*?\}}')[0])
        assert "error" not in answer, answer
        return answer, self.wire.take()

    def send(self, place, where):
        """Piece WHERE of the packet that was to hold PLACE, as it went over the wire; b"" if none did."""
        _, packets = self.order(f"send {where} {place.iova:#x}")
        at = WHERES.index(where) * PIECE
        assert len(packets) <= 1
        return packets[0][at:at + PIECE] if packets else b""

    def put(self, place, data):
        """Write from outside."""
        self.machine.memory(place.hpa, len(data))[:] = data

    def plant(self, place):
        """Fill a page from outside with secrets."""
        self.put(place.page, (SECRET * PAGE)[:PAGE])

    def look(self, place, length=PIECE):
        """What stands there at this moment, if it is anything."""
        if place.hpa is None:
            return b""
        if not place.registers:
            return bytes(self.machine.memory(place.hpa, length))
        text = self.machine.qmp.hmp(f"xp /{REGISTER_BYTES // 4}wx {place.hpa:#x}")
        return b"".join(int(word, 16).to_bytes(4, "little") for word in re.findall(r" 0x([0-9a-f]{8})", text))

    def _registers(self):
        """Registers of the third card."""
        bar, offset = REGISTERS[self.model]
        text = self.machine.qmp.hmp("info pci").split(f"device   {THIRD}, function 0")[1]
        return int(re.search(rf"BAR{bar}: .* at (0x[0-9a-f]+)", text)[1], 16) + offset


class Confined(Scene):
    """A guest of Cordon's, with another guest beside it."""

    def __init__(self, shared, model, wire):
        super().__init__(shared.machine, model, wire)
        self._guest = self.machine.guests["red"]
        self._type, self._wait = self._guest.type, lambda pattern: self._guest.wait(pattern, 60)
        listed = shared.order("red", "cat /sys/bus/pci/devices/0000:00:03.0/resource").text
        self._windows = [int(word, 16) for word in re.findall(r"(0x[0-9a-f]{16}) 0x[0-9a-f]{16} 0x", listed)]
        assert {self._guest.ram_base, self._guest.ram_bytes} == {0, RAM_END}
        shared.begin("red", "rogue")
        self._wait(r'\{"program".*?\]\}')
        self._planted = {"guest": self._frame(OWNED, self.machine.guests["blue"].domain), "free": self._frame(FREE)}
        for hpa in self._planted.values():
            self.plant(Place(hpa, hpa))

    def _frame(self, state, domain=0):
        """A blank frame, out of the longest runs."""
        found = ((first + pages // 2) * PAGE for pages, first in reversed(frames_of(self.machine, state, domain)))
        return next(at for at in found if not any(self.machine.memory(at, PAGE)))

    def _table(self):
        """A full table: other frames of the layer are directories and queues, which change."""
        frames = (at for pages, first in frames_of(self.machine, TABLE) for at in range(first * PAGE, (first + pages) * PAGE, PAGE))
        return next(at for at in frames if all(
            entry & 1 and not entry >> 54 for (entry,) in struct.iter_unpack("<Q", self.machine.memory(at, PAGE))))

    def _code(self):
        start = len(self.machine.channel.events)
        self.machine.channel.order("places", "places")
        (told,) = self.machine.channel.seen("place", start, name="hypervisor code")
        return int(told["hpa"], 0) + PAGE

    def place(self, kind, write=False):
        if kind == "registers":
            return Place(self._registers(), self._registers(), registers=True)
        if kind == "own registers":
            bar, offset = REGISTERS[self.model]
            return Place(self._windows[bar] + offset, self._registers(), registers=True)
        if kind == "past the end":
            return Place(RAM_END, None)
        if kind == "too wide":  # the other guest's memory, if upper bits were dropped
            return Place(1 << 50 | self._planted["guest"] + PIECE, self._planted["guest"] + PIECE)
        frame = {"hypervisor": self._code, "table": self._table}.get(kind)
        hpa = frame() if frame else self._planted[kind]
        return Place(hpa + PIECE, hpa + PIECE)

    @contextmanager
    def refused(self, slot, place):
        """In this block the card at SLOT has to fault at PLACE: the reports."""
        with self.machine.expect_fault(f"0000:00:{slot:02x}.0", iova=place.iova) as faults:
            yield faults
        assert {fault.owner for fault in faults.faults} == {"red"}
        assert all(int(f.iova) <= place.iova <= int(f.iova) + f.span for f in faults.faults)  # virtio: a header before


class Loose(Scene):
    """The same kernel, root and cards, and no hypervisor."""

    def __init__(self, machine, model, wire):
        super().__init__(machine, model, wire)
        self._line = 0
        self._type = lambda text: machine.console.type(text + "\n")
        guests.Plain(machine.console)  # waits until it takes orders
        self._line = len(machine.console.lines)
        self._type("rogue")
        self._wait(r'\{"program".*?\]\}')
        for kind in ("guest", "free", "hypervisor", "past the end"):
            self.plant(self.place(kind))

    def _wait(self, pattern):
        self._line, found = self.machine.console.wait(pattern, 60, self._line)
        self._line += 1
        return found

    def _root(self):
        """The page table that a hart uses at this moment."""
        return (int(re.search(r"satp +([0-9a-f]+)", self.machine.qmp.hmp("info registers"))[1], 16) << 12) % (1 << 56)

    def place(self, kind, write=False):
        if kind in ("registers", "own registers"):
            return Place(self._registers(), self._registers(), registers=True)
        if kind == "too wide":
            return Place(1 << 50 | HIDDEN + PIECE, HIDDEN + PIECE)
        if kind == "table":  # its upper half is the kernel's; of its lower half Linux uses the first entries only
            at = self._root() + (PIECE // 2 if write else 3 * PIECE)
        else:
            at = {"guest": HIDDEN, "free": HIDDEN + MIB, "hypervisor": 0x8005F000, "past the end": TOLD_END}[kind] + PIECE
        return Place(at, at)

    def ring(self, kind):
        """Where a ring may stand: of a table, entries that Linux does not use."""
        return self.place(kind, write=True) if kind == "table" else self.place(kind).page


def _devices(model, folder):
    return (*guests.wire(model, (SENDER, RECEIVER)), *guests.card(model, THIRD, hub=1), *arguments(f"wire{SENDER}", folder / "wire.pcap"))


@contextmanager
def confined(folder, model):
    vms = {"red": guests.vm("red", SLOTS, memory=RAM_END, hugepages=20, vcpus=1, **{"ram-base": 0}),
           "blue": bare(**{"scatter-pieces": 1, "scatter-seed": 7})}
    with guests.cordon(folder, vms, _devices(model, folder), ram="1G", start=["red"], images={"guest": bare_guest("echo", folder)},
                       harts=2) as shared:
        yield Confined(shared, model, Wire(folder / "wire.pcap"))
        shared.quiet()
        told = sum(fault.count for fault in shared.machine.fault_log)
        assert told == shared.seen_faults() != 0


@contextmanager
def loose(folder, model):
    append = f"{guests.BOOTARGS} cordon.name=plain cordon.hugepages=20 mem={TOLD}"
    with guests.evidence(folder), Machine(guests.ROOT, hypervisor=guests.KERNEL, iommu=None, harts=1, ram="1G",
                                          log=folder / guests.CONSOLE,
                                          devices=(*_devices(model, folder), "-append", append)) as machine:
        yield Loose(machine, model, Wire(folder / "wire.pcap"))
