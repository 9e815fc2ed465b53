"""The library's port as a Python object: register accesses, fences and time come back as calls."""
import ctypes

from . import _abi

_TYPES = dict(_abi.PortOps._fields_)
ALL_ONES = (1 << 64) - 1


class PortTable:
    """cordon_port_ops over a Python object. Keeps the callbacks alive, and the first exception that
    one of them raised, until raise_pending hands it to the caller of the library."""

    def __init__(self, port):
        self._failure = None
        self._ops = _abi.PortOps()
        self._keep = []
        self.address = ctypes.addressof(self._ops)
        for name, answer in (("mmio_read", ALL_ONES), ("mmio_write", None), ("hart_fence", None),
                             ("time_us", 0)):
            method = getattr(port, name, None)
            if method is not None:
                self._install(name, method, answer)

    def _install(self, name, method, answer):
        def callback(_user, *args):
            if self._failure is not None:
                return answer
            try:
                return method(*args)
            except BaseException as error:  # kept, and raised again outside of C
                self._failure = error
                return answer
        function = _TYPES[name](callback)
        self._keep.append(function)
        setattr(self._ops, name, function)

    def raise_pending(self):
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


__all__ = ["PortTable"]
