"""All judges, heard after each step: memory first, then what may be reached by each of them, then the
library's own audit and the order of what it did."""
import functools
import random
from collections import Counter

from ..checks import MSI_FLAT, stale_entries
from ..errors import CordonError, TranslationFault
from ..judge import Directory, HartWalker, Walker
from ..types import PAGE, FrameState, Perm
from .excuses import excuse_reports, excused
from .places import FILES, WINDOW

_DDTP, _IOVA, _CTL, _RESPONSE = 0x10, 0x258, 0x260, 0x268
REPORTS_OF_A_DEVICE = 8
STALE_EVERY = 4  # steps: page by page through the library's own calls, the slowest of all judges
RW = int(Perm.RW)
VIEWS_OF_A_DOMAIN = 4096  # GSCIDs of one view


def judge(world):
    world.settle()
    memory(world)
    frames(world)
    found = tables(world)
    requests(world)
    attacks(world)
    harts(world)
    faults(world)
    library(world)
    order(world)
    hardware(world)
    if world.context.order is not None:
        expect_views(world, found)


# ---- memory ----------------------------------------------------------------------------------------


def memory(world):
    """Each frame of a guest, and those of nobody, hold what they have to and nothing else."""
    for page in world.content.changed()[:1]:
        owner = world.owner.get(page)
        at = next((k for k in range(PAGE) if world.content.found(page + k, 1) != world.content.wanted(page + k, 1)))
        world.fail(f"memory: {page + at:#x} of {owner.name if owner else 'nobody'} holds "
                   f"{world.content.found(page + at, 16).hex()}, and has to hold "
                   f"{world.content.wanted(page + at, 16).hex()}")


def frames(world):
    """What was taken away is not free before all that may reach it is drained, and then it is."""
    for hpa in sorted({hpa for _, hpa in world.loans})[:4]:
        told_of = {loan.domain for loan in world.context.borrowers(hpa)}
        if told_of != {g.domain.number for g in world.guests if g.name in world.borrowers(hpa)}:
            world.fail(f"frame {hpa:#x} is lent to {world.borrowers(hpa)}; the library names {told_of}")
    waited_for = {g.name for g, waiting, _ in world.limbo.values() if waiting}
    for hpa, (g, waiting, keep) in list(world.limbo.items()):
        state = world.context.frame(hpa).state
        if waiting and state is not FrameState.REVOKING:
            world.fail(f"frame {hpa:#x} is {state.name}, but {', '.join(waiting)} may still have DMA to it in flight")
        if waiting or g.name in waited_for and state is FrameState.REVOKING:
            continue
        if state is not (FrameState.HELD if keep else FrameState.FREE):
            if state is not FrameState.REVOKING or not world.slow_devices(g):
                world.fail(f"frame {hpa:#x} was taken from {g.name}, nobody is awaited, and it is {state.name}")
            continue
        if keep:
            world.context.free(hpa, PAGE)
        del world.limbo[hpa]


# ---- tables in memory --------------------------------------------------------------------------------


def reader(world):
    """A doubleword of RAM by its address, past the library."""
    words, base = world.context.ram.cast("Q"), world.plat.ram_base

    def read64(at):
        if at < base:
            raise IndexError(f"{at:#x} is not RAM")
        return words[at - base >> 3]
    return read64


def tables(world):
    """Every word of the directory and below: devices reach exactly what the record says."""
    register = world.plat.register
    directory = Directory(reader(world), register(_DDTP, 8), bool(register(0, 8) & MSI_FLAT))
    found = {judgement.device_id: judgement for judgement in directory.judge()}
    attached = {d.device_id: world.holder[d.name] for d in world.devices if world.holder[d.name]}
    if found.keys() != attached.keys():
        world.fail(f"contexts are valid of devices {sorted(found)}, attached are {sorted(attached)}")
    walked, gscids = set(directory.pages), {}
    for device_id, judgement in found.items():
        walked |= judgement.pages
        if gscids.setdefault(judgement.gscid, attached[device_id]) is not attached[device_id]:
            world.fail(f"two guests have GSCID {judgement.gscid}")
    for device_id, judgement in found.items():
        if told := directory.broken + judgement.broken:
            world.fail("\n".join(told))
        if judgement.msis != attached[device_id].msis:
            world.fail(f"MSI entries of device {device_id:#x}: {judgement.msis}, not {attached[device_id].msis}")
        leaves(world, judgement, attached[device_id], walked)
    return found


@functools.cache
def rights(text):
    """Of a leaf, as a plain number: there are many of them."""
    return int(Perm.of(text))


