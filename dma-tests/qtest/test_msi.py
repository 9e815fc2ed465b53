"""MSIs go through the guest's own flat table into its own interrupt files, and nowhere else."""
import struct

import pytest

from cordon import Busy, Cause, NotSupported
from cordon.devices import NvmeDriver
from cordon.qemu import Edu, Nvme, guest_file
from cordon.types import PAGE
from scene import BLUE_BASE, BOTH_BASE, Neighbours, Rogue, assert_write_refused, commands_of, faults_of

WINDOW, MASK = 0x2_8000_0000, 0x7  # eight files, one page each, at the same GPA in both guests
BLUE_FILE, RED_FILE = 1, 2


@pytest.fixture
def msi(plat):
    """Two guests; file 0 of each is a guest interrupt file of its own."""
    scene = Neighbours(plat)
    for file in (1, 2, 3, 4):
        plat.context.resource_add(guest_file(file), PAGE)
        plat.machine.hart.file_enable(file)
    for guest, file in ((scene.blue, BLUE_FILE), (scene.red, RED_FILE)):
        guest.domain.msi_window(WINDOW, MASK)
        guest.msi_set(0, guest_file(file))
    plat.device("edu2").attach(scene.blue.domain)
    plat.device("edu3").attach(scene.red.domain)
    scene.rogue, scene.friend = Rogue(scene.blue, "edu2"), Rogue(scene.red, "edu3")
    return scene


def pending(plat):
    """What is pending in all guest interrupt files, and clear it."""
    found = {file: plat.machine.hart.file_pending(file) for file in (1, 2, 3, 4)}
    for file in found:
        plat.machine.hart.file_clear(file)
    return {file: ids for file, ids in found.items() if ids}


def signal(rogue, address, identity):
    function = rogue.edu.function
    function.set_msi(address, identity)
    rogue.edu.signal()


@pytest.mark.parametrize("plat", ["sys", "pci"], indirect=True)
def test_an_msi_reaches_the_guests_own_file(msi, plat):
    signal(msi.rogue, WINDOW, 5)
    assert pending(plat) == {BLUE_FILE: {5}}
    signal(msi.friend, WINDOW, 9)
    assert pending(plat) == {RED_FILE: {9}}


def test_several_files_are_told_apart(msi, plat):
    msi.blue.msi_set(3, guest_file(3))
    msi.blue.msi_set(7, guest_file(4))
    for index, file in ((7, 4), (3, 3), (0, BLUE_FILE)):
        signal(msi.rogue, WINDOW + index * PAGE, 20 + index)
        assert pending(plat) == {file: {20 + index}}


@pytest.mark.parametrize("index", [1, 2, 5, 6, 7])
def test_a_forged_index_is_refused(msi, plat, index):
    signal(msi.rogue, WINDOW, 3)
    assert pending(plat) == {BLUE_FILE: {3}}
    signal(msi.rogue, WINDOW + index * PAGE, 3)
    assert pending(plat) == {}
    assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.MSI_INVALID}


@pytest.mark.parametrize("address", [
    0x28000000, 0x24000000, guest_file(BLUE_FILE), guest_file(RED_FILE), guest_file(4),
    WINDOW + 8 * PAGE, WINDOW - PAGE, WINDOW | 1 << 40, WINDOW | 1 << 45, BLUE_BASE + (1 << 30)])
def test_a_forged_address_is_refused(msi, plat, address):
    signal(msi.rogue, address, 11)
    assert pending(plat) == {}
    plat.context.audit()
    plat.iommu.faults()


def test_ordinary_dma_cannot_forge_an_msi(msi, plat):
    msi.rogue.arm((33).to_bytes(4, "little"))
    msi.rogue.edu.store(WINDOW + PAGE, 4)
    msi.rogue.edu.store(guest_file(RED_FILE), 4)
    assert pending(plat) == {}
    plat.iommu.faults()


def assert_told_to_forget(plat, page, action):
    """ACTION makes the IOMMU drop what it may have cached of the MSI page PAGE of blue, and waits.
    QEMU caches no MSI entries, other IOMMUs do: so the commands are looked at."""
    gscid = struct.unpack("<Q", context_of(plat, "edu2")[8:16])[0] >> 44 & 0xffff
    commands = commands_of(plat, action)
    whole, single = 0x81 | 1 << 33 | gscid << 44, 0x81 | 1 << 10 | 1 << 33 | gscid << 44
    assert (whole, 0) in commands or (single, page >> 12 << 10) in commands
    assert commands[-1][0] & 0x7f == 2 and commands[-1][0] & 1 << 13, "no IOFENCE with PW at the end"


