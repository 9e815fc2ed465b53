"""Harts that run domains: VMIDs and their generations, and who is told of changes."""
import pytest

from cordon import PAGE, Busy, Context, Entry, LimitReached, NotFound

GPA = 0x1_0000_0000


class Harts:
    """A port that remembers which harts were told what."""

    def __init__(self):
        self.told, self.everything = [], []

    def hart_fence(self, harts, vmid, gpa, length):
        self.told.append((harts, vmid, gpa, length))

    def hart_fence_all(self, harts):
        self.everything.append(harts)


@pytest.fixture
def port():
    return Harts()


@pytest.fixture
def small(port):
    """A machine whose harts have two VMIDs."""
    with Context("16M", port=port, vmid_bits=1) as context:
        yield context
        context.audit()


def test_one_call_tells_all_harts_that_ran_it_and_no_other(small, port):
    domain, other = small.domain(), small.domain()
    domain.grant(GPA, small.alloc(4 * PAGE))
    domain.revoke(GPA, PAGE)
    assert not port.told and domain.fences.nobody == 1
    entry = domain.enter(3)
    assert isinstance(entry, Entry) and entry.forget and entry.hgatp >> 60 == domain.hgatp >> 60
    assert domain.enter(63).hgatp == entry.hgatp
    other.enter(1)
    domain.leave(63)
    domain.revoke(GPA + PAGE, PAGE)
    assert port.told == [(1 << 3 | 1 << 63, entry.vmid, GPA + PAGE, PAGE)]
    assert (domain.fences.asked, domain.fences.ranges, domain.fences.whole, domain.fences.harts) == (2, 1, 0, 2)
    assert not domain.enter(63).forget, "it was told while it was away"
    for hart, who in (3, domain), (63, domain), (1, other):
        who.leave(hart)


def test_vmids_run_out_and_begin_anew(small, port):
    a, b, c = (small.domain() for _ in range(3))
    kept = a.enter(0)
    lost = b.enter(1)
    with pytest.raises(LimitReached):
        c.enter(2)
    b.leave(1)
    assert small.vmids().generation == 1 and not port.everything
    assert c.enter(2).vmid == lost.vmid
    assert small.vmids().generation == 2 and port.everything == [0b11]
    assert a.enter(5).hgatp == kept.hgatp
    assert (small.vmids().running, small.vmids().bits) == (2, 1)
    for hart, who in (0, a), (5, a), (2, c):
        who.leave(hart)


def test_what_runs_is_neither_entered_twice_nor_closed(small):
    domain, other = small.domain(), small.domain()
    domain.enter(0)
    with pytest.raises(Busy):
        other.enter(0)
    with pytest.raises(Busy):
        domain.close()
    with pytest.raises(NotFound):
        other.leave(0)
    domain.leave(0)
    domain.close()
