"""A real disk controller: scatter-gather lists over scattered frames, and lists that lie."""
import pytest

from cordon import Busy, Drain, FrameState, Pending
from cordon.devices import NvmeDriver
from cordon.qemu import Edu, Nvme, Snapshot
from cordon.types import PAGE
from scene import (BIG, BLUE_BASE, BOTH_BASE, RED_BASE, SMALL, Neighbours, Rogue, faults_of,
                   mark, only_changes, queue_frames)

QUEUES, LIST, WORK = BLUE_BASE + 0x100000, BOTH_BASE, BOTH_BASE + PAGE
SMALL_BASE = BLUE_BASE + BIG
pytestmark = pytest.mark.machine(Nvme(4), Nvme(5), Edu(2), Edu(3))
EVERY = pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)


@pytest.fixture
def disks(plat):
    """nvme4 is blue's, nvme5 is red's; each drives its own from its own memory."""
    scene = Neighbours(plat)
    for name, guest, base, attribute in (("nvme4", scene.blue, QUEUES, "disk"),
                                         ("nvme5", scene.red, RED_BASE + 0x100000, "reds")):
        plat.device(name).attach(guest.domain)
        setattr(scene, attribute, NvmeDriver(plat.function(name), guest, base).start())
    scene.media = plat.machine.parts["nvme4"].disk.map
    return scene


def scattered(count):
    """GPAs of pages whose frames lie apart, the last in the 2 MiB piece."""
    return [SMALL_BASE + n * PAGE for n in range(count - 1)] + [BLUE_BASE]


def contents(count, seed=0):
    return b"".join(mark("disk", page, seed, PAGE) for page in range(count))


@EVERY
def test_a_read_scatters_over_the_guests_frames(disks, plat):
    pages = scattered(SMALL)
    disks.media[:SMALL * PAGE] = contents(SMALL)
    own = {disks.blue.hpa(page) for page in [*pages, LIST]}
    queues = {disks.blue.hpa(QUEUES + n * PAGE) for n in range(4)}
    with only_changes(plat, *own, *queues):
        assert disks.disk.read(0, pages, LIST) == 0
    assert b"".join(disks.blue.read(page, PAGE) for page in pages) == contents(SMALL)


@EVERY
def test_a_write_gathers_from_the_guests_frames(disks):
    pages = scattered(SMALL)
    for number, page in enumerate(pages):
        disks.blue.write(page, contents(SMALL)[number * PAGE:(number + 1) * PAGE])
    assert disks.disk.write(64, pages, LIST) == 0
    assert bytes(disks.media[64 * 512:64 * 512 + SMALL * PAGE]) == contents(SMALL)


def test_two_disks_work_side_by_side_at_the_same_addresses(disks, plat):
    other = plat.machine.parts["nvme5"].disk.map
    disks.media[:4 * PAGE], other[:4 * PAGE] = contents(4, 1), contents(4, 2)
    pages = [BOTH_BASE + n * PAGE for n in range(2, 6)]
    for _ in range(3):
        assert disks.disk.read(0, pages, LIST) == 0 and disks.reds.read(0, pages, LIST) == 0
    assert b"".join(disks.blue.read(page, PAGE) for page in pages) == contents(4, 1)
    assert b"".join(disks.red.read(page, PAGE) for page in pages) == contents(4, 2)


def strays(plat, before, allowed):
    return before.changed() - queue_frames(plat) - allowed


@pytest.mark.parametrize("where", ["red's guest address", "red's frame", "a table", "past the end"])
def test_a_list_that_points_outside_writes_nothing_there(disks, plat, where):
    outside = {"red's guest address": RED_BASE, "red's frame": disks.red.hpa(RED_BASE),
               "a table": first_table(plat), "past the end": SMALL_BASE + SMALL * PAGE}[where]
    disks.media[:8 * PAGE] = contents(8)
    pages = scattered(8)
    pages[5] = outside
    before, ours = Snapshot(plat.machine), disks.blue.host_pages()
    disks.disk.read(0, pages, LIST)
    assert not strays(plat, before, ours)
    assert faults_of(plat, "nvme4")


