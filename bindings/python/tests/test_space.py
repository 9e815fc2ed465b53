"""Spaces, slots and listeners: the flattening against a model of single pages, refusals that change nothing in any
view, and pictures."""
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cordon import (PAGE, AlreadyExists, Busy, Context, CordonError, Extent, FrameState, InvalidArgument, LimitReached,
                    NodeKind, NotFound, OutOfRange, Perm, ToldKind, TranslationFault)

MIB = 1 << 20


@pytest.fixture
def domain(context):
    with context.domain(1 << 41) as domain:
        yield domain


@pytest.fixture
def space(domain):
    return domain.space()


def leads(domain, gpa, view=0):
    try:
        return domain.translate(gpa, view=view).hpa.v
    except TranslationFault:
        return None


class Ear:
    """A listener that keeps a map of what it was told, page by page."""

    def __init__(self, refuse=None):
        self.refuse, self.pages, self.heard, self.aborted = refuse, {}, [], 0

    def prepare(self, told):
        if self.refuse:
            raise self.refuse

    def commit(self, told):
        self.heard.append(told)
        for t in told:
            for at in range(t.gpa.v, t.end.v, PAGE):
                if t.kind is not ToldKind.ADDED:
                    assert self.pages.pop(at) == (t.was_perms, t.was_flags)
                if t.kind is not ToldKind.REMOVED:
                    assert at not in self.pages
                    self.pages[at] = (t.perms, t.flags)

    def abort(self, told):
        self.aborted += 1


def standing(domain):
    return {at: (r.perms, r.flags) for r in domain.regions() for at in range(r.gpa.v, r.end.v, PAGE)}


# ---- by hand ---------------------------------------------------------------------------------


def test_a_tree_is_one_transaction_and_its_pictures_say_it(context, domain, space):
    frames = context.alloc("64K")
    with space.update():
        board = space.container("board", 0x10_0000, "1M")
        space.ram("ram", 0, frames, keep=True, parent=board)
        uart = space.hole("uart", 0x3000, PAGE, parent=board, priority=1)
    assert leads(domain, 0x10_0000) == frames.hpa.v and leads(domain, 0x10_3000) is None
    assert [s.node.name for s in space.sections()] == ["ram", "uart", "ram"]
    assert space.section_at(0x10_3000).kind is NodeKind.HOLE and space.section_at(0x10_4000).offset == 0x4000
    assert space.tree().splitlines() == [
        f"space of domain {domain.number}",
        "  0x100000..0x1fffff container board rwx priority 0",
        "    0x0..0xffff ram ram rwx priority 0",
        "    0x3000..0x3fff hole uart --- priority 1"]
    assert space.flat().splitlines()[2] == "0x000000104000..0x00000010ffff rwx ram   ram + 0x4000"
    board.set(at=0, perms="rx")
    uart.remove()
    assert leads(domain, 0x3000) == frames.hpa.v + 0x3000
    assert domain.region_at(0).perms == Perm.of("rx")


def test_a_rich_console_draws_it(space, context):
    from io import StringIO

    import rich.console
    space.slot(2, 0x8000_0000, extents=context.alloc("64K"))
    box = space.container("box", 0, "1M", parent=space.nowhere)
    space.alias("window", 0, "1M", box)
    out = StringIO()
    rich.console.Console(file=out, width=120).print(space)
    assert "slot 2" in out.getvalue() and "nowhere" in out.getvalue() and "-> box + 0x0" in out.getvalue()


def test_an_exception_inside_of_an_update_drops_all_of_it(context, domain, space):
    frames = context.alloc("64K")
    with pytest.raises(ZeroDivisionError), space.update():
        space.ram("ram", 0, frames, keep=True)
        raise ZeroDivisionError
    assert list(space.nodes()) == [] and context.frame(frames.hpa).state is FrameState.HELD
    assert space.ram("ram", 0, frames).id == 1


def test_a_slot_is_set_as_in_kvm(context, domain, space):
    frames = context.alloc("64K")
    space.slot(0, 0, extents=frames, keep=True)
    space.slot(0, MIB, keep=True)
    assert leads(domain, 0) is None and leads(domain, MIB) == frames.hpa.v
    space.slot(0, MIB, "32K", keep=True, readonly=True)
    assert domain.region_at(MIB).perms == Perm.of("rx") and domain.region_at(MIB).len == 32 << 10
    with pytest.raises(AlreadyExists):
        space.slot(1, MIB + 0x7000, extents=context.alloc(PAGE))
    with pytest.raises(OutOfRange, match="CORDON_ERANGE"):
        space.slot(1, (1 << 64) - PAGE, extents=context.alloc("8K"))
    with pytest.raises(NotFound):
        space.slot(1, 0, "64K")
    space.slot_delete(0)
    with pytest.raises(NotFound):
        space.slot_delete(0)
    assert context.frame(frames.hpa).state is FrameState.HELD


