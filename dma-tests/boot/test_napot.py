"""Guests on leaves of 64 KiB, on a machine whose harts have Svnapot; its IOMMU (QEMU 10.0.2's) has not."""
import pytest

import bundle
from cordon import PAGE
from cordon.dump import views_of
from cordon.dump.machine import machine as dump_of
from machine import MIB, bare, linux

CPU = "rv64,h=true,svnapot=true"
RUN = 64 << 10
PIECES = {"scatter-pieces": 1 << 4, "scatter-seed": 3}  # of 2^4 pages


def sizes(guest):
    """Bytes of its RAM by the leaves that they stand in."""
    found = {}
    for run in guest.present():
        if guest.ram_base <= run.gpa.v < guest.ram_base + guest.ram_bytes:
            found[run.size] = found.get(run.size, 0) + run.len
    return found


def test_linux_runs_on_leaves_of_64_kib_alone(boots, linux_images):
    blob = bundle.make(linux_images, {"red": linux("red", vcpus=2, **PIECES)})
    with boots.machine(blob, cpu=CPU, ram="1G") as machine:
        machine.console.wait(r"G-stage modes 0x7, 64 KiB pages", timeout=30)
        machine.console.wait(r"IOMMU at 0x3010000: 64 KiB pages were tried: it does not know them", timeout=30)
        red = machine.guests["red"]
        assert set(sizes(red)) == {"64K"}
        assert red.tables().napot * RUN == red.ram_bytes
        machine.console.wait(r"\[red\] CORDON-GUEST-INIT red", timeout=90)
        assert machine.wait_end(60) == 0


def test_pages_that_came_one_by_one_come_together_in_the_background(boots, payload):
    blob = bundle.make({"full": payload("full")}, {"red": bare("full", memory=16 * MIB, fill="first-touch")})
    with boots.machine(blob, cpu=CPU) as machine:
        red = machine.guests["red"]
        red.wait("full")
        machine.channel.wait("vm-merged", 60, vm="red")
        large = sum(size for kind, size in sizes(red).items() if kind != "4K")
        assert large > 8 * MIB
        machine.audit()


@pytest.fixture
def written(boots, payload):
    """A machine whose guest waits for orders."""
    blob = bundle.make({"writes": payload("writes")}, {"red": bare("writes", memory=32 * MIB, **PIECES)})
    with boots.machine(blob, cpu=CPU, ram="1G") as machine:
        red = machine.guests["red"]
        red.wait(r"window at (-?\d+)")
        red.coalescing(False)

        def order(letter, answer):
            machine.console.type(letter)
            red.wait(answer)
        yield machine, red, order
        order("v", "ok each page holds what was written")
        assert machine.channel.ask("audit", "audit")["clean"]
        order("q", "PASSED")


def test_frames_move_out_of_64_kib_under_a_live_guest(written):
    machine, red, order = written
    order("a", "wrote a")
    assert set(sizes(red)) == {"64K"}
    moves, _ = red.move(50, 7)
    assert moves.pages > 0
    assert sizes(red)["4K"] >= RUN and sizes(red)["4K"] % RUN == 0  # whole runs were taken apart
    order("v", "ok each page holds what was written")
    assert machine.channel.ask("audit", "audit")["clean"]


def test_what_is_logged_is_of_4_kib_and_comes_together_again(written):
    machine, red, order = written
    order("a", "wrote a")
    red.log()
    assert set(sizes(red)) == {"4K"}
    red.dirty()
    order("a", "wrote a")
    assert red.dirty().dirty
    red.log(False)
    made = red.coalesce()
    assert made.napot == red.ram_bytes // RUN and made.mega == 0
    assert set(sizes(red)) == {"64K"}


def test_the_words_in_memory_are_those_of_the_specification(boots, payload, tmp_path):
    monitor = tmp_path / "qmp.sock"
    vms = {"red": bare("echo", memory=16 * MIB, **{"scatter-pieces": 1 | 1 << 4 | 1 << 9, "scatter-seed": 7})}
    with boots.machine(bundle.make({"echo": payload("echo")}, vms), cpu=CPU,
                       devices=("-qmp", f"unix:{monitor},server=on,wait=off")) as machine:
        red = machine.guests["red"]
        red.wait("ready")
        shape = red.tables()
        with dump_of(str(monitor)) as dump:
            (view,) = (v for v in views_of(dump) if v.domain == red.name and v.device is None)
            assert (view.bytes, view.broken) == (shape.mapped, [])  # judged by the letter
        assert shape.napot > 0 and shape.leaves[1] > 0
        assert shape.mapped == shape.leaves[0] * PAGE + shape.napot * RUN + (shape.leaves[1] << 21)
        machine.console.type("quit\n")
        red.wait_end(30)
