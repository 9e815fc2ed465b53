"""The objects: what each call does, which exception each refusal becomes, and that nothing changed."""
import gc
import os

import pytest

from cordon import (PAGE, AlreadyExists, Context, CordonError, Extent, FrameState, Gpa, Grant, Hpa,
                    InvalidArgument, Misaligned, Mode, NotFound, NotOwner, OutOfMemory, OutOfRange, Perm,
                    Protect, Revoke, TranslationFault, UseAfterClose)

GPA = 0x1_0000_0000


@pytest.fixture
def domain(context):
    domain = context.domain(1 << 41)
    yield domain
    domain.close()


def test_a_page_stands_where_it_was_granted(context, domain):
    frame = context.alloc(PAGE)
    domain.grant(GPA, frame, "rw")
    hit = domain.translate(GPA + 0x123, "w")
    assert hit.hpa == frame.hpa + 0x123 and hit.level == 0 and Perm.RW in hit.perms
    assert context.frame(frame.hpa).state is FrameState.OWNED
    assert context.frame(frame.hpa).gpa == Gpa(GPA) and context.frame(frame.hpa).domain == domain.number
    assert [f.state for f in context.frames(frame.hpa, 2)] == [context.frame(frame.hpa + n * PAGE).state for n in range(2)]
    with pytest.raises(InvalidArgument):
        context.frames(frame.hpa, 0)
    domain.revoke(GPA, PAGE)
    assert context.frame(frame.hpa).state is FrameState.FREE


def test_hex_strings_are_numbers(context, domain):
    domain.grant("0x1_0000_0000", context.alloc("8K"))
    assert domain.region_at("0x100001000").len == 2 * PAGE
    domain.revoke("0x100000000", "8K")


def test_an_address_of_another_kind_is_refused_before_c(context, domain):
    frame = context.alloc(PAGE)
    with pytest.raises(TypeError, match="lookup"):
        domain.grant(frame.hpa, frame)
    with pytest.raises(TypeError, match="lookup"):
        domain.translate(Hpa(GPA))
    with pytest.raises(OverflowError):
        domain.revoke(GPA, 1 << 64)
    context.free(frame)


@pytest.mark.parametrize("call, error", [
    (lambda c, d, f: d.grant(GPA + 1, f), Misaligned),
    (lambda c, d, f: d.grant(1 << 41, f), OutOfRange),
    (lambda c, d, f: d.grant(GPA, Extent(f.hpa + 1, PAGE)), Misaligned),
    (lambda c, d, f: d.grant(GPA, Extent(0x8000_0000, PAGE)), NotOwner),
    (lambda c, d, f: d.grant(GPA, Extent(f.hpa + PAGE, PAGE)), NotOwner),
    (lambda c, d, f: d.grant(GPA, Extent(0x1000_0000, PAGE), mmio=True), NotOwner),
    (lambda c, d, f: d.grant(GPA, f, "w"), InvalidArgument),
    (lambda c, d, f: d.grant(GPA, []), CordonError),
    (lambda c, d, f: d.revoke(GPA, PAGE), NotFound),
    (lambda c, d, f: d.protect(GPA, PAGE, "r"), NotFound),
    (lambda c, d, f: d.change([Grant(GPA, (f,)), Grant(GPA, (f,))]), CordonError),
    (lambda c, d, f: d.change([Grant(GPA, (f,)), Revoke(GPA + PAGE, PAGE)]), NotFound),
    (lambda c, d, f: d.translate(GPA), TranslationFault),
    (lambda c, d, f: d.translate(1 << 41), OutOfRange),
    (lambda c, d, f: d.translate(GPA, view=5), InvalidArgument),
    (lambda c, d, f: d.region_at(GPA), NotFound),
    (lambda c, d, f: c.alloc("1G"), OutOfMemory),
    (lambda c, d, f: c.alloc(PAGE, align=PAGE * 3), CordonError),
    (lambda c, d, f: c.alloc(0), CordonError),
    (lambda c, d, f: c.free(f.hpa + PAGE, PAGE), NotOwner),
    (lambda c, d, f: c.resource_add(0x8010_0000, PAGE), CordonError),
    (lambda c, d, f: c.resource_remove(0x1000_0000), NotFound),
    (lambda c, d, f: c.domain(1 << 60), CordonError),
])
def test_what_is_refused_changes_nothing(context, domain, call, error):
    frame = context.alloc(PAGE)
    before = bytes(context.stats())
    with pytest.raises(error) as caught:
        call(context, domain, frame)
    assert caught.value.code and caught.value.call.startswith("cordon_")
    assert bytes(context.stats()) == before
    context.audit()
    context.free(frame)


