"""A virtio disk: descriptors of uneven lengths over scattered frames, lists that lie, requests in flight;
and what a virtio device does that was not told of the IOMMU."""
import pytest

from cordon import Cause, Drain, FrameState, Pending
from cordon.devices import VirtioDriver
from cordon.devices.virtio import ACCESS_PLATFORM, RING_BYTES, VERSION_1, VirtioBroken, reset
from cordon.qemu import Edu, Snapshot, Virtio
from cordon.types import PAGE
from scene import (BIG, BLUE_BASE, BOTH_BASE, RED_BASE, SMALL, Neighbours, faults_of, mark,
                   only_changes, queue_frames)

DISK = Virtio(4, name="disk")
RING, WORK = BOTH_BASE, BOTH_BASE + PAGE
SMALL_BASE = BLUE_BASE + BIG
BLOCK = 512
pytestmark = pytest.mark.machine(DISK, Edu(2), Edu(3))
EVERY = pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
POLLS = 300


@pytest.fixture
def blue(plat):
    """The disk in blue's hands, driven from blue's memory."""
    scene = Neighbours(plat)
    plat.device("disk").attach(scene.blue.domain)
    scene.disk = VirtioDriver(plat.function("disk"), scene.blue, RING).start()
    scene.media = plat.machine.parts["disk"].disk.map
    return scene


