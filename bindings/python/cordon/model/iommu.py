"""The software IOMMU: its registers, what it answers, and what it can be told to do wrong."""
import ctypes
import enum
from contextlib import contextmanager
from dataclasses import dataclass

from .._base import as_int
from ..errors import UseAfterClose
from ..types import Hpa, Perm
from . import _abi
from ._lib import call



class Cache(enum.IntFlag):
    """Caches that a model can do without."""

    CONTEXTS = _abi.CORDON_MODEL_NO_DC_CACHE
    STAGES = _abi.CORDON_MODEL_NO_STAGE_CACHE
    MSIS = _abi.CORDON_MODEL_NO_MSI_CACHE
    ALL = CONTEXTS | STAGES | MSIS


@dataclass(frozen=True)
class Answer:
    """What the model says of one request: a `cause`, or 0 and where it goes."""

    cause: int
    hpa: Hpa | None = None
    page_size: int = 0
    is_msi: bool = False


class ModelIommu:
    """One software IOMMU over RAM (a writable buffer), whose first byte is at host address BASE.

    `outside(hpa, data)` is told of a device's write past RAM, `outside(hpa, length)` of a read and
    answers with bytes; None refuses either with an access fault."""

    def __init__(self, ram, base, *, capabilities=0, without=0, cache_entries=0, outside=None):
        self._ram = memoryview(ram).cast("B")
        self._pin = (ctypes.c_char * len(self._ram)).from_buffer(self._ram)
        self._outside, self._failure, self.engines = outside, None, []
        config = _abi.ModelConfig(
            flags=int(without), ram=ctypes.addressof(self._pin), ram_hpa=int(base),
            ram_len=len(self._ram), capabilities=capabilities, cache_entries=cache_entries)
        if outside is not None:
            self._callback = dict(_abi.ModelConfig._fields_)["mmio"](self._access)
            config.mmio = self._callback
        out = ctypes.POINTER(_abi.Model)()
        call("cordon_model_create", ctypes.byref(config), ctypes.byref(out), base=int(base),
             ram_len=len(self._ram), capabilities=capabilities, cache_entries=cache_entries)
        self._ptr = out

    @property
    def ptr(self):
        if self._ptr is None:
            raise UseAfterClose("this model is closed")
        return self._ptr

    def _access(self, _user, hpa, data, length, write):
        if self._failure is not None:
            return -1
        try:
            answer = self._outside(hpa, ctypes.string_at(data, length) if write else length)
        except Exception as error:  # kept, and raised again outside of C
            self._failure = error
            return -1
        if answer is None:
            return -1
        if not write:
            ctypes.memmove(data, bytes(answer).ljust(length, b"\0"), length)
        return 0

    def raise_pending(self):
        """Raise what `outside` raised while the model called it."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # ---- what it is for -------------------------------------------------------------------------

    def read(self, offset, width=4):
        """A register."""
        return call("cordon_model_read", self.ptr, offset, width)

    def write(self, offset, value, width=4):
        call("cordon_model_write", self.ptr, offset, width, value)

    def translate(self, device_id, iova, access="r"):
        """The Answer to a request that moves no data. A refused one goes to the fault queue."""
        request = _abi.ModelRequest(device_id=device_id, iova=as_int(iova, "iova"),
                                    access=int(Perm.of(access)))
        target = _abi.ModelTarget()
        cause = call("cordon_model_translate", self.ptr, ctypes.byref(request), ctypes.byref(target),
                     device_id=device_id, iova=iova, access=access)
        if cause:
            return Answer(cause)
        return Answer(0, Hpa(target.hpa), 1 << target.page_shift, bool(target.is_msi))

    @property
    def stats(self):
        """What it has counted: translations, walks, commands, fences, faults, records, dropped,
        suppressed; `violations` of the specification by software, and `violation`, the last."""
        stats = _abi.ModelStats()
        call("cordon_model_stats_get", self.ptr, ctypes.byref(stats))
        return stats

    def reset(self):
        """Reset it: everything off, caches empty, nothing held; requests in flight are dropped."""
        call("cordon_model_reset", self.ptr)

    # ---- what it can do wrong -------------------------------------------------------------------

    @contextmanager
    def hold(self, *, commands=False, registers=False, debug=False):
        """In this block the command queue stands still, ddtp, cqcsr and fqcsr stay busy, or the debug
        registers do. When it ends, all that was held completes."""
        mask = ((_abi.CORDON_MODEL_HOLD_COMMANDS if commands else 0)
                | (_abi.CORDON_MODEL_HOLD_REGISTERS if registers else 0)
                | (_abi.CORDON_MODEL_HOLD_DEBUG if debug else 0))
        call("cordon_model_hold", self.ptr, mask)
        try:
            yield self
        finally:
            if self._ptr is not None:
                call("cordon_model_hold", self.ptr, 0)

    def step(self, count=1):
        """Execute at most COUNT held commands; how many there were."""
        return call("cordon_model_step", self.ptr, count)

    @contextmanager
    def late(self, reads):
        """In this block, whatever software begins completes only after READS more register reads."""
        call("cordon_model_late", self.ptr, reads)
        try:
            yield self
        finally:
            if self._ptr is not None:
                call("cordon_model_late", self.ptr, 0)

    def fail_fences(self, count):
        """The next COUNT fences (IOFENCE.C) time out: cqcsr.cmd_to."""
        call("cordon_model_fail_fences", self.ptr, count)

    def fail_fetches(self, count):
        """The next COUNT fetches of a command fail: cqcsr.cqmf."""
        call("cordon_model_fail_fetches", self.ptr, count)

    def close(self):
        """Close its engines, then itself. Closing twice is allowed."""
        for engine in self.engines:
            engine.close()
        if self._ptr is not None:
            call("cordon_model_destroy", self._ptr)
            self._ptr = None

    def __repr__(self):
        if self._ptr is None:
            return "<ModelIommu closed>"
        s = self.stats
        return (f"<ModelIommu ddtp {self.read(0x10, 8):#x}: {s.translations} translations, {s.commands} "
                f"commands, {s.faults} faults, {s.violations} violations>")


__all__ = ["Answer", "Cache", "ModelIommu"]
