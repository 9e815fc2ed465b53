"""What a test leaves behind: faults, tables against the map, and what was not given back."""
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import _abi
from .errors import CordonError, TranslationFault
from .iommu import Napot
from .judge import Directory, Walker
from .types import PAGE, FrameState, Perm

if TYPE_CHECKING:
    from .domain import Domain, Region
    from .judge import Judgement
    from .platform import Platform

SVPBMT, MSI_FLAT = 1 << 15, 1 << 22


def walker_of(platform: "Platform") -> Walker:
    """The judge over the live machine, past the library."""
    return Walker(lambda hpa, n: bytes(platform.memory(hpa, n)), platform.register)


def directory_of(platform: "Platform") -> Directory:
    return Directory(lambda at: int.from_bytes(platform.memory(at, 8), "little"),
                     platform.register(0x10, 8), bool(platform.register(0, 8) & MSI_FLAT),
                     napot=platform.iommu.napot is Napot.KNOWN, pbmt=bool(platform.register(0, 8) & SVPBMT))


def for_devices(region: "Region") -> bool:
    """Whether devices are to reach a region."""
    mmio, peer = region.flags & _abi.CORDON_REGION_MMIO, region.flags & _abi.CORDON_REGION_PEER
    return not region.flags & _abi.CORDON_REGION_NODMA and (not mmio or bool(peer))


def stale_entries(platform: "Platform") -> list[str]:
    """Sentences where the tables in memory and what the map answers are not the same."""
    if platform.iommu is None:
        return []
    directory = directory_of(platform)
    found = {judgement.device_id: judgement for judgement in directory.judge()
             if judgement.device_id is not None}
    attached = {d.device_id: d.domain for d in platform.devices.values() if d.domain is not None}
    told = list(directory.broken)
    told += [f"stale entry: device {number:#x} has a context but is attached to nothing"
             for number in sorted(found.keys() - attached.keys())]
    told += [f"device {number:#x} is attached but has no context"
             for number in sorted(attached.keys() - found.keys())]
    for number in sorted(found.keys() & attached.keys()):
        told += found[number].broken
        told += _stale_leaves(found[number], attached[number])
        told += _missing_pages(platform, number, attached[number])
    return told


def _stale_leaves(judgement: "Judgement", domain: "Domain") -> Iterator[str]:
    """Pages that a device reaches and the map does not say so."""
    wanted = [region for region in domain.regions() if for_devices(region)]
    for leaf in judgement.leaves:
        for offset in range(0, leaf.size, PAGE):
            gpa, hpa = leaf.gpa + offset, leaf.hpa + offset
            region = next((r for r in wanted if r.gpa.v <= gpa < r.end.v), None)
            problem = None
            if region is None:
                problem = "where the map has nothing for devices"
            elif Perm.of(leaf.perms) & ~region.perms:
                problem = f"with {leaf.perms}, the map says {region.perms}"
            elif not _owns(domain, gpa, hpa):
                problem = f"which is {domain.context.frame(hpa)!r}"
            elif _translate(domain, gpa) != hpa:
                problem = "the map says otherwise"
            if problem:
                yield (f"stale entry: device {judgement.device_id:#x} reaches {hpa:#x} by "
                       f"{gpa:#x}, {problem}")
                break


def _owns(domain: "Domain", gpa: int, hpa: int) -> bool:
    """Ownership is kept apart from the tables, which a view may share with the harts."""
    frame = domain.context.frame(hpa)
    if frame.state is FrameState.NONE:
        return True  # no RAM: the region and the translation decide
    if frame.state is not FrameState.OWNED:
        return False
    stands = {(frame.domain, int(frame.gpa) // PAGE)}
    if frame.domain != domain.number:
        stands = {(loan.domain, int(loan.gpa) // PAGE) for loan in domain.context.borrowers(hpa)}
    return (domain.number, gpa // PAGE) in stands


def _translate(domain: "Domain", gpa: int) -> int | None:
    try:
        return int(domain.translate(gpa).hpa)
    except TranslationFault:
        return None


def _missing_pages(platform: "Platform", device_id: int, domain: "Domain") -> Iterator[str]:
    """First and last pages of regions that a device ought to reach and does not."""
    walker = walker_of(platform)
    for region in domain.regions():
        if not for_devices(region) or not region.perms & Perm.R:
            continue
        for gpa in sorted({region.gpa.v, region.end.v - PAGE}):
            trail = walker.walk(device_id, gpa)
            if not trail.cause and trail.hpa == _translate(domain, gpa):
                continue
            if trail.steps[-1].stage == "M":
                continue  # the MSI table stands before the map
            yield f"{region!r} is not what device {device_id:#x} reaches:\n{trail}"


def leaks(platform: "Platform", held_before: int) -> list[str]:
    """Close what the platform itself made, in order; sentences about what is left after that."""
    context = platform.context
    known = {id(guest.domain) for guest in platform.guests} | {id(platform.iommu)}
    known |= {id(device) for device in platform.devices.values()}
    left = [child for child in context.children if id(child) not in known]
    told = [f"leak: {child!r} was left open" for child in left]
    if left:
        return told
    try:
        platform.dismantle()
        context.audit()
    except CordonError as error:
        return told + [f"what the test made cannot be taken down: {error}"]
    stats = context.stats()
    if stats.held > held_before:
        told.append(f"leak: {stats.held - held_before:#x} bytes of frames were allocated and not freed "
                    f"(Context.free){'' if held_before else _first_held(platform)}")
    told += [f"leak: {getattr(stats, kind):#x} bytes are {kind} with no domain left"
             for kind in ("owned", "revoking", "table") if getattr(stats, kind)]
    return told


def _first_held(platform: "Platform") -> str:
    """Where a frame lies that was allocated; looked for in the first GiB."""
    for hpa in range(platform.ram_base, platform.ram_base + min(len(platform.ram), 1 << 30), PAGE):
        if platform.context.frame(hpa).state is FrameState.HELD:
            return f", the first at {hpa:#x}"
    return ""


def findings(platform: "Platform", held_before: int = 0) -> list[str]:
    """Sentences about all that is wrong after a test; none is good. The platform is taken down."""
    told = [f"unexpected fault: {fault}" for fault in platform.unexpected_faults()]
    for check in (platform.context.audit, lambda: told.extend(stale_entries(platform))):
        try:
            check()
        except CordonError as error:
            told.append(str(error))
    told += leaks(platform, held_before)
    return told + platform.complaints()
