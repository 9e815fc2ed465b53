"""What a test left of a machine, in sentences, and what is shown and kept of it."""
import json
from collections.abc import Callable, Iterator
from contextlib import suppress

from .channel import ChannelError
from .machine import Machine
from ..errors import CordonError
from ..qemu.process import QemuError
from ..qemu.qmp import QmpError

_BROKEN = (ChannelError, CordonError, QemuError, QmpError, OSError)
_SHOWN_EVENTS = 20


def findings(machine: Machine) -> list[str]:
    """Sentences about all that is wrong after a test; none is good. The machine goes on if it was stopped."""
    with suppress(*_BROKEN):
        machine.resume()
    told: list[str] = []
    for look in (_boot, _faults, _audit):
        try:
            told += look(machine)
        except _BROKEN as why:
            told.append(str(why).split("\n")[0])  # the rest is shown
            break  # each that does not answer takes a timeout
    return told + [*_guests(machine), *_frames(machine)]


def _boot(machine: Machine) -> list[str]:
    """A test that did nothing ends before the boot does."""
    return [] if machine.guests else ["the hypervisor has started no guest"]


def _faults(machine: Machine) -> list[str]:
    told = [f"unexpected fault: {fault}" for fault in machine.unexpected_faults()]
    return told + [f"unexpected faults: {left} (left_out() takes them)" for left in machine.left_out()]


def _audit(machine: Machine) -> list[str]:
    """Of one that has ended: whether its end was that of its guests."""
    try:
        machine.audit()
    except ChannelError:
        if not machine.all_ended:
            raise
    return []


def _guests(machine: Machine) -> Iterator[str]:
    for guest in machine.guests.known():
        if why := guest.trouble():
            yield f"{why} (to look at MachineGuest.ended or .refused would have expected it)"


def _frames(machine: Machine) -> Iterator[str]:
    """What the host channel does not tell, for it lost it."""
    if machine.channel.lost:
        yield f"the host channel lost {machine.channel.lost} frames: what was in them, nobody knows"
    if machine.channel.skipped:
        yield f"the host channel brought {machine.channel.skipped} bytes that are no frame"


def shown(machine: Machine) -> dict[str, str]:
    """Texts by name: the faults, a walk of each, what each author said last, the last events."""
    def tried(what: Callable[[], str]) -> str:
        try:
            return what()
        except Exception as error:  # a broken machine must not hide why the test failed
            return f"(cannot be read: {error})"
    authors = dict.fromkeys(["cordon", *machine.console.said])
    return {"faults": "\n".join(map(str, machine.fault_log)), "walks": tried(machine.evidence.walks),
            "events": _events(machine, _SHOWN_EVENTS), "qemu": tried(machine.stderr),
            **{f"console of {name}": machine.console.tail(author=name) for name in authors}}


def kept(machine: Machine) -> dict[str, str]:
    """The same, whole."""
    return {**shown(machine), "events": _events(machine), "console": "\n".join(machine.console.lines)}


def _events(machine: Machine, count: int = 0) -> str:
    return "\n".join(map(json.dumps, machine.channel.events[-count:]))


__all__ = ["findings", "kept", "shown"]
