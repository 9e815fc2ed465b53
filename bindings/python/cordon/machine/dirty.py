"""What a running guest has written, put together from the answers of the hypervisor."""
from collections.abc import Callable
from dataclasses import dataclass

from ..log import Harvest, PageSet
from ..types import PAGE, Gpa
from .channel import Channel, ChannelError, Event
from .trouble import GuestError

STREAM = 4           # of hyp/manage/manage.h
PIECE = 128 << 20    # bytes of RAM that one answer tells of: hyp/manage/log.c
BITMAP = PIECE // PAGE // 8


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


class HarvestStopped(GuestError, ChannelError):
    """A harvest ended half-way. `harvest` is what it has told, from the start of RAM up to `reached`; where pages were
    asked for and the answer was lost, they are dirty, for nobody else will be told of them. From `reached` on nothing
    was taken: the next harvest tells it."""

    def __init__(self, why: Exception, harvest: Harvest, reached: Gpa) -> None:
        self.harvest, self.reached = harvest, reached
        super().__init__(f"{why}; harvested up to {int(reached):#x}: {harvest}")


def _joined(base: int, pages: int, bitmap: bytes, answers: list[Event], lost: int = 0) -> Harvest:
    """Of the first PAGES. LOST of them, the last ones, are not in BITMAP: each is dirty for all that is known."""
    logged, unknown, words = (sum(a[name] for a in answers) for name in ("logged", "unknown", "words"))
    bits = int.from_bytes(bitmap, "little") | ((1 << lost) - 1) << (pages - lost)
    known = bits & ((1 << pages) - 1)
    return Harvest(PageSet(Gpa(base), known.to_bytes(-(-pages // 8), "little")), None, logged + lost, unknown + lost,
                   words)


def harvested(ask: Callable[[int], Event], channel: Channel, base: int, length: int,
              takes: bool) -> tuple[Harvest, DirtyRate]:
    """All of LENGTH bytes of RAM from BASE on. TAKES: what is told now is not told again. HarvestStopped, if it takes
    and has begun."""
    answers: list[Event] = []
    bitmap = b""
    try:
        for answer, piece in channel.pieces(ask, STREAM, base):
            if len(piece) != BITMAP:
                raise ChannelError(f"{len(piece)} of {BITMAP} bytes of a bitmap have come")
            answers.append(answer)
            bitmap += piece
    except (ChannelError, GuestError) as why:
        at = len(answers) * PIECE
        lost = 0 if isinstance(why, GuestError) else min(PIECE, length - at)
        if not takes or at + lost == 0:
            raise
        reached = at + lost
        raise HarvestStopped(why, _joined(base, reached // PAGE, bitmap, answers, lost // PAGE),
                             Gpa(base + reached)) from why
    pages = _joined(base, length // PAGE, bitmap, answers)
    return pages, DirtyRate(len(pages.dirty), answers[0]["us"] / 1e6)
