"""Memory changes hands while cards still hold descriptors for it: nothing of theirs lands there any more."""
import json
from contextlib import contextmanager

import guests
import pytest
from cordon import Perm
from machine import MIB, bare, bare_guest
from reach import FREE, OWNED, PAGE, REVOKING, addresses_of, host_runs, monitor_arguments
from rogues import RECEIVER, SECRET, SENDER
from wire import Wire, arguments

pytestmark = pytest.mark.timeout(300)  # with the start of a machine
MARK = b"-CORDON-BY-DPDK"  # dma-tests/dpdk/lib/line.h
CARDS = ["e1000e", pytest.param("igb", marks=pytest.mark.whole)]  # they translate each access; virtio's may not
PENDING = 14  # of dma-tests/guest/lib/own.h


class Churn:
    """The program churn in red, and what stands in the memory that it gives and takes."""

    def __init__(self, shared, monitor, wire):
        self.machine, self.wire, self._monitor = shared.machine, wire, monitor
        self.red, self.blue = (self.machine.guests[name] for name in ("red", "blue"))
        shared.begin("red", "churn")
        told = json.loads(self.red.wait(r'\{"program".*?\}', 60)[0])
        self.range = range(told["gpa"], told["gpa"] + told["bytes"])

    def order(self, text):
        self.red.type(text)
        return json.loads(self.red.wait(rf'\{{"order": "{text}".*?\}}', 60)[0])

    def behind(self):
        """The frames that red's cards reach there, in the order of its addresses."""
        return [hpa + n for at, hpa, length in host_runs(self._monitor, self.red) for n in range(0, length, PAGE)
                if at + n in self.range]

    def contents(self, frames):
        return {at: bytes(self.machine.memory(at, PAGE)) for at in frames}

    def marked(self, frames):
        return {at for at, data in self.contents(frames).items() if MARK in data}

    def middles(self):
        """What went over the wire of the piece that stands in that memory."""
        return [packet[1024:2048] for packet in self.wire.take()]

    def judge_faults(self):
        """Each card was refused what it tried, there."""
        faults = self.machine.faults()
        assert {(fault.device, fault.access) for fault in faults} == {(f"0000:00:{SENDER:02x}.0", Perm.R),
                                                                      (f"0000:00:{RECEIVER:02x}.0", Perm.W)}
        assert all(fault.owner == "red" and int(fault.iova) in self.range for fault in faults)


@contextmanager
def beginning(model, folder):
    """A guest with cards, and one beside it that has ended, and whose memory scatters when it starts again."""
    vms = {"red": guests.vm("red", (SENDER, RECEIVER), memory=192 * MIB, hugepages=32, vcpus=1),
           "blue": bare(memory=128 * MIB, **{"scatter-pieces": 1, "scatter-seed": 5})}
    monitor = folder / "qmp.sock"
    devices = (*guests.wire(model, (SENDER, RECEIVER)), *arguments(f"wire{SENDER}", folder / "wire.pcap"))
    with guests.cordon(folder, vms, (*devices, *monitor_arguments(monitor)), ram="512M", start=["red"], harts=2,
                       images={"guest": bare_guest("echo", folder)}) as shared:
        shared.machine.console.type("\x1dquit\n")  # at blue's SBI console
        shared.machine.guests["blue"].wait_end(30)
        churn = Churn(shared, monitor, Wire(folder / "wire.pcap"))
        was = churn.behind()
        assert len(was) == len(churn.range) // PAGE and not churn.marked(was)
        assert churn.order("send")["came"] and len(churn.marked(was)) >= 3  # the cards do use it
        assert MARK in churn.middles()[-1]
        yield churn, was


@pytest.mark.parametrize("model", CARDS)
def test_what_was_given_back_is_the_next_guests_alone(model, tmp_path):
    with beginning(model, tmp_path) as (churn, was):
        machine, order = churn.machine, churn.order
        assert order("give")["own_error"] == 0
        churn.blue.start()
        reused = set(was) & addresses_of(machine, OWNED, churn.blue.domain)
        assert len(reused) > 100
        assert not any(any(machine.memory(at, PAGE)) for at in reused)  # scrubbed
        machine.memory(was[-1], PAGE)[:] = (SECRET * PAGE)[:PAGE]  # whence the packet's piece was fetched
        held = churn.contents(was)
        order("send")
        assert churn.contents(was) == held
        assert not any(any(middle) for middle in churn.middles())
        churn.judge_faults()
        assert order("take")["own_error"] == 0
        now = churn.behind()
        assert not reused.intersection(now) and not churn.marked(now)
        assert order("send")["came"] and churn.marked(now) and not churn.marked(reused)
        machine.audit()


def test_what_a_card_may_hold_on_to_is_nobodys_until_its_reset(tmp_path):
    with beginning("virtio-net-pci", tmp_path) as (churn, was):
        machine = churn.machine
        assert churn.order("give")["own_error"] == PENDING
        assert not churn.behind()
        churn.blue.start()
        assert set(was) <= addresses_of(machine, REVOKING, churn.red.domain)
        blues = addresses_of(machine, OWNED, churn.blue.domain)
        held = {at: hash(data) for at, data in churn.contents(blues).items()}
        churn.order("send")
        assert {at: hash(data) for at, data in churn.contents(blues).items()} == held
        assert not any(any(middle) for middle in churn.middles())
        churn.judge_faults()
        churn.red.type("quit\npoweroff -f")
        churn.red.wait_end(60)  # which resets its cards
        assert set(was) <= addresses_of(machine, FREE)
        machine.audit()
