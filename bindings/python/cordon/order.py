"""The order checker of the library's recording build (iommu/port/record), from Python.

A library that was built over the recording port logs each store, fence, command, drain and free in
their order, and holds them against the invariants 4 and 7: what no look at memory afterwards can see.
CORDON_LIB names such a build (make check-judged makes out/record/libcordon.so); with any other, a
context's `order` is None.
"""
import ctypes
from typing import TYPE_CHECKING

from . import _abi
from .errors import LibraryError

if TYPE_CHECKING:
    from ._lib import Library

_EVENTS = 4096
_KINDS = ("store", "fence", "hart fence", "claim", "free", "drain", "command", "lend", "recall", "return",
          "copy", "code fence", "enter", "leave", "hart fence of all", "register write")


class _Event(ctypes.Structure):
    _fields_ = [("sequence", ctypes.c_uint64), ("kind", ctypes.c_uint32), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64), ("c", ctypes.c_uint64)]

    def __str__(self) -> str:
        kind = _KINDS[self.kind] if self.kind < len(_KINDS) else f"kind {self.kind}"
        return f"{self.sequence:6} {kind:14} {self.a:#014x} {self.b:#018x} {self.c:#018x}"


class _Record(ctypes.Structure):
    _fields_ = [("ops", _abi.PortOps), ("allocations", ctypes.c_uint64), ("fail_at", ctypes.c_uint64),
                ("sequence", ctypes.c_uint64), ("broken_at", ctypes.c_uint64),
                ("event", _Event * _EVENTS), ("order", ctypes.c_void_p)]


class Order:
    """What one context's library does, in order. `address` is the cookie that makes it so."""

    def __init__(self, functions: ctypes.CDLL, ops: _abi.PortOps) -> None:
        self._functions, self._room = functions, bytearray(2 * ctypes.sizeof(_Record))
        self._record = _Record.from_buffer(self._room)
        functions.record_init(ctypes.byref(self._record), ctypes.byref(ops))
        if self._record.ops.size != ctypes.sizeof(_Record):
            raise LibraryError(f"the recording library's record has {self._record.ops.size} bytes, this "
                               f"package takes it for {ctypes.sizeof(_Record)}")
        self.address = ctypes.addressof(self._record)

    @classmethod
    def over(cls, library: "Library", ops: _abi.PortOps) -> "Order | None":
        """An Order over the port's table OPS, or None: LIBRARY is not a recording build."""
        try:
            functions = ctypes.CDLL(library.path)
            functions.record_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        except AttributeError:
            return None
        functions.record_init.restype = functions.record_expect_views.restype = None
        functions.record_expect_views.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
        functions.record_broken.argtypes = [ctypes.c_void_p]
        functions.record_broken.restype = ctypes.c_char_p
        return cls(functions, ops)

    def expect_views(self, domain: int, views: int) -> None:
        """From now on, frames of the domain of this number are freed only after the device VIEWS (bit
        v: view v) were invalidated and drained."""
        self._functions.record_expect_views(ctypes.byref(self._record), domain, views)

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return self._record.sequence

    def broken(self) -> str | None:
        """The first step that broke the order, with those around it, or None."""
        text = self._functions.record_broken(ctypes.byref(self._record))
        if text is None:
            return None
        at = self._record.broken_at
        near = (self._record.event[n % _EVENTS] for n in range(max(1, at - 24), self._record.sequence + 1))
        told = [str(event) for event in near if event.sequence <= at + 4]
        return "\n".join([f"step {at}: {text.decode()}", *told])

    def __repr__(self) -> str:
        return f"<Order: {self.steps} steps, {'broken' if self.broken() else 'sound'}>"


__all__ = ["Order"]
