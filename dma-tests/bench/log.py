"""Dirty logging of 16 GiB (bench_log.c): harvests, clean and written to; large leaves cut up and put together."""
import json
import subprocess
from statistics import median

import callgrind
from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_log"
NAMES = {"clean": "harvest, clean", "one": "harvest, 1 % dirty", "all": "harvest, all dirty"}
GIB_PAGES = 262_144


def run(env):
    gib = 1 if env.quick else 16
    env.say(f"log: {gib} GiB, under callgrind")
    counted = callgrind.dumps(PROGRAM, ["--gib", gib])
    env.say("log: the same, timed")
    rows = _timed(gib, env.turns(7))
    pages = gib * GIB_PAGES
    copy = pages / median(rows["copy"]) * 1e9
    figures = []
    for name, told in NAMES.items():
        rate = pages / median(rows[name]) * 1e9
        figures += [
            Figure("log", told, "instructions a page", counted[name] / pages, counted["copy"] / pages,
                   "memcpy of the bitmap", note=f"{gib} GiB, fences included"),
            Figure("log", told + ", speed", "million pages/s", rate / 1e6, copy / 1e6, "memcpy of the bitmap")]
    for name, told in (("split", "split 1 GiB"), ("merge", "coalesce 1 GiB")):
        figures.append(Figure("log", told, "instructions a page", counted[name] / GIB_PAGES,
                              note=f"{median(rows[name]) / 1e6:.2f} ms, one round of fences"
                              if name == "split" else f"{median(rows[name]) / 1e6:.2f} ms, a round for 512 tables"))
        figures.append(Figure("log", f"longest hold, {told}", "instructions", counted[f"{name}-piece"], counted[name],
                              "all of it at once", note="8 tables a hold, as the hypervisor does it: a vCPU that "
                                                        "faults waits for one"))
    return figures


def _timed(gib, turns):
    """Nanoseconds of each turn, by operation."""
    done = subprocess.run([PROGRAM, "--gib", str(gib), "--turns", str(turns), "--json"], check=True, text=True,
                          stdout=subprocess.PIPE)
    rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows.setdefault(row["op"], []).append(row["ns"])
    return rows
