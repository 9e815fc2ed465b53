"""What the IOMMU counts of a guest's device: that device's requests, nobody else's, and no more than was asked for."""
import pytest

import bundle
from cordon.machine import CommandRefused
from machine import bare
from test_bad_devices import EDUS, edu

RED, BLUE = "0000:00:03.0", "0000:00:04.0"
WORDS = 2  # of the G-stage on the way to a leaf of 2 MiB
NO_HPM, SEVEN = (("-global", f"riscv-iommu.hpm-counters={count}") for count in (0, 7))


def pair(boots, payload, *more):
    """Two guests with an edu each, which fetch when they are told to."""
    blob = bundle.make({"stray": payload("stray")},
                       {"red": bare("stray", devices=[edu(3)]), "blue": bare("stray", devices=[edu(4)])})
    return boots.machine(blob, devices=(*EDUS, *more))


def fetch(machine, name, order="own"):
    machine.guests[name].wait("ready|done")
    machine.guests[name].type(order)
    machine.guests[name].wait("done")
    machine.guests[name].type("nothing")  # its answer is what the next one waits for


def test_a_devices_requests_are_counted_and_anothers_are_not(boots, payload):
    with pair(boots, payload) as m:
        assert [m.counters(what).requests for what in (RED, BLUE, "all")] == [0, 0, 0]
        fetch(m, "red")
        red, blue, every = (m.counters(what) for what in (RED, BLUE, "all"))
        assert (red.requests, red.tlb_misses, red.g_walks) == (1, 1, WORDS) and red.ddt_walks > 0
        assert (blue.requests, blue.tlb_misses, blue.ddt_walks, blue.g_walks) == (0, 0, 0, 0)
        assert every.requests == 1
        fetch(m, "red")
        fetch(m, "blue")
        red, blue, every = (m.counters(what) for what in (RED, "blue", "all"))
        assert (red.requests, red.tlb_misses, red.g_walks) == (1, 0, 0), "since it was asked for last"
        assert (blue.requests, every.requests) == (1, 2)
        m.audit()


def test_requests_that_are_refused_are_requests(boots, payload):
    with pair(boots, payload) as m:
        m.counters(RED)
        with m.expect_fault(RED):
            fetch(m, "red", "far")
        assert m.counters(RED).requests == 1


def test_counting_ends_and_begins_anew(boots, payload):
    with pair(boots, payload) as m:
        m.counters("red")
        fetch(m, "red")
        m.counters_off("red")
        m.counters_off("red")  # nothing is counted any more, and that is no error
        assert m.counters("red").requests == 0
        fetch(m, "red")
        assert m.counters(RED).requests == 1, "a VM's counters are those of its devices"


def test_bad_questions_are_refused(boots, payload):
    with pair(boots, payload, *NO_HPM) as m:
        for words, why in (("", "counters takes a device"), (f" {RED} on", "counters takes a device"),
                           (" nobody", "no device of a VM and no VM has that name"),
                           (" 0000:00:05.0", "no device of a VM and no VM has that name"),
                           (" all", "its IOMMU has no counters"),
                           (f" {RED}", "its IOMMU has no counters")):
            with pytest.raises(CommandRefused, match=why):
                m.channel.order("counters" + words, "counters")


def test_counters_that_are_taken_are_given_back(boots, payload):
    """There are seven, and four events are counted of each."""
    with pair(boots, payload, *SEVEN) as m:
        m.counters(RED)
        with pytest.raises(CommandRefused, match="all counters of its IOMMU are taken"):
            m.counters(BLUE)
        m.counters_off(RED)
        m.counters(BLUE)
        fetch(m, "blue")
        fetch(m, "red")
        assert m.counters(BLUE).requests == 1


def test_a_guest_whose_devices_cannot_all_be_counted_takes_no_counter_and_loses_no_count(boots, payload):
    blob = bundle.make({"stray": payload("stray")}, {"red": bare("stray", devices=[edu(3), edu(4)])})
    with boots.machine(blob, devices=(*EDUS, *SEVEN)) as m:
        for _ in range(2):
            with pytest.raises(CommandRefused, match="all counters of its IOMMU are taken"):
                m.counters("red")
            m.counters(BLUE)  # with those that it would have begun for the other one
            m.counters_off(BLUE)
        m.counters(RED)
        fetch(m, "red")
        with pytest.raises(CommandRefused, match="all counters of its IOMMU are taken"):
            m.counters("red")
        assert m.counters(RED).requests == 1, "it was not told by a command that was refused"
