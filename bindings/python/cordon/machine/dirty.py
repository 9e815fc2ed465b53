"""What a running guest has written, put together from the answers of the hypervisor."""
from collections.abc import Callable

from ..log import Harvest, PageSet
from ..types import PAGE, Gpa
from .channel import Channel, Event

STREAM = 4  # of hyp/manage/manage.h


def harvested(ask: Callable[[int], Event], channel: Channel, base: int, length: int) -> Harvest:
    """All of LENGTH bytes of RAM from BASE on. Each answer but the last is whole bytes of the bitmap."""
    answers, bitmaps = zip(*channel.pieces(ask, STREAM, base), strict=True)
    logged, unknown, words = (sum(a[name] for a in answers) for name in ("logged", "unknown", "words"))
    return Harvest(PageSet(Gpa(base), b"".join(bitmaps)[:-(-length // PAGE // 8)]), None, logged, unknown, words)
