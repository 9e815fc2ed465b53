"""Shape: what a view's tables cost beside a flat one, and how many words a TLB fill reads."""
import ctypes
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import _abi
from .walk import MODES, SPANS

if TYPE_CHECKING:
    from .domain import Domain

FIRST_STAGE = {"bare": 0, "Sv39": 3, "Sv48": 4, "Sv57": 5}


@dataclass(frozen=True)
class Shape:
    """What a view's tables are made of. Tuples are by level, that of 4 KiB leaves first; `shared` are those of
    `tables` that other views of the domain hold too; `napot` are leaves of 64 KiB, which stand at level 0 beside
    those of 4 KiB."""

    mode: str
    levels: int
    tables: tuple[int, ...]
    shared: tuple[int, ...]
    leaves: tuple[int, ...]
    table_bytes: int
    mapped: int
    flat_bytes: int
    napot: int = 0

    @property
    def mean_walk(self) -> float:
        """Words that a walk reads on average, if each mapped byte is as likely; 0 for an empty view."""
        words = sum(count * _span(level) * (self.levels - level) for level, count in enumerate(self.leaves))
        words += self.napot * 16 * _span(0) * self.levels
        return words / self.mapped if self.mapped else 0.0

    def fill_reads(self, guest: str = "Sv39", guest_level: int = 0) -> tuple[int, int]:
        """Words that a hart reads for one TLB fill, when a leaf of GUEST_LEVEL in the guest's own tables of mode
        GUEST (a key of FIRST_STAGE) leads here: the fewest and the most, by this view's leaves. [Priv 18.5.1]"""
        if guest not in FIRST_STAGE:
            raise ValueError(f"{guest!r} is no mode of satp; there are: {', '.join(FIRST_STAGE)}")
        own = max(FIRST_STAGE[guest] - guest_level, 0)
        depths = [self.levels - level for level, count in enumerate(self.leaves)
                  if count or level == 0 and self.napot]
        return (_reads(own, min(depths)), _reads(own, max(depths))) if depths else (0, 0)

    def __str__(self) -> str:
        rows = [f"{self.mode}: {self.table_bytes:,} bytes of tables for {self.mapped:,} bytes; "
                f"one flat table: {self.flat_bytes:,}"]
        for level in reversed(range(self.levels)):
            shared = f", {self.shared[level]:,} shared" if self.shared[level] else ""
            runs = f", {self.napot:,} of 64K" if self.napot and not level else ""
            rows.append(f"  level {level}: {self.tables[level]:,} tables{shared}; "
                        f"{self.leaves[level]:,} leaves of {SPANS[level]}{runs}")
        low, high = self.fill_reads()
        rows.append(f"  a walk reads {self.mean_walk:.2f} words; a TLB fill under a guest's Sv39: {low} to {high}")
        return "\n".join(rows)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values."""
        return {**asdict(self), "mean_walk": self.mean_walk}


def _span(level: int) -> int:
    return 4096 << 9 * level


def _reads(own: int, below: int) -> int:
    return own * (below + 1) + below


def shape(domain: "Domain", view: int) -> Shape:
    """Ask the library."""
    raw = _abi.Shape()
    domain.context.call("cordon_shape", domain.ptr, view, ctypes.byref(raw), view=view)
    levels = raw.levels
    return Shape(MODES[raw.mode], levels, tuple(raw.tables[:levels]), tuple(raw.shared[:levels]),
                 tuple(raw.leaves[:levels]), raw.table_bytes, raw.mapped, raw.flat_bytes, raw.napot)


def told(event: dict[str, Any]) -> Shape:
    """The same from what a machine's hypervisor says."""
    return Shape(MODES[event["mode"]], event["levels"], tuple(event["tables"]), tuple(event["shared"]),
                 tuple(event["leaves"]), event["table_bytes"], event["mapped"], event["flat_bytes"],
                 event["napot"])
