"""A copy of all of a machine's RAM, to see which pages have changed since."""
import ctypes
from typing import Any

_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
PAGE, STEP = 0x1000, 1 << 20


class Snapshot:
    """RAM as it was; `changed()` says which host pages differ now. MACHINE is a platform, or what else
    has `ram_base` and `ram`."""

    def __init__(self, machine: Any) -> None:
        self._base, self._size = machine.ram_base, len(machine.ram)
        self._ram = (ctypes.c_char * self._size).from_buffer(machine.ram)
        self._copy = ctypes.create_string_buffer(self._size)
        ctypes.memmove(self._copy, self._ram, self._size)

    def _differs(self, at: int, length: int) -> bool:
        length = min(length, self._size - at)
        return _libc.memcmp(ctypes.byref(self._ram, at), ctypes.byref(self._copy, at), length) != 0

    def changed(self) -> set[int]:
        """Host addresses of the pages that have changed."""
        return {self._base + page
                for block in range(0, self._size, STEP) if self._differs(block, STEP)
                for page in range(block, min(block + STEP, self._size), PAGE) if self._differs(page, PAGE)}
