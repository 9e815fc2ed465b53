"""Frames of a live machine: runs that its hypervisor makes, what it moves, what could move."""
import struct
from dataclasses import dataclass

from ..moves import KINDS, Block, Moves
from ..types import Extent, Hpa
from .channel import Channel, Event

STREAM = 3  # of hyp/manage/manage.h
_RECORD = struct.Struct("<QIH9H")  # hyp/manage/moves.c


@dataclass(frozen=True)
class Compacted:
    """A run that was made and left free, or why not: `run` is None then, and `why` says why in words. `us`: how
    long it took; `places` were tried and given up; `kinds`: frames in the way of it, if that was looked for."""

    run: Extent | None
    why: str
    moves: Moves
    us: int
    places: int
    kinds: dict[str, int]


def compacted(event: Event) -> Compacted:
    hpa, length = int(event["hpa"], 0), int(event["len"], 0)
    return Compacted(None if event["why"] else Extent(Hpa(hpa), length), event["why"], moves_of(event), event["us"],
                     event["places"], dict(event["kinds"]))


def moves_of(event: Event) -> Moves:
    return Moves(event["moved"], event["large"], event["stops"], event["longest_us"])


def blocks(channel: Channel, timeout: float = 30.0) -> list[Block]:
    """Every block of the machine's RAM."""
    told = channel.pieces(lambda at: channel.order(f"blocks {at:#x}", "blocks", timeout), STREAM)
    return [Block(Hpa(hpa), length, bool(fixed), dict(zip(KINDS, pages, strict=True)))
            for _, records in told for hpa, length, fixed, *pages in _RECORD.iter_unpack(records)]
