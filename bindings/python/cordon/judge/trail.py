"""What a walk read, and how it ended."""
from dataclasses import dataclass, field
from typing import Any

from .dc import DeviceContext

STAGES = {"D": "directory", "S": "first stage", "S.G": "second stage of a first-stage word",
          "G": "second stage", "M": "MSI table"}
UNDER_DTF = {256, 257, 258, 259, 268, 272, 273}  # the faults that tc.DTF does not silence


@dataclass(frozen=True)
class Step:
    """One doubleword: `stage` is a key of STAGES, `level` 0 is the last table."""

    stage: str
    level: int
    index: int
    address: int
    word: int

    @property
    def flags(self) -> str:
        """The low eight bits as table words have them, "da-u-wrv": - where a bit is clear, V last; N and a memory type
        behind."""
        low = "".join(name if self.word >> bit & 1 else "-" for bit, name in reversed(list(enumerate("vrwxugad"))))
        return low + (" N" if self.word >> 63 else "") + ("", " NC", " IO", " type 3")[self.word >> 61 & 3]

    def __str__(self) -> str:
        flags = f" {self.flags}" if "S" in self.stage or "G" in self.stage else ""
        return (f"{STAGES[self.stage]} level {self.level} [{self.index}] at {self.address:#x}: "
                f"{self.word:#018x}{flags}")


@dataclass
class Trail:
    """A request, each word read for it, and its end: `hpa`, or `cause` with a reason. A hart's has no
    device id."""

    device_id: int | None
    iova: int
    access: str
    steps: list[Step] = field(default_factory=list)
    context: DeviceContext | None = None
    gpa: int | None = None
    hpa: int | None = None
    cause: int = 0
    reason: str = ""

    @property
    def type(self) -> int:
        """The memory type at the end, 0: as the machine has it. The first stage's comes before the second's
        [Privileged, Svpbmt]."""
        last = {step.stage: step.word for step in self.steps}
        return last.get("S", 0) >> 61 & 3 or last.get("G", 0) >> 61 & 3

    @property
    def reported(self) -> bool:
        """Whether a fault record is due."""
        dtf = self.context is not None and self.context.dtf
        return self.cause != 0 and (self.cause in UNDER_DTF or not dtf)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        steps = [{**vars(step), "stage": STAGES[step.stage], "flags": step.flags} for step in self.steps]
        return {"device": self.device_id, "address": self.iova, "access": self.access, "gpa": self.gpa,
                "hpa": self.hpa, "cause": self.cause, "reason": self.reason, "steps": steps}

    def __str__(self) -> str:
        who = "a hart" if self.device_id is None else f"device {self.device_id:#x}"
        head = f"{who}, {self.access} of {self.iova:#x}"
        end = f"cause {self.cause}: {self.reason}" if self.cause else self.reason
        return "\n".join([head, *(f"  {step}" for step in self.steps), f"  {end}"])
