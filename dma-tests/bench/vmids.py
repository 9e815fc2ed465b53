"""Flushes of harts, 1 to 4 of them, by a thousand changes of a map; and VMIDs that run out: in the library
(bench_vmid.c), and on a machine whose guests give pages back all the time (dma-tests/guest/bare/keeper.c)."""
import json
import subprocess
import time

import bundle
import callgrind
import machine
from emulator import TREE, BenchError
from figures import Figure

PROGRAM = TREE / "out/bench/bench_vmid"


def run(env):
    env.say("vmids: flushes and roll-overs, counted")
    done = subprocess.run([PROGRAM], check=True, text=True, stdout=subprocess.PIPE)
    *rows, turns = [json.loads(line) for line in done.stdout.splitlines()]
    env.say("vmids: the same, under callgrind")
    counted = callgrind.dumps(PROGRAM, [])
    figures = [Figure("vmids", f"{row['harts']} harts", "calls of the firmware", row["calls"], row["told"],
                      "one for each hart", note=f"for {row['changes']} changes that take something away", more=row)
               for row in rows]
    entry = counted["entry"] / turns["turns"]
    figures += [
        Figure("vmids", "revoke, 4 harts", "instructions", counted["changes"] / rows[-1]["changes"],
               note="the library's part of a page that goes"),
        Figure("vmids", "entry", "instructions", entry, note="in and out, with a VMID at hand"),
        Figure("vmids", "entry, VMIDs run out", "instructions", counted["turns"] / turns["turns"], entry,
               "an entry that finds its VMID", more=turns,
               note=f"{turns['roll_overs']} generations in {turns['turns']} turns of 64 domains over 4 VMIDs"),
    ]
    return figures + [_flushes(env, harts) for harts in range(1, 5)] + [_turns(env)]


def _keepers(env, guests, vcpus, bits):
    """A machine of guests that give pages back and touch them again."""
    vms = {f"g{n}": machine.bare("keeper", memory=8 << 20, vcpus=vcpus, fill="first-touch") for n in range(guests)}
    blob = bundle.make({"keeper": machine.bare_guest("keeper", env.parts.folder)}, vms, machine={"vmid-bits": bits})
    return machine.Boots(env.parts.folder).machine(blob, harts=guests * vcpus + 1, ram="256M")


def _flushes(env, harts):
    """Calls and harts told by changes that take a page away, with so many harts in the guest."""
    changes = 100 if env.quick else 1000
    env.say(f"vmids: on a machine, {changes} changes, harts: {harts}")
    with _keepers(env, 1, harts, 14) as live:
        guest, deadline = live.guests["g0"], time.monotonic() + 120
        guest.wait("keeps")
        first = now = guest.fences()
        while now.asked < first.asked + changes:
            if time.monotonic() > deadline:
                raise BenchError(f"{guest} does not go on")
            now = guest.fences()
    asked, calls, told = (getattr(now, name) - getattr(first, name) for name in ("asked", "ranges", "harts"))
    calls += now.whole - first.whole
    return Figure("vmids", f"{harts} harts, machine", "calls of the firmware", 1000 * calls / asked, 1000 * told / asked,
                  "one for each hart", note=f"for 1,000 changes that take a page away; {asked} were seen")


def _turns(env):
    """New generations where three guests take turns under two VMIDs."""
    turns = 3 * env.turns(10)
    env.say(f"vmids: on a machine, {turns} turns of three guests over two VMIDs")
    with _keepers(env, 3, 1, 1) as live:
        live.channel.wait("vm-ended", 60)
        on = [g for g in live.guests.values() if g.ended is None]
        (off,) = (g for g in live.guests.values() if g.ended is not None)
        first = live.channel.ask("fences", "fences")
        for _ in range(turns):
            on[0].pause()
            off.start() if off.ended else off.resume()
            on, off = [on[1], off], on[0]
        last = live.channel.ask("fences", "fences")
    return Figure("vmids", "turns, machine", "generations", last["generation"] - first["generation"], turns, "turns",
                  note=f"three guests over two VMIDs; {last['vmids_given'] - first['vmids_given']} VMIDs were given")