def leaves(world, judgement, g, walked):
    """Page by page: the leaves of one device, and the record of its guest."""
    wanted = {gpa: page for gpa, page in g.pages.items() if page.dma}
    reached = {leaf.gpa + at: (leaf.hpa + at, leaf.perms) for leaf in judgement.leaves
               for at in range(0, leaf.size, PAGE)}
    who = f"device {judgement.device_id:#x} of {g.name}"
    for gpa in wanted.keys() - reached.keys():
        if wanted[gpa].perms & Perm.RW:
            world.fail(f"{who} does not reach {gpa:#x}, which leads to {wanted[gpa].hpa:#x}")
    for gpa, (hpa, perms) in reached.items():
        page = wanted.get(gpa)
        if page is None or page.hpa != hpa:
            world.fail(f"{who} reaches {hpa:#x} by {gpa:#x}; the record says {page}")
        have, wanted_rights = rights(perms), int(page.perms)
        if have & ~wanted_rights or wanted_rights & RW & ~have:
            world.fail(f"{who} has {gpa:#x} with {perms}; the record says {page}")
        if hpa in walked:
            world.fail(f"{who} reaches {hpa:#x}, which the IOMMU walks")


# ---- single requests, by each judge ----------------------------------------------------------------


def samples(world, g, rng):
    """Addresses at and one byte beyond each edge, in the middle, of what is gone, and of others."""
    areas, others = world.areas(g) if g else [], [o for o in world.guests if o is not g]
    chosen = areas if len(areas) <= 6 else rng.sample(areas, 6)
    at = {edge for start, length in chosen for edge in
          (start - 1, start, start + length - 1, start + length, start + rng.randrange(length))}
    pages = list(g.pages) if g else []
    at |= {rng.choice(pages) + rng.randrange(PAGE) for _ in range(4) if pages}
    at |= set(world.ghosts)
    at |= {start + rng.randrange(length) for o in others for start, length in world.areas(o)[:2]}
    at |= {WINDOW + rng.randrange(FILES * PAGE), rng.randrange(1 << 41), (1 << 41) + rng.randrange(1 << 20)}
    return sorted(address for address in at if address >= 0)


def requests(world):
    """What a device may reach, by the record, the walker, and the IOMMU itself."""
    read64, rng = reader(world), random.Random(world.steps)
    walker = Walker(lambda hpa, n: read64(hpa).to_bytes(n, "little"), world.plat.register)
    collect(world)  # of the step itself
    for device in world.devices:
        for iova in samples(world, world.holder[device.name], rng):
            for access in "rwx" if rng.random() < .2 else "rw":
                request(world, walker, device, iova, access)


def request(world, walker, device, iova, access):
    cause, hpa = world.reach(device, iova, access)
    trail = walker.walk(device.device_id, iova, access)
    said = {"record": (int(cause), hpa), "walker": (trail.cause, trail.hpa)}
    if world.backend == "model":
        answer = world.plat.model.translate(device.device_id, iova, access)
        said["model"] = answer.cause, None if answer.hpa is None else int(answer.hpa)
        if answer.cause:
            refused(world, device, answer.cause, iova, access)
    said["debug registers"] = debug(world, device, iova, access, said["record"])
    if len(set(said.values())) > 1:
        told = "; ".join(f"{name}: " + (f"cause {c}" if c else f"{h:#x}") for name, (c, h) in said.items())
        world.fail(f"{device.name}, {access} of {iova:#x}: {told}\n{trail}")


def attacks(world):
    """Real DMA of each device to a place that it must not reach, and one look at all memory after it."""
    rng = random.Random(world.steps)
    for device in world.devices:
        places = samples(world, world.holder[device.name], rng)
        rng.shuffle(places)
        places = [world.doubtful.pop(device.name, places[0]), *places]
        refused_at = (iova for iova in places if not world.is_msi(device, iova) and iova % PAGE <= PAGE - 8
                      and world.reach(device, iova, "w")[0])
        if (iova := next(refused_at, None)) is not None and not world.flights[device.name]:
            device.dma.write(iova, b"\xa5" * 8)
            world.fault(device, iova, "w")
    memory(world)


