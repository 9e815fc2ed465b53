"""More guests than VMIDs: one that finds none is told so, and each that runs has its own memory, again and again."""
import struct
import time

import pytest

import bundle
from cordon.dump.machine import VMID
from cordon.dump.machine import machine as dump_of
from cordon.machine import GuestError, GuestState
from machine import MIB, bare

NAMES = ("ann", "bob", "cid", "dot", "eve")
OWNED, REVOKING = 5, 6  # of enum cordon_frame_state
NONE_LEFT = "as many other VMs run as there are VMIDs"


@pytest.fixture
def keepers(boots, payload):
    """keepers(BITS, VCPUS): a machine with five guests, each of which knows its own bytes; all have the same
    addresses."""
    image = payload("keeper")
    assert image.count(b"YOUR NAM") == 1
    images = {name: image.replace(b"YOUR NAM", name.encode().ljust(8)) for name in NAMES}

    def make(bits, vcpus=1, **options):
        vms = {name: bare(name, memory=8 * MIB, vcpus=vcpus, fill="first-touch") for name in NAMES}
        return boots.machine(bundle.make(images, vms, machine={"vmid-bits": bits}), harts=len(NAMES) * vcpus + 1,
                             ram="256M", **options)
    return make


def told_from_outside(machine, monitor):
    """{number: (name, whether a hart has its tables)} of the guests in a machine that nobody asks."""
    with dump_of(str(monitor)) as dump:
        inside = {hart.hgatp & ~VMID for hart in dump.harts}
        return {d.number: (d.name, d.hgatp in inside) for d in dump.domains}


def settled(machine, vmids):
    """Who runs and who does not, once those beyond VMIDS have ended."""
    deadline = time.monotonic() + 60
    while len(machine.channel.seen("vm-ended")) < len(NAMES) - vmids:
        assert time.monotonic() < deadline, machine.guests
        machine.channel.ask("exits", "exits")
    guests = list(machine.guests.values())
    return [g for g in guests if g.ended is None], [g for g in guests if g.ended is not None]


def wait_on(guests):
    """Until each has made rounds: in each it gives a page back, by registers that are emulated."""
    start, deadline = [g.exits().mmio for g in guests], time.monotonic() + 60
    while any(g.exits().mmio < n + 40 for g, n in zip(guests, start)):
        assert time.monotonic() < deadline, [f"{g}: {g.tail()}" for g in guests]


def vmids_of(machine):
    return machine.channel.ask("fences", "fences")


@pytest.mark.parametrize("bits", [0, 1])
def test_guest_that_finds_no_vmid_ends_and_the_others_go_on(keepers, bits):
    with keepers(bits) as machine:
        on, off = settled(machine, 1 << bits)
        assert len(on) == 1 << bits == vmids_of(machine)["running"]
        for guest in off:
            assert guest.ended.how == "failed" and guest.ended.why == NONE_LEFT
        machine.audit()
        wait_on(on)
        off[0].start()  # no better, and nobody else's loss
        assert off[0].wait_end().why == NONE_LEFT
        for guest in on:  # who ask for frames all the time, and are waited for at each
            guest.pause()
        owners = {owner for _, _, owner, state in struct.iter_unpack("<QIHH", machine.owner_records())
                  if state in (OWNED, REVOKING)}
        assert owners == {guest.domain for guest in on}
        for guest in on:
            guest.resume()
        wait_on(on)
        for guest in on:
            guest.type("")
            assert guest.wait_end().how == "shutdown" and "FAILED" not in guest.said


@pytest.mark.parametrize("bits, vcpus", [(0, 1), (1, 2), (2, 1)])
def test_guests_that_take_turns_read_nobody_elses_bytes(keepers, bits, vcpus):
    """Whoever stands still has no VMID: another one goes on, and a new generation begins again and again."""
    with keepers(bits, vcpus) as machine:
        on, off = settled(machine, 1 << bits)
        generations = []
        for _ in range(3 * len(NAMES)):
            if off[0].state is GuestState.PAUSED:
                with pytest.raises(GuestError, match=NONE_LEFT):
                    off[0].resume()
                assert off[0].state is GuestState.PAUSED
            on[0].pause()
            off[0].start() if off[0].ended else off[0].resume()
            on, off = [*on[1:], off[0]], [*off[1:], on[0]]
            wait_on(on)
            told = vmids_of(machine)
            assert told["vmid_bits"] == bits and told["running"] == len(on)
            generations.append(told["generation"])
        machine.audit()
        assert len(set(generations[len(NAMES):])) >= 2 * len(NAMES) // (1 << bits), generations
        for guest in [*on, *off]:
            if guest.state is GuestState.PAUSED:
                guest.resume()
            guest.type("")
            assert guest.wait_end().how == "shutdown" and "FAILED" not in guest.said, guest.tail()
        assert machine.wait_end() == 0


def test_guests_are_told_apart_from_outside_whatever_their_vmids_are(keepers, tmp_path):
    monitor = tmp_path / "qmp.sock"
    with keepers(1, devices=("-qmp", f"unix:{monitor},server=on,wait=off")) as machine:
        on, off = settled(machine, 2)
        for _ in range(3):
            on[0].pause()
            off[0].start()
            on, off = [*on[1:], off[0]], [*off[1:], on[0]]
            wait_on(on)
            there = [*on, *(g for g in off if g.state is GuestState.PAUSED)]
            assert told_from_outside(machine, monitor) == {g.domain: (g.name, g in on) for g in there}
