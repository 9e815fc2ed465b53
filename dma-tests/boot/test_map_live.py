"""A guest's space on the machine: slots, holes and files as its map has them, RAM from zero included; and what the
listener was told of what the guest and its devices changed."""
import pytest

import bundle
from cordon.machine import GuestError
from machine import bare

MIB = 1 << 20
WINDOW_LOW = 0xC0000000  # of guests whose RAM starts low


def test_a_guests_map_is_told_with_its_slots_its_holes_and_its_changes(boots, payload):
    vms = {"zero": bare("echo", memory=32 * MIB, **{"ram-base": 0}),
           "high": bare("echo", memory=16 * MIB, **{"scatter-pieces": 1, "scatter-seed": 3})}
    with boots.machine(bundle.make({"echo": payload("echo")}, vms)) as m:
        for guest in m.guests.values():
            guest.wait("ready")
        for guest, window in ((m.guests["zero"], WINDOW_LOW), (m.guests["high"], 0)):
            told = guest.map()
            ram = [r for r in told.regions if r.what == "ram"]
            assert (ram[0].gpa.v, sum(r.len for r in ram)) == (guest.ram_base, guest.ram_bytes)
            assert told.what(window + 0x10000) == "uart" and told.what(window + 0x100000) == "aplic"
            assert told.what(window + 0x10000000) == "configuration space"
            assert told.what(window + 0x1000000) == "interrupt file"
            assert told.what(window + 0x5000) is None
            stands = [r for r in told.regions if r.perms]
            assert told.ram == sum(r.len for r in stands if not r.flags & 1)  # the listener's account, kept apart
            assert told.mmio == sum(r.len for r in stands if r.flags & 1)
            assert told.ram + told.mmio == sum(p.len for p in guest.present())
            assert told.changed == len(told.changes) and all(c.kind == "added" for c in told.changes)
            assert [c.gpa.v for c in told.changes if c.len == guest.ram_bytes] == [guest.ram_base]
        assert m.guests["zero"].ram_base == 0
        m.console.type("quit\n")  # the first guest has the console
        m.guests["zero"].wait_end(30)
        with pytest.raises(GuestError, match="cannot map zero: it has ended"):
            m.guests["zero"].map()
