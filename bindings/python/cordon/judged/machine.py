"""IommuMachine: a Hypothesis state machine whose rules are the steps of a World.

Rules draw plain numbers, so a failing example is a program that can be pasted: World prints it, and
Hypothesis shrinks it first. `machine_of("qemu", "base")` is a machine over another platform; a class
of yours may add rules of its own, which use `self.world`."""
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ..types import PAGE
from .places import FILES, RIGHTS, ZONES
from .world import World

_few = st.integers(0, 2)
_zone = st.integers(0, len(ZONES) - 1)
_page = st.sampled_from((0, 1, 2, 255, 300, 508, 511, 512, 513, 1020))
_first = st.sampled_from((0, 0, 0, 1, 2, 5, 100, 511, 512))
_count = st.sampled_from((1, 1, 2, 3, 16, 33, 511, 512, 513, 1024))
_orders = st.one_of(
    st.lists(st.sampled_from((0, 0, 0, 1, 2)), min_size=1, max_size=8),
    st.lists(st.sampled_from((9, 9, 0, 0, 3)), min_size=1, max_size=4)).map(lambda orders: tuple(orders))
_rights = st.sampled_from(RIGHTS)
_offset = st.one_of(st.sampled_from((-4096, -64, -8, -1, 0, 1, PAGE - 4, PAGE)), st.integers(-5000, 5000))
_length = st.one_of(st.sampled_from((1, 2, 4, 8, 64, 512, PAGE)), st.integers(1, 2 * PAGE))
_where = st.integers(0, 40)
_salt = st.integers(0, 255)
_rarely = st.sampled_from((False, False, False, True))
_mostly = st.sampled_from((True, True, True, False))


def _has_guest(self):
    return any(g.pages for g in self.world.guests)


def _has_device(self):
    return any(self.world.holder.values())


class IommuMachine(RuleBasedStateMachine):
    """Over the model; `settings` are those of World."""

    backend, variant = "model", "extended"
    settings_of_world: dict = {}
    latest = None  # the world of the run before or now: after a failure, that of the shortest example
    steps = examples = 0
    excuses: set = set()  # ids of the differences of QEMU's that were met

    def __init__(self):
        super().__init__()
        self.world = World(self.backend, self.variant, **self.settings_of_world)
        type(self).latest = self.world
        type(self).examples += 1
        self._failed = False

    def _step(self, name, **drawn):
        type(self).steps += 1
        try:
            getattr(self.world, name)(**drawn)
        except BaseException:
            self._failed = True
            raise

    def teardown(self):
        """The end: everything is taken down and nothing may be left, unless a step has failed."""
        try:
            if not self._failed:
                self.world.finish()
        finally:
            self.excuses.update(self.world.excuses)
            self.world.close()

    @initialize(begin=_mostly, orders=_orders, own_view=st.booleans())
    def begin(self, begin, orders, own_view):
        """Most programs begin with memory, and two devices that reach it."""
        if begin:
            self._step("grant", guest=0, zone=1, page=0, orders=orders, perms="rw")
            self._step("attach", device=0, guest=0)
            self._step("attach", device=1, guest=0, own_view=own_view)

    # ---- maps -----------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.guests) < 3)
    @rule()
    def guest(self):
        self._step("guest")

    @rule(guest=_few, zone=_zone, page=_page, orders=_orders, perms=_rights, dma=_mostly, keep=_rarely,
          seed=_salt)
    def grant(self, **drawn):
        self._step("grant", **drawn)

    @rule(guest=_few, zone=_zone, page=_page, pages=st.integers(1, 40), align=st.integers(0, 7),
          boundary=st.integers(0, 10), highest=st.integers(0, 15), perms=_rights)
    def run(self, **drawn):
        self._step("run", **drawn)

    @precondition(_has_guest)
    @rule(guest=_few, area=_few, first=_first, count=_count, beyond=_rarely)
    def revoke(self, **drawn):
        self._step("revoke", **drawn)

    @precondition(_has_guest)
    @rule(guest=_few, area=_few, first=_first, count=_count, perms=_rights, beyond=_rarely)
    def protect(self, **drawn):
        self._step("protect", **drawn)

    @precondition(_has_guest)
    @rule(guest=_few, area=_few, first=_first, count=_count, zone=_zone, page=_page)
    def move(self, **drawn):
        self._step("move", **drawn)

    @precondition(_has_guest)
    @rule(guest=_few, area=_few, first=_first, count=_count, seed=_salt)
    def swap(self, **drawn):
        self._step("swap", **drawn)

    @precondition(lambda self: _has_guest(self) and len(self.world.guests) > 1)
    @rule(guest=_few, area=_few, first=_first, count=_count, borrower=_few, zone=_zone, page=_page,
          perms=st.sampled_from(("r", "rw")), dma=_mostly)
    def share(self, **drawn):
        self._step("share", **drawn)

    @precondition(lambda self: self.backend == "model" and _has_guest(self) and _has_device(self))
    @rule(guest=_few, area=_few, first=_first, count=_count)
    def unanswered(self, **drawn):
        self._step("unanswered", **drawn)

    @rule(guest=_few)
    def retire(self, guest):
        self._step("retire", guest=guest)

    @rule(guest=_few)
    def end(self, guest):
        self._step("end", guest=guest)

    # ---- devices ----------------------------------------------------------------------------------

    @rule(device=st.integers(0, 3), guest=_few, own_view=_rarely)
    def attach(self, **drawn):
        self._step("attach", **drawn)

    @precondition(_has_device)
    @rule(device=st.integers(0, 3))
    def detach(self, device):
        self._step("detach", device=device)

    @precondition(lambda self: self.backend == "model" and _has_device(self))
    @rule()
    def pull(self):
        self._step("pull", device=3)

    @precondition(lambda self: self.backend == "model")
    @rule()
    def reset(self):
        self._step("reset", device=3)

    @precondition(lambda self: self.world.windows)
    @rule(guest=_few, index=st.integers(0, FILES - 1), file=st.integers(0, FILES))
    def msi(self, **drawn):
        self._step("msi", **drawn)

    # ---- DMA --------------------------------------------------------------------------------------

    @precondition(_has_device)
    @rule(device=st.integers(0, 3), where=_where, offset=_offset, length=_length, salt=_salt)
    def write(self, **drawn):
        self._step("write", **drawn)

    @precondition(_has_device)
    @rule(device=st.integers(0, 3), where=_where, offset=_offset, length=_length)
    def read(self, **drawn):
        self._step("read", **drawn)

    @precondition(lambda self: self.backend == "model" and self.world.windows and _has_device(self))
    @rule(device=st.integers(0, 3), index=st.integers(0, FILES), value=st.integers(0, 2047))
    def signal(self, **drawn):
        self._step("signal", **drawn)

    @precondition(lambda self: self.backend == "model" and _has_device(self))
    @rule(device=st.integers(0, 3), where=_where, offset=_offset, length=_length, late=_rarely,
          write=_mostly, salt=_salt)
    def hold(self, **drawn):
        self._step("hold", **drawn)

    @precondition(lambda self: any(self.world.flights.values()))
    @rule(device=st.integers(0, 3))
    def let_go(self, device):
        self._step("let_go", device=device)


def machine_of(backend="model", variant="extended", **settings):
    """An IommuMachine over another platform, with counts of its own."""
    return type("IommuMachine", (IommuMachine,), {
        "backend": backend, "variant": variant, "settings_of_world": settings, "steps": 0, "examples": 0,
        "excuses": set()})


__all__ = ["IommuMachine", "machine_of"]
