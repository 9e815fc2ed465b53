"""The benchmark of network cards runs, and what it puts a guest beside is as good as it can be."""
import json
import re
import subprocess
import sys

import pytest

import guests
import nics
from emulator import Parts

MISSES, REQUESTS = 4, 1  # events of the IOMMU's counters [IOMMU 5.23]
COUNT = "devmem 0x301005c 32 0; " + "; ".join(f"devmem {0x3010000 + 0x160 + 8 * n:#x} 64 {event}" for n, event in enumerate((REQUESTS, MISSES)))
TOLD = "; ".join(f"devmem {0x3010000 + 0x68 + 8 * n:#x} 64" for n in range(2))


@pytest.mark.whole
def test_the_baseline_translates_and_keeps_its_translations_as_a_guest_does(tmp_path):
    """QEMU's IOMMU keeps none to the same address: a baseline with such tables would walk them for each access."""
    with nics.baseline(Parts(tmp_path), tmp_path, guests.wire("e1000e", nics.SLOTS)) as alone:
        done = alone.order(f"{COUNT}; sg --packets 2000 && ({TOLD})")
        assert done.status == 0, done.text[-2000:]
        requests, misses = (int(number, 16) for number in re.findall(r"0x[0-9A-F]{16}", done.text)[-2:])
        assert requests > 10000 and misses < requests / 50


def _quick(folder, name):
    """{name: figure} of a benchmark in short."""
    path = folder / "bench.json"
    subprocess.run([sys.executable, guests.TREE / "tools/bench", "--quick", "--json", path, name], check=True, timeout=280)
    return {figure["name"]: figure for figure in json.loads(path.read_text())["figures"]}


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_packets_take_as_many_instructions_as_without_a_hypervisor(tmp_path):
    figures = _quick(tmp_path, "datapath")
    assert set(figures) == {"e1000e-1518", "e1000e-sg-1518"}
    assert all(figure["met"] for figure in figures.values()), figures


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_the_benchmark_tells_a_ratio_for_each_tool(tmp_path):
    figures = _quick(tmp_path, "nics")
    rates = {"e1000e-1518", "e1000e-sg-1518"}
    assert set(figures) == rates | {f"{name}-A" for name in rates} | {"e1000e-start", "e1000e-exits"}
    assert all(figures[name]["ratio"] > 0 and figures[name]["limit"] == 0.95 for name in rates)
