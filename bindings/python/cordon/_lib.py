"""Finds and loads libcordon. CORDON_LIB names another build of it (a planted fault, a sanitizer)."""
import ctypes
import ctypes.util
import functools
import os
import sys
from pathlib import Path

from . import _abi
from ._base import INTEGERS, check_fits
from .errors import LibraryError

_TREE_BUILD = Path(__file__).resolve().parents[3] / "out/host/libcordon.so"


def find():
    """The path of the library: CORDON_LIB, the build of the tree around us, the one in our
    prefix (a venv's lib/), or the system's."""
    if named := os.environ.get("CORDON_LIB"):
        if not os.path.exists(named):
            raise LibraryError(f"CORDON_LIB names {named}, which does not exist")
        return os.path.abspath(named)
    if _TREE_BUILD.exists():
        return str(_TREE_BUILD)
    beside = Path(sys.prefix, "lib/libcordon.so")
    if beside.exists():
        return str(beside)
    if installed := ctypes.util.find_library("cordon"):
        return installed
    raise LibraryError("libcordon.so is not built (make host), not installed, and CORDON_LIB is not set")


@functools.cache
def _checked(ctype, name):
    """An argument type that refuses an integer which CTYPE would cut."""
    def from_param(_cls, value):
        return ctype(check_fits(value, ctype, name))
    return type(f"checked_{ctype.__name__}", (ctype,), {"from_param": classmethod(from_param)})


class Library:
    """The loaded library: its public functions as attributes, with types and range checks."""

    def __init__(self, path):
        self.path = path
        try:
            self._dll = ctypes.CDLL(path)
        except OSError as why:
            raise LibraryError(f"cannot load {path}: {why}") from None
        missing = []
        for name, result, arguments, documentation in _abi.PROTOTYPES:
            try:
                function = self._dll[name]
            except AttributeError:
                missing.append(name)
                continue
            function.argtypes = [_checked(t, what) if t in INTEGERS else t
                                 for what, t in arguments]
            function.restype = result
            function.__doc__ = documentation
            setattr(self, name, function)
        if missing:
            raise LibraryError(f"{path} lacks {', '.join(missing)}: it is not the library of this package")

    def __repr__(self):
        return f"<libcordon {self.path}>"


@functools.cache
def library():
    """The library, loaded once, at the first use."""
    return Library(find())
