"""Counters of an IOMMU from Python, on the software one."""
import pytest

from cordon import HpmEvent, InvalidArgument, LimitReached, NotSupported, Platform, UseAfterClose
from cordon.model import CAPABILITIES

HPM = 1 << 30


@pytest.fixture
def plat():
    with Platform("model", ram="16M") as platform:
        yield platform


@pytest.fixture
def dma(plat):
    """Two devices of a guest that read 64 bytes each time they are called."""
    red = plat.guest("red")
    devices = [plat.device(name) for name in ("00:02.0", "00:03.0")]
    with red.assign(devices[0]), red.assign(devices[1]):
        buf = red.map(devices[0], size="4K")
        yield [lambda device=device: device.dma.read(buf.iova, 64) for device in devices]


def test_a_counter_counts_one_devices_requests_until_it_is_closed(plat, dma):
    with plat.iommu.count(HpmEvent.UNTRANSLATED, device_id=0x10) as counter:
        assert counter.value == 0 and repr(counter) == f"<HpmCounter UNTRANSLATED {counter.number}>"
        dma[0]()
        dma[1]()
        dma[0]()
        assert counter.value == 2
    assert repr(counter) == "<HpmCounter UNTRANSLATED closed>"
    with pytest.raises(UseAfterClose):
        _ = counter.value
    counter.close()


def test_the_cycles_go_on(plat, dma):
    before = plat.iommu.cycles
    dma[0]()
    assert plat.iommu.cycles > before


def test_what_cannot_be_counted_is_refused(plat):
    counters = [plat.iommu.count(HpmEvent.TLB_MISS) for _ in range(plat.iommu.info.hpm_counters)]
    with pytest.raises(LimitReached):
        plat.iommu.count(HpmEvent.TLB_MISS)
    counters.pop().close()
    with pytest.raises(NotSupported):
        plat.iommu.count(HpmEvent.TRANSLATED)
    with pytest.raises(InvalidArgument):
        plat.iommu.count(HpmEvent.UNTRANSLATED, gscid=1)
    with pytest.raises(ValueError, match="not of both"):
        plat.iommu.count(HpmEvent.TLB_MISS, gscid=1, device_id=1)


def test_an_iommu_without_counters_says_so():
    with Platform("model", ram="16M", capabilities=CAPABILITIES & ~HPM) as plat:
        assert plat.iommu.info.hpm_counters == 0
        with pytest.raises(NotSupported):
            plat.iommu.count(HpmEvent.UNTRANSLATED)
