"""Tables that change below a guest that uses all of them: leaves split and made large again, while a hart reads
and writes all RAM and a device does DMA."""
import re

import pytest

import bundle
from machine import bare
from test_bad_devices import EDU, edu

MIB = 1 << 20
ROUNDS = 6
# Harts that fault where D is clear: QEMU's that set it themselves lose their way where it is set beside them, as the
# end of logging does (docs/qemu-differences.md).
CPU = "rv64,h=true,svadu=off,svade=on"


def test_no_access_is_lost_or_wrong_while_leaves_are_split_and_coalesced(boots, payload):
    blob = bundle.make({"sweep": payload("sweep")},
                       {"red": bare("sweep", vcpus=2, memory=128 * MIB, devices=[edu()])})
    with boots.machine(blob, devices=EDU, cpu=CPU) as machine:
        red = machine.guests["red"]
        red.wait("sweeping", 60)
        red.coalescing(False)
        for _ in range(ROUNDS):
            red.log()
            assert red.tables().leaves[0] >= 128 * MIB >> 12
            red.log(False)
            assert red.coalesce().mega >= 128 * MIB >> 21
            assert red.tables().leaves[1] >= 128 * MIB >> 21
        all_was_right(machine, red)


def all_was_right(machine, red):
    machine.audit()
    red.type("")
    red.wait(r"longest [1-9]")
    red.type("q")
    red.wait("PASSED", 60)
    told = " ".join(red.lines)
    assert int(re.search(r"sweeps (\d+)", told)[1]) > 2
    assert int(re.search(r"MiB (\d+)", told)[1]) == 128
    assert not machine.unexpected_faults()


def small(red):
    return red.tables().leaves[0]


@pytest.mark.parametrize("harts", (2, 3), ids=("each hart has a vCPU", "one has none"))
def test_leaves_come_together_in_the_background_and_no_access_is_wrong(boots, payload, harts):
    blob = bundle.make({"sweep": payload("sweep")},
                       {"red": bare("sweep", vcpus=2, memory=128 * MIB, devices=[edu()])})
    with boots.machine(blob, devices=EDU, cpu=CPU, harts=harts) as machine:
        red = machine.guests["red"]
        red.wait("sweeping", 60)
        before = red.tables()
        for _ in range(ROUNDS):
            red.log()
            for _ in range(8):  # each command comes with a tick: what is logged stays small
                assert small(red) >= 128 * MIB >> 12
            since = len(machine.channel.events)
            red.log(False)
            made = machine.channel.wait("vm-merged", 60, since, vm="red")
            assert made["mega"] == 128 * MIB >> 21
            after = red.tables()
            assert (after.table_bytes, after.leaves) == (before.table_bytes, before.leaves)
        red.coalescing(False)
        red.log()
        red.log(False)
        for _ in range(8):
            assert small(red) >= 128 * MIB >> 12
        since = len(machine.channel.events)
        red.coalescing()
        machine.channel.wait("vm-merged", 60, since, vm="red")
        all_was_right(machine, red)
