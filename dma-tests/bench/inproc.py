"""DPDK in a process of this machine: segments a second through the software IOMMU, beside memcpy of the same
segments by host pointers (dma-tests/dpdk/host/bench.c)."""
import json
import subprocess

from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/dpdk-host/plain/bench"
GOALS = {64: 2_000_000}


def run(env):
    env.say("inproc: segments a second")
    count = "20000" if env.quick else "2000000"
    done = subprocess.run([PROGRAM, "--segments", count], stdout=subprocess.PIPE, text=True, check=True)
    return [Figure("inproc", f"{row['bytes']} B", "segments a second", row["segments_per_second"],
                   row["memcpy_per_second"], "memcpy", limit=GOALS.get(row["bytes"]), of="ours", least=True)
            for row in map(json.loads, done.stdout.splitlines())]
