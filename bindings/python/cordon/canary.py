"""A pattern in memory that nobody is to change, and what became of it."""
import ctypes
import random

from .types import PAGE

_BLOCK = 16 * PAGE
_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class Touched:
    """Memory that has changed: `pages`, as (gpa, hpa), and `first`, the GPA of the first byte. False, so that
    `assert guest.untouched()` shows it."""

    def __init__(self, name: str, pages: list[tuple[int, int]], first: int) -> None:
        self.name, self.pages, self.first = name, pages, first

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        shown = ", ".join(f"{gpa:#x} (host {hpa:#x})" for gpa, hpa in self.pages[:4])
        more = f" and {len(self.pages) - 4} more" if len(self.pages) > 4 else ""
        return f"<memory of {self.name} has changed at {shown}{more}; first byte {self.first:#x}>"


class Canary:
    """Every byte of RUNS, (gpa, memory, hpa) each, filled with bytes that NAME decides."""

    def __init__(self, name: str, runs: list[tuple[int, memoryview, int]]) -> None:
        self.name, self._runs = name, runs
        self._block = random.Random(f"canary {name}").randbytes(_BLOCK)
        for _, memory, _ in runs:
            for at in range(0, len(memory), _BLOCK):
                part = memory[at:at + _BLOCK]
                part[:] = self._block if len(part) == _BLOCK else self._block[:len(part)]

    def untouched(self) -> bool | Touched:
        """True, or a Touched that says where."""
        pages = []
        for gpa, memory, hpa in self._runs:
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            for at in range(0, len(memory), _BLOCK):
                length = min(_BLOCK, len(memory) - at)
                if _libc.memcmp(start + at, self._block, length):
                    pages += [(gpa + at + page, hpa + at + page) for page in range(0, length, PAGE)
                              if memory[at + page:at + page + PAGE] != self._block[page:page + PAGE]]
        return Touched(self.name, pages, self._first(pages[0][0])) if pages else True

    def _first(self, page: int) -> int:
        """The first changed byte of a page that has one."""
        gpa, memory, _ = next(run for run in self._runs if 0 <= page - run[0] < len(run[1]))
        block = self._block[(page - gpa) % _BLOCK:][:PAGE]
        return page + next(at for at, byte in enumerate(memory[page - gpa:page - gpa + PAGE]) if byte != block[at])


__all__ = ["Canary", "Touched"]
