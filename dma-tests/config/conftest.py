"""Where the tests of dma-tests/config find tools/lib and the programs built from C."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/lib"))


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def program():
    """program(NAME): the path of a program built from dma-tests/config/NAME.c."""
    folder = ROOT / os.environ.get("CONFIG_PROGRAMS", "out/asan/config")

    def find(name):
        path = folder / name
        assert path.exists(), f"{path} is missing: run `make check-config`"
        return path
    return find
