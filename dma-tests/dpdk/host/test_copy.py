"""The guests' copy on this machine, over DPDK's own software, and over an engine that lies."""
import json
import os
import subprocess

import pytest
from programs import EAL, TREE

PORTS = TREE / "out/dpdk-host/ports"


def copy(folder, *arguments, lie=None):
    """(its exit status, its result, what else it said)"""
    eal = [*EAL, "--iova-mode=va", "--vdev=dma_skeleton", f"--file-prefix={folder.name}"]
    env = os.environ if lie is None else os.environ | {
        "LIE": lie, "LD_PRELOAD": str(PORTS / "liar.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}
    done = subprocess.run([PORTS / "copy", *arguments, "--", *eal], capture_output=True, text=True, timeout=100, env=env)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("more", [(), ("--ring", "32"), ("--size", "4096"), ("--every-size", "--pieces", "1")])
def test_blocks_are_copied(tmp_path, more):
    status, result, said = copy(tmp_path, *more)
    assert (status, result["passed"]) == (0, True), said
    assert result["done"] == result["blocks"] > 1000 and result["copies"] > 0


@pytest.mark.parametrize("lie, wrong, beside, sentence", [
    ("short", 1, 0, "found 0xee"), ("long", 0, 1, "1 bytes beside it have changed"), ("none", 100, 0, "found 0xee")])
def test_what_an_engine_does_not_do_is_told(tmp_path, lie, wrong, beside, sentence):
    """But for what stood there by chance: one byte of 256."""
    status, result, said = copy(tmp_path, "--size", "100", "--pieces", "1", "--blocks", "70", lie=lie)
    copies = result["copies"]
    assert (status, result["passed"]) == (1, False) and copies - 2 < result["bad"] <= copies > 60
    assert 0.98 * wrong * copies <= result["wrong"] <= wrong * copies and result["beside"] == beside * copies
    assert "block 0 (copies, 1 pieces to 1): " in said and sentence in said


def test_an_engine_that_does_nothing_is_told(tmp_path):
    status, result, said = copy(tmp_path, "--blocks", "40", lie="stuck")
    assert (status, result["passed"], result["done"]) == (1, False, 0)
    assert "nothing has been done for 3000 ms; 32 of 40 blocks are under way" in said


def test_an_engine_that_is_not_there_is_told(tmp_path):
    status, result, _ = copy(tmp_path, "--engine", "other")
    assert status == 3 and "there is no DMA engine 'other'" in result["error"]
