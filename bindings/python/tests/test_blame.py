"""A refusal names the argument that it is about, its value and the limit."""
import pickle

import pytest

from cordon import (PAGE, AlreadyExists, Busy, Context, CordonError, Extent, Grant, Hpa, InvalidArgument, Misaligned,
                    NotFound, NotOwner, OutOfMemory, OutOfRange, Protect, Revoke)

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


def nodes(domain, *places):
    """RAM of 8 KiB each, called a, b and so on, in one update."""
    space = domain.space()
    with space.update():
        for name, gpa in zip("abc", places):
            space.ram(name, gpa, domain.context.alloc("8K"))
    return space


def no_container(domain):
    """A container goes that has something in it."""
    space = domain.space()
    box = space.container("box", 0, "64K")
    space.ram("ram", 0, domain.context.alloc("8K"), parent=box)
    box.remove()


def no_node(domain):
    node = next(nodes(domain, 0).nodes())
    node.remove()
    node.remove()


def grown_by_anothers(domain, frame):
    """RAM that keeps the frames it has, and is to get one of another domain."""
    space, own = domain.space(), domain.context.alloc("8K")
    space.ram("a", 0, own).set(extents=[own, Extent(frame, PAGE)], length="12K")


def overlap_after(space, *steps):
    """In one update: STEPS, of which the library minds none; then two nodes that overlap."""
    with space.update():
        for step in steps:
            step()
        for name, at in (("x", 0x20000), ("y", 0x21000)):
            space.ram(name, at, space.context.alloc("8K"))


def moved_twice(domain):
    space = nodes(domain, 0, 0x10000)
    a = next(space.nodes())
    overlap_after(space, lambda: a.set(at=0x10000), lambda: a.set(at=0x40000))


def nowhere_twice(domain):
    space = domain.space()
    overlap_after(space, *2 * [lambda: space.container("box", 0, "64K", parent=space.nowhere)])


def container_over_a_grant(domain):
    space = domain.space()
    overlap_after(space, lambda: space.container("box", 0, "64K"))


def two_in_one(domain):
    """Two nodes in a third one, the one that is behind the other first."""
    space = domain.space()
    space.container("wide", 0, "64K")
    with space.update():
        for name, at in (("behind", 0x8000), ("before", 0x1000)):
            space.ram(name, at, domain.context.alloc("4K"))


def half_logged(domain):
    domain.log(0x1000, PAGE)
    domain.harvest(0x1000, 2 * PAGE)


def relocate_pinned(domain):
    domain.pin(0x2000, PAGE)
    domain.relocate(0x1000, 4 * PAGE)


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
    "node that is no page": (lambda red, blue: nodes(blue, 0x1100), Misaligned, "at",
                             ": a: at=0x1100 is no multiple of 0x1000"),
    "one node of several": (lambda red, blue: nodes(blue, 0, 0x4800), Misaligned, "edits[1].at",
                            r": edits\[1\] b: at=0x4800 is no multiple"),
    "nodes that overlap": (lambda red, blue: nodes(blue, 0, 0x1000), AlreadyExists, "edits[0].at",
                           "a: at=0x0: b has 0x1000-0x2fff, with the same priority 0"),
    "what is not of this space": (lambda red, blue: nodes(red, 0x4000), AlreadyExists, "at",
                                  "0x1000-0x4fff of domain 1 stands in the way, and is not of this space"),
    "node beyond the domain": (lambda red, blue: nodes(blue, LIMIT), OutOfRange, "at", "beyond the 0x40000000 of domain 2"),
    "node that is written alone": (lambda red, blue: blue.space().ram("a", 0, free(blue), "w"), InvalidArgument, "perms",
                                   "a: perms=-w- is none that tables can say"),
    "node longer than its frames": (lambda red, blue: blue.space().ram("a", 0, free(blue), length="64K"),
                                    InvalidArgument, "extents", "extents have 0x2000 bytes, the node 0x10000"),
    "node of another's frame": (lambda red, blue: blue.space().ram("a", 0, [Extent(red.translate(0x1000).hpa, PAGE)]),
                                NotOwner, "extents[0]", r"a: extents\[0\]: frame 0x\w+ is OWNED \(domain 1\)"),
    "node that grows by another's frame": (lambda red, blue: grown_by_anothers(blue, red.translate(0x1000).hpa),
                                           NotOwner, "extents[1]", r"extents\[1\]: frame 0x\w+ is OWNED \(domain 1\)"),
    "not where a node was in between": (lambda red, blue: moved_twice(blue), AlreadyExists, "edits[2].at", "x: at=0x20000: y"),
    "two nodes in a third": (lambda red, blue: two_in_one(blue), AlreadyExists, "edits[0].at", "behind: at=0x8000: wide has 0x0-0xffff"),
    "not what is nowhere": (lambda red, blue: nowhere_twice(blue), AlreadyExists, "edits[2].at", "x: at=0x20000: y"),
    "not a container": (lambda red, blue: container_over_a_grant(red), AlreadyExists, "edits[1].at", "x: at=0x20000: y"),
    "run above its highest": (lambda red, blue: red.context.alloc("8K", highest=0x100000), OutOfMemory, "highest",
                              "no free run of 0x2000 bytes has highest=0x100000"),
    "container of something": (lambda red, blue: no_container(blue), Busy, "node", "box: ram lies in it"),
    "node that has gone": (lambda red, blue: no_node(blue), NotFound, "node", "a: there is no such node"),
    "nothing logged": (lambda red, blue: red.harvest(0x9000, PAGE), NotFound, "gpa",
                       r"nothing of 0x9000-0x9fff of domain 1 is logged: log\(\) begins it"),
    "half of it logged": (lambda red, blue: half_logged(red), NotOwner, "gpa", "0x2000-0x4fff of domain 1 is not logged"),
    "frames that are pinned": (lambda red, blue: relocate_pinned(red), NotOwner, "gpa",
                               "0x2000-0x2fff of domain 1 is pinned, so its frames stay"),
    "run that is no page": (lambda red, blue: red.context.alloc(100), Misaligned, "len", "len=0x64 is no multiple"),
    "run aligned to no power of two": (lambda red, blue: red.context.alloc("8K", align=0x1800), Misaligned, "align",
                                       "align=0x1800 is no power of two from 0x1000 on"),
    "run longer than its boundary": (lambda red, blue: red.context.make_run("8K", boundary=PAGE), OutOfRange, "boundary",
                                     "boundary=0x1000 is less than len=0x2000"),
    "run longer than memory": (lambda red, blue: red.context.make_run("1G"), OutOfMemory, "len",
                               "len=0x40000000 is more than all memory, 0x"),
    "run longer than any": (lambda red, blue: red.context.alloc("16M"), OutOfMemory, "len",
                            "bytes are free, 0x[0-9a-f]+ of them in the longest block"),
}


@pytest.mark.parametrize("refused, kind, argument, sentence", REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_its_argument(both, refused, kind, argument, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        refused(*both)
    assert caught.value.argument == argument
    both[0].context.audit()
    elsewhere = pickle.loads(pickle.dumps(caught.value))  # as a pool of processes hands it on
    assert (type(elsewhere), str(elsewhere), elsewhere.argument) == (kind, str(caught.value), argument)


def test_what_cannot_be_told_is_not_guessed(both):
    with pytest.raises(CordonError) as caught:
        both[0].change([Grant(0x9000, iter([Extent(Hpa(0x1000), PAGE)]))])
    assert caught.value.argument is None
