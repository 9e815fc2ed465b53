"""DMA engines by rte_dmadev. The emulator has none; DPDK's own software is one."""
import pytest

SOFTWARE = "-- --vdev=dma_skeleton --iova-mode=va --no-pci"
pytestmark = [pytest.mark.parametrize("model", ["e1000e"], indirect=True)]  # for a guest; its cards do nothing


def passed(done):
    assert done.status == 0, done.text[-3000:]
    assert done.result["passed"] and done.result["done"] == done.result["blocks"]
    return done.result


def test_blocks_arrive_from_any_pieces_in_any_pieces(pair, model):
    result = passed(pair.order("red", f"copy {SOFTWARE}"))
    assert all(result[kind] > 150 for kind in ("copies", "gathers", "scatters", "regroups", "fills"))
    assert (result["size_least"], result["size_most"], result["alignments"]) == (1, 16384, 64)
    assert result["across_4k"] > 500 and result["across_2m"] > 20 and result["ring_wraps"] > 1
    assert result["skipped"] == ["more than 4 pieces: the engine takes no more"]


def test_a_ring_that_runs_out_loses_nothing(pair, model):
    result = passed(pair.order("red", f"copy --ring 32 --blocks 1000 {SOFTWARE}"))
    assert result["refused"] > 0 and result["ring_wraps"] > 30


@pytest.mark.whole
def test_every_size_arrives(pair, model):
    result = passed(pair.order("red", f"copy --every-size --blocks 16384 {SOFTWARE}"))
    assert result["fills"] == 0 and not result["wrong"] + result["beside"]
