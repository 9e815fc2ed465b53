"""Each bad argument of each public call is refused by a typed exception that names the argument, and
the map, the frames and the objects are what they were."""
import pytest

from cordon import (PAGE, AlreadyExists, Context, CordonError, Extent, Gpa, Hpa, InvalidArgument, Iova,
                    Misaligned, NotFound, NotOwner, OutOfRange, UseAfterClose)
from cordon.errors import OutOfMemory
from cordon.port import PortTable

BASE, GPA, FREE = 0x8000_0000, 0x1_0000_0000, 0x2_0000_0000
TOP = (1 << 64) - PAGE
WRONG = TypeError, OverflowError, ValueError

# (what is called, the exception, the argument that its text or its fields name)
CASES = {
    "grant: misaligned gpa": (lambda c, d, f: d.grant(FREE + 8, f), Misaligned, "gpa"),
    "grant: gpa past the limit": (lambda c, d, f: d.grant(1 << 41, f), OutOfRange, "gpa"),
    "grant: gpa at the top": (lambda c, d, f: d.grant(TOP, f), OutOfRange, "gpa"),
    "grant: gpa too wide": (lambda c, d, f: d.grant(1 << 64, f), OverflowError, "Gpa"),
    "grant: negative gpa": (lambda c, d, f: d.grant(-PAGE, f), OverflowError, "Gpa"),
    "grant: gpa of another kind": (lambda c, d, f: d.grant(Hpa(FREE), f), TypeError, "Gpa"),
    "grant: gpa is no number": (lambda c, d, f: d.grant("here", f), ValueError, "Gpa"),
    "grant: taken gpa": (lambda c, d, f: d.grant(GPA, f), AlreadyExists, "gpa"),
    "grant: misaligned frame": (lambda c, d, f: d.grant(FREE, Extent(f.hpa + 8, PAGE)), Misaligned,
                                "extents"),
    "grant: empty extent": (lambda c, d, f: d.grant(FREE, Extent(f.hpa, 0)), CordonError, "extents"),
    "grant: extent to the top": (lambda c, d, f: d.grant(FREE, Extent(f.hpa, TOP)), CordonError, "extents"),
    "grant: somebody else's frame": (lambda c, d, f: d.grant(FREE, Extent(BASE, PAGE)), NotOwner,
                                     "extents"),
    "grant: extent of another kind": (lambda c, d, f: Extent(Gpa(BASE), PAGE), TypeError, "Hpa"),
    "grant: unknown rights": (lambda c, d, f: d.grant(FREE, f, "q"), ValueError, "rights"),
    "grant: rights to write only": (lambda c, d, f: d.grant(FREE, f, "w"), InvalidArgument, "gpa"),
    "grant: nothing": (lambda c, d, f: d.grant(FREE, []), CordonError, "extents"),
    "revoke: misaligned gpa": (lambda c, d, f: d.revoke(GPA + 8, PAGE), Misaligned, "gpa"),
    "revoke: misaligned length": (lambda c, d, f: d.revoke(GPA, 8), Misaligned, "len"),
    "revoke: no length": (lambda c, d, f: d.revoke(GPA, 0), OutOfRange, "len"),
    "revoke: to the top": (lambda c, d, f: d.revoke(GPA, TOP), OutOfRange, "len"),
    "revoke: too wide": (lambda c, d, f: d.revoke(GPA, 1 << 64), OverflowError, "len"),
    "revoke: negative length": (lambda c, d, f: d.revoke(GPA, -PAGE), OverflowError, "len"),
    "revoke: unknown": (lambda c, d, f: d.revoke(FREE, PAGE), NotFound, "gpa"),
    "protect: misaligned gpa": (lambda c, d, f: d.protect(GPA + 8, PAGE, "r"), Misaligned, "gpa"),
    "protect: no length": (lambda c, d, f: d.protect(GPA, 0, "r"), OutOfRange, "len"),
    "protect: wraps": (lambda c, d, f: d.protect(GPA, TOP, "r"), OutOfRange, "len"),
    "protect: write only": (lambda c, d, f: d.protect(GPA, PAGE, "w"), InvalidArgument, "perms"),
    "protect: unknown": (lambda c, d, f: d.protect(FREE, PAGE, "r"), NotFound, "gpa"),
    "translate: past the limit": (lambda c, d, f: d.translate(1 << 41), OutOfRange, "gpa"),
    "translate: of another kind": (lambda c, d, f: d.translate(Iova(GPA)), TypeError, "Gpa"),
    "translate: unknown view": (lambda c, d, f: d.translate(GPA, view=9), InvalidArgument, "view"),
    "walk: unknown view": (lambda c, d, f: d.walk(GPA, view=9), InvalidArgument, "view"),
    "walk: of another kind": (lambda c, d, f: d.walk(Hpa(GPA)), TypeError, "Gpa"),
    "leaves: unknown view": (lambda c, d, f: list(d.leaves(view=9)), InvalidArgument, "view"),
    "region_at: unknown": (lambda c, d, f: d.region_at(FREE), NotFound, "gpa"),
    "region_at: negative": (lambda c, d, f: d.region_at(-1), OverflowError, "Gpa"),
    "msi_window: misaligned": (lambda c, d, f: d.msi_window(8, 0), CordonError, "base"),
    "msi_window: mask too wide": (lambda c, d, f: d.msi_window(0, 1 << 64), OverflowError, "mask"),
    "msi_set: no window": (lambda c, d, f: d.msi_set(0, 0x2800_0000), CordonError, "index"),
    "msi_set: negative index": (lambda c, d, f: d.msi_set(-1, 0x2800_0000), OverflowError, "index"),
    "msi_set: index is no number": (lambda c, d, f: d.msi_set(None, 0), TypeError, "argument"),
    "alloc: nothing": (lambda c, d, f: c.alloc(0), CordonError, "len"),
    "alloc: misaligned": (lambda c, d, f: c.alloc(8), CordonError, "len"),
    "alloc: more than there is": (lambda c, d, f: c.alloc(1 << 30), OutOfMemory, "len"),
    "alloc: too wide": (lambda c, d, f: c.alloc(1 << 64), OverflowError, "len"),
    "alloc: odd alignment": (lambda c, d, f: c.alloc(PAGE, align=3 * PAGE), CordonError, "align"),
    "alloc: no unit": (lambda c, d, f: c.alloc("12Q"), ValueError, "length"),
    "scatter: more than there can be": (lambda c, d, f: c.scatter(1 << 62), CordonError, "len"),
    "scatter: pieces of no size": (lambda c, d, f: c.scatter(PAGE, pieces=(-1,)), ValueError, "pieces"),
    "change: no operation": (lambda c, d, f: d.change([f]), TypeError, "ops"),
    "scatter: nothing": (lambda c, d, f: c.scatter(0), CordonError, "len"),
    "free: misaligned": (lambda c, d, f: c.free(f.hpa + 8, PAGE), CordonError, "hpa"),
    "free: no length": (lambda c, d, f: c.free(f.hpa, 0), CordonError, "len"),
    "free: wraps": (lambda c, d, f: c.free(f.hpa, TOP), CordonError, "len"),
    "free: in a map": (lambda c, d, f: c.free(d.translate(GPA).hpa, PAGE), NotOwner, "hpa"),
    "frame: of another kind": (lambda c, d, f: c.frame(Gpa(BASE)), TypeError, "Hpa"),
    "resource_add: is RAM": (lambda c, d, f: c.resource_add(BASE + PAGE, PAGE), CordonError, "hpa"),
    "resource_add: misaligned": (lambda c, d, f: c.resource_add(0x1008, PAGE), CordonError, "hpa"),
    "resource_add: wraps": (lambda c, d, f: c.resource_add(TOP, 2 * PAGE), CordonError, "hpa"),
    "resource_remove: unknown": (lambda c, d, f: c.resource_remove(0x1000), NotFound, "hpa"),
    "domain: limit too wide": (lambda c, d, f: c.domain(1 << 60), CordonError, "gpa_limit"),
    "domain: no limit": (lambda c, d, f: c.domain(0), CordonError, "gpa_limit"),
    "domain: unknown modes": (lambda c, d, f: c.domain(1 << 40, modes=1 << 7), CordonError, "modes"),
    "read: not RAM": (lambda c, d, f: c.read(0x1000, 8), IndexError, "0x1000"),
    "write: past the end": (lambda c, d, f: c.write(BASE + (16 << 20) - 4, bytes(8)), IndexError, "Hpa"),
}


