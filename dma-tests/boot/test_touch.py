"""Memory that comes at first touch: who gets it, who gives it back, and what happens when there is none."""
import re
import struct

import pytest

import bundle
from cordon.machine import History
from machine import MIB, bare, linux

LAZY = {"fill": "first-touch"}
OVER = LAZY | {"overcommit": True}
NIC = ("-netdev", "hubport,hubid=0,id=net", "-device", "e1000e,netdev=net,addr=1")
OWNED, REVOKING = 5, 6  # of enum cordon_frame_state


def passed(run, name):
    assert [line for line in run.of(name) if line.startswith("not ok")] == []
    return run.of(name)[-1] == "PASSED"


def ends_well(guest):
    return guest.wait("PASSED|FAILED", 90)[0] == "PASSED" and guest.wait_end().how == "shutdown"


def owned_pages(machine, domain):
    """How many frames a domain has, as the hypervisor's records say."""
    return sum(pages for _, pages, owner, state in struct.iter_unpack("<QIHH", machine.owner_records())
               if owner == domain and state in (OWNED, REVOKING))


def counted(machine):
    """How many bytes of host memory are what."""
    told = machine.channel.ask("memory", "memory")
    return {what: told[what] for what in ("total_bytes", "free_bytes", "owned_bytes", "table_bytes")}


@pytest.mark.parametrize("fill", ["first-touch", "first-touch-2M"])
@pytest.mark.parametrize("base", [0, 0x80000000])
def test_page_comes_as_zeroes_and_keeps_what_is_stored(boots, payload, fill, base):
    run = boots.run({"guest": payload("touch_bench")},
                    {"solo": bare(memory=64 * MIB, fill=fill, **{"ram-base": base})})
    assert passed(run, "solo") and run.status == 0


@pytest.mark.parametrize("payload_name", ["hostile", "smp", "hello"])
def test_guests_do_not_notice_when_their_memory_comes(boots, payload, payload_name):
    run = boots.run({"guest": payload(payload_name)}, {"solo": bare(vcpus=4, **LAZY)})
    assert passed(run, "solo") and run.status == 0


def test_memory_is_given_back_and_wanted_again_and_wrong_wishes_are_refused(boots, payload):
    run = boots.run({"guest": payload("touch_give"), "echo": payload("patience")},
                    {"solo": bare(**LAZY), "other": bare("echo", **LAZY | {"ram-base": 0x180000000})})
    assert passed(run, "solo") and run.status == 0


def test_memory_given_back_is_gone_for_every_hart(boots, payload):
    run = boots.run({"guest": payload("give")}, {"solo": bare(vcpus=2, **LAZY)})
    assert passed(run, "solo") and run.status == 0


def test_only_what_was_touched_has_frames(boots, payload):
    blob = bundle.make({"guest": payload("echo")}, {"lazy": bare(memory=512 * MIB, **LAZY),
                                                    "whole": bare(memory=64 * MIB)})
    with boots.machine(blob) as machine:
        lazy, whole = machine.guests["lazy"], machine.guests["whole"]
        lazy.wait("ready")
        told, all_of_it = lazy.memory(), whole.memory()
        assert told.first_touch and not told.overcommit and told.ram_bytes == 512 * MIB
        assert told.touches > 0 and told.touches_2m == 0
        assert told.resident_bytes < MIB  # an image, a stack, the device tree
        assert not all_of_it.first_touch and all_of_it.resident_bytes == 64 * MIB and all_of_it.touches == 0
        assert owned_pages(machine, lazy.domain) == told.resident_bytes // 4096
        assert lazy.exits().touch == told.touches
        machine.audit()


def test_2_mib_come_at_once_where_the_settings_say_so(boots, payload):
    blob = bundle.make({"guest": payload("echo")}, {"lazy": bare(memory=64 * MIB, fill="first-touch-2M")})
    with boots.machine(blob) as machine:
        machine.guests["lazy"].wait("ready")
        told = machine.guests["lazy"].memory()
        assert told.resident_bytes % (2 * MIB) == 0 and 0 < told.resident_bytes <= 6 * MIB


def test_guest_with_a_device_is_filled_at_the_start(boots, payload):
    blob = bundle.make({"guest": payload("echo")},
                       {"solo": bare(devices=[{"pci": "0000:00:01.0"}], **OVER)})
    with boots.machine(blob, devices=NIC) as machine:
        machine.guests["solo"].wait("ready")
        told = machine.guests["solo"].memory()
        assert told.resident_bytes == told.ram_bytes and not told.first_touch and told.touches == 0
        assert machine.console.find(r"solo: it has devices, .*: its RAM is filled at the start and pinned")
        machine.audit()


def test_promise_that_cannot_be_kept_is_not_given(boots, payload):
    run = boots.run({"guest": payload("hello")},
                    {"first": bare(memory=200 * MIB, **LAZY), "second": bare(memory=200 * MIB, **LAZY),
                     "third": bare(memory=200 * MIB, **OVER)}, ram="384M")
    refused = re.findall(r"REFUSED (first|second): RAM: 200 MiB asked for", "\n".join(run.of("cordon")))
    assert len(refused) == 1  # they are built side by side
    assert passed(run, "second" if refused == ["first"] else "first") and passed(run, "third")


