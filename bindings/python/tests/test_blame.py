"""A refusal names the argument that it is about, its value and the limit."""
import pytest

from cordon import (PAGE, AlreadyExists, Context, CordonError, Extent, Grant, Hpa, InvalidArgument, Misaligned,
                    NotFound, NotOwner, OutOfRange, Protect, Revoke)

LIMIT = 1 << 30


@pytest.fixture
def both():
    """Two domains, and 16 KiB of the first's at 0x1000."""
    with Context("16M") as context:
        red, blue = context.domain(LIMIT), context.domain(LIMIT)
        red.grant(0x1000, context.scatter("16K", seed=4), "rw")
        yield red, blue


def free(domain):
    return domain.context.scatter("8K", seed=5)


def discard_pinned(domain):
    domain.demand(0, "64K")
    domain.pin(0x2000, "8K")
    domain.discard(0, "64K")


def slots(domain, *places):
    """Slots of 8 KiB, from slot 0 on."""
    space = domain.space()
    for number, gpa in enumerate(places):
        space.slot(number, gpa, extents=domain.context.alloc("8K"))


REFUSED = {
    "gpa that is no page": (lambda red, blue: red.grant(0x9001, free(red)), Misaligned, "gpa",
                            "gpa=0x9001 is no multiple of 0x1000"),
    "length that is no page": (lambda red, blue: red.revoke(0x1000, 100), Misaligned, "len", "len=0x64"),
    "extent that is no page": (lambda red, blue: red.grant(0x9000, [*free(red), Extent(Hpa(0x8000_0800), PAGE)]),
                               Misaligned, "extents[2].hpa", r"extents\[2\].hpa=0x80000800 is no"),
    "nothing": (lambda red, blue: red.revoke(0x1000, 0), OutOfRange, "len", "len is 0"),
    "end beyond the domain": (lambda red, blue: red.grant(LIMIT - PAGE, free(red)), OutOfRange, "gpa",
                              "gpa=0x3ffff000 and 0x2000 bytes end at 0x40001000, beyond the 0x40000000 of domain 1"),
    "end beyond the borrower": (lambda red, blue: red.share(blue, 0x1000, LIMIT, PAGE), OutOfRange, "to",
                                "to=0x40000000 .* of domain 2"),
    "no extent": (lambda red, blue: red.grant(0x9000, []), InvalidArgument, "extents", "extents is empty"),
    "write alone": (lambda red, blue: red.protect(0x1000, PAGE, "w"), InvalidArgument, "perms",
                    "perms=-w- is none that tables can say: r--, rw-, --x, r-x, rwx"),
    "loan to oneself": (lambda red, blue: red.share(red, 0x1000, 0x9000, PAGE), InvalidArgument, "borrower",
                        "the lender itself"),
    "no RAM": (lambda red, blue: red.grant(0x9000, [Extent(Hpa(0x1000), PAGE)]), NotOwner, "extents[0]",
               r"extents\[0\]: 0x1000 is no RAM"),
    "another's frame": (lambda red, blue: blue.grant(0, [*free(blue), Extent(red.translate(0x1000).hpa, PAGE)]),
                        NotOwner, "extents[2]", r"frame 0x\w+ is OWNED \(domain 1\); only frames that are HELD"),
    "what stands": (lambda red, blue: red.grant(0x2000, free(red)), AlreadyExists, "gpa",
                    "gpa=0x2000: 0x1000-0x4fff of domain 1 stands in the way"),
    "what stands there": (lambda red, blue: red.move(0x1000, 0x3000, 2 * PAGE), AlreadyExists, "to",
                          "to=0x3000: 0x1000-0x4fff of domain 1"),
    "a hole": (lambda red, blue: red.revoke(0x3000, 4 * PAGE), NotFound, "gpa",
               "gpa=0x3000: nothing stands at 0x5000 in domain 1"),
    "one of several": (lambda red, blue: red.change([Revoke(0x1000, PAGE), Grant(0x9000, free(red), "w")]),
                       InvalidArgument, "ops[1].perms", r"ops\[1\].perms=-w-"),
    "the last of several": (lambda red, blue: red.change([Revoke(0x1000, PAGE), Protect(0x9000, PAGE, "r")]),
                            NotFound, "ops[1].gpa", r"ops\[1\].gpa=0x9000: nothing stands at 0x9000"),
    "what never was first touch": (lambda red, blue: red.discard(0x1000, PAGE), NotOwner, "gpa",
                                   "0x1000-0x4fff of domain 1 is no region of first touch"),
    "what is pinned": (lambda red, blue: discard_pinned(blue), NotOwner, "gpa", "0x2000-0x3fff of domain 2 is pinned"),
    "slots that overlap": (lambda red, blue: slots(blue, 0x1000, 0x2000), AlreadyExists, "gpa",
                           "gpa=0x2000: slot 0 has 0x1000-0x2fff"),
    "slot that is no page": (lambda red, blue: slots(blue, 0x1100), Misaligned, "gpa", "gpa=0x1100 is no multiple"),
    "slot beyond the domain": (lambda red, blue: slots(blue, LIMIT - PAGE), OutOfRange, "gpa", "of domain 2"),
    "no slot to delete": (lambda red, blue: blue.space().slot_delete(7), NotFound, "slot", "there is no slot 7:"),
    "slot without backing": (lambda red, blue: blue.space().slot(7, 0, PAGE), NotFound, "slot",
                             "there is no slot 7 whose backing could be kept"),
}


@pytest.mark.parametrize("refused, kind, argument, sentence", REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_its_argument(both, refused, kind, argument, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        refused(*both)
    assert caught.value.argument == argument
    both[0].context.audit()


def test_what_cannot_be_told_is_not_guessed(both):
    with pytest.raises(CordonError) as caught:
        both[0].change([Grant(0x9000, iter([Extent(Hpa(0x1000), PAGE)]))])
    assert caught.value.argument is None
