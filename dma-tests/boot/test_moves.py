"""Frames that move under guests that run: nobody notices but by the clock."""
import re

import pytest

import bundle
from cordon.dump import views_of
from cordon.dump.machine import machine as dump_of
from cordon.moves import picture
from machine import MIB, bare, linux

CPUS = 4
EDU = ("-device", "edu,dma_mask=0xffffffffffffffff,addr=3")
WORK = ("mkdir -p /w; mount -t tmpfs w /w; for i in 0 1 2 3; do dd if=/dev/urandom of=/w/$i bs=64k count=32 2>/dev/null; "
        "sha256sum /w/$i >/w/$i.sum; (n=0; while [ ! -e /w/stop ] || [ $n -lt 4 ]; do "
        "taskset $((1<<i)) sha256sum -c /w/$i.sum >/dev/null || echo SPO''ILT $i; n=$((n+1)); done; "
        "echo work''er $i checked $n) & done; dmesg | wc -l >/w/lines; echo hash''ing\n")
END = ("touch /w/stop; wait; dmesg | tail -n +$(($(cat /w/lines)+1)) | sed 's/^/kernel-sa''id: /'; echo fin''ished; "
       "poweroff -f\n")


@pytest.fixture
def hashing(boots, linux_images):
    """A Linux that hashes files on each of its vCPUs, again and again."""
    shell = linux("red", vcpus=CPUS, memory=192 * MIB)
    shell["bootargs"] = shell["bootargs"].replace("poweroff", "shell")
    with boots.machine(bundle.make(linux_images, {"red": shell}), harts=CPUS + 1) as machine:
        machine.console.wait(r"\[red\] CORDON-GUEST-SHELL red", timeout=90)
        machine.console.type(WORK)
        machine.console.wait(r"\[red\] hashing", timeout=90)
        yield machine


@pytest.mark.timeout(400)
def test_linux_that_hashes_on_every_vcpu_does_not_notice_that_its_frames_move(hashing):
    red = hashing.guests["red"]
    told = []
    for seed in range(48):  # 1,092 frames: one at a time, many at a time, large leaves
        length = (4096, 16 * 4096, 16 * 4096, 16 * 4096)[seed % 4] if seed else 2 * MIB
        moves, refused = red.move(1, seed, length)
        assert (moves.pages, refused) == (length // 4096, 0)
        told.append(moves)
    assert red.memory().moved == sum(m.pages for m in told) > 1000
    made = hashing.compact(8 * MIB, align=2 * MIB)
    assert made.run is not None and made.run.hpa.v % (2 * MIB) == 0
    hashing.audit()
    for pages in (1, 16, 512):
        stops = sorted(m.longest_us for m in told if m.pages == pages)
        print(f"{pages} pages a stop: {stops[len(stops) // 2]} us in the middle, {stops[-1]} us at most")
    hashing.console.type(END)
    hashing.console.wait(r"\[red\] finished", timeout=120)
    assert "SPOILT" not in red.said and "kernel-said" not in red.said
    checked = dict(re.findall(r"worker (\d) checked (\d+)", red.said))
    assert sorted(checked) == ["0", "1", "2", "3"] and all(int(n) > 3 for n in checked.values())
    assert hashing.wait_end(30) == 0


@pytest.fixture
def beside(boots, payload, tmp_path):
    """A guest with a device and one without, both with memory in pieces; and what leads where, by GPA."""
    monitor = tmp_path / "qmp.sock"
    pieces = {"memory": 16 * MIB, "scatter-pieces": 1, "scatter-seed": 7}
    blob = bundle.make({"echo": payload("echo")},
                       {"dev": bare("echo", devices=[{"pci": "0000:00:03.0", "reset": "none-allowed"}], **pieces),
                        "free": bare("echo", **pieces)})

    def places(guest):
        with dump_of(str(monitor)) as dump:
            (view,) = (v for v in views_of(dump) if v.domain == guest.name and v.device is None)
            found = {}
            for run in view.runs:
                at = run.gpa
                for hpa, length in run.parts:
                    found |= {at + n: hpa + n for n in range(0, length, 4096)}
                    at += length
            return {gpa: hpa for gpa, hpa in found.items() if guest.ram_base <= gpa < guest.ram_base + guest.ram_bytes}
    with boots.machine(blob, devices=(*EDU, "-qmp", f"unix:{monitor},server=on,wait=off")) as machine:
        for guest in machine.guests.values():
            guest.wait("ready")
        yield machine, places


def test_frames_that_a_device_reaches_never_move_and_those_beside_do(beside):
    machine, places = beside
    dev, free = machine.guests["dev"], machine.guests["free"]
    before = places(dev), places(free)
    assert len(before[0]) == len(before[1]) == 16 * MIB // 4096
    moves, refused = dev.move(50, 1)
    assert (moves.pages, refused) == (0, 50)
    moves, refused = free.move(50, 1)
    assert (moves.pages, refused) == (50, 0)
    kinds = {k: sum(b.pages[k] for b in machine.blocks()) for k in ("device", "movable")}
    assert kinds == {"device": 4096, "movable": 4096}
    made = machine.compact(8 * MIB)
    assert made.run is not None
    after = places(dev), places(free)
    assert after[0] == before[0]
    assert 30 <= sum(after[1][gpa] != hpa for gpa, hpa in before[1].items())
    assert not set(after[0].values()) & set(after[1].values())
    machine.audit()


@pytest.mark.parametrize("command", ["compact", "compact 4096 x", "compact 1 2 3 4 5", "compact 100", "compact 0",
                                     "move free", "move free 1", "move free 5000 1", "move free 1 1 100",
                                     "move free 5 1 16777216",
                                     "blocks here"])
def test_nonsense_is_refused(beside, command):
    machine, _ = beside
    assert re.match("compact takes|move takes|blocks takes", machine.channel.ask(command, "error")["why"])


def test_one_command_moves_no_more_than_64_mib(boots, payload):
    blob = bundle.make({"echo": payload("echo")},
                       {"red": bare("echo", memory=240 * MIB, **{"scatter-pieces": 1, "scatter-seed": 5})})
    with boots.machine(blob, ram="512M") as machine:
        machine.guests["red"].wait("ready")
        made = machine.compact(200 * MIB)
        assert (made.run, made.why, made.moves.pages) == (None, "a fixed limit is reached", 0)
        assert machine.compact(8 * MIB).run is not None
        machine.audit()


def test_pool_is_made_where_host_memory_is_in_pieces(boots, payload):
    blob = bundle.make({"echo": payload("echo")},
                       {"red": bare("echo", memory=120 * MIB, pool=8 * MIB, **{"scatter-pieces": 1, "scatter-seed": 9})})
    with boots.machine(blob, ram="256M") as machine:
        red = machine.guests["red"]
        red.wait("ready")
        assert red.memory().moved > 0
        machine.audit()


def test_guest_gets_a_contiguous_run_where_host_memory_is_in_pieces(boots, payload):
    pieces = {"scatter-pieces": 1, "scatter-seed": 3}
    blob = bundle.make({"runs": payload("runs"), "echo": payload("echo")},
                       {"asks": bare("runs", **pieces), "fills": bare("echo", memory=120 * MIB, **pieces)})
    with boots.machine(blob, ram="256M") as machine:
        for guest in machine.guests.values():
            guest.wait("ready")
        assert "...." not in picture(machine.blocks()), picture(machine.blocks())
        machine.console.type("x")
        asks = machine.guests["asks"]
        asks.wait("PASSED")
        assert "FAILED" not in asks.said
        machine.audit()
