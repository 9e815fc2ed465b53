"""Context: the memory of one machine, who owns each page of it, and what lives in it."""
import ctypes
import mmap
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, overload

from . import _abi
from ._base import as_int
from ._lib import library
from .blame import Explain, blame
from .errors import Busy, Corrupt, NotFound, UseAfterClose, from_code
from .moves import Block, MadeRun, blocks_of, make_run
from .order import Order
from .port import PortTable
from .types import (PAGE, Bytes, Extent, ExtentLike, FrameState, Hpa, HpaLike, Mode, Size, address,
                    extents_array, extents_of, size_bytes, size_pages)

if TYPE_CHECKING:
    from .domain import Domain
    from .iommu import Iommu


class FrameInfo:
    """Who owns a frame: `state`, and for OWNED and REVOKING `domain` (a number) and `gpa`."""

    def __init__(self, raw: _abi.FrameInfo) -> None:
        self.state, self.domain, self.gpa = FrameState(raw.state), raw.domain, raw.gpa

    def __repr__(self) -> str:
        owner = f" domain {self.domain} {self.gpa!r}" if self.domain else ""
        return f"<frame {self.state.name}{owner}>"


class Context:
    """libcordon laid over RAM.

    `ram` is a writable buffer (mmap, bytearray, ...) or a size such as "64M"; `base` is the host
    physical address of its first byte. `banks` and `reserved` default to all of it and to none.
    `port` is an object with any of mmio_read(hpa, width), mmio_write(hpa, width, value),
    hart_fence(harts, vmid, gpa, length), hart_fence_all(harts) and time_us(); an exception that it
    raises comes out of the call that led to it. `mixed` gives up keeping what never moves apart from
    what can, for comparisons. `napot`: the harts have Svnapot, and leaves of 64 KiB are made (in views of devices
    only where the IOMMU was seen to know them: `Iommu.napot`). `pbmt`: they have Svpbmt and Zicbom, and regions may
    have a MemoryType.
    """

    def __init__(self, ram: Any = "64M", base: HpaLike = 0x8000_0000, *,
                 banks: Iterable[ExtentLike] | None = None, reserved: Iterable[ExtentLike] = (),
                 hart_modes: int = Mode.ANY, vmid_bits: int = 14, seed: Size = 0,
                 port: object = None, mixed: bool = False, napot: bool = False,
                 pbmt: bool = False) -> None:
        if isinstance(ram, (int, str)):
            ram = mmap.mmap(-1, size_pages(ram, "ram"), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # a fork has its own
        self.base = address(Hpa, base)
        self._ram = memoryview(ram).cast("B")
        self._pin = (ctypes.c_char * len(self._ram)).from_buffer(self._ram)
        self._port = PortTable(port)
        self._lib = library()
        self.order = Order.over(self._lib, self._port.ops)  # None but over a recording build
        self._ptr: Any = None
        self.children: list[Child] = []
        flags = (_abi.CORDON_CTX_MIXED if mixed else 0) | (_abi.CORDON_CTX_NAPOT if napot else 0) \
            | (_abi.CORDON_CTX_PBMT if pbmt else 0)
        self._create(banks, reserved, hart_modes, vmid_bits, seed, flags)

    def _create(self, banks: Iterable[ExtentLike] | None, reserved: Iterable[ExtentLike], hart_modes: int,
                vmid_bits: int, seed: Size, flags: int) -> None:
        runs = [Extent(self.base, len(self._ram))] if banks is None else extents_of(banks)
        for run in runs:  # the library would take it for memory that is there
            if not 0 <= run.hpa.v - self.base.v <= len(self._ram) - run.len:
                raise ValueError(f"banks: {run!r} is not inside the RAM, {self.base.v:#x} + {len(self._ram):#x}")
        banks, bank_count = extents_array(runs)
        reserved, reserved_count = extents_array(reserved)
        config = _abi.Config(
            cookie=(self.order or self._port).address, banks=banks, bank_count=bank_count, reserved=reserved,
            reserved_count=reserved_count, hart_modes=int(hart_modes), vmid_bits=vmid_bits,
            seed=as_int(seed, "seed"), flags=flags,
            ram_offset=(ctypes.addressof(self._pin) - self.base.v) % (1 << 64))
        out = ctypes.POINTER(_abi.Ctx)()
        self.call("cordon_ctx_create", ctypes.byref(config), ctypes.byref(out), base=self.base.v,
                  ram_len=len(self._ram), hart_modes=int(hart_modes), vmid_bits=vmid_bits)
        self._ptr = out

    # ---- calls --------------------------------------------------------------------------------

    def call(self, name: str, *args: Any, explain: Explain | None = None, **fields: Any) -> Any:
        """Call the library; a negative result becomes an exception that carries FIELDS. EXPLAIN: see blame()."""
        if self._port.is_inside:
            raise RuntimeError(f"{name}: the port was called by the library, which waits for it: it must not "
                               "call the library")
        result = self._lib.invoke(name, *args)
        self._port.raise_pending()
        if isinstance(result, int) and result < 0:
            raise from_code(result, name, self._lib.cordon_strerror(result).decode(),
                            blame(self, -result, name, fields, explain), **fields)
        return result

    @property
    def callbacks(self) -> PortTable:
        """What calls of the library's into Python go through."""
        return self._port

    @property
    def ptr(self) -> Any:
        if self._ptr is None:
            raise UseAfterClose("this context is closed")
        return self._ptr

    # ---- memory as bytes ----------------------------------------------------------------------

    @property
    def ram(self) -> memoryview:
        """The RAM as a writable memoryview; offset 0 is `base`."""
        return self._ram

    def _slice(self, hpa: HpaLike, length: int) -> slice:
        start = address(Hpa, hpa) - self.base
        if not 0 <= start <= start + length <= len(self._ram):
            raise IndexError(f"{address(Hpa, hpa)!r} + {length:#x} is not in this context's RAM")
        return slice(start, start + length)

    def read(self, hpa: HpaLike, length: int) -> bytes:
        return bytes(self._ram[self._slice(hpa, length)])

    def write(self, hpa: HpaLike, data: Bytes) -> None:
        self._ram[self._slice(hpa, len(data))] = data

    # ---- frames and resources -----------------------------------------------------------------

    def frame(self, hpa: HpaLike) -> FrameInfo:
        """Who owns the frame that holds HPA."""
        out = _abi.FrameInfo()
        self.call("cordon_frame_query", self.ptr, address(Hpa, hpa), ctypes.byref(out))
        return FrameInfo(out)

    def frames(self, hpa: HpaLike, count: int) -> list[FrameInfo]:
        """Who owns COUNT frames from the one that holds HPA on, 256 at most, all at one moment."""
        out = (_abi.FrameInfo * max(count, 0))()
        self.call("cordon_frames_query", self.ptr, address(Hpa, hpa), out, count)
        return [FrameInfo(one) for one in out]

    def borrowers(self, hpa: HpaLike) -> list[_abi.Borrower]:
        """The loans of the frame that holds HPA, one a domain: `domain` (a number), `gpa`, `perms`."""
        found: list[_abi.Borrower] = []
        first, hpa = 0, address(Hpa, hpa)
        while True:
            out = _abi.Borrower()
            try:
                self.call("cordon_frame_borrower", self.ptr, hpa, first, ctypes.byref(out), hpa=hpa)
            except NotFound:
                return found
            found.append(out)
            first = out.domain + 1

    def alloc(self, length: Size, *, align: Size = 0, boundary: Size = 0, highest: Size = 0,
              zero: bool = True) -> Extent:
        """One run of frames, contiguous, HELD: an Extent."""
        want = _abi.RunWant(len=size_bytes(length), align=size_bytes(align), highest=as_int(highest),
                            boundary=size_bytes(boundary), flags=0 if zero else _abi.CORDON_RUN_NOZERO)
        out = Hpa()
        self.call("cordon_run_alloc", self.ptr, ctypes.byref(want), ctypes.byref(out), len=want.len,
                  align=want.align, boundary=want.boundary, highest=want.highest)
        return Extent(out, want.len)

    def make_run(self, length: Size, *, align: Size = 0, boundary: Size = 0, highest: HpaLike = 0,
                 budget: Size = 0, zero: bool = True) -> MadeRun:
        """A run as alloc() gives it, made by moving frames of domains where no free one fits; at most BUDGET bytes
        are moved for it, 0: any number. Where it cannot be had, the exception's `made` says what was in the way
        and what was moved all the same."""
        return make_run(self, length, align=align, boundary=boundary, highest=highest, budget=budget, zero=zero)

    def blocks(self) -> Iterator[Block]:
        """What each 2 MiB of RAM is made of, and could be: `cordon.moves.picture(ctx.blocks())` draws it."""
        return blocks_of(self)

    @overload
    def free(self, extent: Extent) -> None: ...

    @overload
    def free(self, extent: HpaLike, length: Size) -> None: ...

    def free(self, extent: Any, length: Size | None = None) -> None:
        """Give HELD frames back: an Extent, or an address and a length."""
        run = extent if length is None else Extent(extent, length)
        self.call("cordon_run_free", self.ptr, run.hpa, run.len, hpa=run.hpa, len=run.len)

    def scatter(self, length: Size, *, pieces: Collection[int] = (0,), seed: Size = 1) -> list[Extent]:
        """LENGTH bytes in shuffled pieces of 2**n pages, n out of PIECES: a list of Extent."""
        length = size_bytes(length)
        count = ctypes.c_size_t(max(1, min(length, len(self._ram)) // PAGE))
        out = (_abi.Extent * count.value)()
        if any(as_int(n, "pieces") < 0 for n in pieces):
            raise ValueError(f"pieces: {pieces!r} are not all sizes of 2**n pages")
        self.call("cordon_scatter_alloc", self.ptr, length, sum(1 << n for n in set(pieces)),
                  as_int(seed), out, ctypes.byref(count), len=length, pieces=tuple(pieces))
        return extents_of((e.hpa, e.len) for e in out[:count.value])

    def resource_add(self, hpa: HpaLike, length: Size) -> Extent:
        """Declare an MMIO range that a domain may be given."""
        run = Extent(hpa, length)
        self.call("cordon_resource_add", self.ptr, run.hpa, run.len, hpa=run.hpa, len=run.len)
        return run

    def resource_remove(self, hpa: HpaLike) -> None:
        self.call("cordon_resource_remove", self.ptr, address(Hpa, hpa), hpa=address(Hpa, hpa))

    def stats(self) -> _abi.MemoryStats:
        """Bytes by state: total, free, held, hyp, table, owned, revoking, largest_free, ownership."""
        out = _abi.MemoryStats()
        self.call("cordon_memory_stats", self.ptr, ctypes.byref(out))
        return out

    def vmids(self) -> _abi.VmidStats:
        """The VMIDs: bits, running (domains), harts (that remember some), generation, given."""
        out = _abi.VmidStats()
        self.call("cordon_vmid_stats", self.ptr, ctypes.byref(out))
        return out

    def audit(self) -> None:
        """Re-derive the invariants from memory; Corrupt, with `finding`, when one is broken."""
        finding = _abi.Finding()
        try:
            self.call("cordon_audit", self.ptr, ctypes.byref(finding))
        except Corrupt as error:
            raise Corrupt("cordon_audit", finding.text.decode(), finding=finding) from None

    # ---- what lives in it ---------------------------------------------------------------------

    def domain(self, gpa_limit: Size = 1 << 41, *, modes: int = 0) -> "Domain":
        from .domain import Domain
        return Domain(self, gpa_limit, modes=modes)

    def iommu(self, base: HpaLike, **settings: int) -> "Iommu":
        from .iommu import Iommu
        return Iommu(self, base, **settings)

    def close(self) -> None:
        """Close what lives in it (devices, then domains, then IOMMUs), then the context itself.
        Closing twice is allowed."""
        if self._ptr is None:
            return
        left = sorted(self.children, key=lambda child: child.closed_after)
        while left:
            left = self._close_all(left)
        self.call("cordon_ctx_destroy", self._ptr)
        self._ptr = None

    @staticmethod
    def _close_all(children: "list[Child]") -> "list[Child]":
        """Close what can be closed; those that were in use by another of them are left for a next try."""
        busy = []
        for child in children:
            try:
                child.close()
            except Busy:
                busy.append(child)
        if len(busy) == len(children):
            for child in busy:  # domains that lend to each other
                child.give_back()
            busy[0].close()
            del busy[0]
        return busy

    def abandon(self) -> None:
        """Forget the context without a call: its state lies in the RAM it was given."""
        for child in list(self.children):
            child.forget()
        self._ptr = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception) if kind else suppress():
            self.close()

    def __repr__(self) -> str:
        if self._ptr is None:
            return "<Context closed>"
        s = self.stats()
        return (f"<Context {self.base.v:#x} {s.total >> 20} MiB: {s.free >> 20} free, {s.owned >> 10} KiB "
                f"owned, {s.table >> 10} KiB tables, {len(self.children)} objects>")


class Child:
    """An object of a context: a handle that close() or the context's end takes away."""

    closed_after = 0  # objects of a context are closed in this order

    def __init__(self, context: Context) -> None:
        self.context = context
        self._ptr: Any = None
        context.children.append(self)

    @property
    def ptr(self) -> Any:
        if self._ptr is None:
            raise UseAfterClose(f"this {type(self).__name__.lower()} is closed")
        return self._ptr

    def give_back(self) -> None:
        """Give back what it borrows from other objects, where it does."""

    @property
    def is_open(self) -> bool:
        """Whether the library still has it."""
        return self._ptr is not None

    def close(self) -> None:
        """Give it back to the library. Closing twice is allowed."""
        raise NotImplementedError

    def forget(self) -> None:
        """The library no longer has it."""
        self._ptr = None
        with suppress(ValueError):
            self.context.children.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception) if kind else suppress():
            self.close()


__all__ = ["Child", "Context", "FrameInfo"]
