"""What a machine leaves is kept when a test fails beside it, and only then."""
import os
import re
import subprocess
import sys

import pytest

import guests

TESTS = """
import guests
import pytest
from machine import bare, bare_guest

@pytest.fixture
def machine(tmp_path):
    with guests.cordon(tmp_path / "left", {"red": bare()}, (), start=[], harts=2, images={"guest": bare_guest("echo", tmp_path)}) as shared:
        shared.machine.guests["red"].wait("ready")
        yield shared.machine

def test_good(machine):
    pass

def test_bad(machine):
    assert not machine.guests["red"].said
"""
DMA = """
import guests

def test_bad(tmp_path):
    with guests.cordon(tmp_path / "left", {"red": guests.vm("red", [1, 4])}, guests.wire("igb", [1, 4]), ram="1G") as shared:
        assert shared.order("red", "sg --packets 10").status
"""


def run(folder, text, *options):
    """{folder: trace} of what is kept of tests TEXT, of which test_bad fails."""
    (folder / "test_it.py").write_text(text)
    path = os.pathsep.join(str(guests.TREE / part) for part in ("dma-tests/dpdk", "bindings/python"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", f"--basetemp={folder}/base",
                           *options, "test_it.py"], cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True,
                          text=True, timeout=110)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    kept = {path.parent: path.read_text() for path in folder.glob(f"base/**/{guests.TRACED}")}
    assert [str(where) for where in kept] == re.findall(r"console and trace are kept in -*\n(.*)", done.stdout)
    assert all("[cordon]" in (where / guests.CONSOLE).read_text() for where in kept)
    return kept


def test_console_and_trace_of_the_failed_test_alone_are_kept(tmp_path):
    ((where, trace),) = run(tmp_path, TESTS).items()
    assert "test_bad" in str(where)
    assert "riscv_iommu_cmd" in trace


def test_what_is_kept_of_one_run_is_not_where_another_one_works():
    def folder(*words):
        told = subprocess.run(["make", "-n", *words], cwd=guests.TREE, capture_output=True, text=True, timeout=60,
                              check=True).stdout
        return re.search(r"--basetemp='(out/dpdk/tests/[^']+)'", told)[1]
    runs = [("test-dpdk",), ("check-dpdk",), ("check-dpdk", "T=sg or churn"), ("check-dpdk", "T=churn")]
    assert len({folder(*words) for words in runs}) == len(runs)


@pytest.mark.whole
def test_the_trace_has_each_dma_if_asked(tmp_path):
    (trace,) = run(tmp_path, DMA, "--iommu-trace").values()
    assert trace.count("riscv_iommu_dma") > 100
