"""What memory has to hold, byte by byte: the world's own copy of each frame that is somebody's."""
import ctypes
import hashlib
import mmap

from ..types import PAGE

_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def pattern(text):
    """A page of bytes that no other TEXT has."""
    return hashlib.blake2b(text.encode()).digest() * (PAGE // 64)


def runs_of(pages):
    """(first, bytes) of each contiguous run of page addresses."""
    runs = []
    for page in sorted(pages):
        if runs and runs[-1][0] + runs[-1][1] == page:
            runs[-1][1] += PAGE
        else:
            runs.append([page, PAGE])
    return runs


class Content:
    """The frames of a platform that have an owner here, and what they have to hold."""

    def __init__(self, platform):
        self.base, self._size = platform.ram_base, len(platform.ram)
        self.ram, self.copy = memoryview(platform.ram), memoryview(mmap.mmap(-1, self._size))
        self._at = [ctypes.addressof(ctypes.c_char.from_buffer(m)) for m in (self.ram, self.copy)]
        self.stamps = {}  # host page: the number of its present life
        self._lives, self._runs = 0, None

    def own(self, hpa, text):
        """The frame begins a life, filled with a pattern of its own; it has to be zero before."""
        clean = not any(self.ram[hpa - self.base:hpa - self.base + PAGE])
        self._lives += 1
        self.stamps[hpa], self._runs = self._lives, None
        self._fill(hpa, pattern(f"{text} {self._lives}"))
        return clean

    def _fill(self, hpa, data):
        self.ram[hpa - self.base:hpa - self.base + len(data)] = data
        self.poke(hpa, data)

    def poke(self, hpa, data):
        """From now on, these bytes have to stand there."""
        self.copy[hpa - self.base:hpa - self.base + len(data)] = data

    def forget(self, hpa):
        self._runs = None
        del self.stamps[hpa]

    def found(self, hpa, length):
        """What stands there."""
        return bytes(self.ram[hpa - self.base:hpa - self.base + length])

    def wanted(self, hpa, length):
        """What has to stand there."""
        return bytes(self.copy[hpa - self.base:hpa - self.base + length])

    def _same(self, hpa, length):
        ram, copy = (start + hpa - self.base for start in self._at)
        return _libc.memcmp(ram, copy, length) == 0

    def changed(self):
        """Host pages whose bytes are not what they have to be."""
        if self._runs is None:
            self._runs = runs_of(self.stamps)
        return [page for start, length in self._runs if not self._same(start, length)
                for page in range(start, start + length, PAGE) if not self._same(page, PAGE)]
