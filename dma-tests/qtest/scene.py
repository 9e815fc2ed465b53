"""Two guests as neighbours, a rogue device, and what is asserted of memory.

No guest physical address equals the host's, pieces of 2 MiB and 4 KiB are mixed and shuffled, every
second host page is the other guest's, and some guest addresses mean different pages to each.
"""
import random
import struct
from contextlib import contextmanager

from cordon import PAGE, Extent
from cordon.devices import EduDriver
from cordon.devices.intel import DONE
from cordon.qemu import Snapshot

BIG = 2 << 20
RED_BASE = 0x1_0000_0000  # red: 2 MiB, then SMALL pages
BLUE_BASE = 0             # blue: the same, from guest physical address zero
BOTH_BASE = 0x1000_0000   # SHARED_PAGES in each, at the same guest addresses
SMALL, SHARED_PAGES = 32, 16
RED_END = RED_BASE + BIG + SMALL * PAGE
BLUE_END = BLUE_BASE + BIG + SMALL * PAGE
WORK = BOTH_BASE + (SHARED_PAGES - 1) * PAGE  # the rogue's honest page, in either guest


def split_pages(run, seed):
    """The even and the odd pages of a run, each shuffled."""
    pages = [Extent(run.hpa + at, PAGE) for at in range(0, run.len, PAGE)]
    halves = pages[0::2], pages[1::2]
    for half in halves:
        random.Random(seed).shuffle(half)
    return halves


class Neighbours:
    """Red and blue on one platform."""

    def __init__(self, plat, seed=7):
        self.plat = plat
        self.red, self.blue = plat.guest("red"), plat.guest("blue")
        context = plat.context
        pair = context.alloc(2 * BIG, align=BIG)
        small = split_pages(context.alloc(2 * SMALL * PAGE), seed)
        both = split_pages(context.alloc(2 * SHARED_PAGES * PAGE), seed + 1)
        for guest, base, big, pages, shared in (
                (self.red, RED_BASE, pair.hpa, small[0], both[0]),
                (self.blue, BLUE_BASE, pair.hpa + BIG, small[1], both[1])):
            guest.grant(base, [Extent(big, BIG), *pages])
            guest.grant(BOTH_BASE, shared)
            self.fill(guest, seed)
            assert all(gpa != page.hpa for gpa, page in guest.pages.items())

    @staticmethod
    def fill(guest, seed):
        """Give each page of a guest bytes that no other page has."""
        for gpa in guest.pages:
            guest.write(gpa, mark(guest.name, gpa, seed))


def mark(name, gpa, seed=0, length=64):
    """LENGTH bytes that say whose page this is."""
    return random.Random(f"{name} {int(gpa):#x} {seed}").randbytes(length)


class Rogue:
    """An edu device in the hands of an attacker who may use the page WORK of GUEST honestly."""

    def __init__(self, guest, name, work=WORK):
        self.guest, self.name, self.work = guest, name, work
        self.edu = EduDriver(guest.platform.function(name))

    def arm(self, data):
        """Fill the device's buffer by honest DMA."""
        self.guest.write(self.work, data)
        self.edu.load(self.work, len(data))

    def disarm(self, length):
        """What the device's buffer holds, fetched by honest DMA."""
        self.edu.store(self.work, length)
        return self.guest.read(self.work, length)

    def write(self, iova, data):
        self.arm(data)
        self.edu.store(iova, len(data))

    def read(self, iova, length):
        """The bytes that DMA from IOVA brought in; zeros before it came."""
        self.arm(bytes(length))
        self.edu.load(iova, length)
        return self.disarm(length)


# ---- assertions on memory ------------------------------------------------------------------------


def queue_frames(plat):
    """Host pages of the command and fault queues: hardware itself writes there."""
    frames = set()
    for base, entry in ((0x18, 16), (0x28, 32)):
        word = plat.register(base, 8)
        size = max(PAGE, (2 << (word & 0x1f)) * entry)
        start = (word >> 10 & (1 << 44) - 1) * PAGE
        frames |= set(range(start, start + size, PAGE))
    return frames


