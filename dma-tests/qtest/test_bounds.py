"""Honest DMA lands exactly where the map says; everything one step beside it is refused."""
import pytest

from cordon import Cause, FrameState
from cordon.qemu import Edu
from cordon.qemu.machine import RAM_BASE
from cordon.types import PAGE
from scene import (BIG, BLUE_BASE, BLUE_END, BOTH_BASE, RED_BASE, RED_END, SHARED_PAGES, SMALL, WORK,
                   Rogue, assert_read_lands, assert_read_refused, assert_write_lands,
                   assert_write_refused, faults_of, mark, only_changes)

EVERY = pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
SECRET = b"red owns this: a secret of 64 bytes, which nobody else may see!!"
BOTH_END = BOTH_BASE + SHARED_PAGES * PAGE


@EVERY
def test_honest_dma_lands_where_the_map_says(scene):
    small = BLUE_BASE + BIG
    assert scene.blue.domain.translate(BLUE_BASE).level == 1, "the first piece is not a 2 MiB leaf"
    assert scene.blue.domain.translate(small).level == 0
    for iova, length in (
            (BLUE_BASE, 8), (BLUE_BASE, PAGE), (BLUE_BASE + 0x123456, 100),
            (small - 64, 128),                          # from the 2 MiB piece into the first page
            *((small + n * PAGE - 24, 48) for n in range(1, SMALL)),  # across each border of pages
            (small + 0x800, PAGE), (BLUE_END - 1, 1), (BOTH_BASE, 1), (BOTH_BASE + PAGE - 3, 6)):
        assert_write_lands(scene.rogue, iova, length)
        assert_read_lands(scene.rogue, iova, length)


@EVERY
def test_the_same_address_means_each_guest_its_own_page(scene):
    for seed, rogue in enumerate((scene.rogue, scene.friend, scene.rogue, scene.friend)):
        for page in range(SHARED_PAGES - 1):
            assert_write_lands(rogue, BOTH_BASE + page * PAGE + 8, 16, seed)
            assert_read_lands(rogue, BOTH_BASE + page * PAGE, 64)


@EVERY
def test_one_byte_past_the_end_is_refused(scene, plat):
    for rogue, ends in ((scene.rogue, (BLUE_END, BOTH_END)), (scene.friend, (RED_END, BOTH_END))):
        for end in ends:
            assert_write_lands(rogue, end - 8, 8)
            assert_write_refused(rogue, end, 1)
            assert_write_refused(rogue, end, PAGE)
        for start in (RED_BASE, BOTH_BASE) if rogue is scene.friend else (BOTH_BASE,):
            assert_write_refused(rogue, start - 1, 1)
        seen = faults_of(plat, rogue.name)
        assert {f.cause for f in seen} == {Cause.WRITE_GUEST_PAGE}


@EVERY
def test_dma_across_the_end_lands_only_inside(scene, plat):
    scene.rogue.arm(mark("across", 0))
    last = scene.blue.hpa(BLUE_END - 1)
    with only_changes(plat, last):
        scene.rogue.edu.store(BLUE_END - 32, 64)
    assert scene.blue.read(BLUE_END - 32, 32) == mark("across", 0)[:32]
    assert faults_of(plat, "edu2")


@EVERY
def test_reading_past_the_end_brings_nothing(scene, plat):
    for iova in (BLUE_END, BOTH_END, RED_BASE):
        for page in scene.red.pages.values():
            plat.memory(page.hpa, 64)[:] = SECRET
        assert_read_refused(scene.rogue, iova, SECRET)
    assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.READ_GUEST_PAGE}


@EVERY
def test_the_neighbours_addresses_are_refused(scene, plat):
    """Blue tries each of red's guest addresses, then each of red's host addresses."""
    ours = set(scene.blue.pages)
    guest_pages = [gpa for gpa in scene.red.pages if gpa not in ours]
    host_pages = [page.hpa for page in scene.red.pages.values()]
    sample = guest_pages[:3] + guest_pages[510:] + host_pages[::37] + host_pages[510:]
    scene.rogue.arm(mark("blue was here", 0))
    with only_changes(plat):
        for iova in sample:
            scene.rogue.edu.store(iova, 64)
    for hpa in host_pages[::97] + host_pages[-4:]:
        assert_read_refused(scene.rogue, hpa, bytes(plat.memory(hpa, 64)))
    assert all(f.domain == scene.blue.domain.number for f in faults_of(plat, "edu2"))


