"""A refused access is told in words: who, why, where, how far from what, and how often."""
import pytest

from cordon import Cause, Perm
from cordon.qemu import Edu
from cordon.types import PAGE, Iova
from scene import (BIG, BLUE_BASE, BLUE_END, BOTH_BASE, SHARED_PAGES, Rogue, assert_write_refused, mark)

BOTH_END = BOTH_BASE + SHARED_PAGES * PAGE
FQCSR, FQOF = 0x4c, 1 << 9
TRIO = [Edu(2), Edu(3), Edu(4)]


def provoke(rogue, iova, length=8):
    rogue.arm(mark("attack", iova, length=length))
    rogue.edu.store(iova, length)


@pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
def test_a_report_names_device_guest_cause_and_address(scene, plat):
    provoke(scene.rogue, BLUE_END + 0x40)
    (fault,) = plat.iommu.faults()
    assert (fault.device_id, fault.device) == (2 << 3, "edu2")
    assert fault.domain == scene.blue.domain.number
    assert fault.cause == Cause.WRITE_GUEST_PAGE and "guest-page" in fault.cause_name
    assert fault.iova == Iova(BLUE_END + 0x40)
    assert Perm.W in fault.access
    text = str(fault)
    assert "00:02.0" in text and "edu2" in text and f"{BLUE_END + 0x40:#x}" in text


def test_a_read_is_told_from_a_write(scene, plat):
    scene.rogue.edu.load(BLUE_END, 8)
    (fault,) = plat.iommu.faults()
    assert fault.cause == Cause.READ_GUEST_PAGE and "guest-page" in fault.cause_name


@pytest.mark.parametrize("iova, after, gap", [
    (BLUE_END, False, 0), (BLUE_END + 0x40, False, 0x40), (BOTH_BASE - 8, True, 8),
    (BOTH_BASE - 0x2008, True, 0x2008), (BOTH_END + 0x1000, False, 0x1000)])
def test_a_report_names_the_nearest_region_and_the_gap(scene, plat, iova, after, gap):
    provoke(scene.rogue, iova, 4)
    (fault,) = plat.iommu.faults()
    low, high = (BLUE_BASE, BLUE_END) if iova < (BLUE_END + BOTH_BASE) // 2 else (BOTH_BASE, BOTH_END)
    assert (fault.nearest.gpa.v, fault.nearest.len) == (low, high - low)
    assert fault.nearest.after is after

    assert fault.nearest.gap == gap


def test_one_attack_makes_one_report(scene, plat):
    """4 KiB are a thousand records; people want one line."""
    provoke(scene.rogue, BLUE_END, PAGE)
    (fault,) = plat.iommu.faults()
    assert fault.count > 1 and fault.iova == Iova(BLUE_END)
    assert fault.span > 4 and fault.span <= PAGE
    assert plat.iommu.fault_stats.records == fault.count


