"""Random programs of steps, judged by every judge after each of them: on QEMU with real DMA, and on the
model. `make check-judged SECONDS=600` runs them for long, and makes a failing one short."""
import pytest

pytest.importorskip("hypothesis")

from cordon.judged.run import machine_of, run_examples  # noqa: E402
from cordon.judged.world import VARIANTS, World  # noqa: E402

SEED = 1


@pytest.mark.parametrize("variant", VARIANTS["qemu"])
def test_random_programs_on_qemu_end_without_a_difference(variant):
    print(f"seed {SEED}")
    run_examples(machine_of("qemu", variant), SEED, count=12, steps=12, shrink=False)


def test_random_programs_on_the_model_end_without_a_difference():
    print(f"seed {SEED}")
    run_examples(machine_of("model"), SEED, count=40, steps=20, shrink=False)


@pytest.mark.parametrize("backend", ["model", "qemu"])
def test_a_program_of_every_step_ends_without_a_difference(backend):
    with World(backend) as w:
        w.guest()
        w.guest()
        w.grant(0, 1, 0, (9, 0, 0, 0))
        w.grant(1, 1, 3, (0, 9, 2), "rw")
        w.run(2, 4, 1, 8, align=4, boundary=5, highest=12)
        w.attach(0, 0)
        w.attach(1, 1, own_view=True)
        w.attach(2, 0, own_view=True)
        w.attach(0, 1)  # refused
        w.grant(0, 1, 511, (9,))  # refused
        w.grant(0, 5, 1020, (0, 0), "r", keep=True)
        w.msi(0, 1, 3)
        w.signal(0, 1, 7)
        w.signal(1, 1, 7)
        for device in (0, 1, 2):
            w.write(device, device, -100, 300)
            w.read(device, 1 + device, -100, 300)
        w.protect(0, 0, 5, 3, "r")
        w.write(0, 0, 5 * 4096 - 8, 4 * 4096)
        w.share(0, 0, 100, 3, 1, 4, 0, "r")
        w.read(1, 4, 8, 64)
        w.revoke(0, 0, 100, 3)  # refused: lent
        w.revoke(1, 1, 0, 2)
        w.share(0, 0, 200, 2, 1, 4, 8, "rw", dma=False)
        w.write(1, 6, 8, 64)
        w.move(0, 0, 300, 3, 3, 0)
        w.swap(0, 0, 30, 3)
        w.revoke(0, 0, 2, 1)
        w.unanswered(0, 0, 60, 2)
        w.revoke(0, 0, 0, 1, beyond=True)  # refused
        w.hold(0, 0, 0, 64)
        w.hold(0, 0, 5000, 64, late=True)
        w.revoke(0, 0, 0, 1)
        w.swap(0, 0, 0, 513)
        w.let_go(0)
        w.attach(3, 0)
        w.write(3, 1, -64, 64)
        w.hold(3, 0, 16, 64)
        w.revoke(0, 0, 0, 1)
        w.pull(3)
        w.retire(0)
        w.reset(3)
        w.detach(1)
        w.end(1)
        w.msi(0, 1, 0)
        w.detach(0)
        w.write(0, 0, 0, 64)
        w.detach(2)
        w.guest()
        w.attach(0, 2)


def test_a_world_ends_whose_guest_borrows_and_waits_for_a_device_that_was_pulled():
    with World("model") as w:
        w.grant(0, 1, 0, (0, 0))
        w.guest()
        w.share(0, 0, 0, 1, 1, 1, 0, "rw")
        w.attach(3, 1)
        w.pull(3)