def first_table(plat):
    ram = plat.machine.ram_base
    return next(ram + at for at in range(0, len(plat.machine.ram), PAGE)
                if plat.context.frame(ram + at).state is FrameState.TABLE)


def test_a_list_that_points_outside_leaks_nothing_to_the_disk(disks, plat):
    secret = disks.red.read(RED_BASE, 64)
    for target in (disks.red.hpa(RED_BASE), RED_BASE):
        pages = scattered(4)
        pages[2] = target
        disks.disk.write(0, pages, LIST)
        assert bytes(disks.media).find(secret[:16]) < 0
    assert faults_of(plat, "nvme4")


def test_a_list_that_stands_outside_is_not_followed(disks, plat):
    """The PRP list itself lies in red's frame, and names blue's own pages."""
    lair = disks.red.hpa(BOTH_BASE + 2 * PAGE)
    plat.memory(lair, 8)[:] = SMALL_BASE.to_bytes(8, "little")
    before, ours = Snapshot(plat.machine), disks.blue.host_pages()
    cid = disks.disk.submit(disks.disk.io, 2, nsid=1, prp1=SMALL_BASE + PAGE, prp2=lair,
                            cdw=(0, 0, 8 * 3 - 1))
    disks.disk.wait(disks.disk.io, cid)
    assert not strays(plat, before, ours)
    assert faults_of(plat, "nvme4")


def test_queues_that_stand_outside_are_not_used(disks, plat):
    """A controller whose queues are set to red's frames writes no completion there."""
    lair = disks.red.hpa(RED_BASE + 0x4000)
    disks.disk.disable()
    bar = plat.function("nvme4").bars[0]
    with only_changes(plat):
        bar.write(0x28, lair, 8)
        bar.write(0x30, lair + PAGE, 8)
        bar.write(0x14, 1 | 6 << 16 | 4 << 20)
        bar.write(0x1000, 1)
        for _ in range(50):
            bar.read(0x1c)
    assert faults_of(plat, "nvme4")


def test_success_is_what_the_device_says_of_refused_dma(disks, plat):
    """Why these tests look at memory: the controller knows nothing of what the IOMMU refused."""
    target = disks.red.hpa(RED_BASE)
    before, ours = Snapshot(plat.machine), disks.blue.host_pages()
    disks.disk.identify(target)
    assert not strays(plat, before, ours)
    assert faults_of(plat, "nvme4")


# ---- draining -------------------------------------------------------------------------------------


def hold_a_read(disks, plat, page):
    """A read into PAGE that the controller has taken and the disk has not answered."""
    part = plat.machine.parts["nvme4"]
    disks.media[8 * 512:8 * 512 + PAGE] = mark("held", 0, 0, PAGE)
    plat.machine.hold(part)
    disks.disk.read(0, [WORK])  # fills the bucket: what comes next has to wait
    cid = disks.disk.submit_io(2, 8, [page])
    for _ in range(200):
        assert not disks.disk.done(disks.disk.io, cid)
    return part


@pytest.mark.parametrize("plat", ["sys", "base"], indirect=True)
def test_a_held_read_lands_after_everything_but_reset(disks, plat):
    """The danger is real: revoke, IOTINVAL and IOFENCE are over, bus mastering is off, and it lands."""
    part = hold_a_read(disks, plat, SMALL_BASE)
    frame = disks.blue.hpa(SMALL_BASE)
    with pytest.raises(Pending):
        disks.blue.revoke(SMALL_BASE, PAGE)
    plat.function("nvme4").command(master=False)
    before = bytes(plat.memory(frame, PAGE))
    assert before != mark("held", 0, 0, PAGE)
    plat.machine.hold(part, 0)
    for _ in range(2000):
        plat.function("nvme4").bars[0].read(0x1c)
        if bytes(plat.memory(frame, PAGE)) != before:
            break
    assert bytes(plat.memory(frame, PAGE)) == mark("held", 0, 0, PAGE)
    assert plat.context.frame(frame).state is FrameState.REVOKING
    plat.iommu.faults()


