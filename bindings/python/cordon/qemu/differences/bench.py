"""A bench for probes: a QEMU with an edu device, and tables, contexts, queues and commands written by
hand, as the library would never write them. It asks the library nothing [IOMMU 2.1, 3, 5]."""
import random
import struct
from dataclasses import dataclass

from ...devices.edu import EduDriver
from ..machine import IOMMU_SYS, RAM_BASE, QemuMachine
from ..parts import Edu
from ..process import BINARY

PAGE = 0x1000
FCTL, DDTP, CQB, CQH, CQT, FQB, FQH, FQT = 0x08, 0x10, 0x18, 0x20, 0x24, 0x28, 0x30, 0x34
CQCSR, FQCSR, IPSR, IOVA, CONTROL, RESPONSE = 0x48, 0x4c, 0x54, 0x258, 0x260, 0x268
MSI_TABLE = 0x300
OFF, BARE, ONE_LEVEL = 0, 1, 2
ENABLE, INTERRUPT, OVERFLOW, ILLEGAL = 1, 2, 1 << 9, 1 << 10
V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
LEAF = V | R | W | U | A | D
SV39X4, SV57X4, SV39 = 8, 10, 8
GSCID = 5
INVALIDATE_DIRECTORY, INVALIDATE_FIRST, INVALIDATE_SECOND, FENCE = 0x3, 0x1, 0x81, 0x3002
_DIRECTORY, _COMMANDS, _FAULTS, _ROOT, _FIRST_FRAME = 0x120000, 0x100000, 0x110000, 0x140000, 0x400000
_RAM, _LOAD_AT = 16 << 20, 3072
PATTERN = random.Random("differences").randbytes(_LOAD_AT)
_POLLS = 2000


class Unclear(Exception):
    """A probe's own ground does not hold: what it saw says nothing about the difference."""


@dataclass(frozen=True)
class Record:
    """One fault record, field by field [IOMMU 3.2]."""

    cause: int
    ttyp: int
    pv: int
    device_id: int
    iotval: int
    iotval2: int

    @classmethod
    def of(cls, raw):
        head, _, iotval, iotval2 = struct.unpack("<4Q", raw)
        return cls(head & 0xfff, head >> 34 & 0x3f, head >> 32 & 1, head >> 40, iotval, iotval2)


class Tables:
    """Page tables of LEVELS levels at the host address ROOT. Their words name tables by what `seen`
    makes of a host address: first-stage tables are guest memory."""

    def __init__(self, bench, levels=3, *, root, seen=lambda hpa: hpa):
        self._bench, self._levels, self.root, self._seen = bench, levels, root, seen
        self._pages = {}  # (path of indices): host address of the table

    def map(self, address, target, flags=LEAF, *, level=0, table_flags=V):
        """A leaf at LEVEL; the host address of its word."""
        table, path = self.root, ()
        for depth in range(self._levels - 1, level, -1):
            path += (self._index(address, depth),)
            if path not in self._pages:
                self._pages[path] = self._bench.frame()
                self._bench.put(table + 8 * path[-1], self._seen(self._pages[path]) >> 2 | table_flags)
            table = self._pages[path]
        word = table + 8 * self._index(address, level)
        self._bench.put(word, target >> 2 | flags)
        return word

    def _index(self, address, depth):
        index = address >> 12 + 9 * depth
        return index if depth == self._levels - 1 else index & 0x1ff


