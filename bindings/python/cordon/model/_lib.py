"""Loads libcordon-model, and holds the generated structs against what the library itself says."""
import ctypes
import functools
from typing import Any

from .._lib import Library, find
from ..errors import LibraryError
from . import _abi


class ModelError(Exception):
    """A call of libcordon-model was refused. `call` is the C function, `code` its result."""

    NAMES = {_abi.CORDON_MODEL_EINVAL: "a bad argument", _abi.CORDON_MODEL_ENOMEM: "no memory",
             _abi.CORDON_MODEL_ENOTSUP: "a capability that the model does not have"}

    def __init__(self, call: str, code: int, **given: Any) -> None:
        self.call, self.code, self.given = call, code, given
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        super().__init__(f"{call}: {self.NAMES.get(code, code)}" + (f": {shown}" if shown else ""))


def check_layout(lib: Library) -> None:
    """LibraryError where a struct of this package is not as large as the library's own."""
    for name, struct in _abi.STRUCTS.items():
        theirs = lib.cordon_model_size_of(name.encode())
        if theirs != ctypes.sizeof(struct):
            raise LibraryError(f"{lib.path}: struct {name} has {theirs} bytes, this package takes it for "
                               f"{ctypes.sizeof(struct)}: it is not the library of this package")


@functools.cache
def library() -> Library:
    """libcordon-model, loaded and checked once, at the first use."""
    lib = Library(find("cordon-model", "CORDON_MODEL_LIB"), _abi.PROTOTYPES)
    check_layout(lib)
    return lib


def call(name: str, *args: Any, **given: Any) -> Any:
    """Call the library; a negative result becomes a ModelError that carries GIVEN."""
    result = library().invoke(name, *args)
    if isinstance(result, int) and result < 0:
        raise ModelError(name, result, **given)
    return result
