"""Guests without an operating system: what they may do, what they may not, and who notices."""
import re
import struct

import pytest

import bundle
from machine import MIB, bare

NIC = ("-netdev", "hubport,hubid=0,id=net", "-device", "e1000e,netdev=net,addr=1")
OWNED, REVOKING = 5, 6  # of enum cordon_frame_state

@pytest.mark.parametrize("base", [0, 0x40000000, 0x80000000, 0x100000000])
def test_guest_runs_at_any_ram_base(boots, payload, base):
    run = boots.run({"guest": payload("hello")}, {"solo": bare(**{"ram-base": base})})
    assert run.status == 0
    assert run.of("solo")[-1] == "PASSED"


@pytest.mark.parametrize("base", [0, 0x80000000])
def test_everything_forbidden_is_refused_and_the_guest_lives_on(boots, payload, base):
    run = boots.run({"guest": payload("hostile")}, {"solo": bare(**{"ram-base": base})})
    assert [line for line in run.of("solo") if line.startswith("not ok")] == []
    assert run.of("solo")[-1] == "PASSED"
    assert run.status == 0
    assert run.has("cordon", "solo: vCPU 0: load from 0x60000000")
    assert run.has("cordon", "is not for guests: illegal instruction")


def test_harts_start_stop_suspend_and_are_interrupted(boots, payload):
    run = boots.run({"guest": payload("smp")}, {"solo": bare(vcpus=4)})
    assert "harts 4" in run.of("solo")
    assert [line for line in run.of("solo") if line.startswith("not ok")] == []
    assert run.of("solo")[-1] == "PASSED"
    assert run.status == 0


@pytest.mark.parametrize("base", [0, 0x80000000])
def test_memory_given_back_is_gone_for_every_hart(boots, payload, base):
    run = boots.run({"guest": payload("give")}, {"solo": bare(vcpus=2, **{"ram-base": base})})
    assert [line for line in run.of("solo") if line.startswith("not ok")] == []
    assert run.of("solo")[-1] == "PASSED"
    assert run.status == 0


def test_greedy_guest_meets_limits_and_stops_nobody(boots, payload):
    run = boots.run({"greedy": payload("greedy"), "good": payload("patience")},
                    {"greedy": bare("greedy"), "good": bare("good")})
    assert [line for line in run.of("greedy") if line.startswith("not ok")] == []
    assert run.of("greedy")[-1] == "PASSED"
    assert run.of("good")[-1] == "PASSED"
    assert run.status == 0


@pytest.mark.parametrize("fatal", ["nowhere", "stack"])
def test_guest_that_cannot_go_on_ends_and_the_other_goes_on(boots, payload, fatal):
    run = boots.run({"bad": payload(fatal), "good": payload("patience")},
                    {"bad": bare("bad"), "good": bare("good")})
    assert run.has("cordon", "bad: ENDED (stuck)")
    assert run.of("good")[-1] == "PASSED"
    assert run.has("cordon", "good: ENDED (shutdown)")
    ends = [line for line in run.of("cordon") if "ENDED" in line]
    assert ends[0].startswith("bad") and ends[1].startswith("good")
    assert run.status == 1


def test_wrong_hash_refuses_that_guest_and_starts_the_other(boots, payload):
    run = boots.run({"a": payload("hello"), "b": payload("hello") + b"x"},
                    {"first": bare("a"), "second": bare("b")}, digests={"a": bytes(32)})
    assert run.has("cordon", "REFUSED first: image a")
    assert run.of("first") == []
    assert run.of("second")[-1] == "PASSED"
    assert run.status == 1


def test_guest_with_a_wrong_hash_keeps_no_memory(boots, payload):
    """It was made ready while its image was hashed."""
    blob = bundle.make({"a": payload("hello"), "b": payload("echo")},
                       {"first": bare("a", devices=[{"pci": "0000:00:01.0"}]), "second": bare("b")},
                       digests={"a": bytes(32)})
    with boots.machine(blob, devices=NIC) as machine:
        machine.console.wait(r"\[second\] ready")
        assert machine.console.find(r"REFUSED first: image a")
        records = struct.iter_unpack("<QIHH", machine.owner_records())
        owners = {domain for _, _, domain, state in records if state in (OWNED, REVOKING)}
        assert owners == {machine.channel.wait("vm-started", vm="second")["domain"]}


