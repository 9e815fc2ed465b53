"""The scatter-gather engine as a device's DMA, honest or not."""
import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Self, SupportsInt

from ..errors import UseAfterClose
from ..types import PAGE, Bytes, Iova, IovaLike, address
from . import _abi
from ._lib import call

if TYPE_CHECKING:
    from .iommu import ModelIommu

BUFFER_SIZE = 64 << 10
MODES = {"at once": _abi.CORDON_SG_AT_ONCE, "held": _abi.CORDON_SG_HELD,
         "rogue": _abi.CORDON_SG_ROGUE, "late": _abi.CORDON_SG_LATE}


class Engine:
    """A device's DMA over the software IOMMU. No call says whether the IOMMU refused it: look at
    memory, and at the faults. `device_id` is what its requests carry; `survives_reset` makes its
    reset() keep what it holds, as no device should."""

    def __init__(self, model: "ModelIommu", device_id: int, buffer_size: int = BUFFER_SIZE) -> None:
        self.model, self.own_id, self.device_id = model, device_id, device_id
        self.survives_reset, self.mode, self._filled = False, "at once", 0
        config = _abi.SgConfig(device_id=device_id, buffer_len=buffer_size)
        out = ctypes.POINTER(_abi.Sg)()
        call("cordon_sg_create", model.ptr, ctypes.byref(config), ctypes.byref(out), device_id=device_id,
             buffer_size=buffer_size)
        self._ptr: Any = out
        model.engines.append(self)
        start = call("cordon_sg_buffer", out)
        self._memory = (ctypes.c_ubyte * buffer_size).from_address(start)
        self.buffer = memoryview(self._memory).cast("B")

    @property
    def ptr(self) -> Any:
        if self._ptr is None:
            raise UseAfterClose("this engine is closed")
        _ = self.model.ptr  # it is open, and does not call us
        return self._ptr

    def _call(self, name: str, *args: Any, **given: object) -> Any:
        """Call the library about this engine, which is not closed meanwhile."""
        with self.model.lock:
            return call(name, self.ptr, *args, **given)

    # ---- DMA --------------------------------------------------------------------------------------

    def write(self, iova: IovaLike, data: Bytes) -> None:
        """DMA of DATA to IOVA."""
        for at, iova, length in self._pieces(iova, len(data)):
            self._request(iova, data[at:at + length], write=True)

    def read(self, iova: IovaLike, length: int) -> bytes:
        """DMA from IOVA: the bytes that came; zeros where none did. When requests are held, they come
        into `buffer` at the step that lets them."""
        if length < 0:
            raise ValueError(f"length: {length} bytes cannot be read")
        got = bytearray()
        for _, iova, part in self._pieces(iova, length):
            at = self._request(iova, bytes(part), write=False)
            got += self.buffer[at:at + part]
        return bytes(got)

    def _pieces(self, iova: IovaLike, length: int) -> Iterator[tuple[int, int, int]]:
        """(offset, iova, bytes) within one page each."""
        iova, at = int(address(Iova, iova)), 0
        while at < length:
            part = min(length - at, PAGE - iova % PAGE)
            yield at, iova, part
            iova, at = iova + part, at + part

    def _request(self, iova: int, data: Bytes, *, write: bool) -> int:
        """One request out of DATA's own place in the buffer, or into it; that place."""
        _, at = self.ptr, self._filled
        if at + len(data) > len(self.buffer):
            raise ValueError(f"an engine holds {len(self.buffer):#x} bytes at most: step() first")
        self.buffer[at:at + len(data)] = data
        wanted = _abi.SgDescriptor(iova=iova, len=len(data), write=int(write), offset=at)
        self._call("cordon_sg_spurious", ctypes.byref(wanted), iova=iova, length=len(data))
        if self.mode != "at once":
            self._filled += len(data)
        self.model.raise_pending()
        return at

    def run(self, list_iova: SupportsInt, count: int) -> int:
        """Fetch COUNT descriptors (SgDescriptor, 32 bytes each) at LIST_IOVA by DMA and do them; how
        many were done, or are held."""
        done = ctypes.c_uint32()
        self._call("cordon_sg_run", int(list_iova), count, ctypes.byref(done), list_iova=list_iova,
                   count=count)
        self.model.raise_pending()
        return done.value

    # ---- misbehaviour -------------------------------------------------------------------------------

    @contextmanager
    def _mode(self, name: str) -> Iterator[Self]:
        self._mode_set(name)
        try:
            yield self
        finally:
            if self._ptr is not None:
                self._mode_set("at once")

    def _mode_set(self, name: str) -> None:
        self._call("cordon_sg_mode_set", MODES[name], mode=name)
        self.mode = name

    def held(self) -> AbstractContextManager[Self]:
        """In this block requests are translated, then stay in flight until step(), or until a fence
        that waits for them (IOFENCE.C with PR or PW) ends them, as the specification wants."""
        return self._mode("held")

    def rogue(self) -> AbstractContextManager[Self]:
        """In this block requests are translated, then stay in flight until step(), whatever fences
        say: what only a reset of the device ends (Drain.RESET)."""
        return self._mode("rogue")

    def late(self) -> AbstractContextManager[Self]:
        """In this block requests are made but not even translated before step()."""
        return self._mode("late")

    @contextmanager
    def forged(self, device_id: int) -> Iterator[Self]:
        """In this block requests carry DEVICE_ID, whoever's it is."""
        self._call("cordon_sg_forge", device_id, device_id=device_id)
        self.device_id = device_id
        try:
            yield self
        finally:
            self.device_id = self.own_id
            if self._ptr is not None:
                self._call("cordon_sg_forge", self.own_id, device_id=self.own_id)

    def step(self, count: int = 1 << 16) -> tuple[int, int]:
        """Let at most COUNT held requests go on, oldest first: (how many did, how many late ones of
        them the IOMMU refused)."""
        refused = ctypes.c_uint32()
        done = self._call("cordon_sg_step", count, ctypes.byref(refused))
        if done < count:
            self._filled = 0
        self.model.raise_pending()
        return done, refused.value

    def reset(self) -> None:
        """Reset the device: what it holds is dropped, unless it `survives_reset`."""
        self._call("cordon_sg_reset", self.survives_reset)
        self.device_id, self.mode = self.own_id, "at once"
        self._filled = self._filled if self.survives_reset else 0

    def close(self) -> None:
        with self.model.lock:
            if self._ptr is None:
                return
            self.buffer.release()
            call("cordon_sg_reset", self.ptr, False)
            if sys.getrefcount(self._memory) == 2:  # else views of it are left, which would lead nowhere
                call("cordon_sg_destroy", self._ptr)
            self._ptr = None

    def __repr__(self) -> str:
        forged = "" if self.device_id == self.own_id else f" as {self.device_id:#x}"
        return f"<Engine {self.own_id:#x}{forged}{' closed' if self._ptr is None else ''}>"


__all__ = ["Engine"]
