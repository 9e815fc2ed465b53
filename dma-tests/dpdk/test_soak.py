"""All at once, for as long as --soak=SECONDS says: each model of card at work, guests that die and start again."""
import time
from itertools import cycle

import guests
import pytest
from machine import MIB
from reach import FREE, REVOKING, addresses_of

SLOTS = {"red": (1, 4), "blue": (7, 10), "green": (13, 16)}
MODELS = dict(zip(SLOTS, guests.MODELS))  # reset by their register, by FLR, by their status
DIES = "sg & sleep 1; echo c >/proc/sysrq-trigger"


@pytest.fixture
def busy(tmp_path):
    """Three guests, each with two cards of a model of their own on one wire."""
    vms = {name: guests.vm(name, slots, memory=192 * MIB, hugepages=32, vcpus=1) for name, slots in SLOTS.items()}
    cards = [word for hub, (name, slots) in enumerate(SLOTS.items()) for slot in slots
             for word in guests.card(MODELS[name], slot, hub)]
    with guests.cordon(tmp_path, vms, cards, ram="1G", harts=4) as shared:
        yield shared


@pytest.mark.whole
@pytest.mark.timeout(7200)  # each wait in it is bounded
def test_guests_die_and_start_while_others_work_and_all_counts_agree(busy, request):
    machine, until = busy.machine, time.monotonic() + request.config.getoption("--soak")
    free, packets = len(addresses_of(machine, FREE)), 0
    for turn, dying in enumerate(cycle(SLOTS)):
        if turn >= len(SLOTS) and time.monotonic() > until:
            break
        for name in SLOTS:
            busy.begin(name, DIES if name == dying else "sg")
        assert machine.guests[dying].wait_end(90).how == "reboot"
        busy.again(dying)
        for name in SLOTS.keys() - {dying}:
            done = busy.end(name, 90)
            assert done.status == 0, done.text[-2000:]
            for flow in done.result["flows"]:
                assert flow["received"] == flow["sent"] == flow["packets"] and not flow["wrong"] + flow["strange"]
                packets += flow["received"]
    assert len(addresses_of(machine, FREE)) == free and not addresses_of(machine, REVOKING)
    busy.quiet()
    print(f"{turn} guests died, {packets} packets of the others arrived")
