"""Counters of an IOMMU: what it has counted of requests, of all of them or of one device's or domain's."""
import ctypes
import enum
from typing import TYPE_CHECKING, Self

from . import _abi
from .errors import UseAfterClose

if TYPE_CHECKING:
    from .iommu import Iommu

CYCLES = 0  # the counter that is always there


class HpmEvent(enum.IntEnum):
    """What can be counted. A walk is counted for each word that it reads."""

    UNTRANSLATED = _abi.CORDON_HPM_UNTRANSLATED
    TRANSLATED = _abi.CORDON_HPM_TRANSLATED
    ATS = _abi.CORDON_HPM_ATS
    TLB_MISS = _abi.CORDON_HPM_TLB_MISS
    DDT_WALK = _abi.CORDON_HPM_DDT_WALK
    PDT_WALK = _abi.CORDON_HPM_PDT_WALK
    FIRST_WALK = _abi.CORDON_HPM_FIRST_WALK
    SECOND_WALK = _abi.CORDON_HPM_SECOND_WALK


class HpmCounter:
    """Counts EVENT from its making on, until it is closed: `value`. Used as a context, it is closed at the end."""

    def __init__(self, iommu: "Iommu", event: HpmEvent, device_id: int | None, gscid: int | None,
                 partial: bool) -> None:
        if device_id is not None and gscid is not None:
            raise ValueError("a counter is of one device or of one GSCID, not of both")
        flags = ((_abi.CORDON_HPM_DV_GSCV if device_id is not None or gscid is not None else 0)
                 | (_abi.CORDON_HPM_IDT if gscid is not None else 0) | (_abi.CORDON_HPM_DMASK if partial else 0))
        self._iommu, self.event = iommu, HpmEvent(event)
        what = _abi.HpmSelect(event=int(event), flags=flags,
                              did_gscid=device_id if device_id is not None else gscid or 0)
        out = ctypes.c_uint32()
        iommu.context.call("cordon_hpm_begin", iommu.ptr, ctypes.byref(what), ctypes.byref(out), event=self.event.name,
                           device_id=device_id, gscid=gscid)
        self._number: int | None = out.value

    @property
    def number(self) -> int:
        """Which of the IOMMU's counters it is."""
        if self._number is None:
            raise UseAfterClose("this counter is closed")
        return self._number

    @property
    def value(self) -> int:
        """What it has counted up to now."""
        return counter_value(self._iommu, self.number)

    def close(self) -> None:
        """Give the counter back. Closing twice is allowed."""
        if self._number is not None:
            self._iommu.context.call("cordon_hpm_end", self._iommu.ptr, self._number)
            self._number = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<HpmCounter {self.event.name} {'closed' if self._number is None else self._number}>"


def counter_value(iommu: "Iommu", number: int) -> int:
    out = ctypes.c_uint64()
    iommu.context.call("cordon_hpm_read", iommu.ptr, number, ctypes.byref(out), counter=number)
    return out.value


__all__ = ["HpmCounter", "HpmEvent"]