def state_of(context, domain=None):
    """Bytes by state, objects, and all that a map holds; the audit ties frames and tables to these."""
    held = (list(domain.regions()), list(domain.leaves())) if domain else ()
    return bytes(context.stats()), len(context.children), held


@pytest.mark.parametrize("name", CASES)
def test_a_bad_argument_is_named_and_nothing_changes(context, name):
    call, error, argument = CASES[name]
    domain, frame = context.domain(), context.alloc(PAGE)
    domain.grant(GPA, context.alloc(PAGE), "rw")
    context.audit()
    before = state_of(context, domain)
    with pytest.raises(error) as caught:
        call(context, domain, frame)
    assert isinstance(caught.value, (CordonError, *WRONG, IndexError))
    assert argument in str(caught.value), f"{caught.value} does not name {argument}"
    assert state_of(context, domain) == before
    context.audit()
    context.free(frame)


@pytest.mark.parametrize("use", [
    lambda d: d.number, lambda d: d.grant(FREE, Extent(BASE, PAGE)), lambda d: d.revoke(GPA, PAGE),
    lambda d: d.protect(GPA, PAGE, "r"), lambda d: d.translate(GPA), lambda d: d.walk(GPA),
    lambda d: list(d.regions()), lambda d: d.msi_window(0, 0), lambda d: d.msi_set(0, None),
    lambda d: d.retire(), lambda d: d.hgatp])