def frames_of_ours(plat):
    """Host pages that the layer or its firmware keeps: tables, directory, queues, its own state."""
    kept = [RAM_BASE + at for at in range(0, len(plat.machine.ram), PAGE)
            if plat.context.frame(RAM_BASE + at).state in (FrameState.TABLE, FrameState.HYP)]
    assert len(kept) > 10
    return kept


@EVERY
def test_host_addresses_of_tables_directory_and_queues_are_refused(scene, plat):
    kept = frames_of_ours(plat)
    scene.rogue.arm(mark("table", 0))
    with only_changes(plat):
        for hpa in kept:
            scene.rogue.edu.store(hpa, 64)
            scene.rogue.edu.store(hpa + PAGE - 64, 64)
    secrets = [(hpa, bytes(plat.memory(hpa, 64))) for hpa in kept]
    telling = [(hpa, secret) for hpa, secret in secrets if len(set(secret)) > 8]
    assert telling, "no kept page begins with bytes that could be told from chance"
    for hpa, secret in telling[:16]:
        assert_read_refused(scene.rogue, hpa, secret)
    plat.context.audit()
    assert faults_of(plat, "edu2")


@EVERY
def test_addresses_at_the_top_of_each_table_level_are_refused(scene, plat):
    tops = [1 << bit for bit in (30, 38, 39, 40, 41, 42, 48, 50, 56, 57, 59, 63)]
    scene.rogue.arm(mark("top", 0))
    with only_changes(plat):
        for top in tops:
            for iova in (top - PAGE, top, top | BLUE_BASE + PAGE, top | BOTH_BASE):
                if not any(iova == gpa & ~(PAGE - 1) for gpa in scene.blue.pages):
                    scene.rogue.edu.store(iova, 64)
        scene.rogue.edu.store((1 << 64) - 64, 64)
    assert faults_of(plat, "edu2")


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
@EVERY
def test_registers_of_iommu_peers_and_interrupt_files_are_refused(scene, plat):
    peer = plat.function("edu4").bars[0]
    peer.write(0x04, 0x12345678)  # edu answers the complement
    before = plat.register(0x10, 8)
    targets = [plat.iommu_base + 0x10, plat.iommu_base + 0x48, peer.address + 0x04,
               0x30000000 + (0x20 << 12) + 4,
               0x28000000, 0x28001000, 0x24000000, 0xd000000, 0xc000000, 0x2000000, 0x3000000]
    for target in targets:
        assert_write_refused(scene.rogue, target, 4)
    assert plat.register(0x10, 8) == before and plat.register(0x48) >> 16 & 1
    assert peer.read(0x04) == ~0x12345678 & 0xffffffff
    assert not any(plat.machine.hart.file_pending(file) for file in (1, 2, 3, 4))
    assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.WRITE_GUEST_PAGE}


@pytest.mark.machine(Edu(2), Edu(3), reserved=[(0x80100000, 0x10000)])
def test_firmwares_memory_is_refused(scene, plat):
    secret = mark("firmware", 0)
    plat.memory(0x80100000, 64)[:] = secret
    assert_write_refused(scene.rogue, 0x80100000)
    assert_read_refused(scene.rogue, 0x80100000, secret)
    assert_write_refused(scene.rogue, RAM_BASE)
    assert faults_of(plat, "edu2")


def test_a_page_between_two_guests_pages_stays_closed_in_both(scene, plat):
    """Of pages that alternate between the guests, each device gets its own and only those."""
    for rogue, other in ((scene.rogue, scene.red), (scene.friend, scene.blue)):
        theirs = sorted(other.host_pages() - {other.hpa(WORK)})[-20:]
        rogue.arm(mark("between", 1))
        with only_changes(plat):
            for hpa in theirs:
                rogue.edu.store(hpa, 64)
    assert faults_of(plat, "edu2")


def test_two_rogues_in_one_guest_see_the_same_memory(plat, scene):
    second = Rogue(scene.blue, "edu3", work=WORK - PAGE)
    plat.release("edu3")
    plat.device("edu3").attach(scene.blue.domain)
    assert_write_lands(scene.rogue, BLUE_BASE + 0x2000)
    assert second.read(BLUE_BASE + 0x2000, 64) == mark("honest", BLUE_BASE + 0x2000)
    assert_write_refused(second, scene.red.hpa(BOTH_BASE))
    assert faults_of(plat, "edu3")
