"""What the tests of this folder share."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import programs  # noqa: E402


@pytest.fixture(scope="module")
def once():
    """programs.result(NAME, ...), run once for all tests of a file."""
    known = {}

    def get(*call):
        if call not in known:
            known[call] = programs.result(*call)
        return known[call]
    return get
