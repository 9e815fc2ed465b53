"""GVA, GPA, HVA and HPA of guests that run: Linux in each of its modes, asked of each vCPU, judged in their RAM."""
import json
import os
import socket
import subprocess
import sys
import time

import pytest

import bundle
from cordon import GpaEnd, GvaEnd
from cordon.judge import HartRules, HartWalker
from cordon.machine import Console, GuestState, NoSuchVcpu
from cordon.machine.machine import HYPERVISOR
from machine import TREE, bare, linux, linux_images

IMAGE = 0xffffffff80000000  # where the stock kernel links itself, without KASLR
ARGS = "console=ttyS0 earlycon=sbi panic=-1 nokaslr norandmaps cordon.name=red cordon.then=shell"
# Two processes that are busy, and where the program begins; before its exec has ended, it is not there yet.
SPIN = ("for c in 0 1; do sh -c 'while :; do :; done' & done; until m=$(grep -m1 /busybox /proc/$!/maps); do :; "
        "done; echo AT $m")


def judged(m, walk, access):
    """The literal walker says the same from the machine's RAM, where the tables stand still."""
    rules = HartRules(**vars(walk.rules))
    hgatp = walk.gstage.root.v >> 12 | {"Sv39x4": 8, "Sv48x4": 9, "Sv57x4": 10}[walk.gstage.mode] << 60
    said = HartWalker(lambda hpa, n: bytes(m.memory(hpa, n))).gva(walk.satp, hgatp, walk.gva.v, access, rules)
    assert (said.cause, said.hpa) == (walk.cause, walk.hpa and walk.hpa.v), f"{walk}\n{said}"


def in_process(vcpu, address):
    """The walk of a user's address, once the vCPU is met in a process that has it: another one may have had its
    turn."""
    deadline = time.monotonic() + 60
    while not (walk := vcpu.translate(address, "r", "user")).leads:
        assert time.monotonic() < deadline, walk
    return walk


@pytest.mark.parametrize("mode, option", [("Sv39", "no4lvl"), ("Sv48", "no5lvl"), ("Sv57", "")])
def test_addresses_of_a_running_linux_are_led_to_the_bytes_that_stand_there(boots, mode, option):
    images = linux_images()
    vms = {"red": linux("red", vcpus=2, bootargs=f"{ARGS} {option}", **{"scatter-pieces": 1 | 1 << 9})}
    at = images["linux"].index(b"Linux version ")
    with boots.machine(bundle.make(images, vms)) as m:
        red = m.guests["red"]
        red.wait("CORDON-GUEST-SHELL", 90)
        for number in range(2):
            walk = red.vcpu(number).translate(IMAGE + at, "r", "supervisor")
            assert walk.leads and walk.mode == mode and walk.state == "running", walk
            assert bytes(m.memory(walk.hpa, 64)) == images["linux"][at:at + 64]
            assert walk.gpa.v != walk.hpa.v and walk.hva - walk.hpa.v == walk.steps[0].hva - walk.steps[0].hpa.v
            refused = red.vcpu(number).translate(IMAGE + at, "r", "user")
            assert refused.end is GvaEnd.USER and refused.cause == 13
        red.type(SPIN)
        text = int(red.wait(r"AT ([0-9a-f]+)-", 60)[1], 16)
        program = (TREE / "out/guest/busybox").read_bytes()
        for number in range(2):
            walk = in_process(red.vcpu(number), text)
            assert bytes(m.memory(walk.hpa, PAGE)) == program[:PAGE], walk
            assert walk.steps[-1].value & 0x10 and walk.mode == mode
        red.pause()  # its tables stand still as well, for another judge
        for number in range(2):
            for access, end in (("r", GvaEnd.LEADS), ("w", GvaEnd.RIGHTS)):
                walk = red.vcpu(number).translate(IMAGE + at, access, "supervisor")
                assert walk.state == "paused" and walk.end is end, walk
                judged(m, walk, access)
        red.resume()
        red.type("echo goes'' on")
        red.wait("goes on")


# ---- tables that no kernel makes (dma-tests/guest/bare/mazes.c) ---------------------------------

GIB, PAGE, BASE, UART = 1 << 30, 4096, 0x80000000, 0x10000000


