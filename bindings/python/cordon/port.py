"""The library's port as a Python object: register accesses, fences and time come back as calls."""
import ctypes
import threading
from collections.abc import Callable
from typing import Any

from . import _abi

_TYPES: dict[str, Any] = {name: kind for name, kind, *_ in _abi.PortOps._fields_}
ALL_ONES = (1 << 64) - 1


class PortTable:
    """cordon_port_ops over a Python object. Keeps the callbacks alive, and the first exception that
    one of them raised, until raise_pending hands it to the caller of the library."""

    def __init__(self, port: object) -> None:
        self._failure: BaseException | None = None
        self._inside: set[int] = set()  # the threads that are in a callback
        self.ops = _abi.PortOps()
        self._keep: list[Any] = []
        self.address = ctypes.addressof(self.ops)
        for name, answer in (("mmio_read", ALL_ONES), ("mmio_write", None), ("hart_fence", None),
                             ("hart_fence_all", None), ("time_us", 0)):
            method = getattr(port, name, None)
            if method is not None:
                self._install(name, method, answer)

    def _install(self, name: str, method: Callable[..., Any], answer: int | None) -> None:
        def callback(_user: object, *args: Any) -> Any:
            if self._failure is not None:
                return answer
            self._inside.add(threading.get_ident())
            try:
                return method(*args)
            except BaseException as error:  # kept, and raised again outside of C
                self._failure = error
                return answer
            finally:
                self._inside.discard(threading.get_ident())
        function = _TYPES[name](callback)
        self._keep.append(function)
        setattr(self.ops, name, function)

    def called(self, method: Callable[..., Any], answer: Callable[[BaseException], Any], *args: Any) -> Any:
        """Call METHOD for the library, which waits; what it raises is kept as of the port's own, and ANSWER says
        what the library is told then."""
        self._inside.add(threading.get_ident())
        try:
            return method(*args)
        except BaseException as error:  # kept, and raised again outside of C
            self._failure = self._failure or error
            return answer(error)
        finally:
            self._inside.discard(threading.get_ident())

    @property
    def is_inside(self) -> bool:
        """Whether this thread is in a callback: the library holds its locks then."""
        return bool(self._inside) and threading.get_ident() in self._inside

    def raise_pending(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class Port:
    """The library's port over registers that `read(hpa, width)` and `write(hpa, width, value)` of a
    subclass reach. There is no hart that runs a guest: nothing to fence.

    Hardware that misbehaves is simulated here: `on_write(hpa, width, value)` is asked before each
    register write of the library's, and drops it by answering False; `on_read(hpa, width, value)` may
    answer another value than the register's."""

    on_write: Callable[[int, int, int], object] | None = None
    on_read: Callable[[int, int, int], int] | None = None

    def mmio_read(self, hpa: int, width: int) -> int:
        value = self.read(hpa, width)
        return value if self.on_read is None else self.on_read(hpa, width, value)

    def mmio_write(self, hpa: int, width: int, value: int) -> None:
        if self.on_write is None or self.on_write(hpa, width, value) is not False:
            self.write(hpa, width, value)

    def read(self, hpa: int, width: int) -> int:
        raise NotImplementedError

    def write(self, hpa: int, width: int, value: int) -> None:
        raise NotImplementedError


__all__ = ["Port", "PortTable"]
