"""Tests that need the library are left out, by name, where it is not built."""
import pytest

from cordon import Context, LibraryError
from cordon._lib import library
from cordon.backends import BACKENDS


@pytest.fixture
def context():
    try:
        library()
    except LibraryError as why:
        pytest.skip(str(why))
    context = Context("16M", 0x8000_0000)
    yield context
    context.audit()
    context.close()


@pytest.fixture(params=["model", "qemu"])
def backend(request):
    if (why := BACKENDS[request.param].missing()) is not None:
        pytest.skip(f"{request.param}: {why}")
    return request.param
