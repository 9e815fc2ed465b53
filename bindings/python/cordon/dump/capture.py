"""Dumps of live platforms: all that hardware would walk, and what the library says of it."""
import ctypes
from typing import TYPE_CHECKING

from .. import _abi
from ..context import Context
from ..domain import Domain
from ..judge import Directory
from .format import PAGE, DeviceState, DomainState, Dump, IommuState

if TYPE_CHECKING:
    from ..platform import Platform

# capabilities, fctl, ddtp, and the queues' bases and states [IOMMU 5]
REGISTERS = {0x00: 8, 0x08: 4, 0x10: 8, 0x18: 8, 0x20: 4, 0x24: 4, 0x28: 8, 0x30: 4, 0x34: 4, 0x48: 4,
             0x4c: 4, 0x54: 4}
MSI_FLAT = 1 << 22


def capture(platform: "Platform", whole: bool = False) -> Dump:
    """The Dump of a platform at this moment: the tables and directories, or with WHOLE all its RAM."""
    context = platform.context
    dump = Dump(f"cordon, {type(platform).__name__}")
    if platform.iommu is not None:
        registers = {offset: (width, platform.register(offset, width)) for offset, width in REGISTERS.items()}
        dump.iommus.append(IommuState(platform.iommu_base, registers))
    names = {guest.domain.number: guest.name for guest in platform.guests}
    for domain in (child for child in context.children if isinstance(child, Domain)):
        name = names.get(domain.number, f"domain{domain.number}")
        dump.domains.append(DomainState(domain.number, name, domain.hgatp))
        dump.loans += _loans(context, domain)
    for device in platform.devices.values():
        number = device.domain.number if device.domain is not None else None
        dump.devices.append(DeviceState(device.device_id, device.name, number))
    dump.direct_map = ctypes.addressof(ctypes.c_char.from_buffer(context.ram)) - context.base.v & (1 << 64) - 1
    read = _Recorder(context)
    if whole:
        for hpa in range(context.base.v, context.base.v + len(context.ram), PAGE):
            read(hpa, 8)
    crawl(dump, read)
    dump.pages = read.pages
    return dump


def _loans(context: Context, domain: Domain) -> list[tuple[int, int, int, int]]:
    """What a domain borrows, run by run."""
    found: list[tuple[int, int, int, int]] = []
    for region in domain.regions():
        if not region.flags & _abi.CORDON_REGION_SHARED:
            continue
        for gpa in range(region.gpa.v, region.end.v, PAGE):
            hpa = int(domain.translate(gpa).hpa)
            owner = context.frame(hpa).domain
            last = found[-1] if found else None
            if last and last[0] + last[1] == hpa and last[2] == owner:
                found[-1] = (last[0], last[1] + PAGE, owner, domain.number)
            else:
                found.append((hpa, PAGE, owner, domain.number))
    return found


class _Recorder:
    """Reads memory, and keeps each page that was read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.pages: dict[int, bytes] = {}

    def __call__(self, hpa: int, length: int) -> bytes:
        page, at = hpa & -PAGE, hpa % PAGE
        if page not in self.pages:
            self.pages[page] = self._context.read(page, PAGE)
        return self.pages[page][at:at + length]


def crawl(dump, read):
    """Have READ asked for each word that an IOMMU or a hart may walk."""
    def read64(hpa):
        return int.from_bytes(read(hpa, 8), "little")
    for iommu in dump.iommus:
        Directory(read64, iommu.register(0x10, 8), bool(iommu.register(0, 8) & MSI_FLAT)).judge()
    for domain in dump.domains:
        Directory.second_stage(read64, domain.hgatp, napot=True, pbmt=True)
