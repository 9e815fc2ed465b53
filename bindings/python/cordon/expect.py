"""Faults of a platform: which ones a test expects, and which ones nobody did."""
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from .evidence import Evidence

PAGE = 0x1000


class FaultMissing(AssertionError):
    """A fault that was declared did not come. `device`, `cause`, `iova` and `others` say what did."""

    def __init__(self, device, cause, iova, others):
        self.device, self.cause, self.iova, self.others = device, cause, iova, others
        at = "" if iova is None else f" at {int(iova):#x}"
        name = f" ({cause.name})" if hasattr(cause, "name") else ""
        what = "" if cause is None else f" with cause {int(cause)}{name}"
        came = "what came: " + "; ".join(map(str, others)) if others else "none came"
        super().__init__(f"{device} caused no fault{what}{at}: {came}")


@dataclass
class Expected:
    """The faults that came, once the block is over."""

    faults: list = field(default_factory=list)

    def __getattr__(self, name):
        """A field of the first of them: cause, iova, nearest, ..."""
        if name.startswith("_") or not self.faults:
            raise AttributeError(name)
        return getattr(self.faults[0], name)


class FaultLog:
    """What a platform gets: `fault_log` is every report, `unexpected` those that nobody declared."""

    def __init__(self):
        self.fault_log, self.unexpected, self.evidence = [], [], Evidence(self)

    def named(self, fault):
        """The report with what this platform knows by name."""
        return fault

    def part(self, name):
        """The part by its name or by its place; LookupError where there is none."""
        raise NotImplementedError

    def faults(self):
        """Take every report; the caller has expected them."""
        reports = [self.named(f) for f in self.iommu.faults()] if self.iommu is not None else []
        self.fault_log += reports
        self.evidence.note(reports)
        return reports

    def look(self):
        """Note the walks of faults that nobody has taken yet, before the tables change. They stay to be taken."""
        with suppress(Exception):  # whoever takes them will hear of it
            if self.iommu is not None:
                self.evidence.note(self.iommu.peek_faults())

    def unexpected_faults(self):
        """Every report that no one has declared or taken."""
        self.unexpected += self.faults()
        return self.unexpected

    @contextmanager
    def expect_fault(self, device, cause=None, iova=None):
        """In this block DEVICE (a Device, or its name or place) has to fault, with this cause and in IOVA's
        page where they are given. Other faults stay unexpected. The block's own exception comes first."""
        name = self.part(device).name if isinstance(device, str) else device.name
        self.unexpected_faults()
        expected = Expected()
        yield expected
        for fault in self.faults():
            fits = (fault.device == name and cause in (None, fault.cause)
                    and (iova is None or int(iova) // PAGE == int(fault.iova) // PAGE))
            (expected.faults if fits else self.unexpected).append(fault)
        if not expected.faults:
            raise FaultMissing(name, cause, iova, list(self.unexpected))
