"""Tables that change below a guest that uses all of them: leaves split and made large again, while a hart reads
and writes all RAM and a device does DMA."""
import re

import bundle
from machine import bare
from test_bad_devices import EDU, edu

MIB = 1 << 20
ROUNDS = 6


def test_no_access_is_lost_or_wrong_while_leaves_are_split_and_coalesced(boots, payload):
    blob = bundle.make({"sweep": payload("sweep")},
                       {"red": bare("sweep", vcpus=2, memory=128 * MIB, devices=[edu()])})
    with boots.machine(blob, devices=EDU) as machine:
        red = machine.guests["red"]
        red.wait("sweeping", 60)
        for _ in range(ROUNDS):
            red.log()
            assert red.tables().leaves[0] >= 128 * MIB >> 12
            red.log(False)
            assert red.coalesce().mega >= 128 * MIB >> 21
            assert red.tables().leaves[1] >= 128 * MIB >> 21
        machine.audit()
        red.type("")
        red.wait(r"longest [1-9]")
        red.type("q")
        red.wait("PASSED", 60)
        told = " ".join(red.lines)
        assert int(re.search(r"sweeps (\d+)", told)[1]) > 2
        assert int(re.search(r"MiB (\d+)", told)[1]) == 128
        assert not machine.unexpected_faults()
