"""Guests of a machine, by name: what the hypervisor says became of them, what they say themselves."""
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..log import Coalesced, Harvest
from ..moves import Moves
from ..shape import Shape, told
from ..types import Size, size_bytes
from .channel import Channel, ChannelError, CommandRefused, Event
from .console import Console
from .dirty import DirtyRate, harvested
from .mapped import GuestMap
from .mapped import told as told_map
from .moves import moves_of
from .present import Present, pieces
from .trouble import GuestError, NoSuchGuest
from .vcpu import NoSuchVcpu, Vcpu

COMMAND_BYTES = 512  # of hyp/manage/manage.h
UART_BYTES = 1024    # that a guest has not read yet
_EXITS = ("sbi", "mmio", "interrupt", "virtual", "absent", "spurious", "touch", "logged")
_MEMORY = ("ram_bytes", "resident_bytes", "first_touch", "overcommit", "touches", "touches_2m", "spurious",
           "moved", "longest_us")


class GuestState(enum.StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"
    REFUSED = "refused"


@dataclass(frozen=True)
class Exits:
    """Why a guest was left, how often. `touch`: for a page of its memory that nobody had touched;
    `logged`: for one that had to be noted as used or written."""

    sbi: int
    mmio: int
    interrupt: int
    virtual: int
    absent: int
    spurious: int
    touch: int
    logged: int

    @classmethod
    def of(cls, event: Event, prefix: str = "") -> "Exits":
        return cls(*(event[prefix + name] for name in _EXITS))


@dataclass(frozen=True)
class GuestMemory:
    """How much of its memory a guest has. `resident_bytes` of its `ram_bytes` have frames; with `first_touch` the
    others come when they are touched, and with `overcommit` nobody promises that there will be some. `touches` is
    how often its vCPUs had a page brought, `touches_2m` of them 2 MiB at once; `spurious` faults found it there.
    `moved` pages have got other frames, whoever needed theirs, for which some were absent `longest_us` at most."""

    ram_bytes: int
    resident_bytes: int
    first_touch: bool
    overcommit: bool
    touches: int
    touches_2m: int
    spurious: int
    moved: int
    longest_us: int

    @classmethod
    def of(cls, event: Event) -> "GuestMemory":
        return cls(*(event[name] for name in _MEMORY))


@dataclass(frozen=True)
class Fences:
    """How often harts were told of changes of a guest's map: `asked` for by changes, `nobody` remembered it so often;
    calls for `ranges` and for the `whole` VMID, and the `harts` that all these told."""

    asked: int
    nobody: int
    ranges: int
    whole: int
    harts: int

    @classmethod
    def of(cls, event: Event) -> "Fences":
        return cls(*(event[name] for name in ("asked", "nobody", "ranges", "whole", "harts")))


@dataclass(frozen=True)
class Ended:
    """How a guest has ended: `how` is shutdown, reboot, failed, stuck, trap, alone or out-of-memory. Of its memory
    `resident_bytes` had frames then."""

    how: str
    why: str
    ms: int
    exits: Exits
    resident_bytes: int

    @property
    def failed(self) -> bool:
        return self.how != "shutdown"

    def __str__(self) -> str:
        return f"{self.how} after {self.ms / 1000:.3f} s: {self.why}"


class MachineGuest:
    """One guest. `name`; `domain` is its number in faults and owner records (0: it was refused), `vcpus`,
    `ram_base` and `ram_bytes` are those of its settings, `given` the devices that it was given."""

    def __init__(self, channel: Channel, console: Console, event: Event) -> None:
        self._channel, self._console = channel, console
        self.name: str = event["vm"]
        self._refused: str | None = event.get("why")
        self.looked_at = False  # somebody has asked what became of it
        self._end: Ended | None = None
        self._awaited = 0  # characters of what it said
        self._since = 0    # events from here on are of its present life
        self._lives = 0    # that are over
        self._take(event)

    def _take(self, event: Event) -> None:
        """What it has in this life."""
        self.domain: int = event.get("domain", 0)
        self.vcpus: int = event.get("vcpus", 0)
        self.ram_base = int(event.get("ram_base", "0"), 0)
        self.ram_bytes: int = event.get("ram_bytes", 0)
        self.given: tuple[str, ...] = tuple(event.get("devices", ()))

    # ---- what became of it --------------------------------------------------------------------------

    @property
    def refused(self) -> str | None:
        """Why it was not started, or None."""
        self.looked_at |= self._refused is not None
        return self._refused

    @property
    def ended(self) -> Ended | None:
        """How it has ended, or None."""
        end = self.peek_end()
        self.looked_at |= end is not None
        return end

    def peek_end(self) -> Ended | None:
        """As `ended`; it does not count as having been looked at."""
        if self._end is None and (told := self._channel.seen("vm-ended", self._since, vm=self.name)):
            event = told[0]
            self._end = Ended(event["end"], event["why"], event["ms"], Exits.of(event, "exits_"),
                              event["resident_bytes"])
        return self._end

    @property
    def state(self) -> GuestState:
        if self.refused is not None:
            return GuestState.REFUSED
        return GuestState.ENDED if self.ended else self._peek_state()

    def _peek_state(self) -> GuestState:
        if self._refused is not None:
            return GuestState.REFUSED
        if self.peek_end():
            return GuestState.ENDED
        stops, goes = (len(self._channel.seen(what, self._since, vm=self.name)) for what in ("paused", "resumed"))
        return GuestState.PAUSED if stops > goes else GuestState.RUNNING

    def trouble(self) -> str | None:
        """What is wrong with how it ended or did not start, in words, unless somebody has looked at it."""
        if self.looked_at:
            return None
        if self._refused is not None:
            return f"{self.name} was refused: {self._refused}"
        end = self.peek_end()
        return f"{self.name} ended as a failure ({end})" if end and end.failed else None

    def wait_end(self, timeout: float = 60.0) -> Ended:
        """Wait until it has ended; how."""
        self._must_have_started("wait for the end of")
        self._channel.wait("vm-ended", timeout, self._since, vm=self.name)
        end = self.ended
        assert end is not None
        return end

    # ---- its console --------------------------------------------------------------------------------

    @property
    def said(self) -> str:
        """All that it has said, without line ends: a halt may break its lines anywhere."""
        return self._console.said_by(self.name)

    @property
    def lines(self) -> list[str]:
        """Its lines as they stand on the console."""
        return self._console.lines_of(self.name)

    def tail(self, count: int = 25) -> str:
        """Its last lines, as text."""
        return self._console.tail(count, self.name)

    def wait(self, pattern: str, timeout: float = 60.0, start: int | None = None) -> re.Match[str]:
        """The first match of PATTERN in what it says (`said`) behind the last match that was awaited, or from
        character START on. ConsoleTimeout as soon as it has ended without that."""
        self._must_have_started("wait for words of")
        found: re.Match[str] = self._console.wait_said(
            self.name, pattern, timeout, self._awaited if start is None else start, self._hopeless)
        self._awaited = max(self._awaited, found.end())
        return found

    def _hopeless(self) -> str:
        """The hypervisor's line of its end, which comes behind all that it said."""
        told = self._console.find(self._ended_line())
        return f"{self.name} has ended {told[-1][1]}" if len(told) > self._lives else ""

    def _ended_line(self) -> str:
        return rf"^\[cordon\] {re.escape(self.name)}: ENDED (\([\w-]+\))"

    def type(self, text: str) -> None:
        """Type TEXT and the end of a line: it reads them at its UART, or by the SBI's debug console."""
        room, data = COMMAND_BYTES - len(f"type {self.name} "), text.encode()
        if "\0" in text:
            raise ValueError(f"{self.name}: {text!r} has a NUL, which ends a command")
        if len(data) > room:
            raise ValueError(f"{self.name}: {len(data)} bytes to type, one command takes {room}: type less at "
                             "once, a line or more each")
        taken = self._order(f"type {self.name} {text}", "typed")["taken"]
        if taken <= len(data):
            raise GuestError(f"{self.name} took {taken} of {len(data) + 1} bytes: its UART holds {UART_BYTES} "
                             "that it has not read; wait until it has read them")

    # ---- its vCPUs ----------------------------------------------------------------------------------

    def vcpu(self, number: int) -> Vcpu:
        """One of its vCPUs."""
        self._must_have_started("ask a vCPU of")
        if not 0 <= number < self.vcpus:
            raise NoSuchVcpu(f"{self.name} has {self.vcpus} vCPUs, from 0 on, and none with number {number}")
        return Vcpu(self.name, number, self._order)

    # ---- commands -----------------------------------------------------------------------------------

    def pause(self) -> None:
        """Wait until each of its vCPUs stands still. Its devices go on."""
        self._order(f"pause {self.name}", "paused", vm=self.name)

    def resume(self) -> None:
        self._order(f"resume {self.name}", "resumed", vm=self.name)

    def tables(self) -> Shape:
        """What the tables of its G-stage are made of at this moment."""
        return told(self._order(f"tables {self.name}", "vm-tables", vm=self.name))

    def present(self) -> list[Present]:
        """Which of its pages stand in the G-stage, in the order of their GPA. It runs on meanwhile: each piece
        is true of the moment at which it was looked at."""
        return pieces(lambda at: self._order(f"present {self.name} {at:#x}", "vm-present", vm=self.name),
                      self._channel)

    def log(self, on: bool = True) -> None:
        """Begin dirty logging of its RAM, or end it. It runs on."""
        self._order(f"log {self.name} {'on' if on else 'off'}", "vm-log", vm=self.name)

    def dirty(self) -> Harvest:
        """The pages of its RAM that were written since they were last asked about, or logging began. Each 128 MiB
        are looked at in one moment, while it runs; what is written later is told by the next call. One that fails
        half-way is a HarvestStopped, which has what was told until then."""
        return self._harvested("harvest")[0]

    @property
    def is_logged(self) -> bool:
        """Whether logging was begun over this channel, and not ended."""
        told = self._channel.seen("vm-log", self._since, vm=self.name)
        return bool(told and told[-1]["on"])

    def dirty_rate(self) -> DirtyRate:
        """How many pages of its RAM were written since the last `dirty()`, or since logging began, and in what time.
        It takes nothing from what `dirty()` tells next."""
        return self._harvested("look")[1]

    def _harvested(self, how: str) -> tuple[Harvest, DirtyRate]:
        return harvested(lambda at: self._order(f"log {self.name} {how} {at:#x}", "vm-harvest", vm=self.name),
                         self._channel, self.ram_base, self.ram_bytes, takes=how == "harvest")

    def coalesce(self) -> Coalesced:
        """Make large leaves of its RAM out of small ones again, where they can be one."""
        told = self._order(f"coalesce {self.name}", "vm-coalesced", vm=self.name)
        return Coalesced(told["mega"], told["giga"], told["looked"], told["napot"])

    def coalescing(self, on: bool = True) -> None:
        """Whether the hypervisor does so by itself, in the background, behind changes of the map and first touches.
        It does at first; an event `vm-merged` tells what came of it."""
        self._order(f"coalesce {self.name} {'on' if on else 'off'}", "vm-coalescing", vm=self.name)

    def map(self) -> GuestMap:
        """What stands in its map, what it is called, and the latest changes of it."""
        start = len(self._channel.events)
        return told_map(self._order(f"map {self.name}", "vm-map", vm=self.name), self._channel, start)

    def move(self, times: int, seed: int, length: Size = 4096) -> tuple[Moves, int]:
        """Have LENGTH bytes of its RAM moved to other frames, TIMES times, each at a place that SEED chooses: what
        was moved, and how often it was refused, for something there may not move."""
        told = self._order(f"move {self.name} {times} {seed} {size_bytes(length):#x}", "moved", vm=self.name)
        return moves_of(told), told["refused"]

    def start(self) -> None:
        """Start it again, which has ended: from nothing, as the bundle says. What it said before stays in `said`;
        wait() looks behind it. Another guest must still run: with the last one the machine goes off."""
        if self.peek_end() is None:
            raise GuestError(f"cannot start {self.name}: it has not ended")
        self.looked_at = True
        line = 0
        for _ in range(self._lives + 1):  # the console may lag behind: nothing of its last life comes after this
            line = self._console.wait(self._ended_line(), 30.0, line)[0] + 1
        since, said = len(self._channel.events), len(self.said)
        try:
            event = self._channel.order(f"start {self.name}", "vm-started", vm=self.name)
        except CommandRefused as why:
            raise GuestError(f"cannot start {self.name}: {why}") from None
        self._end, self._since, self._awaited, self.looked_at = None, since, said, False
        self._lives += 1
        self._take(event)

    def memory(self) -> GuestMemory:
        """How much memory it has at this moment, and how it came."""
        start = len(self._channel.events)
        self._order("memory", "memory")
        if told := self._channel.seen("vm-memory", start, vm=self.name):
            return GuestMemory.of(told[0])
        raise GuestError(f"{self.name} has no memory: it has ended ({self.wait_end(5.0)})")

    def fences(self) -> Fences:
        """How often harts were told of changes of its map, up to this moment."""
        start = len(self._channel.events)
        self._order("fences", "fences")
        if told := self._channel.seen("vm-fences", start, vm=self.name):
            return Fences.of(told[0])
        raise GuestError(f"{self.name} has no map: it has ended ({self.wait_end(5.0)})")

    def exits(self) -> Exits:
        """Why it was left up to now, how often; of one that has ended, up to its end."""
        self._must_have_started("count exits of")
        if (end := self.peek_end()) is None:
            start = len(self._channel.events)
            try:
                self._channel.order("exits", "exits")
            except ChannelError:
                if self.peek_end() is None:
                    raise
            if told := self._channel.seen("vm-exits", start, vm=self.name):
                return Exits.of(told[0])
            end = self.peek_end()
        if end is None:
            raise GuestError(f"{self.name} has just ended, and the hypervisor has not said how yet: wait_end()")
        return end.exits

    def _order(self, text: str, event: str, **fields: Any) -> Event:
        """Have the hypervisor do something with it."""
        verb = text.split(" ", 1)[0]
        self._must_have_started(verb)
        try:
            return self._channel.order(text, event, **fields)
        except ChannelError as why:
            end = self.peek_end()
            if end is None and not isinstance(why, CommandRefused):
                raise
            raise GuestError(f"cannot {verb} {self.name}: "
                             + (f"it has ended ({end})" if end else str(why))) from None

    def _must_have_started(self, verb: str) -> None:
        if self._refused is not None:
            raise GuestError(f"cannot {verb} {self.name}: it was refused ({self._refused})")

    def __repr__(self) -> str:
        more = {GuestState.REFUSED: f": {self._refused}",
                GuestState.ENDED: f": {self.peek_end()}"}.get(self._peek_state(), "")
        return f"<MachineGuest {self.name} domain {self.domain} {self._peek_state()}{more}>"


class Guests(Mapping[str, MachineGuest]):
    """The guests of a machine by name, in the bundle's order; the first look waits until the hypervisor has
    started them or refused them."""

    def __init__(self, channel: Channel, console: Console, boot_timeout: float) -> None:
        self._channel, self._console, self._timeout = channel, console, boot_timeout
        self._found: dict[str, MachineGuest] | None = None

    def _all(self) -> dict[str, MachineGuest]:
        if self._found is None:
            self._wait_started()
            told = [*self._channel.seen("vm-started"), *self._channel.seen("vm-refused")]
            self._found = {event["vm"]: MachineGuest(self._channel, self._console, event) for event in told}
        return self._found

    def _wait_started(self) -> None:
        """Commands are answered once all guests have been started. One that has done all may be gone by then."""
        try:
            self._channel.order("exits", "exits", self._timeout)
        except ChannelError as why:
            told = self._channel.seen("vm-started") or self._channel.seen("vm-refused")
            if not told or not self._channel.gone:
                tail = "" if self._channel.gone else "\nthe console ends with:\n" + self._console.tail()
                raise ChannelError(f"the hypervisor has not started its guests: {why}{tail}") from None

    def known(self) -> list[MachineGuest]:
        """Those that somebody has looked at; nothing is waited for."""
        return list((self._found or {}).values())

    def __getitem__(self, name: str) -> MachineGuest:
        found = self._all()
        if name not in found:
            raise NoSuchGuest(f"there is no guest {name!r}; there are: "
                              + (", ".join(map(repr, found.values())) or "none"))
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        if self._found is None:
            return "<Guests nobody has looked at yet>"
        return f"<Guests {', '.join(map(repr, self._found.values()))}>"


__all__ = ["Ended", "Exits", "GuestError", "GuestMemory", "GuestState", "Guests", "MachineGuest", "NoSuchGuest"]
