"""Finds and loads the C libraries. CORDON_LIB and CORDON_MODEL_LIB name other builds of them (a
planted fault, a sanitizer)."""
import ctypes
import ctypes.util
import functools
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _abi
from ._base import INTEGERS, check_fits
from .errors import LibraryError

_TREE_BUILD = Path(__file__).resolve().parents[3] / "out/host"


def find(name: str = "cordon", variable: str = "CORDON_LIB") -> str:
    """The path of lib<NAME>.so: what VARIABLE says, the build of the tree around us, the one in our
    prefix (a venv's lib/), or the system's."""
    file = f"lib{name}.so"
    if named := os.environ.get(variable):
        if not os.path.exists(named):
            raise LibraryError(f"{variable} names {named}, which does not exist")
        return os.path.abspath(named)
    folders = _TREE_BUILD, Path(sys.prefix, "lib")
    for folder in folders:
        if (folder / file).exists():
            return str(folder / file)
    if (installed := ctypes.util.find_library(name)) is None:
        raise LibraryError(f"{file} is not in {folders[0]} (make host), not in {folders[1]}, not installed, and "
                           f"{variable} is not set")
    try:
        ctypes.CDLL(installed)
    except OSError as why:  # a linker finds what was installed; the loader looks into what ldconfig has noted
        raise LibraryError(f"{file} is installed, but the loader does not find it ({why}): run ldconfig, or set "
                           f"{variable} to the path of {file}") from None
    return installed


@functools.cache
def _checked(ctype: Any, name: str) -> Any:
    """An argument type that refuses an integer which CTYPE would cut."""
    def from_param(_cls: type, value: Any) -> Any:
        return ctype(check_fits(value, ctype, name))
    return type(f"checked_{ctype.__name__}", (ctype,), {"from_param": classmethod(from_param)})


class Library:
    """A loaded library: the functions of PROTOTYPES as attributes, with types and range checks."""

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, path: str, prototypes: Iterable[tuple[Any, ...]] = _abi.PROTOTYPES) -> None:
        self.path = path
        try:
            self._dll = ctypes.CDLL(path)
        except OSError as why:
            raise LibraryError(f"cannot load {path}: {why}") from None
        missing = []
        for name, result, arguments, documentation in prototypes:
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
            raise LibraryError(f"{path} lacks {', '.join(missing)}: it is not the library of this package "
                               "(in the tree: make host)")

    def invoke(self, name: str, *args: Any) -> Any:
        """Call a function. What our own checks say of an argument, which ctypes wraps, is raised as they say it."""
        try:
            return getattr(self, name)(*args)
        except ctypes.ArgumentError as why:
            kind = OverflowError if "OverflowError" in str(why) else TypeError
            raise kind(f"{name}: {why}") from None

    def __repr__(self) -> str:
        return f"<library {self.path}>"


@functools.cache
def library() -> Library:
    """libcordon, loaded once, at the first use."""
    return Library(find())
