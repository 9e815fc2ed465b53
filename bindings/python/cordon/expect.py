"""Faults of a platform: which ones a test expects, and which ones nobody did."""
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, SupportsInt

from .evidence import Evidence

if TYPE_CHECKING:
    from .iommu import Fault, Iommu
    from .parts import Part

PAGE = 0x1000


class Named(Protocol):
    """A device, of whichever kind of platform."""

    @property
    def name(self) -> str: ...


class FaultMissing(AssertionError):
    """A fault that was declared did not come. `device`, `cause`, `iova` and `others` say what did."""

    def __init__(self, device: str, cause: int | None, iova: SupportsInt | None,
                 others: "list[Fault]") -> None:
        self.device, self.cause, self.iova, self.others = device, cause, iova, others
        at = "" if iova is None else f" at {int(iova):#x}"
        name = f" ({cause.name})" if isinstance(cause, IntEnum) else ""
        what = "" if cause is None else f" with cause {int(cause)}{name}"
        came = "what came: " + "; ".join(map(str, others)) if others else "none came"
        super().__init__(f"{device} caused no fault{what}{at}: {came}")


@dataclass
class Expected:
    """The faults that came, once the block is over."""

    faults: "list[Fault]" = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """A field of the first of them: cause, iova, nearest, ..."""
        if name.startswith("_") or not self.faults:
            raise AttributeError(name)
        return getattr(self.faults[0], name)


class FaultLog:
    """What a platform gets: `fault_log` is every report, `unexpected` those that nobody declared."""

    iommu: "Iommu"
    patience = 0.0  # seconds that expect_fault waits for devices that act by themselves

    def __init__(self) -> None:
        self.fault_log: list[Fault] = []
        self.unexpected: list[Fault] = []
        self.evidence = Evidence(self)

    def named(self, fault: "Fault") -> "Fault":
        """The report with what this platform knows by name."""
        return fault

    def part(self, name: str) -> "Part":
        """The part by its name or by its place; LookupError where there is none."""
        raise NotImplementedError

    def name_of(self, device: "str | Named") -> str:
        """The name that DEVICE's faults carry."""
        return self.part(device).name if isinstance(device, str) else device.name

    def reports(self) -> "list[Fault]":
        """Every report that was not taken."""
        return self.iommu.faults() if self.iommu is not None else []

    def more_reports(self, timeout: float) -> bool:
        """Wait for a report where devices act by themselves; whether one came."""
        return False

    def faults(self) -> "list[Fault]":
        """Take every report; the caller has expected them."""
        reports = [self.named(f) for f in self.reports()]
        self.fault_log += reports
        self.evidence.note(reports)
        return reports

    def look(self) -> None:
        """Note the walks of faults that nobody has taken yet, before the tables change. They stay to be taken."""
        with suppress(Exception):  # whoever takes them will hear of it
            if self.iommu is not None:
                self.evidence.note(self.iommu.peek_faults())

    def unexpected_faults(self) -> "list[Fault]":
        """Every report that no one has declared or taken."""
        self.unexpected += self.faults()
        return self.unexpected

    @contextmanager
    def expect_fault(self, device: "str | Named", cause: int | None = None,
                     iova: SupportsInt | None = None) -> Iterator[Expected]:
        """In this block DEVICE (a Device, or its name or place) has to fault, with this cause and in IOVA's
        page where they are given. Other faults stay unexpected. The block's own exception comes first."""
        name = self.name_of(device)
        self.unexpected_faults()
        expected = Expected()
        yield expected
        deadline = time.monotonic() + self.patience
        while True:
            for fault in self.faults():
                fits = (fault.device == name and cause in (None, fault.cause)
                        and (iova is None or int(iova) // PAGE == int(fault.iova) // PAGE))
                (expected.faults if fits else self.unexpected).append(fault)
            left = deadline - time.monotonic()
            if expected.faults or left <= 0 or not self.more_reports(left):
                break
        if not expected.faults:
            raise FaultMissing(name, cause, iova, list(self.unexpected))