@contextmanager
def only_changes(plat, *frames):
    """Of all the machine's RAM, nothing but these host pages (and hardware's queues) may change."""
    before = Snapshot(plat.machine)
    yield
    stray = before.changed() - queue_frames(plat) - {int(f) & ~(PAGE - 1) for f in frames}
    assert not stray, "DMA reached " + ", ".join(f"{f:#x} ({plat.context.frame(f)})" for f in sorted(stray))


def assert_write_refused(rogue, iova, length=64):
    """DMA to IOVA changes no byte of the machine."""
    rogue.arm(mark("attack", iova, length=length))
    with only_changes(rogue.guest.platform):
        rogue.edu.store(iova, length)


def assert_read_refused(rogue, iova, secret):
    """DMA from IOVA does not bring SECRET, nor any part of it that could be told from chance."""
    assert len(set(secret)) > 4, "a secret of this few values proves nothing"
    got = rogue.read(iova, len(secret))
    for at in range(0, len(secret), 8):
        assert not any(secret[at:at + 8]) or got[at:at + 8] != secret[at:at + 8]


def assert_write_lands(rogue, iova, length=64, seed=0):
    """DMA to IOVA lands where the test's own record says, and nowhere else."""
    plat, data = rogue.guest.platform, mark("honest", iova, seed, length)
    rogue.arm(data)
    pages = {rogue.guest.hpa(a) for a in (int(iova), *range(int(iova) | PAGE - 1, int(iova) + length, PAGE))}
    if (int(iova) + length - 1) // PAGE != int(iova) // PAGE:
        pages.add(rogue.guest.hpa(int(iova) + length - 1))
    with only_changes(plat, *pages):
        rogue.edu.store(iova, length)
    assert rogue.guest.read(iova, length) == data


def assert_read_lands(rogue, iova, length=64):
    """DMA from IOVA brings exactly the guest's bytes."""
    assert rogue.read(iova, length) == rogue.guest.read(iova, length)


def commands_of(plat, action):
    """The commands that ACTION put on the command queue, as pairs of doublewords."""
    base = plat.register(0x18, 8)
    ring, entries = (base >> 10 & (1 << 44) - 1) * PAGE, 2 << (base & 0x1f)
    before = plat.register(0x24)
    action()
    count = (plat.register(0x24) - before) % entries
    return [struct.unpack("<2Q", plat.memory(ring + (before + n) % entries * 16, 16)) for n in range(count)]


def faults_of(plat, name):
    """Reports about one part; every report is taken."""
    part = plat.machine.parts[name]
    return [fault for fault in plat.iommu.faults() if fault.device_id == part.device_id]


def loses_a_piece_that_goes_on_elsewhere(wire, header, received):
    """docs/qemu-differences.md: reported as sent, but nothing leaves; the same bytes cut at the border arrive. Of a
    WIRE from blue to red, whose RECEIVED() is what has come."""
    wire.blue.write(BLUE_BASE + 0x800, header)
    head, payload, border = (BLUE_BASE + 0x800, len(header)), mark("packet", 8, 0, 100), BLUE_BASE + BIG + 2 * PAGE
    wire.blue.write(border - 50, payload)
    assert wire.blue.hpa(border) != wire.blue.hpa(border - PAGE) + PAGE
    wire.sender.send([head, (border - 50, 100)])
    assert wire.blue.read(wire.sender.tx + 16 + 12, 1)[0] & DONE and received() == b""
    wire.sender.send([head, (border - 50, 50), (border, 50)])
    assert received() == header + payload
    big = BLUE_BASE + 3 * PAGE - 50  # a border inside 2 MiB of host memory
    wire.blue.write(big, payload)
    wire.receiver.start(wire.buffers)
    wire.sender.send([head, (big, 100)])
    assert received() == header + payload
