"""The programs as programs: help, wrong calls, what they need and leave behind; and the benchmark."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from programs import PROGRAMS, TREE, start

NAMES = ["sg", "rogue", "churn"]
SHORT = {"sg": ["--packets", "10"], "rogue": [], "churn": ["--rounds", "8"]}


@pytest.mark.parametrize("name", NAMES)
def test_help_says_how_it_is_called(name):
    done = start(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"Usage: {name} [") and "--seed" in done.stdout


@pytest.mark.parametrize("name, arguments, said", [
    *((name, ["--no-such"], "--no-such") for name in NAMES), ("sg", ["--largest", "16385"], "from 1 to 16384"),
    ("sg", ["--packets", "x"], "no number"), ("churn", ["--rounds", "-1"], "no number")])
def test_a_wrong_call_is_refused(name, arguments, said):
    done = start(name, *arguments)
    assert done.returncode == 64 and said in done.stderr and not done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_no_file_behind(name, tmp_path):
    done = start(name, *SHORT[name], env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sg", "churn"])
def test_it_leaves_no_file_behind_when_it_is_ended_by_a_signal(name, tmp_path):
    many = {"sg": "--packets", "churn": "--rounds"}[name]
    with subprocess.Popen([PROGRAMS / name, many, "4000000000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        maps, until = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 60
        while "memfd:ram" not in maps.read_text():  # its machine, which comes after DPDK
            assert process.poll() is None and time.monotonic() < until
        process.send_signal(signal.SIGABRT)
    assert process.returncode == -signal.SIGABRT and list(tmp_path.iterdir()) == []


def documented():
    page = (TREE / "docs/dpdk.md").read_text()
    return [line for line in page.splitlines() if line.startswith("out/dpdk-host/")]


@pytest.mark.parametrize("line", documented())
def test_what_the_docs_type_succeeds(line):
    done = subprocess.run(line.split(), cwd=TREE, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["passed"], done.stderr


def test_the_docs_type_something():
    assert len(documented()) == len(NAMES)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_it_needs_no_root():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        shutil.copy2(PROGRAMS / "sg", folder)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{folder}/sg",
                               "--packets", "10"], env={**os.environ, "TMPDIR": folder}, capture_output=True,
                              text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_benchmark_tells_a_ratio_for_each_size(tmp_path):
    path = tmp_path / "bench.json"
    subprocess.run([sys.executable, TREE / "tools/bench", "--quick", "--json", path, "inproc"], check=True, timeout=100)
    figures = json.loads(Path(path).read_text())["figures"]
    assert [figure["name"] for figure in figures] == [f"{size} B" for size in (64, 512, 1518, 9000, 16384)]
    assert all(figure["ratio"] > 0 for figure in figures)
    assert [figure["met"] is None for figure in figures] == [False, True, True, True, True]
