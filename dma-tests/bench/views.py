"""What views of a large guest cost to build (bench_grant.c)."""
import json
import subprocess

from emulator import TREE
from figures import Figure

GIB = 16
NAMES = {"leaves": ("leaf-words", "memset of the tables"),
         "grant": ("grant-4K", "one word update and one leaf store a frame"),
         "large": ("grant-2M", "one word update and one leaf store a frame")}


def run(env):
    gib = 1 if env.quick else GIB
    env.say(f"views: of a guest of {gib} GiB")
    done = subprocess.run([TREE / "out/bench/bench_grant", "--json", "--gib", str(gib), "--runs",
                           str(env.turns(7))], stdout=subprocess.PIPE, text=True, check=True)
    figures = []
    for row in map(json.loads, done.stdout.splitlines()):
        if row["name"] == "memory":
            for key, name in (("tables_gib", "tables"), ("ownership_gib", "ownership")):
                figures.append(Figure("views", name, "bytes a GiB", row[key], note="out of 4 KiB frames"))
            continue
        name, against = NAMES[row["name"]]
        figures.append(Figure("views", name, "ns a piece", row["ours_ns"], row["theirs_ns"], against,
                              row["goal"], note=f"{gib} GiB"))
    return figures
