"""Stale translations, as a guest meets them in its own tables."""
import re

from machine import bare

OLD, NEW = 0x11111111, 0x22222222  # of dma-tests/guest/bare/stale.c


def test_a_hart_goes_by_a_stale_entry_until_it_is_flushed(boots, payload):
    run = boots.run({"guest": payload("stale")}, {"solo": bare()})
    told = " ".join(run.of("solo"))
    assert [int(found) for found in re.findall(r"reads (\d+)", told)] == [OLD, NEW], told
    assert run.of("solo")[-1] == "PASSED"
    assert run.status == 0
