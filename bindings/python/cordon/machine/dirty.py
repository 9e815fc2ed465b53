"""What a running guest has written, put together from the answers of the hypervisor."""
from collections.abc import Callable

from ..log import Harvest, PageSet
from ..types import PAGE, Gpa
from .channel import Channel, Event

STREAM = 4  # of hyp/manage/manage.h
PIECE = 128 << 20  # that one answer is about; hyp/manage/log.c


def harvested(ask: Callable[[int], Event], channel: Channel, base: int, length: int) -> Harvest:
    """All of LENGTH bytes of RAM from BASE on: ask, and go on where the answer says."""
    channel.bytes(STREAM)
    bitmap = bytearray()
    logged = unknown = words = 0
    at = base
    while at:
        answer = ask(at)
        piece = min(PIECE, base + length - at)
        bitmap += channel.bytes(STREAM)[:-(-piece // PAGE // 8)]
        logged, unknown = logged + answer["logged"], unknown + answer["unknown"]
        words, at = words + answer["words"], int(answer["next"], 0)
    return Harvest(PageSet(Gpa(base), bytes(bitmap)), None, logged, unknown, words)
