"""Memory changes hands while cards still hold descriptors for it: nothing of theirs lands there any more."""
import json

import guests
import pytest
from cordon import Perm
from machine import MIB, bare, bare_guest
from reach import OWNED, PAGE, addresses_of, host_runs, monitor_arguments
from rogues import RECEIVER, SENDER
from wire import Wire, arguments

pytestmark = pytest.mark.timeout(300)  # with the start of a machine
MARK = b"-CORDON-BY-DPDK"  # dma-tests/dpdk/lib/line.h
CARDS = ["e1000e", pytest.param("igb", marks=pytest.mark.whole)]  # of virtio, QEMU has all of a ring's memory mapped from the start


@pytest.fixture(params=CARDS)
def churn(request, tmp_path):
    """A guest with cards, and one beside it that has ended, and whose memory scatters when it starts again."""
    vms = {"red": guests.vm("red", (SENDER, RECEIVER), memory=192 * MIB, hugepages=32, vcpus=1),
           "blue": bare(memory=128 * MIB, **{"scatter-pieces": 1, "scatter-seed": 5})}
    monitor = tmp_path / "qmp.sock"
    devices = (*guests.wire(request.param, (SENDER, RECEIVER)), *arguments(f"wire{SENDER}", tmp_path / "wire.pcap"))
    with guests.cordon(tmp_path, vms, (*devices, *monitor_arguments(monitor)), ram="512M", start=["red"], harts=2,
                       images={"guest": bare_guest("echo", tmp_path)}) as shared:
        shared.machine.console.type("\x1dquit\n")  # at blue's SBI console
        shared.machine.guests["blue"].wait_end(30)
        yield shared, monitor, Wire(tmp_path / "wire.pcap")


def test_what_was_given_back_is_the_next_guests_alone(churn):
    shared, monitor, wire = churn
    machine = shared.machine
    red, blue = machine.guests["red"], machine.guests["blue"]

    def order(text):
        red.type(text)
        return json.loads(red.wait(rf'\{{"order": "{text}".*?\}}', 60)[0])

    def marked(frames):
        return {at for at in frames if MARK in bytes(machine.memory(at, PAGE))}

    def contents(frames):
        return {at: bytes(machine.memory(at, PAGE)) for at in frames}

    def frames_behind():
        return {hpa + n for at, hpa, length in host_runs(monitor, red) for n in range(0, length, PAGE)
                if told["gpa"] <= at + n < told["gpa"] + told["bytes"]}
    shared.begin("red", "churn")
    told = json.loads(red.wait(r'\{"program".*?\}', 60)[0])
    was = frames_behind()
    assert len(was) == told["bytes"] // PAGE and not marked(was)
    assert order("send")["came"] and len(marked(was)) >= 3  # the cards do use it
    assert MARK in wire.take()[-1][1024:2048]

    assert order("give")["own_error"] == 0
    blue.start()
    reused = was & addresses_of(machine, OWNED, blue.domain)
    assert len(reused) > 100
    assert not any(any(machine.memory(at, PAGE)) for at in reused)  # scrubbed
    held = contents(was)
    order("send")
    assert contents(was) == held
    assert not any(any(packet[1024:2048]) for packet in wire.take())
    faults = machine.faults()
    assert {(fault.device, fault.access) for fault in faults} == {(f"0000:00:{SENDER:02x}.0", Perm.R),
                                                                  (f"0000:00:{RECEIVER:02x}.0", Perm.W)}
    for fault in faults:
        assert fault.owner == "red" and told["gpa"] <= int(fault.iova) < told["gpa"] + told["bytes"]

    assert order("take")["own_error"] == 0
    now = frames_behind()
    assert not now & reused and not marked(now)
    assert order("send")["came"] and marked(now) and not marked(reused)
    machine.audit()
