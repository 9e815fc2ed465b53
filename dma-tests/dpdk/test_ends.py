"""A guest that dies in the middle of traffic: its cards are quiet before its memory is anybody's, and others go on."""
import json

import guests
import pytest
from machine import MIB
from reach import FREE, OWNED, PAGE, addresses_of

pytestmark = pytest.mark.timeout(300)  # with the start of a machine
SLOTS = {"red": (1, 4), "blue": (7, 10)}  # all on one wire: what blue sends comes to red's cards, too
LISTEN = "sleep 9999 | rogue & read line; echo c >/proc/sysrq-trigger"
MARK = b"-CORDON-BY-DPDK"  # dma-tests/dpdk/lib/line.h
READY = r'\{"program": "rogue".*?\]\}'


@pytest.fixture
def traffic(model, tmp_path):
    """red listens, and dies at a word; blue talks when it is told to."""
    vms = {name: guests.vm(name, slots, memory=192 * MIB, hugepages=32, vcpus=1) for name, slots in SLOTS.items()}
    with guests.cordon(tmp_path, vms, guests.wire(model, [s for slots in SLOTS.values() for s in slots]), ram="768M",
                       harts=3) as shared:
        for name, order in (("red", LISTEN), ("blue", "rogue")):
            shared.begin(name, order)
            shared.machine.guests[name].wait(READY, 90)
        yield shared.machine


def test_guest_that_dies_leaves_quiet_cards_and_others_go_on(traffic):
    red, blue = traffic.guests["red"], traffic.guests["blue"]

    def talk(times):
        for _ in range(times):
            blue.type("send none")
            answer = json.loads(blue.wait(r'\{"order": "send none".*?\}', 60)[0])
            assert answer["came"] and answer["rest"]

    def heard():
        return {at for at in addresses_of(traffic, OWNED, red.domain) if MARK in bytes(traffic.memory(at, PAGE))}
    already = heard()  # in its root
    talk(3)
    assert heard() - already
    was = addresses_of(traffic, OWNED, red.domain)
    red.type("die")
    talk(3)
    assert red.wait_end(60).how == "reboot"
    assert was <= addresses_of(traffic, FREE)
    held = {at: hash(bytes(traffic.memory(at, PAGE))) for at in was}
    talk(3)  # its rings had room for more than that
    assert not [at for at in was if hash(bytes(traffic.memory(at, PAGE))) != held[at]]
    red.start()
    talk(3)
    red.wait("CORDON-DPDK-ORDERS", 90)
    red.type(LISTEN)
    red.wait(READY, 90)
    already = heard()
    talk(3)
    assert heard() - already
    assert not traffic.unexpected_faults()
    traffic.audit()
