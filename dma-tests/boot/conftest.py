"""Fixtures of the boot tests."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import machine  # noqa: E402


@pytest.fixture
def boots(tmp_path):
    """Machines of one test; their consoles stay in the test's folder."""
    return machine.Boots(tmp_path)


@pytest.fixture(scope="session")
def payload(tmp_path_factory):
    """payload(NAME): the bytes of a bare guest, compiled once."""
    folder = tmp_path_factory.mktemp("bare")
    made = {}

    def get(name):
        if name not in made:
            made[name] = machine.bare_guest(name, folder)
        return made[name]
    return get


@pytest.fixture(scope="session")
def linux_images():
    return machine.linux_images()
