"""What a benchmark hands back: figures, each beside what it is measured against, as a line and as JSON."""
from dataclasses import dataclass, field


@dataclass
class Figure:
    """One figure.

    ours      what was measured; None if it could not be
    beside    the other number, and against: what that is
    limit     the goal: ours (of="ours") or ratio (of="ratio") at most, or with least=True at least;
              None: told, never judged
    missing   why the goal cannot be judged, which is a miss
    """
    bench: str
    name: str
    unit: str
    ours: float | None
    beside: float | None = None
    against: str = ""
    limit: float | None = None
    of: str = "ratio"
    least: bool = False
    missing: str = ""
    note: str = ""
    more: dict = field(default_factory=dict)

    @property
    def ratio(self):
        return self.ours / self.beside if self.ours is not None and self.beside else None

    @property
    def met(self):
        """True, False, or None where there is no goal."""
        if self.limit is None:
            return False if self.missing else None
        value = self.ours if self.of == "ours" else self.ratio
        if self.missing or value is None:
            return False
        return value >= self.limit if self.least else value <= self.limit

    def line(self):
        parts = [f"{self.bench + '/' + self.name:30}", f"{_short(self.ours):>10} {self.unit}"]
        if self.beside is not None:
            parts.append(f"beside {_short(self.beside)} ({self.against})")
        if self.ratio is not None:
            parts.append(f"ratio {self.ratio:.3f}")
        if self.limit is not None:
            what = "" if self.of == "ours" else "ratio "
            parts.append(f"goal {what}{'at least' if self.least else 'at most'} {_short(self.limit)}")
        if self.met is not None:
            parts.append("GOAL met" if self.met else "GOAL missed")
        parts += [f"missing: {self.missing}"] if self.missing else []
        parts += [f"({self.note})"] if self.note else []
        return "  ".join(parts)

    def record(self):
        names = ("bench", "name", "unit", "ours", "beside", "against", "ratio", "limit", "of", "least",
                 "met", "missing", "note", "more")
        return {name: getattr(self, name) for name in names}


def _short(value):
    """Up to four digits that count."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
