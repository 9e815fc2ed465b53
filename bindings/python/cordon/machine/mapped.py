"""What stands in a guest's map as the hypervisor tells it: `GuestMap`, `MapRegion`, `MapChange`."""
from dataclasses import dataclass
from typing import Self

from ..types import Gpa, Perm
from .channel import Channel, Event


@dataclass(frozen=True)
class MapRegion:
    """LEN bytes from GPA on. `what` is "ram", "pool", "interrupt file", "device" (a BAR), "run", or, where nothing
    stands and accesses are emulated, "uart", "aplic", "configuration space"."""

    gpa: Gpa
    len: int
    perms: Perm
    flags: int
    what: str

    @property
    def end(self) -> int:
        return self.gpa.v + self.len

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(Gpa(event["gpa"]), int(event["len"], 0), Perm(event["perms"]), event["flags"], event["what"])


@dataclass(frozen=True)
class MapChange:
    """One range of a change, as the map's listener was told: `kind` is "added", "removed" or "changed"."""

    number: int
    seconds: float
    kind: str
    gpa: Gpa
    len: int
    perms: Perm
    was_perms: Perm

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(event["number"], event["time_us"] / 1e6, event["kind"], Gpa(event["gpa"]), int(event["len"], 0),
                   Perm(event["perms"]), Perm(event["was_perms"]))


@dataclass(frozen=True)
class GuestMap:
    """The regions in the order of their GPA; the latest changes, oldest first, of so many up to now; and how many
    bytes of RAM and of devices stand, by the listener's own account."""

    regions: tuple[MapRegion, ...]
    changes: tuple[MapChange, ...]
    changed: int
    ram: int
    mmio: int

    def what(self, gpa: int | Gpa) -> str | None:
        """What stands at an address; None: nothing."""
        at = int(gpa)
        return next((r.what for r in self.regions if r.gpa.v <= at < r.end), None)

    def __str__(self) -> str:
        return "\n".join(f"{r.gpa.v:#014x} {r.end - 1:#014x} {r.perms!s:3} {r.what}" for r in self.regions)


def told(answer: Event, channel: Channel, start: int) -> GuestMap:
    """Out of the events since START, of which ANSWER is the last."""
    vm = answer["vm"]
    regions = sorted(map(MapRegion.of, channel.seen("vm-region", start, vm=vm)), key=lambda r: r.gpa.v)
    return GuestMap(tuple(regions), tuple(map(MapChange.of, channel.seen("vm-change", start, vm=vm))),
                    answer["changes"], answer["ram"], answer["mmio"])


__all__ = ["GuestMap", "MapChange", "MapRegion", "told"]
