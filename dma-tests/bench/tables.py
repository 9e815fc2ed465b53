"""The table layer alone: words and table frames, in instructions (bench_pt.c)."""
import json
import subprocess

import callgrind
from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_pt"
PAGES = 256
LINUX = "generic_pt of Linux 7.2 in user space, gcc 12 -O2"
# operation, its function, pages a call, goal of a call, what Linux takes a page
ROWS = (("map-1", "op_map_1", "map-1", 1, 140, 211), ("unmap-1", "op_unmap_1", "map-1", 1, 180, 384),
        ("map-256", "op_map_256", "map-256", PAGES, 8 + 8 * PAGES, 30 * PAGES),
        ("unmap-256", "op_unmap_256", "map-256", PAGES, 8 + 8 * PAGES, 33 * PAGES),
        ("lookup", "pt_lookup", "lookup", 1, 70, 183))
TIMES = ("map-1", "unmap-1", "map-256", "unmap-256", "lookup", "fill", "memset")


def run(env):
    env.say("tables: instructions of the table layer, under callgrind")
    figures = [Figure("tables", name, "instructions a call", callgrind.per_call(PROGRAM, function, op, 1600),
                      linux, LINUX, goal, of="ours", note="Sv39x4, 4 KiB")
               for name, function, op, _, goal, linux in ROWS]
    env.say("tables: nanoseconds")
    calls = "10000" if env.quick else "100000"
    done = subprocess.run([PROGRAM, "--json", "--calls", calls], stdout=subprocess.PIPE, text=True, check=True)
    took = {row["op"]: row["ns_page"] for row in map(json.loads, done.stdout.splitlines())}
    return figures + [Figure("tables", f"{name}-ns", "ns a page", took[name], took["memset"],
                             "memset of the same table bytes") for name in TIMES if name != "memset"]