@pytest.fixture
def mazes(boots, payload):
    """A machine with the guest, and where its tables stand."""
    with boots.machine(bundle.make({"guest": payload("mazes")}, {"maze": bare(vcpus=4)})) as m:
        maze = m.guests["maze"]
        yield m, maze, int(maze.wait(r"tables at (\d+)")[1])
        if maze.state is GuestState.PAUSED:
            maze.resume()
        m.console.type("x")
        maze.wait("PASSED")


def test_tables_of_any_making_end_in_an_answer(mazes):
    m, maze, tables = mazes
    cpu = maze.vcpu(0)
    own = cpu.translate(tables + 4 * PAGE, "w", "supervisor")
    assert own.mode == "Sv39" and own.gpa.v == tables + 4 * PAGE and bytes(m.memory(own.hpa, 8)) == b"here!!!\0"
    assert cpu.translate(tables, "r", "user").end is GvaEnd.USER
    circle = cpu.translate(3 * GIB | 3 << 21 | 3 << 12)
    assert circle.end is GvaEnd.DEEP and {s.gpa.v for s in circle.steps} == {tables + 24}
    for index, end, where in ((4, GvaEnd.MISALIGNED, None), (5, GvaEnd.NO_TABLE, GpaEnd.WIDTH),
                              (6, GvaEnd.NO_TABLE, GpaEnd.HOLE), (7, GvaEnd.NO_TABLE, GpaEnd.HOLE),
                              (9, GvaEnd.DEEP, GpaEnd.RAM), (10, GvaEnd.EMPTY, GpaEnd.RAM)):
        walk = cpu.translate(index * GIB + 8, "r", "supervisor")
        assert walk.end is end and (where is None or walk.map is where), walk
        assert walk.emulated == (index == 6) and (walk.hpa, walk.hva) == (None, None)
        judged(m, walk, "r")
    assert cpu.translate(1 << 60).end is GvaEnd.CANONICAL


