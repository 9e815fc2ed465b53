"""Tests that run side by side: those that share a machine are one worker's, or it would start twice."""
import os
import subprocess
import sys
from collections import defaultdict

import guests

# Instead of running a test, it says who would, and the fixtures of ours that outlive the test.
TELLER = """
import os

def pytest_runtest_protocol(item):
    shared = [name for name, found in item._fixtureinfo.name2fixturedefs.items()
              if found[-1].baseid.startswith("dma-tests/dpdk") and found[-1].scope != "function" and name != "model"]
    params = item.callspec.params if hasattr(item, "callspec") else {}
    with open(os.environ["TOLD"], "a") as told:
        told.writelines(f"{name} {params.get('model', params.get(name))} {os.environ['PYTEST_XDIST_WORKER']}\\n" for name in shared)
    return True
"""


def test_each_machine_is_started_by_one_worker(tmp_path):
    (tmp_path / "teller.py").write_text(TELLER)
    told = tmp_path / "told"
    subprocess.run([sys.executable, "-m", "pytest", "-p", "teller", "-p", "no:cacheprovider", "-n", "2", "--dist",
                    "loadgroup", "dma-tests/dpdk"], cwd=guests.TREE, timeout=100, stdout=subprocess.DEVNULL,
                   env=os.environ | {"TOLD": str(told), "PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"})
    workers = defaultdict(set)
    for line in told.read_text().splitlines():
        machine, worker = line.rsplit(" ", 1)
        workers[machine].add(worker)
    assert {f"{name}_machine {model}" for name in ("pair", "apart") for model in guests.MODELS} < workers.keys()
    assert not [machine for machine, found in workers.items() if len(found) > 1]
    assert len(set.union(*workers.values())) == 2
