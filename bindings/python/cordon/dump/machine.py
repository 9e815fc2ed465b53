"""A running machine as a dump: QEMU's own eyes, and no help of what runs in it."""
import re
import socket
import struct
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

from ..judge import Directory, HartWalker, Unsupported
from ..qemu.gdbstub import GdbStub
from ..qemu.qmp import Qmp, QmpError
from .capture import MSI_FLAT, REGISTERS, crawl
from .format import PAGE, DeviceState, DomainState, Dump, DumpError, HartState, IommuState

IOMMU_SYS = 0x3010000  # of QEMU's virt
LEVELS = {8: 3, 9: 4, 10: 5}
GUEST_TABLES = 4096    # of a guest that are kept, at most
IMAGE = 0x80200000     # where QEMU's virt puts a kernel
TOLD = b"CRDNVMS\0"    # of hyp/vm/told.c: how many VMs there may be, then for each number, hgatp, name
TOLD_VM = struct.Struct("<QQ32s")
TOLD_AT = 40           # in the image's header
VMID = 0x3fff << 44    # of hgatp
DOMAINS = 4096         # a device view's GSCID is its domain's number, plus a multiple of this
HOST_TABLES = 4096     # of the hypervisor's own that are read, at most
GREETING_S = 5
ANSWER_S = 10


class _Memory(dict):
    """Pages by their HPA, fetched when they are asked for."""

    def __init__(self, qmp, folder):
        super().__init__()
        self._qmp, self._file = qmp, Path(folder) / "page"

    def __missing__(self, hpa):
        try:
            self._qmp.command("pmemsave", val=hpa, size=PAGE, filename=str(self._file))
            data = self._file.read_bytes()
        except (QmpError, OSError) as why:
            raise KeyError(f"{hpa:#x}: {why}") from None
        if len(data) != PAGE:
            raise KeyError(f"{hpa:#x}: QEMU wrote {len(data)} bytes")
        self[hpa] = data
        return data


@contextmanager
def machine(path):
    """The Dump of the machine whose QMP socket is PATH. It stands still meanwhile, and pages that nobody
    has asked for before are still fetched."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ANSWER_S)
            sock.connect(path)
            with closing(_greeted(sock)) as qmp:
                running = _shaped(lambda: bool(qmp.command("query-status")["running"]))
                qmp.command("stop")
                try:
                    with tempfile.TemporaryDirectory(prefix="cordon-dump-") as folder:
                        yield _shaped(lambda: _capture(qmp, folder))
                finally:
                    if running:
                        qmp.command("cont")
    except (OSError, QmpError, ValueError) as why:
        raise DumpError(f"qmp:{path}", "machine", why) from None


def _greeted(sock):
    try:
        qmp = Qmp(sock, GREETING_S)
    except TimeoutError:
        raise QmpError(f"no greeting within {GREETING_S} s: QMP serves one program at a time, and another one may "
                       "have the socket") from None
    sock.settimeout(ANSWER_S)
    return qmp


def _shaped(ask):
    """What ASK gives, or a QmpError where an answer is not of the form that QEMU's have, or leads to what
    the machine does not have."""
    try:
        return ask()
    except (LookupError, TypeError, AttributeError) as why:
        raise QmpError(f"not what a QEMU with this machine answers ({type(why).__name__}: {why})") from None


def _capture(qmp, folder):
    memory = _Memory(qmp, folder)
    dump = Dump(f"QEMU {qmp.command('query-version')['package'] or 'without a package name'}", memory)
    _iommu(qmp, dump)
    _harts(qmp, folder, dump)
    dump.domains = _domains(dump)
    _devices(qmp, dump)
    crawl(dump, dump.read)
    for hart in dump.harts:
        _guest_tables(dump, hart)
    return dump


def _told(dump):
    """The guests as the hypervisor tells them in its memory, those that stand still too; none where it is not ours."""
    try:
        at = IMAGE + int.from_bytes(dump.read(IMAGE + TOLD_AT, 8), "little")
        head = dump.read(at, 16)
        if head[:8] != TOLD:
            return []
        said = TOLD_VM.iter_unpack(dump.read(at + 16, int.from_bytes(head[8:], "little") * TOLD_VM.size))
    except LookupError:
        return []
    return [DomainState(number, name.rstrip(b"\0").decode("ascii"), hgatp) for number, hgatp, name in said if number]


def _domains(dump):
    """Who has tables: as it is told, and whatever harts have besides. The VMID tells nothing: it may be anybody's."""
    domains = _told(dump)
    for hart in dump.harts:
        hgatp = hart.hgatp & ~VMID
        if hgatp >> 60 and hgatp not in [domain.hgatp for domain in domains]:
            number = max((domain.number for domain in domains), default=0) + 1
            domains.append(DomainState(number, f"untold {number}", hgatp))
    return domains


