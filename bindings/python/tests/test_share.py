"""Loans between domains and ranges that move, from Python: what reaches which bytes, and what is refused."""
import pytest

from cordon import Busy, Cause, Context, NotOwner, Platform, TranslationFault
from cordon.checks import findings

PAGE = 0x1000
OURS, THEIRS = 0x8000_0000, 0x4000_0000


@pytest.fixture
def pair():
    """A context, a domain with 16 scattered pages, and one with nothing."""
    with Context("16M") as machine:
        red, blue = machine.domain(), machine.domain()
        red.grant(OURS, machine.scatter("64K", pieces=[0], seed=3))
        yield machine, red, blue
        machine.audit()


def test_loan_leads_to_the_owners_bytes_with_its_own_rights(pair):
    machine, red, blue = pair
    red.share(blue, OURS + PAGE, THEIRS, 2 * PAGE, "r")
    frame = red.translate(OURS + PAGE).hpa
    assert blue.translate(THEIRS, "r").hpa == frame
    with pytest.raises(TranslationFault):
        blue.translate(THEIRS, "w")
    assert [(loan.domain, int(loan.gpa)) for loan in machine.borrowers(frame)] == [(blue.number, THEIRS)]
    assert machine.borrowers(red.translate(OURS).hpa) == []
    assert machine.frame(frame).domain == red.number


def test_owner_cannot_take_back_what_is_borrowed_until_the_borrower_has_let_go(pair):
    _, red, blue = pair
    red.share(blue, OURS, THEIRS, PAGE)
    with pytest.raises(Busy):
        red.revoke(OURS, 16 * PAGE)
    assert blue.translate(THEIRS).hpa == red.translate(OURS).hpa
    blue.revoke(THEIRS, PAGE)
    red.revoke(OURS, 16 * PAGE)


def test_more_than_the_owner_may_is_refused(pair):
    _, red, blue = pair
    red.protect(OURS, PAGE, "r")
    with pytest.raises(NotOwner) as error:
        red.share(blue, OURS, THEIRS, PAGE, "rw")
    assert error.value.borrower == blue.number and int(error.value.to) == THEIRS
    with pytest.raises(TranslationFault):
        blue.translate(THEIRS)


def test_context_closes_owners_after_their_borrowers():
    with Context("16M") as machine:
        red, blue = machine.domain(), machine.domain()
        red.grant(OURS, machine.scatter("4K", pieces=[0]))
        red.share(blue, OURS, THEIRS, PAGE)
    assert machine.children == []


def test_moved_range_keeps_its_frames(pair):
    machine, red, _ = pair
    frame = red.translate(OURS + 2 * PAGE).hpa
    machine.write(frame, b"stays")
    red.move(OURS + 2 * PAGE, THEIRS, PAGE)
    assert red.translate(THEIRS).hpa == frame and machine.read(frame, 5) == b"stays"
    with pytest.raises(TranslationFault):
        red.translate(OURS + 2 * PAGE)


def test_replaced_frames_are_free_again(pair):
    machine, red, _ = pair
    old = red.translate(OURS).hpa
    new = machine.alloc(PAGE)
    red.replace(OURS, new)
    assert red.translate(OURS).hpa == new.hpa and machine.frame(old).domain == 0


@pytest.mark.parametrize("backend", ["model", "qemu"])
def test_borrowers_device_reaches_the_loan_and_nothing_after_it(backend):
    with Platform(backend) as platform:
        red, blue = platform.guest("red", "64K"), platform.guest("blue")
        device = platform.device("00:02.0")
        lent = int(red.ram.iova) + PAGE
        red.domain.share(blue.domain, lent, THEIRS, PAGE)
        frame = red.domain.translate(lent).hpa
        with blue.assign(device):
            device.dma.write(THEIRS + 16, b"through the loan")
            assert platform.context.read(frame + 16, 16) == b"through the loan"
            with platform.expect_fault(device, Cause.WRITE_GUEST_PAGE):
                device.dma.write(THEIRS + PAGE, b"past it")
            blue.domain.revoke(THEIRS, PAGE)
            before = platform.context.read(frame, PAGE)
            with platform.expect_fault(device, Cause.WRITE_GUEST_PAGE):
                device.dma.write(THEIRS, b"after it")
            assert platform.context.read(frame, PAGE) == before
        assert findings(platform) == []


def test_domains_that_lend_to_each_other_are_closed_with_their_context():
    with Context("16M") as machine:
        domains = [machine.domain() for _ in range(3)]
        for n, domain in enumerate(domains):
            domain.grant(OURS, machine.alloc(PAGE))
        for n, domain in enumerate(domains):
            domain.share(domains[n - 1], OURS, THEIRS, PAGE)
        with pytest.raises(Busy):
            domains[0].close()
    assert not any(domain.is_open for domain in domains)


def test_loans_that_a_test_leaves_are_taken_down_with_its_guests():
    with Platform("model", ram="16M") as plat:
        red, blue = plat.guest("red", "64K"), plat.guest("blue", "64K")
        for lender, borrower in ((red, blue), (blue, red)):
            lender.domain.share(borrower.domain, lender.ram.gpa, THEIRS, PAGE)
        assert findings(plat) == []
