"""Dirty logging from Python: what harvests tell beside a plain set of pages, and what devices write."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon import (PAGE, Context, Dma, Drain, InvalidArgument, Mark, NotFound, NotOwner, PageSet, Platform,
                    Revoke)
from cordon.backends import BACKENDS
from cordon.checks import findings
from cordon.model import CAPABILITIES
from cordon.qemu import Edu
from cordon.devices import EduDriver

AMO_HWAD = 1 << 24
BASE, PAGES = 0x4000_0000, 1200
BIG = 2 << 20

RANGES = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 600)).map(lambda r: (r[0], min(r[1], PAGES - r[0])))
STEPS = st.lists(st.one_of(
    st.tuples(st.just("write"), st.integers(0, PAGES * PAGE - 1), st.integers(1, 3 * PAGE)),
    st.tuples(st.just("on"), RANGES), st.tuples(st.just("off"), RANGES),
    st.tuples(st.just("harvest"), RANGES), st.tuples(st.just("look"), RANGES),
    st.tuples(st.just("coalesce"), RANGES)), max_size=30)


def at(page):
    return BASE + page * PAGE


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_harvests_tell_what_a_set_of_pages_would(steps):
    logged, dirty = set(), set()
    with Context("16M") as context, context.domain() as domain:
        domain.grant(BASE, context.alloc(PAGES * PAGE, align=BIG), "rw")
        before = [domain.translate(at(page)).hpa for page in range(0, PAGES, 37)]
        for what, *rest in steps:
            if what == "write":
                offset, length = rest[0], min(rest[1], PAGES * PAGE - rest[0])
                domain.written(BASE + offset, length)
                dirty |= set(range(offset // PAGE, (offset + length - 1) // PAGE + 1)) & logged
                continue
            first, count = rest[0]
            pages = set(range(first, first + count))
            if what in ("on", "off"):
                domain.log(at(first), count * PAGE, what == "on")
                logged = logged | pages if what == "on" else logged - pages
                dirty &= logged
            elif what == "coalesce":
                domain.coalesce(at(first), count * PAGE, budget=1)
            elif not pages <= logged:
                with pytest.raises(NotOwner):
                    domain.harvest(at(first), count * PAGE)
            else:
                found = domain.harvest(at(first), count * PAGE, keep=what == "look")
                assert {(int(gpa) - BASE) // PAGE for gpa in found.dirty} == pages & dirty
                assert (found.logged, found.unknown) == (count, 0)
                dirty -= pages if what == "harvest" else set()
            context.audit()
        assert [domain.translate(at(page)).hpa for page in range(0, PAGES, 37)] == before


def test_a_page_set_is_a_set_of_addresses():
    pages = PageSet(BASE, bytes([0b101, 0, 0x80]))
    assert [int(gpa) for gpa in pages] == [at(0), at(2), at(23)]
    assert len(pages) == 3
    assert at(2) in pages and at(2) + 5 in pages
    assert at(1) not in pages and BASE - PAGE not in pages and at(24) not in pages


def test_what_is_not_logged_is_refused_by_name(context):
    with context.domain() as domain:
        domain.grant(BASE, context.alloc(4 * PAGE), "rw")
        with pytest.raises(NotOwner) as error:
            domain.harvest(BASE, 4 * PAGE)
        assert error.value.len == 4 * PAGE
        with pytest.raises(NotFound):
            domain.harvest(0, PAGE)
        with pytest.raises(NotFound):
            domain.log(BASE, 5 * PAGE)
        with pytest.raises(InvalidArgument):
            domain.change([Mark(BASE, PAGE, log=True), Revoke(BASE, PAGE)])
        with pytest.raises(NotFound):
            domain.harvest(BASE + 4 * PAGE, PAGE)


def test_a_harvest_says_what_it_found(context):
    with context.domain() as domain:
        domain.grant(BASE, context.alloc(4 * PAGE), "rw")
        domain.log(BASE, 4 * PAGE)
        domain.written(BASE + PAGE, 1)
        found = domain.harvest(BASE, 4 * PAGE, used=True)
        assert str(found) == "4 pages logged: 1 dirty, 4 used"
        assert found.words == 4


@pytest.fixture(params=[True, False], ids=["hwad", "plain"])
def marking(request):
    return request.param


def logged_guest(plat, *parts):
    """A guest with two large pages, a device of it, and logging on."""
    guest = plat.guest("red")
    device = plat.device(parts[0] if parts else "dma2")
    guest.grant(BASE, [plat.context.alloc(2 * BIG, align=BIG)])
    return guest, device


def test_dma_is_told_by_the_iommu_or_counts_as_possible(marking):
    with Platform("model", capabilities=CAPABILITIES | AMO_HWAD if marking else CAPABILITIES) as plat:
        guest, nic = logged_guest(plat)
        with guest.assign(nic):
            nic.dma.write(BASE, b"before")
            guest.domain.log(BASE, 2 * BIG)
            assert nic.dma.read(BASE, 6) == b"before"
            for page in (0, 7, 512, 1023):
                nic.dma.write(at(page) + 40, b"while it is logged")
            nic.dma.read(at(600), 8)
            found = guest.domain.harvest(BASE, 2 * BIG)
            if marking:
                assert [int(gpa) for gpa in found.dirty] == [at(0), at(7), at(512), at(1023)]
                assert found.unknown == 0
                nic.dma.write(at(7), b"the IOMMU remembers D of this page, if nobody told it")
                assert [int(gpa) for gpa in guest.domain.harvest(BASE, 2 * BIG).dirty] == [at(7)]
                assert len(guest.domain.harvest(BASE, 2 * BIG).dirty) == 0
            else:
                assert len(found.dirty) == found.unknown == 1024
            guest.domain.log(BASE, 2 * BIG, False)
            nic.dma.write(BASE, b"after")
            guest.domain.coalesce(BASE, 2 * BIG)
            nic.dma.write(BASE + BIG, b"after")
        assert findings(plat) == []


def test_a_device_that_translates_ahead_is_never_known(marking):
    parts = [Dma(2, drain=Drain.RESET)]
    with Platform("model", parts, capabilities=CAPABILITIES | (AMO_HWAD if marking else 0)) as plat:
        guest, nic = logged_guest(plat)
        with guest.assign(nic):
            guest.domain.log(BASE, 2 * BIG)
            nic.dma.write(at(5), b"somewhere")
            assert guest.domain.harvest(BASE, 2 * BIG).unknown == 1024
        assert findings(plat) == []


@pytest.mark.skipif(BACKENDS["qemu"].missing() is not None, reason="no QEMU")
def test_qemus_devices_write_on_while_pages_are_logged():
    """QEMU 10's IOMMU sets no D: whatever its devices may write counts, and none of it is refused."""
    with Platform("qemu", [Edu(2)]) as plat:
        guest, device = logged_guest(plat, "edu2")
        with guest.assign(device):
            edu = EduDriver(plat.function("edu2"))
            guest.write(BASE, b"from here")
            guest.domain.log(BASE, 2 * BIG)
            edu.load(BASE, 16)
            edu.store(at(600), 16)
            assert guest.read(at(600), 9) == b"from here"
            found = guest.domain.harvest(BASE, 2 * BIG)
            assert at(600) in found.dirty and found.unknown == 1024
            edu.store(at(601), 16)
            assert guest.read(at(601), 9) == b"from here"
            guest.domain.log(BASE, 2 * BIG, False)
            guest.domain.coalesce(BASE, 2 * BIG)
            edu.store(at(602), 16)
            assert guest.read(at(602), 9) == b"from here"
        assert findings(plat) == []