class Bench:
    """Device 0x10 has the context of GSCID 5 and Sv39x4 tables with nothing in them; queues are on;
    caches are empty. The device's buffer begins with 3 KiB that are nowhere in memory."""

    device_id = 2 << 3

    def __init__(self, binary=BINARY, arguments=()):
        self.machine = QemuMachine([Edu(2)], ram=_RAM, arguments=arguments, binary=binary)
        try:
            self.ram = self.machine.ram
            self.function = self.machine.function("edu2")
            self.edu = EduDriver(self.function)
            self._prime()
            self.lay_out()
        except BaseException:
            self.close()
            raise

    def _prime(self):
        self.function.command(master=True)
        self.ram[-PAGE:] = PATTERN + bytes(PAGE - len(PATTERN))
        self.set(DDTP, BARE, 8)
        self.edu.load(RAM_BASE + len(self.ram) - PAGE)
        self.ram[-PAGE:] = bytes(PAGE)
        self.set(DDTP, OFF, 8)

    def lay_out(self):
        """The context, its tables, the queues; ddtp is Off before."""
        self._next, self._at, self._free_gpa = _FIRST_FRAME, 0, 0x12_0000_0000
        self.tables = Tables(self, root=RAM_BASE + _ROOT)
        self.queues_on()
        self.context()
        self.set(DDTP, (RAM_BASE + _DIRECTORY) >> 2 | ONE_LEVEL, 8)
        self.forget()

    # ---- registers and memory -----------------------------------------------------------------------

    def get(self, offset, width=4):
        return self.machine.qtest.read(width, IOMMU_SYS + offset)

    def set(self, offset, value, width=4):
        self.machine.qtest.write(width, IOMMU_SYS + offset, value)

    def memory(self, hpa, length):
        return self.ram[hpa - RAM_BASE:][:length]

    def put(self, hpa, word):
        self.memory(hpa, 8)[:] = struct.pack("<Q", word & (1 << 64) - 1)

    def word(self, hpa):
        return struct.unpack("<Q", self.memory(hpa, 8))[0]

    def frame(self, count=1, align=PAGE):
        """COUNT pages of zeros, by their host address, which lie apart from those before."""
        self._next = -(-(self._next + PAGE) // align) * align
        hpa, self._next = RAM_BASE + self._next, self._next + count * PAGE
        return hpa

    def gpa(self, align=PAGE):
        """A guest address that nothing has used; it is no host address of RAM."""
        self._free_gpa = -(-(self._free_gpa + 2 * PAGE) // align) * align
        return self._free_gpa

    def page(self, flags=LEAF, **how):
        """A page of its own in the second stage: its guest address, its frame, its word's address."""
        gpa, hpa = self.gpa(), self.frame()
        return gpa, hpa, self.tables.map(gpa, hpa, flags, **how)

    # ---- contexts and queues ------------------------------------------------------------------------

    def iohgatp(self, mode=SV39X4, root=RAM_BASE + _ROOT, gscid=GSCID):
        return mode << 60 | gscid << 44 | root >> 12

    def context(self, *, tc=V, iohgatp=None, ta=0, fsc=0, msiptp=0, mask=0, pattern=0, last=0):
        """Write the device's context, word by word, tc last."""
        at = RAM_BASE + _DIRECTORY + 64 * self.device_id
        iohgatp = self.iohgatp() if iohgatp is None else iohgatp
        for index, word in enumerate((iohgatp, ta, fsc, msiptp, mask, pattern, last), 1):
            self.put(at + 8 * index, word)
        self.put(at, tc)

    def queues_on(self, *, fault_interrupt=False, fault_log2=10):
        """256 commands and 2^fault_log2 fault records. (fqb holds log2 - 1.)"""
        self.queues_off()
        self.set(CQB, (RAM_BASE + _COMMANDS) >> 2 | 7, 8)
        self.set(FQB, (RAM_BASE + _FAULTS) >> 2 | fault_log2 - 1, 8)
        self.set(CQCSR, ENABLE)
        self.set(FQCSR, ENABLE | (INTERRUPT if fault_interrupt else 0))
        self._fault_entries = 1 << fault_log2
        self.must(self.get(CQCSR) >> 16 & self.get(FQCSR) >> 16 & 1, "the queues are on")

    def queues_off(self):
        self.set(CQCSR, 0)
        self.set(FQCSR, 0)

    def submit(self, *commands):
        """Put commands, pairs of doublewords, on the queue and ring once; where the tail is then."""
        tail = self.get(CQT)
        for first, second in commands:
            self.memory(RAM_BASE + _COMMANDS + 16 * tail, 16)[:] = struct.pack("<2Q", first, second)
            tail = (tail + 1) % 256
        self.set(CQT, tail)
        return tail

    def command_at(self, index):
        """The host address of a slot of the command queue."""
        return RAM_BASE + _COMMANDS + 16 * index

    def executed(self, tail):
        """Whether commands up to TAIL have been fetched; False when the queue has stopped before."""
        for _ in range(_POLLS):
            if self.get(CQH) == tail:
                return True
            if self.get(CQCSR) & (ILLEGAL | 1 << 9 | 1 << 8):
                return False
        return False

    def command(self, first, second=0):
        return self.executed(self.submit((first, second)))

    def forget(self):
        """Empty every cache, by the letter."""
        commands = (INVALIDATE_DIRECTORY, 0), (INVALIDATE_FIRST, 0), (INVALIDATE_SECOND, 0), (FENCE, 0)
        self.must(self.executed(self.submit(*commands)), "the caches are emptied")

    def forget_page(self, gpa):
        """IOTINVAL.GVMA of one guest page of the context's GSCID, and a fence."""
        command = INVALIDATE_SECOND | 1 << 33 | GSCID << 44 | 1 << 10, gpa >> 12 << 10
        self.must(self.executed(self.submit(command, (FENCE, 0))), "IOTINVAL.GVMA is executed")

    def faults(self):
        """The records that have come in; they are taken."""
        head, tail, records = self.get(FQH), self.get(FQT), []
        while head != tail:
            records.append(Record.of(bytes(self.memory(RAM_BASE + _FAULTS + 32 * head, 32))))
            head = (head + 1) % self._fault_entries
        self.set(FQH, head)
        return records

    def causes(self):
        return {record.cause for record in self.faults()}

    # ---- DMA ----------------------------------------------------------------------------------------

    def write(self, iova, length=64):
        """DMA of bytes that no memory has had before; the bytes."""
        at = self._at if self._at + length <= len(PATTERN) else 0
        self._at = at + length
        self.store(iova, length, at)
        return PATTERN[at:at + length]

    def store(self, iova, length, at):
        """DMA of LENGTH bytes of the pattern from AT on."""
        self.edu.store(iova, length, at=at)

    def lands(self, iova, hpa, length=64):
        """Whether a write to IOVA arrives at HPA."""
        target = self.memory(hpa, length)
        target[:] = bytes(length)
        data = self.write(iova, length)
        seen = bytes(target)
        self.must(seen in (data, bytes(length)), f"a write arrives whole or not at all at {hpa:#x}")
        return seen == data

    def read(self, iova, length=64):
        """DMA from IOVA into a corner of the device."""
        self.edu.load(iova, length, at=_LOAD_AT)

    def signal(self, address, data):
        """One MSI of the device's."""
        self.function.set_msi(address, data)
        self.edu.signal()

    def reset(self):
        """Reset the whole machine."""
        qmp = self.machine.qmp
        qmp.command("set-action", reboot="reset")
        qmp.command("system_reset")
        for _ in range(_POLLS):
            qmp.command("query-status")
            if any(event["event"] == "RESET" for event in qmp.events):
                return
        raise Unclear("the machine is not reset")

    # ---- the end ------------------------------------------------------------------------------------

    @staticmethod
    def must(condition, what):
        """What a probe stands on; Unclear where it does not hold."""
        if not condition:
            raise Unclear(f"it does not hold here that {what}")

    def close(self):
        self.machine.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
