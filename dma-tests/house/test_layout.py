"""Programs with sanitizers run where addresses are not randomized, or are refused where that cannot be."""
import os
import platform
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
NOT_RANDOM = 0x40000  # ADDR_NO_RANDOMIZE of <sys/personality.h>


def make(*arguments, path=None):
    where = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    as_ever = () if path else ("setarch", platform.machine())  # this test's own recipe turned it off already
    return subprocess.run([*as_ever, "make", *arguments], cwd=TREE, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": where}, check=False)


@pytest.fixture
def refused(tmp_path):
    """A folder of programs: a setarch that may not, and a compiler that is 12 or 14."""
    for name, text in (("setarch", "exit 1"), ("gcc12", "echo 12"), ("gcc14", "echo 14")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho no >&2\n{text}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.mark.skipif(subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode != 0,
                    reason="randomization cannot be turned off here")
def test_recipes_run_without_randomized_addresses():
    done = make("--eval", "show: ; @cat /proc/self/personality", "show")
    assert int(done.stdout, 16) & NOT_RANDOM


def layout(folder, bits, compiler):
    return make("--eval", f"override LAYOUT_BITS={bits}", "layout", f"CC={folder}/{compiler}", path=folder)


def test_a_layout_that_sanitizers_cannot_bear_is_refused_with_the_way_out(refused):
    done = layout(refused, 32, "gcc12")
    assert done.returncode and "vm.mmap_rnd_bits is 32" in done.stderr and "sysctl" in done.stderr


@pytest.mark.parametrize("bits, compiler", [(28, "gcc12"), (32, "gcc14")])
def test_a_layout_that_sanitizers_bear_is_fine(refused, bits, compiler):
    assert layout(refused, bits, compiler).returncode == 0
