"""A GiB of large leaves split to 4 KiB ones and made large again, while a hart reads and writes all of it and a
device does DMA: what each takes, and the longest that the hart stood still (dma-tests/guest/bare/sweep.c)."""
import statistics
import time

import bundle
import machine as boots
from cordon.machine import ConsoleTimeout, Machine
from emulator import MIB, BenchError
from figures import Figure

EDU = ("-device", "edu,dma_mask=0xffffffffffffffff,addr=3")
US_PER_TICK = 0.1  # of the time CSR of QEMU's virt


def _longest(guest):
    """Microseconds that the sweeping hart took for one page at most, since it was asked before."""
    guest.type("")
    return int(guest.wait(r"longest (\d+) ?")[1]) * US_PER_TICK


def _quiet(guest):
    """The same over a sweep of all RAM in which nothing is changed."""
    guest.type("w")  # the end of its line begins the stop anew
    guest.wait("swept", 120)
    return _longest(guest)


def _timed(call):
    since = time.monotonic()
    call()
    return (time.monotonic() - since) * 1000


def _rounds(guest, turns):
    """Milliseconds of each split and each coalescing, and the longest stops meanwhile."""
    found = {"split": [], "coalesce": [], "split-stop": [], "coalesce-stop": []}
    for _ in range(turns):
        _longest(guest)
        found["split"].append(_timed(guest.log))
        found["split-stop"].append(_longest(guest))
        guest.log(False)
        _longest(guest)
        found["coalesce"].append(_timed(guest.coalesce))
        found["coalesce-stop"].append(_longest(guest))
    return found


def _measure(env, mib, turns):
    vms = {"red": boots.bare("sweep", vcpus=2, memory=mib * MIB,
                             devices=[{"pci": "0000:00:03.0", "reset": "none-allowed"}])}
    blob = bundle.make({"sweep": boots.bare_guest("sweep", env.parts.folder)}, vms)
    with Machine(env.parts.write("sweep.itb", blob), devices=EDU) as machine:
        red = machine.guests["red"]
        red.wait("sweeping", 120)
        red.coalescing(False)
        quiet = _quiet(red)
        found = _rounds(red, turns)
        red.type("q")
        red.wait("PASSED", 120)
    return quiet, found


def run(env):
    mib, turns = (128, 2) if env.quick else (1024, 7)
    env.say(f"split: {mib} MiB taken apart and made whole, {turns} times, in use")
    try:
        quiet, found = _measure(env, mib, turns)
    except ConsoleTimeout as why:
        raise BenchError(f"an access was lost or wrong, or the guest stopped: {why}") from None
    note = f"{mib} MiB, median of {turns}; each word was checked, by the hart and by the device"
    for name in ("split", "coalesce"):
        yield Figure("split", name, "ms", statistics.median(found[name]), note=note)
        yield Figure("split", f"{name}-stop", "us", max(found[f"{name}-stop"]), quiet,
                     "longest for a page while nothing changes", note=f"the longest of {turns}")
