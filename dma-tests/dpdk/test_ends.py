"""A guest that dies in the middle of traffic: its cards are quiet before its memory is anybody's, and others go on."""
import guests
import pytest
from labours import AT_WORK, ENDLESS
from machine import MIB
from outside import Outside
from reach import FREE, OWNED, PAGE, addresses_of

pytestmark = pytest.mark.timeout(600)  # with two starts
SLOTS = {"red": (1, 4), "blue": (7, 10)}
WIRE = {name: hub for hub, name in enumerate(SLOTS)}
MANY = 1000  # frames


@pytest.fixture
def traffic(model, tmp_path):
    """red and blue send from card to card, without an end, each on a wire of its own; red dies at a word."""
    vms = {name: guests.vm(name, slots, memory=192 * MIB, hugepages=32, vcpus=1) for name, slots in SLOTS.items()}
    devices = [word for name, slots in SLOTS.items() for slot in slots for word in guests.card(model, slot, WIRE[name])]
    with guests.cordon(tmp_path, vms, devices, ram="768M", harts=3) as shared:
        for name in SLOTS:
            shared.begin(name, f"{ENDLESS} & read line; echo c >/proc/sysrq-trigger")
            shared.machine.guests[name].wait(AT_WORK, guests.READY)
        yield shared, Outside(shared.machine)


def test_guest_that_dies_leaves_quiet_cards_and_others_go_on(traffic, model):
    shared, outside = traffic
    machine, red = shared.machine, shared.machine.guests["red"]

    def blue_goes_on():
        outside.await_frames(WIRE["blue"], MANY)
    outside.await_frames(WIRE["red"], MANY)
    was = addresses_of(machine, OWNED, red.domain)
    assert all(any(outside.registers(model, slot).values()) for slot in SLOTS["red"])
    red.type("die")
    blue_goes_on()
    assert red.wait_end(guests.READY).how == "reboot"
    assert was <= addresses_of(machine, FREE)
    held = {at: hash(bytes(machine.memory(at, PAGE))) for at in was}
    assert not outside.knock(WIRE["red"])
    blue_goes_on()
    assert not [at for at in was if hash(bytes(machine.memory(at, PAGE))) != held[at]]
    shared.start("red")
    blue_goes_on()
    shared.listen("red")
    assert not any(any(outside.registers(model, slot).values()) for slot in SLOTS["red"])
    shared.begin("red", "sleep 9999 | rogue")  # listens: what nobody heard before is heard now
    red.wait(r'\{"program": "rogue".*?\]\}', guests.READY)
    heard = outside.knock(WIRE["red"])
    assert heard and {at & -PAGE for at in heard} <= addresses_of(machine, OWNED, red.domain)
    blue_goes_on()
    assert not machine.unexpected_faults()
    machine.audit()
