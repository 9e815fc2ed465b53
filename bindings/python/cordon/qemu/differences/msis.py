"""Probes of MSIs from devices, and of those that the IOMMU sends itself [IOMMU 2.3.3, 5.28, 5.29]."""
import struct

from .bench import IPSR, MSI_TABLE, PAGE, V

_FLAT, _BASIC = 1 << 60, 3 << 1
_FILES = 0xff
_DATA = 0x4c5


class _Files:
    """A window of 256 interrupt files in the device's context; file 9 leads to a page of RAM, where
    what arrives can be seen."""

    def __init__(self, bench, more=0):
        self.bench, self.frame, table = bench, bench.frame(), bench.frame()
        base = bench.gpa(256 * PAGE)
        self.gpa = base + 9 * PAGE
        self.entry = table + 16 * 9
        bench.put(self.entry, self.frame >> 2 | _BASIC | V | more)
        bench.context(msiptp=_FLAT | table >> 12, mask=_FILES, pattern=base >> 12)
        bench.forget()

    def arrives(self, offset=0, at=None):
        """Whether an MSI to the file's page + OFFSET is seen at AT (a host address; the same offset)."""
        at = self.frame + offset if at is None else at
        self.bench.memory(at, 4)[:] = bytes(4)
        self.bench.signal(self.gpa + offset, _DATA)
        return struct.unpack("<I", self.bench.memory(at, 4))[0] == _DATA


def offset_is_lost(bench):
    files = _Files(bench)
    bench.must(files.arrives(), "an MSI arrives at the beginning of the page")
    if files.arrives(4):
        return False
    bench.must(files.arrives(4, at=files.frame), "an MSI with an offset arrives at the beginning")
    return True


def only_256_files(bench):
    """A window of 512 files; number 300 leads to a page of RAM."""
    base, table, frame = bench.gpa(512 * PAGE), bench.frame(2, 2 * PAGE), bench.frame()
    bench.put(table + 16 * 300, frame >> 2 | _BASIC | V)
    bench.put(table + 16 * 200, frame >> 2 | _BASIC | V)
    bench.context(msiptp=_FLAT | table >> 12, mask=0x1ff, pattern=base >> 12)
    bench.forget()
    bench.signal(base + 200 * PAGE, _DATA)
    bench.must(_taken(bench, frame), "an MSI for file 200 arrives")
    bench.signal(base + 300 * PAGE, _DATA)
    return not _taken(bench, frame)


def _taken(bench, hpa):
    """Whether an MSI has arrived at HPA; it is taken away."""
    word = bench.memory(hpa, 4)
    seen, = struct.unpack("<I", word)
    word[:] = bytes(4)
    return seen == _DATA


def reserved_bits_of_entries(bench):
    told = {}
    for bit in (3, 9, 54, 62):
        arrived = _Files(bench, 1 << bit).arrives()
        bench.must(arrived or 263 in bench.causes(), f"bit {bit} is ignored, or told as 263")
        told[bit] = arrived
    bench.must(len(set(told.values())) == 1, f"all are treated alike, for it is {told}")
    return told[3]


def second_stage_wins_when_cached(bench):
    files, other = _Files(bench), bench.frame()
    bench.tables.map(files.gpa, other)
    bench.must(files.arrives(), "the MSI table comes before the second stage")
    bench.read(files.gpa, 4)
    differs = files.arrives(at=other)
    bench.must(differs or files.arrives(), "the MSI arrives at one of the two")
    return differs


def ordinary_writes_are_dropped(bench):
    files = _Files(bench)
    bench.must(files.arrives(), "an MSI arrives")
    bench.faults()
    if bench.lands(files.gpa, files.frame, 4):
        return False
    bench.must(not bench.faults(), "nothing is told of it")
    return True


def address_of_a_refused_msi_is_not_told(bench):
    files = _Files(bench)
    bench.put(files.entry, 0)
    bench.forget()
    bench.must(not files.arrives(), "an entry that is invalid leads nowhere")
    records = bench.faults()
    bench.must(records and records[0].cause == 262, "it is told as 262")
    return records[0].iotval == 0


def mask_of_own_msis_is_ignored(bench):
    """A fault record with its interrupt on, while vector 0 is masked."""
    mailbox = bench.frame()
    bench.queues_on(fault_interrupt=True)
    bench.set(MSI_TABLE, mailbox, 8)
    bench.set(MSI_TABLE + 8, _DATA)
    bench.set(MSI_TABLE + 12, 1)
    bench.must(bench.get(MSI_TABLE + 12) & 1, "the vector is masked")
    bench.write(bench.gpa(), 4)
    bench.must(bench.faults() and bench.get(IPSR) & 2, "a record is told and its interrupt pending")
    return struct.unpack("<I", bench.memory(mailbox, 4))[0] == _DATA
