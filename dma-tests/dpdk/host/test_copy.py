"""The guests' copy on this machine, over DPDK's own software, and over an engine that takes more, and may lie."""
import json
import os
import subprocess

import pytest
from programs import EAL, TREE

PORTS = TREE / "out/dpdk-host/ports"
KINDS = ["copies", "gathers", "scatters", "regroups", "fills"]


def copy(folder, *arguments, lie=None):
    """(its exit status, its result, what else it said)"""
    eal = [*EAL, "--iova-mode=va", "--vdev=dma_skeleton", f"--file-prefix={folder.name}"]
    env = os.environ if lie is None else os.environ | {
        "LIE": lie, "LD_PRELOAD": str(PORTS / "liar.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    done = subprocess.run([PORTS / "copy", *arguments, "--", *eal], capture_output=True, text=True, timeout=30, env=env)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith('{"program"'))
    return done.returncode, json.loads(line), done.stderr


@pytest.mark.parametrize("more", [(), ("--ring", "32"), ("--size", "4096"), ("--every-size", "--pieces", "1")])
def test_blocks_are_copied(tmp_path, more):
    status, result, said = copy(tmp_path, *more)
    assert (status, result["passed"]) == (0, True), said
    assert result["done"] == result["blocks"] > 1000 and result["copies"] > 0


def test_every_shape_is_moved_in_every_way(tmp_path):
    """54 sizes, each with 1 to 40 pieces; what has several pieces three times, and all once more as a fill."""
    status, result, said = copy(tmp_path, lie="honest")
    assert (status, result["passed"], result["skipped"]) == (0, True, []), said
    assert result["fills"] == 54 * 40 and result["blocks"] == 4 * 54 * 40
    one = result["copies"]  # of several pieces are all but these, and as many in each way
    assert 3 * 54 <= one < 3 * 54 * 3 and result["refused"] > 0
    assert result["gathers"] == result["scatters"] == result["regroups"] == (3 * 54 * 40 - one) / 3


def test_every_size_is_copied_before_any_is_filled(tmp_path):
    status, result, said = copy(tmp_path, "--every-size", "--pieces", "1", "--blocks", "16384", lie="honest")
    assert (status, result["copies"], result["fills"]) == (0, 16384, 0), said


@pytest.mark.parametrize("lie, least, most, beside, sentence", [
    ("short", 1, 1, 0, "found 0xee"), ("long", 0, 0, 1, " bytes beside it have changed"),
    ("none", 1000, 1000, 0, "found 0xee"), ("turned", 900, 1000, 0, "of port 0, packet ")])
def test_what_an_engine_does_not_do_is_told(tmp_path, lie, least, most, beside, sentence):
    """Whatever kind of block it is; but for what stood there by chance, one byte of 256."""
    status, result, said = copy(tmp_path, "--size", "1000", "--pieces", "40", lie=lie)
    turned = {"gathers", "regroups", "fills"} if lie == "turned" else set(KINDS)  # what has one source is right then
    bad = sum(result[kind] for kind in turned)
    assert all(result[kind] > 60 for kind in KINDS)
    assert (status, result["passed"]) == (1, False) and 0.98 * bad <= result["bad"] <= bad
    assert 0.98 * least * bad <= result["wrong"] <= most * bad and result["beside"] == beside * bad
    assert sentence in said


@pytest.mark.parametrize("lie, sentence", [
    ("error", "block 0: the engine itself reports an error"),
    ("twice", " blocks as done, "),
    ("stuck", "nothing has been done for 3000 ms; 31 of 40 blocks are under way")])
def test_an_engine_that_says_so_itself_is_believed(tmp_path, lie, sentence):
    status, result, said = copy(tmp_path, "--blocks", "40", lie=lie)
    assert (status, result["passed"], result["failed"]) == (1, False, 40 * (lie == "error")) and sentence in said


@pytest.mark.parametrize("arguments, sentence", [
    (("--engine", "other"), "there is no DMA engine 'other'"), (("--ring", "100"), "takes no ring of 100 descriptors")])
def test_what_cannot_be_is_told(tmp_path, arguments, sentence):
    status, result, _ = copy(tmp_path, *arguments)
    assert status == 3 and sentence in result["error"]
