"""The software IOMMU: requests a second on one core (bench_model.c)."""
import json
import subprocess

from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_model"
MILLION = 1_000_000
GOALS = {"walk-g": 8 * MILLION, "cached-g": 20 * MILLION, "case-g": 2 * MILLION}
NOTES = {"g": "Sv39x4, 4 KiB", "nested": "Sv39 on Sv39x4, 4 KiB"}


def run(env):
    env.say("model: requests a second")
    count = "100000" if env.quick else "4000000"
    done = subprocess.run([PROGRAM, "--json", "--count", count], stdout=subprocess.PIPE, text=True, check=True)
    return [Figure("model", row["op"], "a second", row["per_second"], limit=GOALS.get(row["op"]), of="ours",
                   least=True, note=NOTES[row["op"].split("-")[1]])
            for row in map(json.loads, done.stdout.splitlines())]