def test_a_grant_over_a_region_is_refused(context, domain):
    first, second = context.alloc(PAGE), context.alloc(PAGE)
    domain.grant(GPA, first)
    with pytest.raises(AlreadyExists) as caught:
        domain.grant(GPA, second)
    assert caught.value.gpa == Gpa(GPA) and caught.value.extents == [second]
    assert domain.translate(GPA).hpa == first.hpa
    domain.revoke(GPA, PAGE)
    context.free(second)


def test_rights_are_those_that_were_given(context, domain):
    domain.grant(GPA, context.alloc(2 * PAGE), "rw")
    domain.change([Protect(GPA, PAGE, "r")])
    domain.translate(GPA, "r")
    domain.translate(GPA + PAGE, "w")
    with pytest.raises(TranslationFault):
        domain.translate(GPA, "w")


def test_scattered_pieces_back_one_region(context, domain):
    pieces = context.scatter("256K", pieces=(0, 2), seed=9)
    assert sum(piece.len for piece in pieces) == 256 << 10
    assert {piece.len for piece in pieces} <= {PAGE, 4 * PAGE}
    domain.grant(GPA, pieces)
    at = GPA
    for piece in pieces:
        assert domain.translate(at).hpa == piece.hpa
        at += piece.len


def test_kept_frames_come_back_held(context, domain):
    frame = context.alloc(PAGE)
    domain.grant(GPA, frame, keep=True)
    domain.revoke(GPA, PAGE)
    assert context.frame(frame.hpa).state is FrameState.HELD
    context.free(frame)


def test_the_smallest_mode_that_covers_the_map_is_chosen(context):
    for limit, mode in ((1 << 41, 8), (1 << 50, 9), (1 << 59, 10)):
        with context.domain(limit) as domain:
            assert domain.hgatp >> 60 == mode
    with context.domain(1 << 30, modes=Mode.SV57X4) as domain:
        assert domain.hgatp >> 60 == 10


def test_memory_is_scrubbed_between_owners(context, domain):
    frame = context.alloc(PAGE)
    context.write(frame.hpa, b"secret" * 100)
    domain.grant(GPA, frame)
    domain.revoke(GPA, PAGE)
    again = []
    while not again or again[-1].hpa != frame.hpa:
        again.append(context.alloc(PAGE))
    assert context.read(frame.hpa, PAGE) == bytes(PAGE)
    for extent in again:
        context.free(extent)


def test_use_after_close_is_refused(context):
    domain = context.domain()
    domain.close()
    domain.close()
    with pytest.raises(UseAfterClose):
        domain.translate(GPA)
    assert repr(domain) == "<Domain closed>"


def test_a_closed_context_refuses_everything():
    with Context("16M") as context:
        context.domain()
    with pytest.raises(UseAfterClose):
        context.alloc(PAGE)
    context.close()


def test_contexts_share_nothing():
    with Context("16M", 0x8000_0000) as one, Context("16M", 0x8000_0000) as two:
        frame = one.alloc(PAGE)
        assert two.frame(frame.hpa).state is not FrameState.HELD
        one.free(frame)


class BrokenPort:
    def __init__(self):
        self.reads = 0

    def mmio_read(self, hpa, width):
        self.reads += 1
        raise ConnectionError(f"no register at {hpa:#x}")


def test_an_exception_in_a_callback_comes_out_of_the_call():
    port = BrokenPort()
    with Context("16M", port=port) as context:
        gc.collect()
        with pytest.raises(ConnectionError, match="no register at 0x1000"):
            context.iommu(0x1000_0000)
        assert port.reads == 1
        context.audit()


def test_without_a_port_there_is_no_iommu():
    with Context("16M") as context:
        with pytest.raises(CordonError):
            context.iommu(0x1000_0000)


def test_reprs_say_what_it_is(context, domain):
    domain.grant(GPA, context.alloc(PAGE), "rw")
    assert "16 MiB" in repr(context) and f"Domain {domain.number}" in repr(domain)
    assert repr(domain.region_at(GPA)) == f"Region({GPA:#x}..{GPA + PAGE - 1:#x} rw-)"


def test_a_child_process_has_a_context_of_its_own():
    with Context("16M") as context:
        domain = context.domain()
        domain.grant(0, context.alloc(PAGE))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                context.alloc(PAGE)
                domain.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert domain.translate(0) and context.stats().held == 0
        context.audit()
