"""The benchmark of what packets cost the IOMMU: run small, it sees a cold IOTLB, a warm one, and one that is too small."""
import json
import subprocess
import sys

import pytest

import guests

G_WORDS = 3  # on the way to a leaf of 4 KiB


@pytest.mark.whole
@pytest.mark.timeout(400)  # two machines
def test_misses_are_those_of_a_cold_or_a_small_iotlb(tmp_path):
    path = tmp_path / "bench.json"
    subprocess.run([sys.executable, guests.TREE / "tools/bench", "--quick", "--json", path, "iotlb"], check=True,
                   timeout=390)
    told = {figure["name"]: figure["more"] for figure in json.loads(path.read_text())["figures"]}
    assert set(told) == {"4K-first", "4K-again", "4K-64-first", "4K-64-again"}
    for one in told.values():
        assert one["packets"] > 0 and one["requests"] > one["tlb_misses"]
        assert one["g_walks"] == G_WORDS * one["tlb_misses"]
    assert told["4K-first"]["tlb_misses"] > 100 > told["4K-again"]["tlb_misses"]
    assert told["4K-64-again"]["tlb_misses"] > 1000
