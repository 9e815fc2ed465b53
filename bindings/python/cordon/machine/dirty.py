"""What a running guest has written, put together from the answers of the hypervisor."""
from collections.abc import Callable
from dataclasses import dataclass

from ..log import Harvest, PageSet
from ..types import PAGE, Gpa
from .channel import Channel, Event

STREAM = 4  # of hyp/manage/manage.h


@dataclass(frozen=True)
class DirtyRate:
    """How many `pages` were written in the `seconds` since they were last harvested, or logging began. A page that is
    written again and again counts once."""

    pages: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.pages / self.seconds if self.seconds else 0.0

    def since(self, before: "DirtyRate | None") -> float:
        """Pages a second since BEFORE was told; since the harvest, if that was later."""
        if before is None or self.seconds <= before.seconds or self.pages < before.pages:
            return self.per_second
        return (self.pages - before.pages) / (self.seconds - before.seconds)

    def __str__(self) -> str:
        return f"{self.pages:,} pages in {self.seconds:.3f} s: {self.per_second:,.0f} a second"


def harvested(ask: Callable[[int], Event], channel: Channel, base: int, length: int) -> tuple[Harvest, DirtyRate]:
    """All of LENGTH bytes of RAM from BASE on. Each answer but the last is whole bytes of the bitmap."""
    answers, bitmaps = zip(*channel.pieces(ask, STREAM, base), strict=True)
    logged, unknown, words = (sum(a[name] for a in answers) for name in ("logged", "unknown", "words"))
    pages = PageSet(Gpa(base), b"".join(bitmaps)[:-(-length // PAGE // 8)])
    return Harvest(pages, None, logged, unknown, words), DirtyRate(len(pages), answers[0]["us"] / 1e6)