def test_an_alias_of_what_is_seen_already_is_refused(context, space):
    frames = context.alloc("64K")
    ram = space.ram("ram", 0, frames, keep=True)
    with pytest.raises(AlreadyExists):
        space.alias("low", MIB, "32K", ram)
    ram.set(parent=space.nowhere)
    space.alias("low", MIB, "32K", ram, 0x1000)
    with pytest.raises(Busy):
        ram.remove()
    with pytest.raises(InvalidArgument):
        space.container("box", 0, "1M", perms="w").set(parent=ram)


def test_what_prepare_raises_is_a_refusal_and_comes_out_of_the_call(context, domain, space):
    first, bad, last = Ear(), Ear(KeyError("no")), Ear()
    space.slot(0, 0, extents=context.alloc("64K"), keep=True)
    listening = [domain.listen(first)]
    with pytest.raises(KeyError):
        domain.listen(bad)
    assert first.pages == standing(domain)
    bad.refuse = None
    listening += [domain.listen(bad), domain.listen(last)]
    for why in (KeyError("no"), LimitReached("prepare", "enough")):
        bad.refuse = why
        before = standing(domain)
        for change in (lambda: space.slot(0, 2 * MIB, keep=True), lambda: domain.revoke(0, PAGE),
                       lambda: domain.protect(0, PAGE, "r"), lambda: domain.move(0, 4 * MIB, PAGE)):
            with pytest.raises(type(why)):
                change()
        assert standing(domain) == before and leads(domain, 0) is not None
        context.audit()
    assert first.aborted == 8 and last.aborted == 0
    bad.refuse = None
    space.slot(0, 2 * MIB, keep=True)
    assert first.pages == bad.pages == last.pages == standing(domain)
    assert str(first.heard[-1][0]) == "removed 0x0..0xffff rwx"
    for one in listening:
        one.close()
    space.slot_delete(0)
    assert first.pages != standing(domain)


def test_a_listener_that_calls_the_library_is_told_why_not(context, domain):
    class Asks:
        def prepare(self, told):
            domain.translate(0)

    with pytest.raises(RuntimeError, match="must not call the library"):
        domain.listen(Asks())
    domain.grant(0, context.alloc(PAGE))


# ---- at random -------------------------------------------------------------------------------

PAGES = 48  # of the guest that is played with
RUNS = 4
SIZE = 12  # pages of a run

places = st.integers(0, PAGES - 1)
sizes = st.integers(1, SIZE)


