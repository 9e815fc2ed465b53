"""Management over the host channel: a guest that runs is told, one that has ended is not."""
import struct

import pytest

import bundle
from cordon.machine.machine import RAM_BASE
from machine import bare, device_tree, symbols


@pytest.fixture
def pair(boots, payload):
    """A machine whose guest "gone" has ended, and whose guest "here" waits for a line."""
    blob = bundle.make({"hello": payload("hello"), "echo": payload("echo")},
                       {"gone": bare("hello"), "here": bare("echo")})
    with boots.machine(blob) as machine:
        machine.console.wait(r"\[here\] ready")
        machine.channel.wait("vm-ended", vm="gone")
        yield machine


@pytest.mark.parametrize("command", ["type gone hello", "pause gone", "resume gone"])
def test_command_to_a_guest_that_has_ended_is_refused(pair, command):
    answer = pair.channel.ask(command, "error")
    assert answer["why"] == "that VM does not run" and answer["command"] == "gone"


def test_guest_stands_still_between_pause_and_resume(pair):
    here = pair.guests["here"]
    here.pause()
    before = here.exits()
    pair.console.type("hello\n")
    assert here.exits() == before
    here.resume()
    pair.console.type("\x1dhello\n")
    pair.console.wait(r"\[here\] heard hello")


def test_guest_whose_harts_come_and_go_stands_still_too(boots, payload):
    blob = bundle.make({"guest": payload("restless")}, {"here": bare(vcpus=2)})
    with boots.machine(blob) as machine:
        here = machine.guests["here"]
        here.wait("ready")
        for _ in range(400):
            here.pause()
            assert here.exits() == here.exits()
            here.resume()
        machine.console.type("x")
        here.wait("PASSED")
        told = [e["event"] for e in machine.channel.events if e["event"] in ("paused", "resumed")]
        assert told == ["paused", "resumed"] * 400


def first_hart(number):
    """Has firmware start us on that hart."""
    def edit(tree):
        config = tree.add_subnode(tree.path_offset("/chosen"), "opensbi-config")
        tree.setprop_str(config, "compatible", "opensbi,config")
        hart = tree.get_phandle(tree.path_offset(f"/cpus/cpu@{number}"))
        tree.setprop_u32(tree.path_offset("/chosen/opensbi-config"), "cold-boot-harts", hart)
    return edit


@pytest.mark.parametrize("harts, ticks", [(4, 0), (5, 4)])
def test_the_hart_that_ticks_has_no_guest_or_a_vcpu_0(boots, payload, tmp_path, harts, ticks):
    """Firmware starts us on that of vCPU 2; vCPU 0 of the guest is on hart 0."""
    found, entry = symbols(), RAM_BASE + 0x200000
    tree = device_tree(tmp_path / "machine.dtb", harts, first_hart(2))
    with boots.machine(bundle.make({"guest": payload("echo")}, {"solo": bare(vcpus=4)}), harts=harts,
                       devices=("-dtb", str(tree))) as machine:
        machine.console.wait(r"Boot HART ID +: 2")
        assert machine.guests["solo"].exits(), "answered by the one that ticks"
        (first, size), (ticker, _), (start, _) = found["harts"], found["ticker"], found["_image_start"]
        (hart,) = struct.unpack("<Q", machine.memory(entry + ticker - start, 8))
    assert hart == first + ticks * size // 64


def test_typed_text_is_taken_as_far_as_there_is_room(pair):
    text = "x" * 400
    pair.guests["here"].pause()  # so that it reads nothing
    taken = [pair.channel.ask(f"type here {text}", "typed")["taken"] for _ in range(3)]
    assert taken == [401, 401, 1024 - 802]


def test_unknown_command_and_unknown_guest_are_named(pair):
    assert "not known" in pair.channel.ask("dance", "error")["why"]
    assert pair.channel.ask("pause nobody", "error", command="nobody")["why"].startswith("no VM")
    assert pair.channel.ask("pause", "error")["why"] == "say which VM"
    assert pair.channel.ask("owners here", "error", command="here")["why"].startswith("owners takes a host address")


@pytest.mark.parametrize("command, why", [
    ("owners", "owners takes"), ("blocks", "blocks takes"), ("present here", "present takes"),
    ("log here harvest", "log takes"), ("compact", "compact takes"), ("move here 1", "move takes"),
    ("translate here", "that VM has no such vCPU"), ("translate here 0", "translate takes")])
def test_what_is_not_wholly_a_number_is_refused(pair, command, why):
    for word in ("-1", "+1", "x1", "1x", "0x", "0x1g", "0x-1", "1\t", "1,2",
                 "18446744073709551616", "0x10000000000000000"):
        assert pair.channel.ask(f"{command} {word}", "error")["why"].startswith(why), word


def test_numbers_reach_to_64_bits_and_may_be_hexadecimal(pair):
    for word in ("18446744073709551615", "0xffffffffffffffff", "0xFFFFFFFFFFFFFFFF"):
        assert pair.channel.ask(f"owners {word}", "owners")["records"] == 0
    assert pair.channel.ask("owners 16", "owners") == pair.channel.ask("owners 0x10", "owners")
    for more in ("1 ", "1 2", " 1"):
        assert pair.channel.ask(f"owners {more}", "error", command=more)


def test_owners_are_told_while_two_guests_allocate_without_pause(boots, payload):
    """Each question for itself would wait behind both of them: a minute was not enough."""
    guest = bare("churns", fill="first-touch")
    blob = bundle.make({"churns": payload("churns")}, {"red": guest, "blue": guest})
    with boots.machine(blob, ram="768M") as machine:
        for guest in machine.guests.values():
            guest.wait("churning")
        records = list(struct.iter_unpack("<QIHH", machine.owner_records()))
        assert {domain for _, _, domain, _ in records} == {0, *(g.domain for g in machine.guests.values())}
        ends = [first + pages for first, pages, _, _ in records]
        assert all(end <= record[0] for end, record in zip(ends, records[1:], strict=False))  # in order, none twice


def test_harts_that_were_told_are_counted_and_vmids_with_them(pair):
    here = pair.guests["here"].fences()
    assert here.nobody <= here.asked and (here.ranges + here.whole == 0) == (here.harts == 0)
    machine = pair.channel.ask("fences", "fences")
    assert machine["vmid_bits"] == 14 and machine["running"] == 1
    assert machine["vmids_given"] == 2 and machine["generation"] == 1  # nobody ran out of them
