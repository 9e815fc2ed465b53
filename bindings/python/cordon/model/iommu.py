"""The software IOMMU: its registers, what it answers, and what it can be told to do wrong."""
import ctypes
import enum
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, SupportsInt

from .._base import as_int
from ..errors import UseAfterClose
from ..types import Hpa, Perm, PermLike, Size
from . import _abi
from ._lib import call

if TYPE_CHECKING:
    from .engine import Engine


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

    def __init__(self, ram: Any, base: SupportsInt, *, capabilities: int = 0, without: int = 0,
                 cache_entries: int = 0, outside: Callable[[int, Any], bytes | None] | None = None) -> None:
        self._ram = memoryview(ram).cast("B")
        self._pin = (ctypes.c_char * len(self._ram)).from_buffer(self._ram)
        self._outside = outside
        self._failure: BaseException | None = None
        self._inside: int | None = None  # the thread that is in `outside`
        self.engines: list[Engine] = []
        self.lock = threading.RLock()  # held in every call, so that none is under way in close()
        config = _abi.ModelConfig(
            flags=int(without), ram=ctypes.addressof(self._pin), ram_hpa=int(base),
            ram_len=len(self._ram), capabilities=capabilities, cache_entries=cache_entries)
        if outside is not None:
            kind: Any = next(kind for name, kind, *_ in _abi.ModelConfig._fields_ if name == "mmio")
            self._callback = kind(self._access)
            config.mmio = self._callback
        out = ctypes.POINTER(_abi.Model)()
        call("cordon_model_create", ctypes.byref(config), ctypes.byref(out), base=int(base),
             ram_len=len(self._ram), capabilities=capabilities, cache_entries=cache_entries)
        self._ptr: Any = out

    @property
    def ptr(self) -> Any:
        if self._ptr is None:
            raise UseAfterClose("this model is closed")
        if self.is_inside:
            raise RuntimeError("outside() was called by the model, which waits for it: it must not call the model")
        return self._ptr

    @property
    def is_inside(self) -> bool:
        """Whether this thread is in `outside`."""
        return self._inside is not None and self._inside == threading.get_ident()

    def call(self, name: str, *args: Any, **given: object) -> Any:
        """Call the library about this model, which is not closed meanwhile."""
        with self.lock:
            return call(name, self.ptr, *args, **given)

    def _access(self, _user: object, hpa: int, data: Any, length: int, write: bool) -> int:
        if self._failure is not None or self._outside is None:
            return -1
        self._inside = threading.get_ident()  # one at a time: the model is locked
        try:
            answer = self._outside(hpa, ctypes.string_at(data, length) if write else length)
            if answer is None:
                return -1
            if not write:
                ctypes.memmove(data, bytes(memoryview(answer)).ljust(length, b"\0"), length)
            return 0
        except BaseException as error:  # kept, and raised again outside of C
            self._failure = error
            return -1
        finally:
            self._inside = None

    def raise_pending(self) -> None:
        """Raise what `outside` raised while the model called it."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # ---- what it is for -------------------------------------------------------------------------

    def read(self, offset: int, width: int = 4) -> int:
        """A register."""
        return self.call("cordon_model_read", offset, width)

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.call("cordon_model_write", offset, width, value)

    def translate(self, device_id: int, iova: Size, access: PermLike = "r") -> Answer:
        """The Answer to a request that moves no data. A refused one goes to the fault queue."""
        request = _abi.ModelRequest(device_id=device_id, iova=as_int(iova, "iova"),
                                    access=int(Perm.of(access)))
        target = _abi.ModelTarget()
        cause = self.call("cordon_model_translate", ctypes.byref(request), ctypes.byref(target),
                          device_id=device_id, iova=iova, access=access)
        if cause:
            return Answer(cause)
        return Answer(0, Hpa(target.hpa), 1 << target.page_shift, bool(target.is_msi))

    @property
    def stats(self) -> _abi.ModelStats:
        """What it has counted: translations, walks, commands, fences, faults, records, dropped,
        suppressed; `violations` of the specification by software, and `violation`, the last."""
        stats = _abi.ModelStats()
        self.call("cordon_model_stats_get", ctypes.byref(stats))
        return stats

    def reset(self) -> None:
        """Reset it: everything off, caches empty, nothing held; requests in flight are dropped."""
        self.call("cordon_model_reset")

    # ---- what it can do wrong -------------------------------------------------------------------

    @contextmanager
    def hold(self, *, commands: bool = False, registers: bool = False, debug: bool = False) -> Iterator[Self]:
        """In this block the command queue stands still, ddtp, cqcsr and fqcsr stay busy, or the debug
        registers do. When it ends, all that was held completes."""
        mask = ((_abi.CORDON_MODEL_HOLD_COMMANDS if commands else 0)
                | (_abi.CORDON_MODEL_HOLD_REGISTERS if registers else 0)
                | (_abi.CORDON_MODEL_HOLD_DEBUG if debug else 0))
        self.call("cordon_model_hold", mask)
        try:
            yield self
        finally:
            if self._ptr is not None:
                self.call("cordon_model_hold", 0)

    def step(self, count: int = 1) -> int:
        """Execute at most COUNT held commands; how many there were."""
        return self.call("cordon_model_step", count)

    @contextmanager
    def late(self, reads: int) -> Iterator[Self]:
        """In this block, whatever software begins completes only after READS more register reads."""
        self.call("cordon_model_late", reads)
        try:
            yield self
        finally:
            if self._ptr is not None:
                self.call("cordon_model_late", 0)

    def fail_fences(self, count: int) -> None:
        """The next COUNT fences (IOFENCE.C) time out: cqcsr.cmd_to."""
        self.call("cordon_model_fail_fences", count)

    def fail_fetches(self, count: int) -> None:
        """The next COUNT fetches of a command fail: cqcsr.cqmf."""
        self.call("cordon_model_fail_fetches", count)

    def close(self) -> None:
        """Close its engines, then itself. Closing twice is allowed."""
        with self.lock:
            if self._ptr is None:
                return
            ptr = self.ptr
            for engine in self.engines:
                engine.close()
            self._ptr = None
            call("cordon_model_destroy", ptr)

    def __repr__(self) -> str:
        if self._ptr is None or self.is_inside:
            return f"<ModelIommu{'' if self._ptr else ' closed'}>"
        s = self.stats
        return (f"<ModelIommu ddtp {self.read(0x10, 8):#x}: {s.translations} translations, {s.commands} "
                f"commands, {s.faults} faults, {s.violations} violations>")


__all__ = ["Answer", "Cache", "ModelIommu"]
