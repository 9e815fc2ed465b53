"""First touch: what is absent, what comes, what goes again, and what is promised."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon import (PAGE, Busy, Context, Demand, Discard, Dma, FrameState, Grant, InvalidArgument, NotFound,
                    NotOwner, OutOfMemory, Platform, Revoke, TouchWhat, TranslationFault)

GPA = 0x8000_0000
PAGES = 600


@pytest.fixture
def domain(context):
    with context.domain() as domain:
        yield domain


def absent(domain, gpa):
    try:
        domain.translate(gpa)
    except TranslationFault:
        return True
    return False


def test_a_touch_fills_one_page_with_zeroes(context, domain):
    domain.demand(GPA, PAGES * PAGE, "rw")
    came = domain.touch(GPA + 5 * PAGE + 8, "w")
    assert (came.what, came.level) == (TouchWhat.FILLED, 0)
    assert context.read(came.hpa, PAGE) == bytes(PAGE)
    assert domain.translate(GPA + 5 * PAGE).hpa == came.hpa
    assert context.frame(came.hpa).state is FrameState.OWNED
    assert domain.touch(GPA + 5 * PAGE) == type(came)(TouchWhat.SPURIOUS, came.hpa, 0)
    assert absent(domain, GPA + 4 * PAGE) and absent(domain, GPA + 6 * PAGE)
    context.audit()


def test_a_touch_is_refused_with_the_reason(domain):
    domain.demand(GPA, PAGE, "r")
    with pytest.raises(TranslationFault):
        domain.touch(GPA, "w")
    with pytest.raises(NotFound):
        domain.touch(GPA + PAGE)
    assert absent(domain, GPA)


def test_huge_pages_come_at_once(context, domain):
    domain.demand(GPA, "4M", huge=True)
    came = domain.touch(GPA + 9 * PAGE)
    assert came.level == 1 and domain.translate(GPA).hpa == came.hpa - 9 * PAGE
    assert [leaf.len for leaf in domain.leaves()] == [0x20_0000]
    context.audit()


def test_populate_discard_and_again(context, domain):
    domain.demand(GPA, PAGES * PAGE)
    domain.populate(GPA + PAGE, 100 * PAGE)
    assert context.stats().owned == 100 * PAGE
    domain.discard(GPA, 50 * PAGE)
    domain.discard(GPA, 50 * PAGE)
    assert context.stats().owned == 51 * PAGE
    assert absent(domain, GPA + 49 * PAGE) and not absent(domain, GPA + 50 * PAGE)
    assert domain.touch(GPA + 7 * PAGE).what is TouchWhat.FILLED
    context.audit()


def test_what_is_pinned_is_filled_and_stays(context, domain):
    domain.demand(GPA, 8 * PAGE)
    domain.pin(GPA, 4 * PAGE)
    assert context.stats().owned == 4 * PAGE
    with pytest.raises(NotOwner):
        domain.discard(GPA, 8 * PAGE)
    domain.log(GPA, 8 * PAGE)  # the other mark stays
    with pytest.raises(NotOwner):
        domain.discard(GPA, 4 * PAGE)
    domain.pin(GPA, 4 * PAGE, on=False)
    domain.discard(GPA, 8 * PAGE)
    assert context.stats().owned == 0
    with pytest.raises(NotFound):
        domain.pin(GPA, 9 * PAGE)
    context.audit()


def test_only_demand_regions_are_discarded(context, domain):
    domain.grant(GPA, context.alloc(PAGE))
    with pytest.raises(NotOwner):
        domain.discard(GPA, PAGE)
    assert not absent(domain, GPA)


def test_memory_that_runs_out_is_an_error_and_a_promise_is_none(context, domain):
    free = context.stats().free
    with pytest.raises(OutOfMemory):
        domain.demand(GPA, free, promised=True)
    domain.demand(GPA, free // 2 // PAGE * PAGE, promised=True)
    domain.demand(0, 2 * free)
    with pytest.raises(OutOfMemory):
        domain.populate(0, 2 * free)
    domain.populate(GPA, free // 2 // PAGE * PAGE)  # what others took does not matter
    context.audit()


def test_devices_want_all_of_it_present():
    with Platform("model", [Dma(4, name="dma")], ram="16M") as platform:
        domain, device = platform.guest("guest").domain, platform.device("dma")
        domain.demand(GPA, 4 * PAGE)
        with pytest.raises(Busy):
            device.attach(domain)
        domain.populate(GPA, 4 * PAGE)
        device.attach(domain)
        with pytest.raises(Busy):
            domain.discard(GPA, PAGE)
        with pytest.raises(Busy):
            domain.demand(0, PAGE)
        domain.demand(0, PAGE, dma=False)
        device.detach()
        domain.discard(GPA, PAGE)
        platform.context.audit()


def test_operations_say_what_they_are():
    with pytest.raises(InvalidArgument), Context("16M") as context, context.domain() as domain:
        domain.change([Grant(GPA, [], pin=True)])
    with Context("16M") as context, context.domain() as domain:
        domain.change([Demand(GPA, PAGE, "rw"), Demand(0, "4K", huge=True)])
        domain.change([Discard(GPA, PAGE), Revoke(0, PAGE)])


step = st.tuples(st.sampled_from(["touch", "populate", "discard", "pin", "unpin", "revoke", "demand"]),
                 st.integers(0, PAGES - 1), st.integers(1, 80))


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(step, max_size=25))
def test_presence_is_as_a_set_says(huge, promised, steps):
    """Whatever the order: each page is absent or present as a plain model has it, zeroed when it comes, and
    memory is accounted for."""
    with Context("24M") as context, context.domain() as domain:
        domain.demand(GPA, PAGES * PAGE, huge=huge, promised=promised)
        inside, present, pinned = set(range(PAGES)), set(), set()
        for what, first, count in steps:
            pages = range(first, min(first + count, PAGES))
            at, size = GPA + first * PAGE, len(pages) * PAGE
            covered, clear = inside.issuperset(pages), inside.isdisjoint(pages)
            if what == "touch" and first in inside:
                came = domain.touch(at)
                assert (came.what is TouchWhat.SPURIOUS) == (first in present)
                if came.what is TouchWhat.FILLED:
                    assert context.read(came.hpa, PAGE) == bytes(PAGE)
                    context.write(came.hpa, b"\xa5" * PAGE)
            elif what == "populate" and covered:
                domain.populate(at, size)
            elif what == "pin" and covered:
                domain.pin(at, size)
                pinned |= set(pages)
            elif what == "unpin" and covered:
                domain.pin(at, size, on=False)
                pinned -= set(pages)
            elif what == "discard" and covered and pinned.isdisjoint(pages):
                domain.discard(at, size)
            elif what == "revoke" and covered:
                domain.revoke(at, size)
                inside, pinned = inside - set(pages), pinned - set(pages)
            elif what == "demand" and clear:
                domain.demand(at, size, promised=promised)
                inside |= set(pages)
            now = {page for page in range(PAGES) if not absent(domain, GPA + page * PAGE)}
            check(what, pages, present, now, huge, inside, pinned, covered)
            present = now
            context.audit()
            assert context.stats().owned == len(present) * PAGE


def check(what, pages, before, now, huge, inside, pinned, covered):
    """What came and went in one step."""
    assert pinned <= now <= inside
    if what in ("populate", "pin") and covered:
        assert now >= set(pages)
    if what in ("touch", "populate", "pin"):
        assert now >= before
        assert huge or now - before <= set(pages)
    elif what in ("discard", "revoke"):
        assert now <= before and before - now <= set(pages)