def context_of(plat, name):
    """The words of a device's context, found by hand."""
    device_id, table = plat.machine.parts[name].device_id, plat.register(0x10, 8)
    for index in (0, device_id >> 6 & 0x1ff):  # three levels, extended contexts, bus 0
        table = struct.unpack("<Q", plat.memory((table >> 10 & (1 << 44) - 1) * PAGE + 8 * index, 8))[0]
    return bytes(plat.memory((table >> 10 & (1 << 44) - 1) * PAGE + 64 * (device_id & 63), 64))


def test_the_iommu_is_told_of_entries_that_change(msi, plat):
    assert_told_to_forget(plat, WINDOW, lambda: msi.blue.msi_set(0, guest_file(4)))
    assert_told_to_forget(plat, WINDOW, lambda: msi.blue.msi_set(0, None))
    msi.blue.msi_set(6, guest_file(3))
    assert_told_to_forget(plat, WINDOW + 6 * PAGE, lambda: msi.blue.msi_set(6, None))


def test_taking_a_file_away_closes_it(msi, plat):
    for identity in (1, 2):
        signal(msi.rogue, WINDOW, identity)
    assert pending(plat) == {BLUE_FILE: {1, 2}}
    msi.blue.msi_set(0, None)
    signal(msi.rogue, WINDOW, 3)
    assert pending(plat) == {}
    assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.MSI_INVALID}


def test_a_file_that_moves_takes_its_messages_along(msi, plat):
    signal(msi.rogue, WINDOW, 1)
    assert pending(plat) == {BLUE_FILE: {1}}
    msi.blue.msi_set(0, guest_file(4))
    signal(msi.rogue, WINDOW, 2)
    assert pending(plat) == {4: {2}}


def test_a_file_that_was_revoked_can_be_the_neighbours(msi, plat):
    signal(msi.rogue, WINDOW, 1)
    msi.blue.msi_set(0, None)
    msi.red.msi_set(5, guest_file(BLUE_FILE))
    pending(plat)
    signal(msi.rogue, WINDOW, 2)
    signal(msi.rogue, WINDOW + 5 * PAGE, 2)
    assert pending(plat) == {}
    signal(msi.friend, WINDOW + 5 * PAGE, 6)
    assert pending(plat) == {BLUE_FILE: {6}}
    assert faults_of(plat, "edu2")


def test_detach_closes_messages_too(msi, plat):
    signal(msi.rogue, WINDOW, 1)
    plat.devices["edu2"].detach()
    pending(plat)
    signal(msi.rogue, WINDOW, 2)
    assert pending(plat) == {}
    assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.DDT_INVALID}


def test_the_window_is_fixed_while_a_device_is_attached(msi):
    with pytest.raises(Busy):
        msi.blue.domain.msi_window(WINDOW + (1 << 32), MASK)


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
def test_a_view_of_its_own_has_the_same_files(msi, plat):
    plat.device("edu4").attach(msi.blue.domain, own_view=True)
    third = Rogue(msi.blue, "edu4", work=BOTH_BASE)
    signal(third, WINDOW, 8)
    assert pending(plat) == {BLUE_FILE: {8}}
    msi.blue.msi_set(0, None)
    for rogue in (third, msi.rogue):
        signal(rogue, WINDOW, 8)
    assert pending(plat) == {}
    assert faults_of(plat, "edu4")


def test_the_files_page_is_no_memory_of_the_device(msi, plat):
    assert_write_refused(msi.rogue, guest_file(BLUE_FILE), 4)
    assert faults_of(plat, "edu2")


@pytest.mark.machine(Nvme(2), Edu(3), Edu(4))
def test_msi_x_vectors_reach_the_guests_own_file(plat):
    scene = Neighbours(plat)
    plat.context.resource_add(guest_file(3), PAGE)
    plat.machine.hart.file_enable(3)
    scene.blue.domain.msi_window(WINDOW, MASK)
    scene.blue.msi_set(2, guest_file(3))
    plat.device("nvme2").attach(scene.blue.domain)
    plat.function("nvme2").set_msix(0, WINDOW + 2 * PAGE, 77)  # before queues use the vector
    driver = NvmeDriver(plat.function("nvme2"), scene.blue, BOTH_BASE).start()
    pending(plat)
    driver.identify(BLUE_BASE)
    assert pending(plat) == {3: {77}}
    plat.function("nvme2").set_msix(0, WINDOW + 3 * PAGE, 78)
    driver.identify(BLUE_BASE)
    assert pending(plat) == {}
    assert {f.cause for f in faults_of(plat, "nvme2")} == {Cause.MSI_INVALID}


@pytest.mark.parametrize("plat", ["base"], indirect=True)
def test_without_msi_tables_a_window_is_refused(plat):
    scene = Neighbours(plat)
    with pytest.raises(NotSupported):
        scene.blue.domain.msi_window(WINDOW, MASK)
