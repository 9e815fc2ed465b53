"""Tables of a running machine, seen through QEMU's monitor: dumped, and walked from all kinds of address."""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import bundle
from machine import linux, linux_images

TREE = Path(__file__).resolve().parents[2]
KERNEL_TEXT = 0xffffffff80001000  # the stock kernel's, without KASLR
BOOTARGS = "console=ttyS0 earlycon=sbi panic=-1 nokaslr cordon.name=red cordon.then=shell"


def cordon(*arguments):
    """The command line, as a user calls it: exit status and output."""
    done = subprocess.run([sys.executable, "-m", "cordon", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": str(TREE / "bindings/python")})
    return done.returncode, done.stdout + done.stderr


def qemu_says(qmp, hart, gva):
    """Where QEMU itself takes a virtual address of a hart, as it is met: None if nowhere, as from user mode."""
    qmp.hmp(f"cpu {hart}")
    found = re.search(r"gpa: (0x[0-9a-f]+)", qmp.hmp(f"gva2gpa {gva:#x}"))
    return found and int(found[1], 0)


def in_kernels(qmp):
    """The harts that run a guest, and are in its kernel: QEMU's own answer is of them."""
    states = re.findall(r"\bV += +([01])", qmp.hmp("info registers -a"))
    return [hart for hart, v in enumerate(states) if v == "1" and qemu_says(qmp, hart, KERNEL_TEXT) is not None]


def stop_in_kernels(m, harts, timeout=60.0):
    """The machine stands still while so many harts are in their guests' kernels."""
    deadline = time.monotonic() + timeout
    m.stop()
    while len(in_kernels(m.qmp)) < harts:
        assert time.monotonic() < deadline, f"no {harts} harts are in guests' kernels at once"
        m.resume()
        m.stop()


def test_guest_address_of_a_live_hart_is_walked_to_host_memory(boots, tmp_path):
    monitor = tmp_path / "qmp.sock"
    vms = {"red": linux("red", vcpus=2, bootargs=BOOTARGS, **{"scatter-pieces": 1 | 1 << 9})}
    with boots.machine(bundle.make(linux_images(), vms),
                       devices=("-qmp", f"unix:{monitor},server=on,wait=off")) as m:
        m.console.wait("CORDON-GUEST-INIT", 120)
        live = m.guests["red"].vcpu(0).translate(KERNEL_TEXT, "r", "supervisor")  # by the hypervisor's own account
        stop_in_kernels(m, harts=2)
        status, said = cordon("dump", f"qmp:{monitor}", "--save", tmp_path / "live.dump", "--json")
        assert status == 0, said
        harts = {hart["number"] for hart in json.loads(said)["harts"] if int(hart["vsatp"], 0)}
        assert len(harts) == 2
        for hart in harts:
            wanted = qemu_says(m.qmp, hart, KERNEL_TEXT)
            for source in (f"qmp:{monitor}", tmp_path / "live.dump"):
                status, said = cordon("walk", source, "--gva", hex(KERNEL_TEXT), "--hart", hart, "--json")
                told = json.loads(said)
                assert status == 0, said
                assert int(told["hpa"], 0) == wanted
                assert int(told["gpa"], 0) not in (wanted, KERNEL_TEXT)
                assert told["note"] == "" and int(told["hva"], 0) != wanted  # its own tables lead there too
                assert [int(told[kind], 0) for kind in ("gpa", "hva", "hpa")] == [live.gpa.v, live.hva, live.hpa.v]
        status, said = cordon("walk", f"qmp:{monitor}", "--gpa", "0x100000", "--domain", "red")
        assert status == 1 and "nothing stands" in said
        assert not m.qmp.command("query-status")["running"]  # nobody has let it go on


def test_monitor_that_is_not_there_is_refused(tmp_path):
    status, said = cordon("dump", f"qmp:{tmp_path}/none.sock")
    assert status == 2 and "No such file" in said and "Traceback" not in said
