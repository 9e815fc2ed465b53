"""Running the probes on one QEMU, and telling what they saw."""
from dataclasses import dataclass

from ..machine import QemuMachine
from ..process import BINARY, QemuError
from ..qmp import QmpError
from ..qtest import QTestError
from .bench import Bench, Unclear
from .table import LOOKED_AT, ROWS, Row, text_of

_BROKEN = (Unclear, QemuError, QmpError, QTestError, ArithmeticError, LookupError, TimeoutError, OSError)


@dataclass(frozen=True)
class Finding:
    """What a row's probe saw on one version. `seen` is True (it differs), False (it is as specified), or
    None: no probe, or one that cannot tell, and `reason` says why."""

    row: Row
    version: tuple
    seen: bool | None
    reason: str = ""

    @property
    def expected(self):
        """What the table says; None where nobody has looked at this version."""
        return self.row.expected(self.version)

    @property
    def state(self):
        """SAME, CHANGED or UNPROBED. A version that nobody has looked at is held against the nearest
        that somebody has."""
        if self.row.probe is None:
            return "UNPROBED"
        return "SAME" if self.seen is self.row.nearest(self.version) else "CHANGED"

    def to_json(self):
        """A dictionary of plain values; what is expected and seen is None where there is no probe."""
        answers = {"expected": None, "seen": None}
        if self.row.probe:
            answers = {"expected": answer_text(self.expected), "seen": answer_text(self.seen)}
        return {"id": self.row.id, "sentence": self.row.sentence, "section": self.row.section,
                "version": text_of(self.version), **answers, "state": self.state,
                "reason": self.reason}


def answer_text(answer):
    return {True: "differs", False: "as specified", None: "unknown"}[answer]


def version_of(binary=BINARY):
    """The version that a QEMU tells, such as (10, 0, 2); QemuError where it does not start, or has no
    IOMMU."""
    try:
        with QemuMachine(ram="1M", binary=binary) as machine:
            return machine.version
    except (QmpError, QTestError) as why:
        raise QemuError(f"{binary} has died: {why}") from None


def look(row, version, binary=BINARY):
    """The Finding of one row on a fresh machine."""
    if row.probe is None:
        return Finding(row, version, None, row.why)
    try:
        with Bench(binary, row.arguments) as bench:
            return Finding(row, version, row.probe(bench))
    except _BROKEN as why:
        return Finding(row, version, None, f"{type(why).__name__}: {why}")


def look_at_all(binary=BINARY, rows=ROWS):
    """Findings of all rows, one after the other; QemuError where QEMU does not start."""
    version = version_of(binary)
    for row in rows:
        yield look(row, version, binary)


def is_known(version):
    """Whether somebody has looked at this very version."""
    return version in LOOKED_AT
