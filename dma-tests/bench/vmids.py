"""Flushes of harts, 1 to 4 of them, by a thousand changes of a map; and VMIDs that run out (bench_vmid.c)."""
import json
import subprocess

import callgrind
from emulator import TREE
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
    return figures
