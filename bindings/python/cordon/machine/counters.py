"""What IOMMUs of a machine have counted, put together from the answers of the hypervisor."""
from dataclasses import dataclass
from typing import Self

from .channel import Channel, Event


@dataclass(frozen=True)
class Counters:
    """What was counted: `requests` that devices made, `tlb_misses` among them, and for these the words
    that were read of the device directory (`ddt_walks`) and of the G-stage (`g_walks`)."""

    requests: int
    tlb_misses: int
    ddt_walks: int
    g_walks: int

    @classmethod
    def sum(cls, events: list[Event]) -> Self:
        return cls(*(sum(event[name] for event in events)
                     for name in ("requests", "tlb_misses", "ddt_walks", "g_walks")))

    def __str__(self) -> str:
        return (f"{self.requests:,} requests, {self.tlb_misses:,} IOTLB misses; {self.ddt_walks:,} words of the directory "
                f"and {self.g_walks:,} of the G-stage were read")


def counters(channel: Channel, what: str) -> Counters:
    """Of each event that the command is answered with."""
    start = len(channel.events)
    channel.order(f"counters {what}", "counters")
    return Counters.sum(channel.seen("iommu-counters", start))


__all__ = ["Counters"]