def test_one_image_for_two_guests(boots, payload):
    run = boots.run({"guest": payload("hello")},
                    {"first": bare(), "second": bare(**{"ram-base": 0})})
    assert run.of("first")[-1] == run.of("second")[-1] == "PASSED"
    assert run.status == 0


def test_more_vcpus_than_harts_refuses_the_guest_that_has_none_left(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"first": bare(), "second": bare(vcpus=2)}, harts=2)
    assert run.has("cordon", "REFUSED second: 2 vCPUs, 1 harts are left of 2")
    assert run.of("first")[-1] == "PASSED"
    assert run.status == 1


def test_more_memory_than_there_is_refuses_that_guest(boots, payload):
    run = boots.run({"guest": payload("hello")},
                    {"first": bare(memory=8192 * MIB), "second": bare()}, ram="1G")
    assert run.has("cordon", "REFUSED first: RAM: 8192 MiB asked for")
    assert run.of("second")[-1] == "PASSED"
    assert run.status == 1


def test_memory_comes_back_when_a_guest_ends(boots, payload):
    run = boots.run({"a": payload("hello"), "b": payload("patience")},
                    {"first": bare("a", **{"scatter-pieces": 0x201, "scatter-seed": 5}),
                     "second": bare("b", **{"scatter-pieces": 0x201, "scatter-seed": 6})})
    assert run.status == 0
    assert not run.has("cordon", "cannot be freed")
    assert not run.has("cordon", "PANIC")


@pytest.mark.parametrize("way", ["keyboard", "channel"])
def test_input_reaches_the_guest_that_reads_the_console(boots, payload, way):
    with boots.machine(bundle.make({"guest": payload("echo")}, {"solo": bare()})) as machine:
        machine.console.wait(r"\[solo\] ready")
        if way == "keyboard":
            machine.console.type("hello\n")
        else:
            machine.guests["solo"].type("hello")
        machine.console.wait(r"\[solo\] heard hello")
        assert machine.wait_end(30) == 0


def test_host_channel_tells_what_became_of_each_guest(boots, payload):
    blob = bundle.make({"a": payload("hello"), "b": payload("stack")},
                       {"first": bare("a"), "second": bare("b"), "third": bare("a", vcpus=8)})
    with boots.machine(blob) as machine:
        assert machine.wait_end(30) == 1
        machine.channel.wait("all-ended", timeout=5, guests=3, failed=2)
        assert machine.channel.wait("vm-ended", timeout=1, vm="first")["end"] == "shutdown"
        assert machine.channel.wait("vm-ended", timeout=1, vm="second")["end"] == "stuck"
        assert "8 vCPUs" in machine.channel.wait("vm-refused", timeout=1, vm="third")["why"]


def told_on_console(lines):
    """What the console says of domain 1's faults: (counts in lines of their own, other counts)."""
    own = [re.match(r"device .* domain 1: .*, (\d+) times$", line) for line in lines]
    rest = [re.match(r"devices of domain 1: (\d+) more faults$", line) for line in lines]
    return [int(m[1]) for m in own if m], [int(m[1]) for m in rest if m]


def told_on_channel(events):
    """What the host channel says of faults: (counts in events of their own, other counts)."""
    return [[e["count"] for e in events if e["event"] == name]
            for name in ("fault", "faults-left-out")]


def test_device_that_faults_without_end_takes_neither_console_nor_channel(boots, payload):
    blob = bundle.make({"flood": payload("nic_flood"), "good": payload("echo")},
                       {"bad": bare("flood", devices=[{"pci": "0000:00:01.0"}]),
                        "good": bare("good")})
    with boots.machine(blob, devices=NIC) as machine:
        machine.console.wait(r"\[cordon\] bad: ENDED \(shutdown\)")
        at_end = machine.console.find(r"^\[cordon\] (devices? .*)")
        machine.channel.ask("faults", "faults")
        iommu = machine.channel.wait("iommu-faults", timeout=1)
        lines, more = told_on_console([m[1] for m in at_end])
        events, left_out = told_on_channel(machine.channel.events)
        seconds = 2  # in which there were faults
        assert 8 < len(lines) <= 8 * (seconds + 1)
        assert 64 < len(events) <= 64 * (seconds + 1)
        assert sum(more) > 0 and sum(left_out) > 0
        assert sum(lines) + sum(more) == sum(events) + sum(left_out)
        assert sum(events) + sum(left_out) == iommu["records"] - iommu["suppressed"]
        machine.console.wait(r"\[good\] ready")
        machine.console.type("\x1dhello\n")
        machine.console.wait(r"\[good\] heard hello")