def test_different_attacks_make_different_reports(scene, plat):
    provoke(scene.rogue, BLUE_END)
    provoke(scene.rogue, BLUE_END + 3 * PAGE)
    scene.rogue.edu.load(BLUE_END, 8)
    provoke(scene.friend, BLUE_END)
    seen = [(f.device, f.cause, f.iova.v // PAGE) for f in plat.iommu.faults()]
    page = BLUE_END // PAGE
    assert seen == [("edu2", 23, page), ("edu2", 23, page + 3), ("edu2", 21, page), ("edu3", 23, page)]


def test_reports_are_taken_once(scene, plat):
    provoke(scene.rogue, BLUE_END)
    assert len(plat.iommu.faults()) == 1
    assert plat.iommu.faults() == []


def test_a_page_of_one_guest_is_not_nearest_for_another(scene, plat):
    provoke(scene.friend, BLUE_END)
    (fault,) = plat.iommu.faults()
    assert fault.domain == scene.red.domain.number
    assert fault.nearest.gpa.v == BOTH_BASE


# ---- overflow -------------------------------------------------------------------------------------


@pytest.mark.machine(*TRIO, fq_log2=4)
@pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
def test_after_an_overflow_the_next_attacker_is_still_reported(scene, plat):
    plat.device("edu4").attach(scene.blue.domain)
    second = Rogue(scene.blue, "edu4", work=BOTH_BASE)
    for turn in range(3):
        assert_write_refused(scene.rogue, BLUE_END, PAGE)  # a thousand records into sixteen slots
        first = plat.iommu.faults()
        assert {f.device for f in first} == {"edu2"}
        assert plat.iommu.fault_stats.overflows == turn + 1
        assert_write_refused(second, BLUE_END + PAGE, 8)
        (fault,) = plat.iommu.faults()
        assert (fault.device, fault.iova) == ("edu4", Iova(BLUE_END + PAGE))


@pytest.mark.machine(*TRIO, fq_log2=4)
def test_the_overflow_bit_is_cleared_by_writing_it(scene, plat):
    """QEMU clears it on any write; the specification wants a one there [IOMMU fqcsr.fqof]."""
    written = []
    assert_write_refused(scene.rogue, BLUE_END, PAGE)
    plat.port.on_write = lambda hpa, width, value: written.append((hpa - plat.iommu_base, value))
    assert plat.iommu.faults()
    assert any(at == FQCSR and value & FQOF and value & 1 for at, value in written)


@pytest.mark.machine(*TRIO, fq_log2=4)
def test_an_overflow_hides_the_second_attacker_only_until_it_is_polled(scene, plat):
    assert_write_refused(scene.rogue, BLUE_END, PAGE)
    assert_write_refused(scene.friend, BLUE_END, 8)  # its record was dropped
    assert {f.device for f in plat.iommu.faults()} == {"edu2"}
    assert plat.iommu.fault_stats.overflows == 1, "that records were lost must be said"
    assert_write_refused(scene.friend, BLUE_END, 8)
    assert {f.device for f in plat.iommu.faults()} == {"edu3"}


def test_the_queue_wraps_without_losing_a_record(scene, plat):
    """Many times around: what was taken is what the hardware wrote."""
    plat.iommu.faults()
    total = 0
    for turn in range(40):
        assert_write_refused(scene.rogue, BLUE_END + turn * PAGE, 512)
        (fault,) = plat.iommu.faults()
        total += fault.count
        assert fault.iova == Iova(BLUE_END + turn * PAGE)
    stats = plat.iommu.fault_stats
    assert (stats.records, stats.overflows) == (total, 0) and total == 40 * 128


def test_more_kinds_than_there_is_room_for_are_counted(scene, plat):
    """Attacks on very many pages that lie apart: reports are few, and every record is accounted for."""
    scene.rogue.arm(mark("attack", 0, length=8))
    for page in range(600):
        scene.rogue.edu.store(BLUE_END + 2 * page * PAGE, 8)
        if page % 200 == 199:  # before the hardware's queue is full
            plat.iommu.poll_faults()
    kept = []
    while more := plat.iommu.take_faults():
        kept += more
    stats = plat.iommu.fault_stats
    assert stats.records == 600 * 2 and stats.overflows == 0
    assert sum(f.count for f in kept) + stats.suppressed == stats.records
    assert kept[0].iova == Iova(BLUE_END)


def test_polling_stays_within_its_budget(scene, plat):
    provoke(scene.rogue, BLUE_END, 256)  # 64 records
    assert [plat.iommu.poll_faults(budget=20) for _ in range(5)] == [20, 20, 20, 4, 0]
    assert sum(f.count for f in plat.iommu.take_faults()) == 64


def test_a_fault_inside_a_region_says_so(scene, plat):
    """A write to what may only be read: the gap is nothing, the region is the one."""
    scene.blue.protect(BLUE_BASE + BIG, PAGE, "r")
    provoke(scene.rogue, BLUE_BASE + BIG + 16)
    faults = plat.iommu.faults()
    assert len(faults) == 1 and faults[0].nearest.gap == 0
    region = faults[0].nearest
    assert region.gpa.v <= BLUE_BASE + BIG + 16 < region.gpa.v + region.len


def test_a_device_that_has_left_is_still_reported_with_its_guest(scene, plat):
    """The record waits in the queue while the device is detached; the report names whose it was."""
    provoke(scene.rogue, BLUE_END)
    plat.devices["edu2"].detach()
    (fault,) = plat.iommu.faults()
    assert (fault.device, fault.domain) == ("edu2", scene.blue.domain.number)
    assert fault.nearest.gpa.v == BLUE_BASE
