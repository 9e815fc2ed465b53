"""Iommu: hardware that stands between devices and memory, its devices and its faults."""
import ctypes
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from . import _abi
from .context import Child, Context
from .hpm import CYCLES, HpmCounter, HpmEvent, counter_value
from .types import Drain, Gpa, Hpa, HpaLike, Iova, Mode, Perm, address

if TYPE_CHECKING:
    from .device import Device

FAULT_BUDGET = 4096


class Napot(enum.IntEnum):
    """What an IOMMU was seen to make of leaves of 64 KiB: see enum cordon_napot."""

    UNTRIED = _abi.CORDON_NAPOT_UNTRIED
    KNOWN = _abi.CORDON_NAPOT_KNOWN
    IGNORED = _abi.CORDON_NAPOT_IGNORED


class Cause(enum.IntEnum):
    """Why a request was refused [IOMMU table of causes], those that are met here."""

    INSN_ACCESS = 1
    READ_ACCESS = 5
    WRITE_ACCESS = 7
    INSN_GUEST_PAGE = 20
    READ_GUEST_PAGE = 21
    WRITE_GUEST_PAGE = 23
    ALL_DISALLOWED = 256
    DDT_LOAD = 257
    DDT_INVALID = 258
    DDT_MISCONFIGURED = 259
    TYPE_DISALLOWED = 260
    MSI_LOAD = 261
    MSI_INVALID = 262
    MSI_MISCONFIGURED = 263


@dataclass(frozen=True)
class Nearest:
    """The region nearest to a fault's address: `gap` bytes lie between. A platform gives it the `name`
    of the buffer that stands there."""

    gpa: Gpa
    len: int
    gap: int
    after: bool
    name: str = ""

    def __str__(self) -> str:
        where = "begins" if self.after else "ends"
        side = "after" if self.after else "before"
        name = f"{self.name} " if self.name else ""
        return f"{name}{self.gpa.v:#x}-{self.gpa.v + self.len - 1:#x} {where} {self.gap} bytes {side}"


@dataclass(frozen=True)
class Fault:
    """One report: COUNT equal records (same device, cause and page). A platform gives it the `owner`,
    the name of the guest whose device it is."""

    device_id: int
    device: str
    domain: int
    cause: int
    cause_name: str
    access: Perm
    iova: Iova
    span: int
    count: int
    nearest: Nearest | None
    owner: str | None = None

    @classmethod
    def of(cls, raw: _abi.Fault, cause_name: str) -> Self:
        nearest = None
        if raw.has_nearest:
            nearest = Nearest(raw.nearest, raw.nearest_len, raw.nearest_gap, bool(raw.nearest_after))
        return cls(raw.device_id, raw.device.decode(), raw.domain, raw.cause, cause_name,
                   Perm(raw.access), raw.iova, raw.span, raw.count, nearest)

    def __str__(self) -> str:
        bdf = f"{self.device_id >> 8:02x}:{self.device_id >> 3 & 31:02x}.{self.device_id & 7}"
        owner = self.owner or f"domain {self.domain or 'none'}"
        return (f"DMA DENIED {bdf} {self.device or '?'} ({owner}) "
                f"iova {self.iova.v:#x} +{self.span} {self.cause_name} ({self.cause}) x{self.count}"
                + (f"; nearest {self.nearest}" if self.nearest else ""))


class Iommu(Child):
    """An IOMMU that the context has taken over; nothing passes it until a device is attached."""

    closed_after = 2

    def __init__(self, context: Context, base: HpaLike, *, cq_log2: int = 0, fq_log2: int = 0,
                 timeout_us: int = 0, max_device_id: int = 0xffff) -> None:
        super().__init__(context)
        self.base = address(Hpa, base)
        self._seen: list[Fault] = []
        config = _abi.IommuConfig(base=self.base, cq_log2=cq_log2, fq_log2=fq_log2,
                                  timeout_us=timeout_us, max_device_id=max_device_id)
        out = ctypes.POINTER(_abi.Iommu)()
        try:
            context.call("cordon_iommu_add", context.ptr, ctypes.byref(config), ctypes.byref(out),
                         base=self.base, max_device_id=max_device_id)
        except BaseException:
            self.forget()
            raise
        self._ptr = out

    @property
    def info(self) -> _abi.IommuInfo:
        """capabilities, directory_levels, extended, modes, found_mode, napot, hpm_counters."""
        out = _abi.IommuInfo()
        self.context.call("cordon_iommu_info", self.ptr, ctypes.byref(out))
        return out

    @property
    def napot(self) -> Napot:
        """What it was seen to make of leaves of 64 KiB when it was taken over."""
        return Napot(self.info.napot)

    def device(self, device_id: int, name: str = "", *, drain: Drain = Drain.IOMMU) -> "Device":
        from .device import Device
        return Device(self, device_id, name, drain=drain)

    # ---- counters -----------------------------------------------------------------------------

    def count(self, event: HpmEvent, *, device_id: int | None = None, gscid: int | None = None,
              partial: bool = False) -> HpmCounter:
        """Count EVENT from now on: of all requests, of one device's, or of one GSCID's (a domain's common device view
        has the domain's number). PARTIAL: the low bits of the id up to its lowest 0, that one too, are any.
        NotSupported without counters, LimitReached when all `info.hpm_counters` are taken."""
        return HpmCounter(self, event, device_id, gscid, partial)

    @property
    def cycles(self) -> int:
        """The IOMMU's clock cycles."""
        return counter_value(self, CYCLES)

    # ---- faults -------------------------------------------------------------------------------

    def poll_faults(self, budget: int = FAULT_BUDGET) -> int:
        """Empty the hardware's queue into reports; the number of records taken."""
        return self.context.call("cordon_faults_poll", self.ptr, budget)

    def take_faults(self, count: int = 64) -> list[Fault]:
        """Up to COUNT reports, oldest first, without polling."""
        seen, self._seen = self._seen[:count], self._seen[count:]
        return seen + self._take(count - len(seen))

    def _take(self, count: int) -> list[Fault]:
        if count == 0:
            return []
        array = (_abi.Fault * count)()
        taken = self.context.call("cordon_faults_take", self.ptr, array, count)
        return [Fault.of(raw, self.cause_name(raw.cause)) for raw in array[:taken]]

    def faults(self) -> list[Fault]:
        """Poll until the hardware's queue is empty, then take every report."""
        reports, self._seen = self.peek_faults(), []
        return reports

    def peek_faults(self) -> list[Fault]:
        """Poll as faults() does; what it would give, and will."""
        while self.poll_faults() == FAULT_BUDGET:
            pass
        while taken := self._take(64):
            self._seen += taken
        return list(self._seen)

    @property
    def fault_stats(self) -> _abi.FaultStats:
        """records, overflows, suppressed."""
        out = _abi.FaultStats()
        self.context.call("cordon_faults_stats", self.ptr, ctypes.byref(out))
        return out

    def cause_name(self, cause: int) -> str:
        return self.context.call("cordon_cause_name", cause).decode()

    def close(self) -> None:
        """Turn it off for good. Busy while a device exists."""
        if self._ptr is not None:
            self.context.call("cordon_iommu_remove", self._ptr, base=self.base)
            self.forget()

    def __repr__(self) -> str:
        if self._ptr is None:
            return "<Iommu closed>"
        info = self.info
        form = "extended" if info.extended else "base"
        return (f"<Iommu {self.base.v:#x} caps {info.capabilities:#x} {info.directory_levels}LVL {form} "
                f"{Mode(info.modes).name}>")
