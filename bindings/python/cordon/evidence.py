"""What a failed test is shown: each fault with its walk, and what devices reached. Both are noted while
the tables still stand as the device met them; when a test is over, its device has mostly been withdrawn."""
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .checks import directory_of, walker_of

if TYPE_CHECKING:
    from .iommu import Fault
    from .judge.trail import Trail

_WALKS, _LEAVES = 32, 16


class Evidence:
    """Notes of one platform. Taking them never fails: a broken machine must not hide why a test did."""

    def __init__(self, platform: Any) -> None:
        self._platform, self._contexts = platform, ""
        self._walks: dict[tuple[int, int, str], Trail] = {}

    def note(self, faults: "Iterable[Fault]") -> None:
        """Walk each of FAULTS that has not been walked."""
        for fault in faults:
            key = _request(fault)
            if key not in self._walks and len(self._walks) < _WALKS:
                with suppress(Exception):
                    self._walks[key] = walker_of(self._platform).walk(*key)

    def note_contexts(self) -> None:
        """What each device reaches now."""
        with suppress(Exception):
            self._contexts = self._now()

    def walks(self) -> str:
        """The walks of the faults that nobody expected, then of the others."""
        plat = self._platform
        self.note([*plat.unexpected, *plat.fault_log])
        told = dict.fromkeys(map(_request, [*plat.unexpected, *plat.fault_log]))
        causes = {_request(fault): fault.cause for fault in plat.fault_log}
        return "\n".join(_told(self._walks[key], causes[key]) for key in list(told)[:8] if key in self._walks)

    def contexts(self) -> str:
        """What each device reaches, or reached when the test's block was left by an exception."""
        return self._contexts or self._now()

    def _now(self) -> str:
        return "\n".join(
            f"device {found.device_id:#x} gscid {found.gscid}: " + ", ".join(
                f"{leaf.gpa:#x}+{leaf.size:#x}->{leaf.hpa:#x} {leaf.perms}" for leaf in found.leaves[:_LEAVES])
            + (f", and {len(found.leaves) - _LEAVES} leaves more" if len(found.leaves) > _LEAVES else "")
            for found in directory_of(self._platform).judge())


def _request(fault: "Fault") -> tuple[int, int, str]:
    """(device id, IOVA, access) of a fault."""
    access = str(fault.access)
    return fault.device_id, int(fault.iova), "w" if "w" in access else "x" if "x" in access else "r"


def _told(trail: "Trail", cause: int) -> str:
    """The walk, and whether it is still what the fault met."""
    if trail.cause == cause:
        return str(trail)
    return f"{trail}\n  (the fault was cause {cause}: tables have changed between it and this walk)"


__all__ = ["Evidence"]
