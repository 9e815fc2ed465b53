"""Many guests in one context, on a machine of terabytes that is only told of (bench_fleet.c)."""
import json
import subprocess

from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_fleet"
SIZES = (128, 512, 1024)
ROWS = (("grant_us", "grant", "us a guest"), ("attach_us", "attach", "us a device"),
        ("audit_s", "audit", "s"), ("tables_gib", "tables", "bytes a GiB"),
        ("ownership_gib", "ownership", "bytes a GiB"))


def run(env):
    found = []
    for size in SIZES[:1] if env.quick else SIZES:
        env.say(f"fleet: {size} guests of 4 GiB, four devices each")
        done = subprocess.run([PROGRAM, "--json", "--domains", str(size)], stdout=subprocess.PIPE, text=True,
                              check=True)
        found.append(json.loads(done.stdout))
    return [Figure("fleet", f"{name}-{row['domains']}", unit, row[key],
                   None if row is found[0] else found[0][key], f"{found[0]['domains']} guests", note="out of 2 MiB frames, 1 in 100 cut into 4 KiB")
            for row in found for key, name, unit in ROWS]
