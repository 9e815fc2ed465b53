"""Messages (MSI) that a guest's card sends reach this guest's own interrupt file, and no other one.

What a message does is counted by the kernel of the guest that it reaches: a number that is its console's interrupt is
one more of these in /proc/interrupts, whoever sent it.
"""
import re

import guests
import pytest
from cordon import Perm
from machine import MIB
from reach import PAGE

pytestmark = pytest.mark.timeout(300)  # with the start of a machine
CARDS = ["e1000e", pytest.param("igb", marks=pytest.mark.whole)]  # docs/limits.md
SLOTS = {"red": (1, 4), "blue": (7, 10)}
FILE = 0x01000000  # of each guest's first vCPU: GUEST_IMSIC of hyp/config/vm_config.h
NUMBER = 2  # of a console: the first one that the kernel gives away
SENT, MANY = 1000, 300  # QEMU may make one message of some; a console makes some dozens by itself


@pytest.fixture(scope="module", params=CARDS)
def beside(request, tmp_path_factory):
    """Two guests with cards, whose interrupt files stand at one guest address."""
    vms = {name: guests.vm(name, slots, memory=192 * MIB, hugepages=32, vcpus=1) for name, slots in SLOTS.items()}
    with guests.cordon(tmp_path_factory.mktemp("beside"), vms,
                       guests.wire(request.param, [s for slots in SLOTS.values() for s in slots]), ram="768M", harts=3) as shared:
        yield shared


def rises(shared, sender, files):
    """How many more interrupts of their consoles the guests count when SENDER's card has sent its messages to FILES."""
    def counts():
        said = {name: shared.order(name, "grep ttyS0 /proc/interrupts").text for name in SLOTS}
        return {name: int(re.search(r"\d+: +(\d+) .*ttyS0", text)[1]) for name, text in said.items()}
    before = counts()
    done = shared.order(sender, f"for file in {' '.join(map(hex, files))}; do echo message {NUMBER} $file; done | rogue")
    assert done.text.count(f'"sent": {SENT}') == len(files), done.text[-2000:]
    return {name: count - before[name] for name, count in counts().items()}


def test_messages_of_a_card_reach_its_own_guest_alone(beside):
    for sender, other in (("red", "blue"), ("blue", "red")):
        came = rises(beside, sender, [FILE])
        assert came[other] < MANY < came[sender]
    beside.quiet()


def test_messages_to_a_file_by_its_host_address_reach_nobody(beside):
    machine = beside.machine
    start = len(machine.channel.events)
    machine.channel.order("places", "places")
    places = machine.channel.seen("place", start, name="interrupt files of a hart")
    files = [int(p["hpa"], 0) + at for p in places for at in range(0, int(p["len"], 0), PAGE)]
    assert len(places) == 3 and len(files) > 3  # harts; their own, and those that guests may have
    came = rises(beside, "red", files)
    assert max(came.values()) < MANY
    faults = machine.faults()
    assert {(fault.owner, fault.device) for fault in faults} == {("red", f"0000:00:{SLOTS['red'][0]:02x}.0")}
    assert {fault.access for fault in faults} == {Perm.W} and {int(fault.iova) & -PAGE for fault in faults} <= set(files)
    machine.audit()
