"""QEMU's own counters, through the library: what they count, whose it is, and how many there are."""
import pytest

from cordon import HpmEvent, LimitReached, NotSupported
from cordon.qemu import Edu
from scene import BLUE_BASE, WORK

DDT_LEVELS = 3  # 16 bits of device id
G_LEVELS = 3    # Sv39x4


def values(counters):
    return [counter.value for counter in counters]


@pytest.fixture
def pair(scene):
    """The function that has edu2, which is blue's, or edu3, which is red's, fetch 64 bytes."""
    drivers = {"edu2": scene.rogue.edu, "edu3": scene.friend.edu}
    return lambda name, iova=WORK: drivers[name].load(iova, 64)


def test_requests_misses_and_words_of_walks(pair, plat):
    iommu, edu2 = plat.iommu, plat.devices["edu2"].device_id
    counters = [iommu.count(event, device_id=edu2) for event in (
        HpmEvent.UNTRANSLATED, HpmEvent.TLB_MISS, HpmEvent.DDT_WALK, HpmEvent.SECOND_WALK, HpmEvent.FIRST_WALK)]
    pair("edu2")
    assert values(counters) == [1, 1, DDT_LEVELS, G_LEVELS, 0]
    pair("edu2")
    assert values(counters) == [2, 1, DDT_LEVELS, G_LEVELS, 0]
    pair("edu2", BLUE_BASE)  # in a leaf of 2 MiB
    assert values(counters) == [3, 2, DDT_LEVELS, 2 * G_LEVELS - 1, 0]


def test_each_page_of_a_large_leaf_misses_once(pair, plat):
    """QEMU remembers 4 KiB of it at a time: docs/qemu-differences.md."""
    with plat.iommu.count(HpmEvent.TLB_MISS) as misses, plat.iommu.count(HpmEvent.UNTRANSLATED) as requests:
        for page in range(8):
            pair("edu2", BLUE_BASE + page * 4096)
            pair("edu2", BLUE_BASE + page * 4096)
        assert (requests.value, misses.value) == (16, 8)


def test_another_devices_requests_are_not_counted(pair, plat):
    numbers = [plat.devices[name].device_id for name in ("edu2", "edu3")]
    ours, theirs = (plat.iommu.count(HpmEvent.UNTRANSLATED, device_id=number) for number in numbers)
    either = plat.iommu.count(HpmEvent.UNTRANSLATED, device_id=numbers[0] | 7, partial=True)  # 0x10 to 0x1f
    pair("edu2")
    assert values([ours, theirs, either]) == [1, 0, 1]
    pair("edu3")
    pair("edu3")
    assert values([ours, theirs, either]) == [1, 2, 3]


def test_a_domain_is_counted_by_its_gscid(pair, plat, scene):
    blue, red = (plat.iommu.count(HpmEvent.TLB_MISS, gscid=guest.domain.number) for guest in (scene.blue, scene.red))
    pair("edu2")
    assert values([blue, red]) == [1, 0]
    pair("edu3")
    assert values([blue, red]) == [1, 1]


def test_counting_leaves_what_is_cached(pair, plat):
    pair("edu2")
    with plat.iommu.count(HpmEvent.TLB_MISS) as misses, plat.iommu.count(HpmEvent.DDT_WALK) as walks:
        pair("edu2")
        assert (misses.value, walks.value) == (0, 0)
    plat.context.audit()


@pytest.mark.machine(Edu(2), Edu(3), globals_=["riscv-iommu.hpm-counters=3"])
def test_there_are_as_many_as_can_be_written(pair, plat):
    iommu = plat.iommu
    assert iommu.info.hpm_counters == 3
    counters = [iommu.count(HpmEvent.UNTRANSLATED) for _ in range(3)]
    with pytest.raises(LimitReached):
        iommu.count(HpmEvent.TLB_MISS)
    pair("edu2")
    counters[1].close()
    pair("edu2")
    with iommu.count(HpmEvent.UNTRANSLATED) as again:
        pair("edu2")
        assert values([counters[0], again, counters[2]]) == [3, 1, 3]


@pytest.mark.machine(Edu(2), Edu(3), globals_=["riscv-iommu.hpm-counters=0"])
def test_an_iommu_without_counters_says_so(plat):
    assert plat.iommu.info.hpm_counters == 0
    with pytest.raises(NotSupported):
        plat.iommu.count(HpmEvent.UNTRANSLATED)
    with pytest.raises(NotSupported):
        _ = plat.iommu.cycles
