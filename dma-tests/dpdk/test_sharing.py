"""Tests that run side by side: those that share a machine are one group, of one worker, or it would start twice."""
import os
import subprocess
import sys
from collections import defaultdict

import guests

# Instead of running a test, it says of what group xdist takes it, and the fixtures of ours that outlive it.
TELLER = """
import os

def pytest_runtest_protocol(item):
    shared = [name for name, found in item._fixtureinfo.name2fixturedefs.items()
              if found[-1].baseid.startswith("dma-tests/dpdk") and found[-1].scope != "function" and name != "model"]
    params = item.callspec.params if hasattr(item, "callspec") else {}
    with open(os.environ["TOLD"], "a") as told:
        group = item.nodeid.rpartition("@")[2] if "@" in item.nodeid else "none"
        told.writelines(f"{name} {params.get('model', params.get(name))}={group}\\n" for name in shared)
    return True
"""


def test_each_machine_is_of_one_group(tmp_path):
    (tmp_path / "teller.py").write_text(TELLER)
    told = tmp_path / "told"
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "teller", "-p", "no:cacheprovider", "-n", "2", "--dist",
                           "loadgroup", "dma-tests/dpdk"], cwd=guests.TREE, timeout=100, capture_output=True, text=True,
                          env=os.environ | {"TOLD": str(told), "PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"})
    groups = defaultdict(set)
    assert told.exists(), done.stdout + done.stderr
    for line in told.read_text().splitlines():
        machine, group = line.split("=")
        groups[machine].add(group)
    assert {f"{name}_machine {model}" for name in ("pair", "apart") for model in guests.MODELS} < groups.keys()
    assert not {machine: found for machine, found in groups.items() if len(found) > 1 or "none" in found}