class SpaceMachine(RuleBasedStateMachine):
    """The space, beside a model that asks for each page which node is seen: nothing but the tree's own rules."""

    @initialize()
    def start(self):
        self.context = Context("32M")
        self.domain = self.context.domain(1 << 41)
        self.space, self.ear = self.domain.space(), Ear()
        self.listening = self.domain.listen(self.ear)
        self.runs = [self.context.alloc(SIZE * PAGE) for _ in range(RUNS)]
        self.nodes = {}  # name: [node, kind, parent, at, pages, priority, enabled, perms, run or target, target_at]

    def teardown(self):
        if hasattr(self, "context"):
            self.listening.close()
            self.context.close()

    # ---- the model ----

    def seen(self, name, at, above=()):
        """The (run, page, perms) that NAME shows at its page AT; "hole"; None."""
        _, kind, _, _, pages, _, enabled, perms, what, target_at = self.nodes[name]
        if not enabled or not 0 <= at < pages or name in above:
            return None
        if kind == "ram":
            return (what, at, perms)
        if kind == "hole":
            return "hole"
        if kind == "alias":
            shown = self.seen(what, at + target_at, (*above, name))
        else:
            shown = self.at(name, at, (*above, name))
        return (*shown[:2], shown[2] & perms) if isinstance(shown, tuple) else shown

    def at(self, parent, page, above=()):
        for name, n in sorted(self.nodes.items(), key=lambda item: -item[1][5]):
            if n[2] == parent and (shown := self.seen(name, page - n[3], above)) is not None:
                return shown
        return None

    def legal(self):
        """Would the tree as the model has it be taken? None: whatever says no."""
        placed = [n for n in self.nodes.values() if n[6] and n[2] != "nowhere"]
        for n in placed:
            for m in placed:
                if n is not m and (n[2], n[5]) == (m[2], m[5]) and n[3] < m[3] + m[4] and m[3] < n[3] + n[4]:
                    return False
        shown = [s for page in range(3 * PAGES) if isinstance(s := self.at(None, page), tuple)]
        frames = [s[:2] for s in shown]
        return len(set(frames)) == len(frames) and all(s[2] for s in shown)

    def attempt(self, change, name, wanted):
        """Carry CHANGE out; the model follows only if it was legal, and so must the library."""
        before = dict(self.nodes)
        flat = list(map(str, self.space.sections()))
        if wanted is None:
            del self.nodes[name]
        else:
            self.nodes[name] = wanted
        legal = self.legal()
        try:
            made = change()
        except CordonError as why:
            assert not legal, f"{why} for {name} {wanted}"
            self.nodes = before
            assert list(map(str, self.space.sections())) == flat
        else:
            assert legal, f"taken: {name} {wanted}"
            if wanted is not None and wanted[0] is None:
                wanted[0] = made

    # ---- what is done ----

    def parent(self, data):
        boxes = [name for name, n in self.nodes.items() if n[1] == "container" and n[2] is None]
        return data.draw(st.sampled_from([None, "nowhere", *boxes]))

    def node_of(self, parent):
        return self.space.nowhere if parent == "nowhere" else self.nodes[parent][0] if parent else None

    @precondition(lambda self: len(self.nodes) < 9)
    @rule(data=st.data(), kind=st.sampled_from(["container", "ram", "hole", "alias"]), at=places, pages=sizes,
          priority=st.integers(0, 3), perms=st.sampled_from(["r", "rw", "rx", "rwx"]))
    def add(self, data, kind, at, pages, priority, perms):
        name = f"{kind}{data.draw(st.integers(0, 99))}"
        if name in self.nodes:
            return
        parent = None if kind == "container" else self.parent(data)
        where = {"parent": self.node_of(parent), "priority": priority}
        wanted = [None, kind, parent, at, pages, priority, True, Perm.of(perms), None, 0]
        used = {n[8] for n in self.nodes.values() if n[1] == "ram"}
        free = [i for i in range(RUNS) if i not in used]
        if kind == "ram" and free:
            wanted[8] = free[0]
            run = Extent(self.runs[free[0]].hpa, pages * PAGE)
            self.attempt(lambda: self.space.ram(name, at * PAGE, run, perms, keep=True, **where), name, wanted)
        elif kind == "hole":
            self.attempt(lambda: self.space.hole(name, at * PAGE, pages * PAGE, **where), name, wanted)
        elif kind == "container":
            wanted[4] = pages * 3
            self.attempt(lambda: self.space.container(name, at * PAGE, pages * 3 * PAGE, perms, **where), name, wanted)
        elif kind == "alias" and (targets := [t for t, n in self.nodes.items() if n[1] == "ram"]):
            wanted[8], wanted[9] = data.draw(st.sampled_from(targets)), data.draw(st.integers(0, 5))
            target = self.nodes[wanted[8]][0]
            self.attempt(lambda: self.space.alias(name, at * PAGE, pages * PAGE, target, wanted[9] * PAGE, perms,
                                                  **where), name, wanted)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data(), at=places, priority=st.integers(0, 3), enabled=st.booleans(),
          perms=st.sampled_from(["r", "rw", "rwx"]))
    def change(self, data, at, priority, enabled, perms):
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        wanted = list(self.nodes[name])
        wanted[3], wanted[5], wanted[6] = at, priority, enabled
        changes = {"at": at * PAGE, "priority": priority, "enabled": enabled}
        if wanted[1] != "hole":
            wanted[7] = Perm.of(perms)
            changes["perms"] = perms
        self.attempt(lambda: wanted[0].set(**changes), name, wanted)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def remove(self, data):
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        node = self.nodes[name][0]
        if any(name in (n[2], n[8]) for n in self.nodes.values()):
            with pytest.raises(Busy):
                node.remove()
        else:
            self.attempt(node.remove, name, None)

    @invariant()
    def agrees(self):
        if not hasattr(self, "space"):
            return
        for page in range(3 * PAGES):
            shown = self.at(None, page)
            where = leads(self.domain, page * PAGE)
            assert where == (self.runs[shown[0]].hpa.v + shown[1] * PAGE if isinstance(shown, tuple) else None)
            if isinstance(shown, tuple):
                assert self.domain.region_at(page * PAGE).perms == shown[2]
        assert self.ear.pages == standing(self.domain)
        self.context.audit()


SpaceMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
TestSpaceAtRandom = SpaceMachine.TestCase
