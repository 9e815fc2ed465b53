"""What the hypervisor reports of devices: who holds which, their faults; and its audit."""
import re
from dataclasses import dataclass, replace

from .channel import Channel, ChannelError, Event
from .guests import Guests, MachineGuest
from ..errors import Corrupt
from ..expect import FaultLog, Named
from ..iommu import Fault, Nearest
from ..types import Gpa, Iova, Perm

_NAME = re.compile(r"(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
AUDIT_TIMEOUT = 60.0


@dataclass(frozen=True)
class HeldDevice:
    """A device that a guest holds. `device_id` is what the IOMMU knows it by."""

    name: str
    guest: MachineGuest

    @property
    def device_id(self) -> int:
        return _device_id(self.name)


@dataclass(frozen=True)
class LeftOut:
    """Faults that the hypervisor only counted, for their device had more than it tells of in a second.
    Without a device: those of devices beyond the ones that are counted one by one."""

    device: str | None
    owner: str | None
    count: int

    def __str__(self) -> str:
        owner = f" ({self.owner or 'no guest'})" if self.device else ""
        return f"{self.device or 'other devices'}{owner}: {self.count} more faults, which were only counted"


def _device_id(name: str) -> int:
    """Of "0000:00:01.0", or "00:01.0"."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise LookupError(f"a device of the machine is named like 0000:00:01.0, not {name!r}")
    return int(found[2], 16) << 8 | int(found[3], 16) << 3 | int(found[4], 16)


def _name_of_id(number: int) -> str:
    return f"0000:{number >> 8:02x}:{number >> 3 & 31:02x}.{number & 7}"


def fault_of(event: Event) -> Fault:
    """The fault that an event tells of. One of a device that nobody was given has its name all the same."""
    nearest = None
    if "nearest" in event:
        nearest = Nearest(Gpa(int(event["nearest"], 0)), int(event["nearest_len"], 0),
                          int(event["nearest_gap"], 0), event["nearest_after"])
    number = int(event["device_id"], 0)
    return Fault(number, event["device"] or _name_of_id(number), event["domain"], event["cause"],
                 event["cause_name"], Perm(event["access"]), Iova(int(event["iova"], 0)), event["span"],
                 event["count"], nearest)


class Reports(FaultLog):
    """The faults of a machine, as a platform has them: fault_log, faults(), expect_fault(), unexpected_faults();
    and its devices and its audit. Each fault is handed out once."""

    channel: Channel
    guests: Guests
    patience = 10.0  # guests act when they like
    stands_still = False

    def __init__(self) -> None:
        super().__init__()
        self._read = 0  # events up to here have been looked through
        self._left_out: list[LeftOut] = []

    # ---- devices --------------------------------------------------------------------------------------

    @property
    def devices(self) -> dict[str, HeldDevice]:
        """By name ("0000:00:01.0"), those that guests hold now; MachineGuest.given is what one was given."""
        return {name: HeldDevice(name, guest) for guest in self.guests.values()
                if guest.peek_end() is None for name in guest.given}

    def name_of(self, device: str | Named) -> str:
        """The name that DEVICE's faults carry; the segment may be left out. LookupError if it is no name."""
        name = device if isinstance(device, str) else device.name
        return name if name.count(":") == 2 and _device_id(name) >= 0 else _name_of_id(_device_id(name))

    # ---- faults -----------------------------------------------------------------------------------------

    def reports(self) -> list[Fault]:
        """Every fault that was not handed out, those that wait in the IOMMUs' queues too."""
        self._settle()
        return [fault_of(event) for event in self._unread() if event.get("event") == "fault"]

    def _settle(self) -> None:
        """Have the hypervisor empty the queues. One that has ended has done so before."""
        if not self.stands_still:
            try:
                self.channel.order("faults", "faults")
            except ChannelError:
                if not self.all_ended:
                    raise

    def _unread(self) -> list[Event]:
        events = self.channel.events[self._read:]
        self._read += len(events)
        for event in events:
            if event.get("event") == "faults-left-out":
                device = event.get("device_id")
                self._left_out.append(LeftOut(device and _name_of_id(int(device, 0)),
                                              self._owner(event.get("domain", 0)), event["count"]))
        return events

    def more_reports(self, timeout: float) -> bool:
        try:
            self.channel.wait("fault", timeout, self._read)
        except ChannelError:
            return False
        return True

    def left_out(self) -> list[LeftOut]:
        """Take the counts of faults that were told of by number only, 64 a second and device being told."""
        self.unexpected_faults()
        left, self._left_out = self._left_out, []
        return left

    def named(self, fault: Fault) -> Fault:
        return replace(fault, owner=self._owner(fault.domain))

    def _owner(self, domain: int) -> str | None:
        return next((g.name for g in self.guests.values() if domain and g.domain == domain), None)

    # ---- tables -----------------------------------------------------------------------------------------

    @property
    def all_ended(self) -> bool:
        """Whether the hypervisor has said that its last guest has ended; it powers off then."""
        return bool(self.channel.seen("all-ended"))

    def audit(self) -> None:
        """Corrupt, with what the hypervisor found, if any table says other than the maps. It audits by itself
        before the first guest and after each one's end."""
        answer = self.channel.order("audit", "audit", AUDIT_TIMEOUT)
        if answer["clean"] is not True:
            raise Corrupt("Machine.audit", str(answer.get("text")), invariant=answer.get("invariant"),
                          domain=answer.get("domain"), word=answer.get("word"))


__all__ = ["HeldDevice", "LeftOut", "Reports", "fault_of"]