def uneven(total):
    """Pieces of blue's memory of uneven lengths, TOTAL bytes in all, many across borders of pages."""
    pieces, number = [], 0
    while total:
        length = min(total, 700 + 389 * number % 3500)
        pieces.append((SMALL_BASE + (2 * number + 1) * PAGE - length // 3, length))
        total, number = total - length, number + 1
    return pieces


def gathered(guest, pieces):
    return b"".join(guest.read(at, length) for at, length in pieces)


def pages_of(guest, pieces):
    return {guest.hpa(at) & ~(PAGE - 1) for start, length in pieces
            for at in (start, *range(start | PAGE - 1, start + length, PAGE), start + length - 1)}


def strays(plat, before, allowed):
    return before.changed() - queue_frames(plat) - allowed


@EVERY
def test_a_read_scatters_over_uneven_pieces(blue, plat):
    pieces = uneven(40 * BLOCK)
    blue.media[3 * BLOCK:43 * BLOCK] = data = mark("disk", 0, 0, 40 * BLOCK)
    with only_changes(plat, blue.blue.hpa(RING), *pages_of(blue.blue, pieces)):
        assert blue.disk.read(3, pieces) == 0
    assert len(pieces) > 8 and gathered(blue.blue, pieces) == data


@EVERY
def test_a_write_gathers_from_uneven_pieces(blue):
    pieces = uneven(40 * BLOCK)
    for number, (at, length) in enumerate(pieces):
        blue.blue.write(at, mark("piece", number, 0, length))
    assert blue.disk.write(5, pieces) == 0
    assert bytes(blue.media[5 * BLOCK:45 * BLOCK]) == gathered(blue.blue, pieces)


@EVERY
@pytest.mark.parametrize("where", ["red's guest address", "red's frame", "a table", "past the end"])
def test_a_piece_that_points_outside_is_not_written(blue, plat, where):
    outside = outside_of(blue, plat, where)
    blue.media[:8 * BLOCK] = mark("disk", 1, 0, 8 * BLOCK)
    before, ours = Snapshot(plat.machine), blue.blue.host_pages()
    blue.disk.read(0, [(SMALL_BASE, 3 * BLOCK), (outside, 4 * BLOCK), (SMALL_BASE + PAGE, BLOCK)])
    assert not strays(plat, before, ours)
    assert {fault.cause for fault in faults_of(plat, "disk")} == {Cause.WRITE_GUEST_PAGE}


def outside_of(blue, plat, where):
    ram = plat.machine.ram_base
    if where == "a table":
        return next(ram + at for at in range(0, len(plat.machine.ram), PAGE)
                    if plat.context.frame(ram + at).state is FrameState.TABLE)
    return {"red's guest address": RED_BASE, "red's frame": blue.red.hpa(RED_BASE),
            "past the end": SMALL_BASE + SMALL * PAGE}[where]


def test_a_piece_that_points_outside_leaks_nothing_to_the_disk(blue, plat):
    secret = mark("secret of red", 0, 0, BLOCK)
    blue.red.write(RED_BASE, secret)
    for target in (blue.red.hpa(RED_BASE), RED_BASE):
        blue.disk.write(0, [(SMALL_BASE, BLOCK), (target, BLOCK)])
        assert bytes(blue.media).find(secret[:16]) < 0
    assert {fault.cause for fault in faults_of(plat, "disk")} == {Cause.READ_GUEST_PAGE}


def test_a_ring_that_stands_outside_is_not_followed(blue, plat):
    """A whole ring, ready to go, in red's frames; the device is led there by host address."""
    lair = blue.red.hpa(RED_BASE + 0x4000)
    red = HostMemory(plat)
    disk = VirtioDriver(plat.function("disk"), red, lair).start()
    blue.media[:BLOCK] = mark("disk", 2, 0, BLOCK)
    with only_changes(plat, lair):  # what this side itself writes there
        disk.submit(0, 0, [(SMALL_BASE, BLOCK)])
        assert not any(disk_is_done(disk) for _ in range(POLLS))
    assert blue.blue.read(SMALL_BASE, BLOCK) != bytes(blue.media[:BLOCK])
    assert faults_of(plat, "disk")


def disk_is_done(disk):
    """A device that has given up is not done."""
    try:
        return disk.done()
    except VirtioBroken:
        return False


def test_a_revoked_page_is_not_written(blue, plat):
    """The disk has written there before: its translation is cached."""
    blue.media[:BLOCK] = mark("disk", 3, 0, BLOCK)
    assert blue.disk.read(0, [(SMALL_BASE, BLOCK)]) == 0
    assert blue.blue.read(SMALL_BASE, BLOCK) == bytes(blue.media[:BLOCK])
    frame = blue.blue.hpa(SMALL_BASE)
    with pytest.raises(Pending):
        blue.blue.revoke(SMALL_BASE, PAGE)
    before = bytes(plat.memory(frame, PAGE))
    blue.media[:BLOCK] = mark("disk", 4, 0, BLOCK)
    blue.disk.read(0, [(SMALL_BASE, BLOCK)])
    assert bytes(plat.memory(frame, PAGE)) == before
    assert faults_of(plat, "disk")


# ---- draining -------------------------------------------------------------------------------------


def hold_a_read(blue, plat, gpa):
    """A read into the page at GPA that the device has taken and the disk has not answered."""
    part = plat.machine.parts["disk"]
    blue.media[8 * BLOCK:8 * BLOCK + PAGE] = mark("held", 0, 0, PAGE)
    plat.machine.hold(part)
    assert blue.disk.read(0, [(WORK, PAGE)]) == 0  # fills the bucket: what comes next has to wait
    blue.disk.submit(0, 8, [(gpa, PAGE)])
    assert not any(blue.disk.done() for _ in range(POLLS))
    return part


def test_a_held_read_lands_after_everything_but_reset(blue, plat):
    """The danger is real: revoke, detach and every fence are over, and it lands; nobody has the frame."""
    part, frame = hold_a_read(blue, plat, SMALL_BASE), blue.blue.hpa(SMALL_BASE)
    with pytest.raises(Pending):
        blue.blue.revoke(SMALL_BASE, PAGE)
    plat.devices["disk"].detach()
    assert bytes(plat.memory(frame, PAGE)) != mark("held", 0, 0, PAGE)
    plat.machine.hold(part, 0)
    for _ in range(20 * POLLS):
        blue.disk.function.config(0)
        if bytes(plat.memory(frame, PAGE)) == mark("held", 0, 0, PAGE):
            break
    assert bytes(plat.memory(frame, PAGE)) == mark("held", 0, 0, PAGE)
    assert plat.context.frame(frame).state is FrameState.REVOKING
    plat.iommu.faults()


def test_a_frame_is_free_only_when_reset_has_drained_the_disk(blue, plat):
    hold_a_read(blue, plat, SMALL_BASE)
    frame, device = blue.blue.hpa(SMALL_BASE), plat.devices["disk"]
    assert device.drain is Drain.RESET
    with pytest.raises(Pending):
        blue.blue.revoke(SMALL_BASE, PAGE)
    device.detach()
    assert plat.context.frame(frame).state is FrameState.REVOKING
    reset(plat.function("disk"))
    assert plat.context.frame(frame).state is FrameState.REVOKING
    device.drained()
    assert plat.context.frame(frame).state is FrameState.FREE
    with only_changes(plat):
        plat.machine.hold(plat.machine.parts["disk"], 0)
        for _ in range(POLLS):
            plat.function("disk").config(0)
    plat.iommu.faults()


def test_a_drained_disk_serves_its_next_guest(blue, plat):
    device = plat.devices["disk"]
    blue.media[:BLOCK] = mark("disk", 5, 0, BLOCK)
    assert blue.disk.read(0, [(SMALL_BASE, BLOCK)]) == 0
    plat.withdraw(device)
    plat.assign(blue.red, device)
    disk = VirtioDriver(plat.function("disk"), blue.red, RING).start()
    assert disk.read(0, [(RED_BASE, BLOCK)]) == 0
    assert blue.red.read(RED_BASE, BLOCK) == bytes(blue.media[:BLOCK])
    before, ours = Snapshot(plat.machine), blue.red.host_pages()
    disk.read(0, [(SMALL_BASE, BLOCK), (blue.blue.hpa(SMALL_BASE), BLOCK)])
    assert not strays(plat, before, ours) and faults_of(plat, "disk")


# ---- who obeys ------------------------------------------------------------------------------------


class HostMemory:
    """Memory by host address: what a driver knows that takes no IOMMU into account."""

    def __init__(self, plat):
        self._plat = plat

    def read(self, hpa, length):
        return bytes(self._plat.memory(hpa, length))

    def write(self, hpa, data):
        self._plat.memory(hpa, len(data))[:] = data


def read_by_host_address(plat):
    """A read of the disk into a frame, by a device that has no context; (frame's address, disk)."""
    plat.function("disk").command(master=True)
    run = plat.context.alloc(4 * PAGE)
    ring, target = int(run.hpa), int(run.hpa) + 2 * PAGE
    plat.memory(ring, RING_BYTES)[:] = bytes(RING_BYTES)
    disk = VirtioDriver(plat.function("disk"), HostMemory(plat), ring).start()
    plat.machine.parts["disk"].disk.map[:BLOCK] = mark("disk", 6, 0, BLOCK)
    disk.submit(0, 0, [(target, BLOCK)])
    return run, target, disk


@EVERY
@pytest.mark.machine(Virtio(4, name="disk", access_platform=False), Edu(2), Edu(3))
def test_without_the_platform_flag_the_device_passes_the_iommu_by(plat):
    """The control, and the reason why such a device is not to be given to a guest: no device has a
    context here, and DMA by host address lands without a word."""
    run, target, disk = read_by_host_address(plat)
    assert disk.wait() == 0 and disk.features == VERSION_1
    assert bytes(plat.memory(target, BLOCK)) == mark("disk", 6, 0, BLOCK)
    assert not plat.iommu.faults()
    plat.context.free(run)


@EVERY
def test_with_the_platform_flag_the_same_reaches_nothing(plat):
    run, target, disk = read_by_host_address(plat)
    with only_changes(plat):
        assert not any(disk_is_done(disk) for _ in range(POLLS))
    assert not any(plat.memory(target, BLOCK)[at] for at in range(BLOCK))
    assert {fault.cause for fault in faults_of(plat, "disk")} == {Cause.DDT_INVALID}
    plat.context.free(run)


def test_a_driver_that_takes_no_iommu_into_account_is_refused(blue):
    assert blue.disk.features == VERSION_1 | ACCESS_PLATFORM
    with pytest.raises(VirtioBroken, match="refuses features"):
        blue.disk.start(accepted=VERSION_1)
