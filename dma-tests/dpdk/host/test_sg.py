"""Packets of DPDK from port to port through the software IOMMU: what was sent is what came."""
import pytest

MIXED = ("sg", "--packets", "2000")
SMALL = ("sg", "--packets", "50000", "--largest", "64")


@pytest.mark.parametrize("call", [MIXED, SMALL, (*MIXED, "--seed", "7")], ids=["mixed", "small", "other memory"])
def test_every_byte_arrives_and_none_beside(once, call):
    status, found = once(*call)
    assert found["packets"] == int(call[2])
    assert found["sent"]["bytes"] == found["received"]["bytes"] > found["packets"]
    assert (found["wrong_bytes"], found["guards_broken"]) == (0, 0)
    assert (found["faults"], found["violations"]) == (0, 0)
    assert (status, found["passed"]) == (0, True)


@pytest.mark.parametrize("way", ["sent", "received"])
def test_segments_have_every_number_alignment_and_size_up_to_16_KiB(once, way):
    seen = once(*MIXED)[1][way]
    assert seen["chain_lengths"] == 40
    assert seen["alignments"] == 4096
    assert (seen["size_least"], seen["size_most"]) == (1, 16384)


@pytest.mark.parametrize("way", ["sent", "received"])
def test_segments_cross_borders_of_4_KiB_and_2_MiB(once, way):
    seen = once(*MIXED)[1][way]
    assert seen["across_4k"] > 1000 and seen["across_2m"] > 100


def test_without_isolation_the_same_arrives(once):
    status, found = once(*MIXED, "--control")
    assert (status, found["passed"], found["faults"], found["packets"]) == (0, True, 0, 2000)


def test_two_million_segments_go_through(once):
    found = once(*SMALL)[1]
    assert found["sent"]["segments"] + found["received"]["segments"] > 2_000_000