@pytest.mark.parametrize("fill", ["first-touch", "first-touch-2M"])
def test_guest_that_finds_no_memory_ends_and_the_other_goes_on(boots, payload, fill):
    """The other's pages come all the time; it may have what was promised, and later what has come back."""
    blob = bundle.make({"hog": payload("hog"), "steady": payload("steady")},
                       {"hog": bare("hog", memory=512 * MIB, fill=fill, overcommit=True),
                        "good": bare("steady", memory=32 * MIB, fill=fill)})
    with boots.machine(blob, ram="256M") as machine:
        hog, good = machine.guests["hog"], machine.guests["good"]
        for life in range(2):
            end = hog.wait_end(60)
            assert end.how == "out-of-memory"
            had = re.fullmatch(r"no frame is left for 0x\w+: it has (\d+) KiB of its 512 MiB, (\d+) KiB are free",
                               end.why)
            assert end.resident_bytes == int(had[1]) << 10 > 100 * MIB
            assert owned_pages(machine, hog.domain) == 0
            machine.audit()
            if life == 0:
                hog.start()
                assert hog.domain != good.domain
        machine.console.type("\x1d\n")
        assert ends_well(good)
        assert machine.wait_end(10) == 1


def test_both_may_want_more_than_there_is(boots, payload):
    """The one that finds no memory makes room for the other, which holds what it has."""
    blob = bundle.make({"hog": payload("hog"), "resting": payload("resting")},
                       {"good": bare("resting", memory=192 * MIB, **OVER),
                        "hog": bare("hog", memory=512 * MIB, **OVER)})
    with boots.machine(blob, ram="256M") as machine:
        hog, good = machine.guests["hog"], machine.guests["good"]
        assert hog.wait_end(60).how == "out-of-memory"
        assert hog.ended.resident_bytes > 64 * MIB  # that the other has room for now
        good.wait("works")
        machine.console.type("\x1d\x1d\n")
        assert ends_well(good)


@pytest.mark.parametrize("fill", ["first-touch", "first-touch-2M"])
def test_storm_of_touches_from_every_hart_brings_one_frame_a_page(boots, payload, fill):
    """On a machine that is full: the other one has taken all that was not promised."""
    blob = bundle.make({"storm": payload("storm"), "hog": payload("hog")},
                       {"storm": bare("storm", vcpus=4, memory=6 * MIB, fill=fill),
                        "hog": bare("hog", memory=512 * MIB, **OVER)})
    with boots.machine(blob, ram="128M", harts=5) as machine:
        assert ends_well(machine.guests["storm"])


def test_storm_that_finds_no_memory_is_one_orderly_end(boots, payload):
    """A few MiB are left for four harts that want 32."""
    blob = bundle.make({"storm": payload("storm"), "resting": payload("resting"), "echo": payload("echo")},
                       {"block": bare("echo", memory=102 * MIB), "good": bare("resting", memory=8 * MIB, **LAZY),
                        "storm": bare("storm", vcpus=4, memory=32 * MIB, **OVER)})
    with boots.machine(blob, ram="128M", harts=6) as machine:
        storm, good = machine.guests["storm"], machine.guests["good"]
        assert storm.wait_end(90).how == "out-of-memory"
        machine.audit()
        good.wait("works")
        assert len(machine.console.find(r"^\[cordon\] storm: ENDED")) == 1
        machine.console.type("\x1d\n")
        assert ends_well(good)


def test_frames_of_a_storm_of_every_hart_of_several_guests_are_all_accounted_for(boots, payload):
    """Two storms side by side, on a machine that a third guest fills, twice: what is left is as it was."""
    blob = bundle.make({"storm": payload("storm"), "hog": payload("hog"), "echo": payload("echo")},
                       {"stays": bare("echo"), "left": bare("storm", vcpus=2, memory=6 * MIB, **LAZY),
                        "right": bare("storm", vcpus=2, memory=6 * MIB, **LAZY),
                        "hog": bare("hog", memory=512 * MIB, **OVER)})
    with boots.machine(blob, ram="128M", harts=7) as machine:
        stays, *come_and_go = machine.guests.values()
        left = []
        for life in range(2):
            for guest in come_and_go:
                end = guest.wait_end(90)
                assert end.how == ("out-of-memory" if guest.name == "hog" else "shutdown"), guest.tail()
                assert owned_pages(machine, guest.domain) == 0
            machine.audit()
            left.append(counted(machine))
            for guest in come_and_go if life == 0 else ():
                guest.start()
        assert left[0] == left[1], left
        assert left[0]["owned_bytes"] == stays.memory().resident_bytes == 4096 * owned_pages(machine, stays.domain)


def test_linux_boots_with_a_part_of_its_memory(boots, linux_images, tmp_path):
    shell = linux("red", memory=1024 * MIB, vcpus=2, **LAZY)
    shell["bootargs"] = shell["bootargs"].replace("poweroff", "shell")
    with boots.machine(bundle.make(linux_images, {"red": shell})) as machine:
        red = machine.guests["red"]
        history = History(red)
        first = history.sample()
        red.wait("CORDON-GUEST-SHELL red")
        told, last = red.memory(), history.sample()
        assert first < last <= red.memory().resident_bytes
        history.picture(tmp_path / "red.svg")
        sizes = {size for row in history.rows() for size in row}
        assert sizes >= {0, 1}  # absent, and 4 KiB; what has come together since, too
        assert 16 * MIB < told.resident_bytes < 256 * MIB < told.ram_bytes
        assert told.touches > 1000
        machine.audit()
        red.type("poweroff -f")
        assert red.wait_end(60).how == "shutdown"
