"""What cards reach, as Cordon's tables have it; and whose frames are, as it says."""
import struct

from cordon.dump import views_of
from cordon.dump.machine import machine as dump_of

PAGE = 4096
FREE, HELD, TABLE, OWNED, REVOKING = 1, 3, 4, 5, 6  # of enum cordon_frame_state


def monitor_arguments(path):
    """QEMU's arguments for a monitor that host_runs asks."""
    return "-qmp", f"unix:{path},server=on,wait=off"


def host_runs(monitor, guest):
    """(GPA, HPA, bytes) of each host run of what the guest's devices reach."""
    with dump_of(str(monitor)) as dump:
        view = next(v for v in views_of(dump) if v.domain == guest.name and v.device is not None)
        found = []
        for run in view.runs:
            at = run.gpa
            for hpa, length in run.parts:
                found.append((at, hpa, length))
                at += length
    return found


def frames_of(machine, state, domain=0):
    """The frames of that kind as runs, (pages, first page number), the shortest first."""
    records = struct.iter_unpack("<QIHH", machine.owner_records())
    return sorted((pages, first) for first, pages, owner, kind in records if (owner, kind) == (domain, state))


def addresses_of(machine, state, domain=0):
    """The same, as a set of host addresses."""
    return {at for pages, first in frames_of(machine, state, domain)
            for at in range(first * PAGE, (first + pages) * PAGE, PAGE)}