def test_a_vcpu_answers_in_a_circle_asleep_paused_and_stopped(mazes):
    m, maze, tables = mazes
    deadline = time.monotonic() + 20
    while (lost := maze.vcpu(2).translate(tables)).mode == "Bare":  # it has only just been started
        assert time.monotonic() < deadline
    assert lost.end is GvaEnd.DEEP and lost.state == "running"
    assert {s.gpa.v >> 12 for s in lost.steps} == {tables // PAGE + 3}
    never = maze.vcpu(3).translate(tables)
    assert never.mode == "Bare" and never.state == "stopped" and never.gpa.v == tables
    maze.pause()
    for number in range(4):
        walk = maze.vcpu(number).translate(tables)
        assert walk.state == ("stopped" if number == 3 else "paused"), walk
    maze.resume()
    assert maze.vcpu(0).translate(tables).state == "running"
    with pytest.raises(NoSuchVcpu):
        maze.vcpu(4)
    m.audit()


def test_a_thousand_walks_of_a_word_that_changes_are_each_one_of_what_it_was(mazes):
    m, maze, tables = mazes
    last = tables + 2 * PAGE
    legal = {
        0xcf | BASE >> 2: (GvaEnd.LEADS, BASE + 8), 1 | last >> 2: (GvaEnd.LEADS, tables + 4 * PAGE + 8),
        0: (GvaEnd.EMPTY, tables + PAGE), 0xcf | BASE + PAGE >> 2: (GvaEnd.MISALIGNED, tables + PAGE),
        1 | BASE - PAGE >> 2: (GvaEnd.NO_TABLE, BASE - PAGE), 1 | UART >> 2: (GvaEnd.NO_TABLE, UART),
        0xcf | 1 << 54 | BASE >> 2: (GvaEnd.RESERVED, tables + PAGE), 1 | tables + PAGE >> 2: None}
    seen = set()
    for _ in range(1000):
        walk = maze.vcpu(0).translate(8 * GIB + 8, "r", "supervisor")
        word = walk.steps[1].value
        seen.add(word)
        if legal[word] is None:  # the word leads to its own table, and may be another one by then
            assert walk.steps[2].gpa == walk.steps[1].gpa and walk.steps[2].value in legal, walk
        else:
            assert (walk.end, walk.gpa.v) == legal[word], walk
    assert len(seen) >= 4, seen
    assert maze.state is GuestState.RUNNING
    m.audit()


def test_questions_that_make_no_sense_are_refused(mazes):
    m, _, _ = mazes
    for command, why in (("translate", "say which VM"), ("translate nobody 0 0", "no VM has that name"),
                         ("translate maze", "no such vCPU"), ("translate maze 4 0", "no such vCPU"),
                         ("translate maze -1 0", "no such vCPU"), ("translate maze 0", "a virtual address"),
                         ("translate maze 0 -1", "a virtual address"), ("translate maze 0 0x", "a virtual address"),
                         ("translate maze 0 0x10000000000000000", "a virtual address"),
                         ("translate maze 0 0 rw", "an access is"), ("translate maze 0 0 .", "an access is"),
                         ("translate maze 0 0 r root", "who asks"), ("translate maze 0 0 r user more", "who asks")):
        assert why in m.channel.ask(command, "error")["why"], command


# ---- the command ------------------------------------------------------------------------------


def cordon(*arguments):
    """The command line, as a user calls it: exit status and output."""
    done = subprocess.run([sys.executable, "-m", "cordon", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": str(TREE / "bindings/python")})
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def somebodys_machine(tmp_path, payload):
    """A machine that was started by hand, with a host channel at a socket: the socket, and where tables stand."""
    (tmp_path / "maze.itb").write_bytes(bundle.make({"guest": payload("mazes")}, {"maze": bare(vcpus=3)}))
    paths = tmp_path / "console.sock", tmp_path / "channel.sock"
    ends = [part for name, path, wait in zip(("console", "channel"), paths, ("on", "off")) for part in (
        "-chardev", f"socket,id={name},path={path},server=on,wait={wait}")]
    with subprocess.Popen(
            ["qemu-system-riscv64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M",
             "virt,aia=aplic-imsic,aia-guests=4", "-cpu", "rv64,h=true", "-smp", "4", "-m", "512", "-kernel",
             HYPERVISOR, "-initrd", tmp_path / "maze.itb", *ends, "-serial", "chardev:console", "-global",
             "virtio-mmio.force-legacy=false", "-device", "virtio-serial-device,max_ports=1", "-device",
             "virtconsole,chardev=channel"], stdin=subprocess.DEVNULL) as qemu, socket.socket(socket.AF_UNIX) as sock:
        try:
            deadline = time.monotonic() + 20
            while sock.connect_ex(str(paths[0])):
                assert qemu.poll() is None and time.monotonic() < deadline
            console = Console(sock, None)
            yield paths[1], int(console.wait(r"tables at (\d+)", 60)[1][1])
        finally:
            qemu.kill()


def test_command_asks_a_machine_that_runs(somebodys_machine):
    path, tables = somebodys_machine
    ask = "walk", f"channel:{path}", "--guest", "maze", "--vcpu"
    status, said = cordon(*ask, 0, "--gva", hex(tables), "--json")
    told = json.loads(said)
    assert status == 0 and (int(told["gpa"], 0), told["mode"], told["state"]) == (tables, "Sv39", "running"), said
    status, said = cordon(*ask, 0, "--gva", hex(3 * GIB), "--access", "w", "--who", "supervisor")
    assert status == 1 and "cause 15: level 1: the word is not valid" in said and "-> nowhere" in said
    deadline = time.monotonic() + 20
    while ", Bare" in (told := cordon(*ask, 2, "--gva", hex(tables)))[1]:  # it has only just been started
        assert time.monotonic() < deadline
    status, said = told
    assert status == 1 and "the word of the last level is no leaf" in said and said.count(f"GPA {tables + 3 * PAGE:#x}")
    for wrong, sentence in ((("--gva", 0, "--vcpu", 3), "no such vCPU"), (("--gva", 0, "--guest", "blue"), "no VM has"),
                            (("--gpa", 0), "is asked for --gva"), (("--gva", 0, "--hart", 1), "is asked for --gva")):
        status, said = cordon(*ask, 0, *wrong)
        assert status == 2 and sentence in said and "Traceback" not in said, said


def test_a_channel_that_is_not_there_is_refused(tmp_path):
    status, said = cordon("walk", f"channel:{tmp_path}/none", "--gva", 0, "--guest", "red", "--vcpu", 0)
    assert status == 2 and "No such file" in said and "Traceback" not in said
    status, said = cordon("walk", f"channel:{tmp_path}/none", "--gva", 0)
    assert status == 2 and "--guest and --vcpu go together" in said