@pytest.mark.parametrize("way", ["revoke, then detach", "detach only"])
def test_a_frame_is_not_reused_before_reset_has_drained_it(disks, plat, way):
    hold_a_read(disks, plat, SMALL_BASE)
    frame, device = disks.blue.hpa(SMALL_BASE), plat.devices["nvme4"]
    assert device.drain is Drain.RESET
    if way.startswith("revoke"):
        with pytest.raises(Pending):
            disks.blue.revoke(SMALL_BASE, PAGE)
        assert_not_to_be_had(plat, frame)
    plat.function("nvme4").command(master=False)
    device.detach()
    if not way.startswith("revoke"):
        with pytest.raises(Pending):
            disks.blue.revoke(SMALL_BASE, PAGE)
    with pytest.raises(Pending):
        disks.blue.domain.retire()
    assert_not_to_be_had(plat, frame)
    plat.function("nvme4").flr()
    assert_not_to_be_had(plat, frame)
    device.drained()
    assert plat.context.frame(frame).state is FrameState.FREE
    disks.red.grant(0x5_0000_0000, [take(plat, frame)])
    disks.red.write(0x5_0000_0000, mark("red's now", 0))
    plat.machine.hold(plat.machine.parts["nvme4"], 0)
    with only_changes(plat):
        for _ in range(500):
            plat.function("nvme4").bars[0].read(0x1c)
    plat.iommu.faults()


def test_taking_the_right_to_write_waits_for_reset_too(disks, plat):
    """A held read would still write into the page that is read-only now."""
    hold_a_read(disks, plat, SMALL_BASE)
    with pytest.raises(Pending):
        disks.blue.protect(SMALL_BASE, PAGE, "r")
    function, device = plat.function("nvme4"), plat.devices["nvme4"]
    function.command(master=False)
    device.detach()
    with pytest.raises(Pending):
        disks.blue.domain.retire()
    function.flr()
    device.drained()
    disks.blue.domain.retire()
    plat.iommu.faults()


def assert_not_to_be_had(plat, frame):
    """However much is allocated, FRAME is not among it."""
    assert plat.context.frame(frame).state is FrameState.REVOKING
    runs = plat.context.scatter(plat.context.stats().free // 2 // PAGE * PAGE, seed=5)
    assert not any(int(run.hpa) <= frame < int(run.hpa) + run.len for run in runs)
    for run in runs:
        plat.context.free(run)
    assert plat.context.frame(frame).state is FrameState.REVOKING


def take(plat, frame):
    held = [plat.context.alloc(PAGE)]
    while int(held[-1].hpa) != frame:
        held.append(plat.context.alloc(PAGE))
    for run in held[:-1]:
        plat.context.free(run)
    return held[-1]


def test_a_drained_disk_serves_again(disks, plat):
    device, function = plat.devices["nvme4"], plat.function("nvme4")
    function.command(master=False)
    device.detach()
    with pytest.raises(Busy):  # it has left the bus, not yet the domain
        device.attach(disks.blue.domain)
    function.flr()
    device.drained()
    device.attach(disks.blue.domain)
    function.command(master=True)
    disks.media[:PAGE] = contents(1, 9)
    assert disks.disk.start().read(0, [SMALL_BASE]) == 0
    assert disks.blue.read(SMALL_BASE, PAGE) == contents(1, 9)


def test_the_rogue_gains_nothing_while_a_disk_is_undrained(disks, plat):
    """Revoked and still REVOKING: the frame is closed to a device that translates when it accesses."""
    plat.device("edu2").attach(disks.blue.domain)
    rogue = Rogue(disks.blue, "edu2")
    rogue.write(SMALL_BASE, mark("before", 0))
    hold_a_read(disks, plat, SMALL_BASE + PAGE)
    with pytest.raises(Pending):
        disks.blue.revoke(SMALL_BASE, 2 * PAGE)
    rogue.arm(mark("after", 0))
    with only_changes(plat):
        rogue.edu.store(SMALL_BASE, 64)
        rogue.edu.store(SMALL_BASE + PAGE, 64)
    assert faults_of(plat, "edu2")
