"""What the hypervisor says of a guest's tables, beside what somebody finds who reads all their words."""
from collections import Counter

import pytest

import bundle
from cordon.dump import views_of
from cordon.dump.machine import machine as dump_of
from cordon.machine import GuestError
from machine import bare

SIZES = (1 << 12, 1 << 21, 1 << 30)


def test_a_live_guests_tables_are_told_as_they_stand_in_memory(boots, payload, tmp_path):
    monitor = tmp_path / "qmp.sock"
    vms = {"small": bare("echo", memory=16 << 20, **{"scatter-pieces": 1 | 1 << 9, "scatter-seed": 7}),
           "large": bare("echo", memory=64 << 20)}
    with boots.machine(bundle.make({"echo": payload("echo")}, vms),
                       devices=("-qmp", f"unix:{monitor},server=on,wait=off")) as m:
        for guest in m.guests.values():
            guest.wait("ready")
            shape = guest.tables()
            with dump_of(str(monitor)) as dump:
                (view,) = (v for v in views_of(dump) if v.domain == guest.name and v.device is None)
                ranges = [(run.gpa, run.len, run.size, run.perms) for run in view.runs]
                leaves = Counter()
                for run in view.runs:
                    leaves[run.size] += run.len // run.size
            assert shape.leaves == tuple(leaves[size] for size in SIZES)
            assert [(p.gpa.v, p.len, SIZES["4K 2M 1G".split().index(p.size)], str(p.perms).replace("-", ""))
                    for p in guest.present()] == ranges
            assert (shape.mode, shape.mapped) == (view.mode, view.bytes)
            assert guest.ram_bytes < shape.mapped < shape.flat_bytes * 512
        assert m.guests["small"].tables().leaves[0] > m.guests["large"].tables().leaves[0]
        m.console.type("quit\n")  # the first guest has the console
        m.guests["small"].wait_end(30)
        with pytest.raises(GuestError, match="cannot tables small: it has ended"):
            m.guests["small"].tables()