def _numbers(text):
    return [int(word, 16) for word in re.findall(r"0x([0-9a-f]+)", text.partition(":")[2])]


def _iommu(qmp, dump):
    registers = {}
    for offset, width in REGISTERS.items():
        said = _numbers(qmp.hmp(f"xp /1{'g' if width == 8 else 'w'}x {IOMMU_SYS + offset:#x}"))
        if not said:
            return
        registers[offset] = width, said[0]
    if registers[0][1] & 0xff == 0x10:  # capabilities.version 1.0
        dump.iommus.append(IommuState(IOMMU_SYS, registers))


def _harts(qmp, folder, dump):
    """A guest's satp stands in vsatp's place in QEMU while it runs; the hypervisor's is hidden then."""
    said = qmp.hmp("info registers -a")
    states = re.findall(r"CPU#(\d+).*?\bV += +(\d).*?\bsatp +([0-9a-f]+)", said, re.S)
    stub = GdbStub(folder, stay=True)
    qmp.hmp("gdbserver none")  # QEMU keeps the one that there may be
    qmp.hmp(f"gdbserver {stub.device}")
    for number, virtual, satp in states:
        vsatp, hgatp = stub.read("vsatp", "hgatp", hart=int(number))
        ours, theirs = (0, int(satp, 16)) if virtual == "1" else (int(satp, 16), vsatp)
        dump.harts.append(HartState(int(number), ours, theirs, hgatp, virtual == "1"))
    qmp.hmp("gdbserver none")
    satp = next((hart.satp for hart in dump.harts if hart.satp >> 60), None)
    dump.direct_map = None if satp is None else _direct_map(dump, satp)


def _direct_map(dump, satp):
    """HVA less HPA where most of host memory is mapped in the hypervisor's own tables."""
    top = LEVELS[satp >> 60] - 1
    half, mapped, tables = 1 << 20 + 9 * top, {}, 0
    left = [((satp & (1 << 44) - 1) * PAGE, top, 0)]
    while left and tables < HOST_TABLES:
        table, level, base = left.pop()
        tables += 1
        page = dump.pages.get(table) or dump.read(table, PAGE)
        for index in range(512):
            word, va = int.from_bytes(page[8 * index:8 * index + 8], "little"), base | index << 12 + 9 * level
            target = (word >> 10 & (1 << 44) - 1) * PAGE
            if word & 0xf == 1 and level:
                left.append((target, level - 1, va))
            elif word & 1:
                offset = (va | -(va & half)) - target & (1 << 64) - 1
                mapped[offset] = mapped.get(offset, 0) + (PAGE << 9 * level)
    return max(mapped, key=mapped.get) if mapped else None


def _devices(qmp, dump):
    """PCI functions by the ids that the IOMMU has for them, with QEMU's names."""
    if not dump.iommus:
        return
    known = {domain.number for domain in dump.domains}
    contexts = {}
    iommu = dump.iommus[0]
    for found in Directory(dump.read64, iommu.register(0x10, 8), bool(iommu.register(0, 8) & MSI_FLAT)).judge():
        contexts[found.device_id] = found.gscid % DOMAINS
    for bus in qmp.command("query-pci"):
        for function in bus["devices"]:
            number = function["bus"] << 8 | function["slot"] << 3 | function["function"]
            domain = contexts.get(number)
            name = function["qdev_id"] or function["class_info"].get("desc", "function")
            dump.devices.append(DeviceState(number, name, domain if domain in known else None))


def _guest_tables(dump, hart):
    """Fetch the tables of the guest's own stage, for later walks of a saved dump."""
    levels = LEVELS.get(hart.vsatp >> 60)
    if levels is None or not hart.hgatp >> 60:
        return
    walker, seen = HartWalker(dump.read), set()
    left = [((hart.vsatp & (1 << 44) - 1) * PAGE, levels - 1)]
    while left and len(seen) < GUEST_TABLES:
        gpa, level = left.pop()
        if gpa in seen:
            continue
        seen.add(gpa)
        try:
            hpa = walker.gpa(hart.hgatp, gpa).hpa
            table = dump.read(hpa, PAGE) if hpa is not None else b""
        except (LookupError, Unsupported):
            continue
        words = (int.from_bytes(table[at:at + 8], "little") for at in range(0, len(table), 8))
        left += [((word >> 10 & (1 << 44) - 1) * PAGE, level - 1) for word in words
                 if level and word & 0xf == 1]