def debug(world, device, iova, access, expected):
    """What the debug registers say, as far as they can [IOMMU 5.24]; else what is EXPECTED."""
    if access == "x" or world.backend == "qemu" and (world.is_msi(device, iova)):
        return expected  # fetches are asked for together with reads, QEMU looks at messages when they come
    plat, (cause, hpa) = world.plat, expected
    plat.set_register(_IOVA, iova & ~(PAGE - 1), 8)
    plat.set_register(_CTL, device.device_id << 40 | (access != "w") << 3 | 1, 8)
    answer = plat.register(_RESPONSE, 8)
    if answer & 1 and world.backend == "qemu":
        refused(world, device, cause, iova, access, due=0)
    if cause == 23 and not answer & 1 and world.reach(device, iova, "r")[0] == 0:
        if excused(world, "cached-rights-silent"):  # nor is it told here; real DMA is to show that
            world.doubtful[device.name] = iova // PAGE * PAGE
            return expected
    if answer & 1 or cause:
        return expected if bool(answer & 1) == bool(cause) else (-1 if answer & 1 else 0, 0)
    page = (answer >> 10 & (1 << 44) - 1) * PAGE
    if excused(world, "translation-request"):
        return expected  # allowed or not is all that it can tell
    if answer >> 9 & 1:
        size = PAGE << ((page // PAGE ^ page // PAGE + 1).bit_length())
        page = page & ~(size - 1) | iova & size - PAGE
    return 0, page | iova & PAGE - 1


def harts(world):
    """View 0: the library's answer, the walk of a hart, and the record."""
    read64, rng = reader(world), random.Random(world.steps)
    walker = HartWalker(lambda hpa, n: read64(hpa).to_bytes(n, "little"))
    for g in world.guests:
        hgatp = g.domain.hgatp
        for gpa in samples(world, g, rng):
            access = rng.choice("rwx")
            page = g.pages.get(gpa // PAGE * PAGE)
            ours = page.hpa + gpa % PAGE if page and Perm.of(access) in page.perms else None
            try:
                said = int(g.domain.translate(gpa, access).hpa)
            except CordonError as error:
                if not isinstance(error, TranslationFault) and gpa >> 41 == 0:
                    raise
                said = None
            trail = walker.gpa(hgatp, gpa, access)
            if not ours == said == trail.hpa:
                world.fail(f"{g.name}, {access} of {gpa:#x} by a hart: record {ours}, library {said}\n{trail}")


# ---- faults, audit, order -----------------------------------------------------------------------------


def refused(world, device, cause, iova, access, due=1):
    """A record is due for a request, or may come for one of the debug registers (0) [IOMMU 5.26].
    Reports are taken before more are due than the library keeps apart."""
    request = device.device_id, int(cause), iova // PAGE, access
    world.due[request] += due
    world.fresh.add(request)
    if len(world.fresh) >= REPORTS_OF_A_DEVICE:
        collect(world)


def collect(world):
    world.fresh.clear()
    for report in world.plat.faults():
        page = int(report.iova) // PAGE
        world.came.append((report.device_id, report.cause, page, -(-report.span // PAGE), report.count))


def faults(world):
    """Reports are those of the requests that were refused, no more and no fewer."""
    collect(world)
    due, world.due = world.due, Counter()
    came, world.came = world.came, []
    stats = world.plat.iommu.fault_stats
    lost = (stats.overflows, stats.suppressed) != world.lost
    world.lost = stats.overflows, stats.suppressed
    allowed = {request[:3] for request in due}
    missing = {request[:3] for request, count in due.items() if count}
    missing = {wanted for wanted in missing if not any(
        report[:2] == wanted[:2] and abs(report[2] - wanted[2]) <= report[3] for report in came)}
    missing, extra = excuse_reports(world, allowed, missing, {report[:3] for report in came})
    if extra:
        world.fail(f"faults that nothing has caused (device, cause, page): {told(extra)}")
    if lost:
        return
    if missing:
        world.fail(f"refused, and not reported (device, cause, page): {told(missing)}")
    if world.backend == "model":
        counts(world, due, came)


def counts(world, due, came):
    """Each refused request is one record, and each record is counted in a report."""
    wanted, told_of = Counter(), Counter()
    for (device, cause, *_), count in due.items():
        wanted[device, cause] += count
    for device, cause, *_, count in came:
        told_of[device, cause] += count
    if wanted != told_of:
        world.fail(f"requests refused by (device, cause): {dict(wanted)}, reported: {dict(told_of)}")


def told(faulted):
    return ", ".join(f"{device:#x} {cause} {page * PAGE:#x}" for device, cause, page in sorted(faulted))


def library(world):
    """The library's audit, and its answers against the tables."""
    try:
        world.context.audit()
        if world.steps % STALE_EVERY == 0 and (found := stale_entries(world.plat)):
            world.fail("\n".join(found))
    except CordonError as error:
        world.fail(f"audit: {error}")


def order(world):
    """What the recording port saw, if the library is built over it."""
    if world.context.order is not None and (broken := world.context.order.broken()):
        world.fail(f"order: {broken}")


def hardware(world):
    """What the library did to the IOMMU and should not have."""
    if complaints := world.plat.complaints():
        world.fail("\n".join(complaints))


def expect_views(world, found=None, without=None, nobody=False):
    """Tell the order checker which views of each guest a device has, by the contexts in memory."""
    if found is None and not nobody:
        found = tables(world)
    for g in world.guests:
        views = 0
        for d in world.devices:
            if not nobody and world.holder[d.name] is g and d is not without:
                views |= 1 << found[d.device_id].gscid // VIEWS_OF_A_DOMAIN + 1
        world.context.order.expect_views(g.domain.number, views)