def test_a_closed_domain_is_refused_by_its_kind(context, use):
    domain = context.domain()
    domain.close()
    before = state_of(context)
    with pytest.raises(UseAfterClose, match="this domain is closed"):
        use(domain)
    assert state_of(context) == before


@pytest.mark.parametrize("use", [
    lambda c: c.alloc(PAGE), lambda c: c.free(BASE, PAGE), lambda c: c.frame(BASE), lambda c: c.stats(),
    lambda c: c.audit(), lambda c: c.domain(), lambda c: c.scatter(PAGE),
    lambda c: c.resource_add(0x1000, PAGE), lambda c: c.resource_remove(0x1000), lambda c: c.iommu(0x1000)])
def test_a_closed_context_is_refused(context, use):
    other = Context("16M", BASE)
    other.close()
    with pytest.raises(UseAfterClose, match="this context is closed"):
        use(other)
    context.audit()


@pytest.mark.parametrize("settings, error, argument", [
    ({"base": BASE + 8}, CordonError, "base"), ({"base": -PAGE}, OverflowError, "Hpa"),
    ({"base": Gpa(BASE)}, TypeError, "Hpa"), ({"ram": "12Q"}, ValueError, "ram"),
    ({"vmid_bits": 99}, CordonError, "vmid_bits"), ({"hart_modes": 0}, CordonError, "hart_modes"),
    ({"seed": 1 << 64}, OverflowError, "seed"), ({"ram": 0}, ValueError, "ram"), ({"ram": -PAGE}, ValueError, "ram"),
    ({"ram": PAGE + 1}, ValueError, "ram"), ({"banks": [(BASE, 32 << 20)]}, ValueError, "banks"),
    ({"banks": [(BASE - PAGE, PAGE)]}, ValueError, "banks"), ({"banks": [(BASE << 4, PAGE)]}, ValueError, "banks"),
    ({"banks": [(BASE, 1 << 64)]}, ValueError, "banks"), ({"banks": []}, CordonError, "base")])
def test_a_context_with_a_bad_setting_is_not_made(context, settings, error, argument):
    with pytest.raises(error, match=argument):
        Context(**{"ram": "16M", "base": BASE, **settings})
    context.audit()


class Calls:
    """A port whose hart fence calls ACT."""

    act = None

    def hart_fence(self, harts, vmid, gpa, length):
        if self.act:
            self.act()


@pytest.mark.parametrize("field, value", [("size", 8), ("reserved", 1)])
def test_a_table_of_callbacks_that_is_not_whole_is_refused(monkeypatch, field, value):
    class Torn(PortTable):
        def __init__(self, port):
            super().__init__(port)
            setattr(self.ops, field, value)
    monkeypatch.setattr("cordon.context.PortTable", Torn)
    with pytest.raises(InvalidArgument, match="cordon_ctx_create"):
        Context("16M", BASE)


def test_a_port_that_calls_the_library_is_told_and_waits_for_nothing():
    port = Calls()
    with Context("16M", BASE, port=port) as context:
        domain = context.domain()
        domain.grant(GPA, context.alloc(PAGE))
        domain.enter(0)
        port.act = lambda: domain.translate(GPA)
        with pytest.raises(RuntimeError, match="must not call the library"):
            domain.revoke(GPA, PAGE)
        port.act = None
        domain.leave(0)
        context.audit()
        assert not list(domain.regions())
