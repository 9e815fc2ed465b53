"""The judged world: random programs of steps are judged by all judges; each judge is heard; a failing
program is printed so that it can be pasted. `make check-judged SECONDS=600` runs it for long."""
import pytest

pytest.importorskip("hypothesis")

from cordon import PAGE, NotFound, Perm, Revoke  # noqa: E402
from cordon.backends import BACKENDS  # noqa: E402
from cordon.judged import Disagreement, World, judges  # noqa: E402
from cordon.judged.places import WINDOW  # noqa: E402
from cordon.judged.run import Failure, machine_of, run_examples, timed  # noqa: E402

pytestmark = pytest.mark.skipif(BACKENDS["model"].missing() is not None,
                                reason=f"model: {BACKENDS['model'].missing()}")
SEED, EXAMPLES, STEPS = 1, 30, 15


@pytest.fixture
def world():
    with World() as w:
        w.grant(0, 1, 0, (9, 0, 0, 0))
        w.attach(0, 0)
        yield w


@pytest.fixture
def spoiled():
    """A world that a test may leave broken."""
    w = World()
    w.grant(0, 1, 0, (0, 0, 0, 0), "rw")
    w.attach(0, 0)
    yield w
    w.close()


@pytest.mark.parametrize("variant", ["extended", "base"])
def test_random_programs_are_judged_without_a_difference(variant):
    print(f"seed {SEED}")
    run_examples(machine_of("model", variant), SEED, EXAMPLES, STEPS)


# ---- each judge is heard ----------------------------------------------------------------------------


def test_a_byte_that_changes_is_seen(spoiled):
    g = spoiled.guests[0]
    g.platform.memory(g.hpa(next(iter(g.pages))) + 77, 1)[0] ^= 1
    with pytest.raises(Disagreement, match="memory: 0x.*04d"):
        spoiled.retire(0)


def test_a_leaf_that_the_record_does_not_have_is_seen(spoiled):
    gpa, page = next(iter(spoiled.guests[0].pages.items()))
    del spoiled.guests[0].pages[gpa]
    spoiled.content.forget(page.hpa)
    with pytest.raises(Disagreement, match=f"reaches {page.hpa:#x} by {gpa:#x}; the record says None"):
        spoiled.retire(0)


def test_a_right_that_the_record_does_not_have_is_seen(spoiled):
    g = spoiled.guests[0]
    g.domain.protect(min(g.pages), PAGE, "r")
    with pytest.raises(Disagreement, match="with r; the record says"):
        spoiled.retire(0)


def test_a_stale_translation_of_the_iommu_is_seen(spoiled):
    """Caches are warm from the judges' own requests; the tables change behind the IOMMU's back."""
    g, ram = spoiled.guests[0], spoiled.context.ram.cast("Q")
    gpa = min(g.pages)
    word = spoiled.context.base.v
    step = g.domain.walk(gpa, view=1).steps[-1]
    ram[(int(step.word) - word) // 8] = 0
    with pytest.raises(Disagreement, match="walker: cause 2[13]; model: 0x"):
        judges.requests(spoiled)


def test_a_frame_that_is_free_too_early_is_seen(spoiled):
    g = spoiled.guests[0]
    gpa, page = next(iter(g.pages.items()))
    g.revoke(gpa, PAGE)
    spoiled.gone(g, {gpa: page}, {"dma5"})
    with pytest.raises(Disagreement, match="is FREE, but dma5 may still have DMA to it in flight"):
        spoiled.retire(0)


def test_dma_in_flight_to_a_free_frame_is_seen(spoiled):
    """The device is said to be drained by the IOMMU's fences, and holds on to its request past them."""
    g, d = spoiled.guests[0], spoiled.devices[0]
    gpa, hpa = min(g.pages), g.pages[min(g.pages)].hpa
    with d.dma.rogue():
        d.dma.write(gpa, b"late")
    spoiled.hold(0, 0, 0, 4)
    spoiled.flights[d.name][0].hpa = hpa
    with pytest.raises(Disagreement, match=f"in flight to {hpa:#x}, which was free already"):
        spoiled.revoke(0, 0, 0, 1)


def test_a_fault_that_nobody_is_told_of_is_seen(spoiled):
    spoiled.devices[0].dma.write(0x7000_0000, b"refused")
    spoiled.plat.iommu.faults()
    judges.refused(spoiled, spoiled.devices[0], 23, 0x7000_0000, "w")
    with pytest.raises(Disagreement, match="refused, and not reported .* 0x10 23 0x70000000"):
        judges.faults(spoiled)


def test_a_fault_that_nobody_caused_is_seen(spoiled):
    spoiled.devices[0].dma.write(0x7000_0000, b"refused")
    with pytest.raises(Disagreement, match="nothing has caused .* 0x10 23 0x70000000"):
        spoiled.retire(0)


def test_a_change_that_ought_to_be_refused_is_seen(spoiled):
    with pytest.raises(Disagreement, match="was not refused with NotFound"):
        spoiled.refused(NotFound, lambda: spoiled.guests[0].domain.protect(0x1000_0000, PAGE, "r"))


def test_an_execution_of_a_message_page_faults_for_what_comes_first(world):
    """The walker and the model once differed here: rights are looked at after the entry's own state."""
    model, device_id = world.plat.model, world.devices[0].device_id
    assert model.translate(device_id, WINDOW + PAGE, "x").cause == 262
    judges.refused(world, world.devices[0], 262, WINDOW + PAGE, "x")
    world.msi(0, 1, 3)
    assert [model.translate(device_id, WINDOW + PAGE, access).cause for access in "xw"] == [1, 0]
    judges.refused(world, world.devices[0], 1, WINDOW + PAGE, "x")


# ---- what a user gets ---------------------------------------------------------------------------------


def test_steps_do_what_they_say(world):
    """The record is this side's own: what it says of a few steps, checked by hand."""
    g = world.guests[0]
    world.protect(0, 0, 5, 2, "r")
    assert [g.pages[0x1000_0000 + n * PAGE].perms for n in (4, 5, 6, 7)] == [Perm.RWX, Perm.R, Perm.R, Perm.RWX]
    world.guest()
    world.attach(1, 1)
    world.share(0, 0, 5, 2, 1, 3, 0, "r")
    assert world.guests[1].pages[0x8000_0000] == g.pages[0x1000_5000]
    world.revoke(0, 0, 5, 1)  # refused: it is lent
    assert 0x1000_5000 in g.pages
    world.read(1, 0, 0, 64)
    world.revoke(1, 0, 0, 1)
    world.revoke(0, 0, 5, 1)
    assert 0x1000_5000 not in g.pages


def test_a_failing_program_can_be_pasted(tmp_path):
    class Broken(machine_of("model")):
        """After two grants the map changes behind the world's back."""
        def _step(self, name, **drawn):
            super()._step(name, **drawn)
            g = self.world.pick(0)
            if name == "grant" and len(g.pages) > 3:
                g.domain.change([Revoke(min(g.pages), PAGE)])
                self.world.retire(0)
    machine = timed(Broken, None, None)
    with pytest.raises(Failure) as failure:
        run_examples(machine, SEED, 20, 8)
    assert failure.value.found_at <= 160
    lines = failure.value.program.splitlines()
    assert 4 <= len(lines) <= 6 and lines[0] == "from cordon.judged import World", failure.value.program
    ours = failure.value.program.replace("    w.retire(0)", "")
    exec(compile(ours, "pasted", "exec"), {})  # without the fault it runs, and nothing differs
