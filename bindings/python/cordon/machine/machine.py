"""One QEMU that runs the hypervisor and its guests, as a context manager."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, SupportsInt

from .channel import Channel
from .console import Console
from .counters import Counters, counters
from .guests import Guests
from .moves import Compacted, blocks, compacted
from .reports import Reports
from ..expect import Named
from ..moves import Block
from ..qemu.process import BINARY, QemuError, SharedFile, start
from ..qemu.qmp import Qmp, QmpError
from ..types import Size, size_bytes

TREE = Path(__file__).resolve().parents[4]
HYPERVISOR = Path(os.environ.get("CORDON_HYPERVISOR") or TREE / "out/hyp/cordon.bin")
FIRMWARE_GUEST_FILES = 4
ENDING = 5.0  # seconds for a QEMU to end that has closed a connection
OWNERS = 1  # the byte stream of owner records
RAM_BASE, IOMMU_BASE = 0x80000000, 0x3010000  # of QEMU's machine "virt"


def missing(bundle: str | os.PathLike[str], hypervisor: str | os.PathLike[str] = HYPERVISOR) -> str | None:
    """What a machine would need and has not got, in a sentence, or None."""
    for what, path in (("bundle", bundle), ("hypervisor", hypervisor)):
        if not os.path.isfile(path):
            return (f"{what}={os.fspath(path)!r}: there is no such file"
                    + ("; make hyp makes it in the tree" if what == "hypervisor" else ""))
    return f"{BINARY} is not installed" if shutil.which(BINARY) is None else None


class Machine(Reports):
    """A machine with OpenSBI, an AIA, an IOMMU, and Cordon as its kernel.

    bundle      the .itb handed over as initrd
    devices     more QEMU arguments (disks, functions)
    iommu       "sys", or None for a machine without one
    icount      a shift for -icount, or None
    log         a path that gets every byte of the console

    `guests` has its guests by name, `devices` what they hold; `faults()`, `expect_fault()` and `fault_log`
    are those of a Platform, but for that expect_fault() waits `patience` seconds for its fault; `audit()`
    has the hypervisor compare all tables with its maps.
    """

    def __init__(self, bundle: str | os.PathLike[str], *, harts: int = 4, ram: Size = "4G",
                 devices: Iterable[str] = (), iommu: str | None = "sys", cpu: str = "rv64,h=true",
                 hypervisor: str | os.PathLike[str] = HYPERVISOR, icount: int | None = None,
                 log: str | os.PathLike[str] | None = None, guest_files: int = FIRMWARE_GUEST_FILES,
                 boot_timeout: float = 120.0) -> None:
        super().__init__()
        if why := missing(bundle, hypervisor):
            raise QemuError(why)
        self.bundle = os.fspath(bundle)
        self.ram_file = SharedFile("ram", size_bytes(ram))
        self._log = open(log, "wb") if log else None
        self._stderr = tempfile.TemporaryFile()
        machine = f"virt,aia=aplic-imsic,aia-guests={guest_files},memory-backend=ram"
        pairs = [socket.socketpair() for _ in range(3)]
        self._ours, theirs = zip(*pairs)
        self.command = [
            BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-M", machine + (",iommu-sys=on" if iommu == "sys" else ""), "-cpu", cpu,
            "-smp", str(harts), "-m", str(size_bytes(ram) >> 20),
            "-object", f"memory-backend-file,id=ram,size={size_bytes(ram)},share=on,"
                       f"mem-path={self.ram_file.path}",
            "-kernel", str(hypervisor), "-initrd", str(bundle),
            "-chardev", f"socket,id=console,fd={theirs[0].fileno()}", "-serial", "chardev:console",
            "-chardev", f"socket,id=channel,fd={theirs[1].fileno()}",
            "-global", "virtio-mmio.force-legacy=false",
            "-device", "virtio-serial-device,max_ports=1", "-device", "virtconsole,chardev=channel",
            "-chardev", f"socket,id=qmp,fd={theirs[2].fileno()}", "-mon",
            "chardev=qmp,mode=control",
            *(("-icount", f"shift={icount}") if icount is not None else ()), *devices]
        self._start(theirs)
        self.guests = Guests(self.channel, self.console, boot_timeout)

    def _start(self, theirs: Sequence[socket.socket]) -> None:
        self._process = start(self.command, theirs, [self.ram_file], self._stderr)
        self.console = Console(self._ours[0], self._log)
        self.channel = Channel(self._ours[1])
        try:
            self.qmp = Qmp(self._ours[2], 20.0)
        except (OSError, QmpError, ValueError) as why:
            self.close()
            raise QemuError(f"{BINARY} did not start ({why}):\n{self.stderr()}") from None
        self.console.last_words = self.qmp.last_words = self._ending
        self.channel.last_words = lambda: f"{self._ending()}\nthe console ends with:\n{self.console.tail()}"

    def _ending(self) -> str:
        """What became of QEMU, as the rest of a sentence."""
        try:
            status = self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            return "; QEMU still runs"
        self.console.wait_closed(ENDING)
        by = f" ({signal.Signals(-status).name})" if status < 0 else ""
        said = self.stderr().strip()
        return f"; QEMU has ended with status {status}{by}" + (f", and said: {said}" if said else "")

    @property
    def ram(self) -> memoryview:
        """The machine's RAM, as it is at this moment; index 0 is its first byte."""
        return memoryview(self.ram_file.map)

    def memory(self, hpa: SupportsInt, length: int) -> memoryview:
        """LENGTH bytes of RAM from host address HPA on, as they are at this moment."""
        start = int(hpa) - RAM_BASE
        if not 0 <= start <= start + length <= self.ram_file.size:
            raise IndexError(f"{int(hpa):#x} + {length:#x} is not RAM")
        return self.ram[start:start + length]

    def register(self, offset: int, width: int = 4) -> int:
        """A register of the IOMMU, as QEMU itself reads it."""
        text = self.qmp.hmp(f"xp /1{'g' if width == 8 else 'w'}x {IOMMU_BASE + offset:#x}")
        if (found := re.search(r": (0x[0-9a-f]+)", text)) is None:
            raise QemuError(f"this machine has no IOMMU at {IOMMU_BASE:#x}: {text.strip()}")
        return int(found[1], 16)

    def stderr(self) -> str:
        """What QEMU has printed so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def wait_end(self, timeout: float = 60.0) -> Any:
        """Wait until QEMU ends by itself; its exit status."""
        return self._process.wait(timeout)

    def owner_records(self, timeout: float = 60.0) -> bytes:
        """Who owns each frame of RAM, as the hypervisor's records (hyp/manage/owners.c)."""
        told = self.channel.pieces(lambda at: self.channel.ask(f"owners {at:#x}", "owners", timeout), OWNERS)
        return b"".join(records for _, records in told)

    def compact(self, length: Size, *, align: Size = 0, boundary: Size = 0, highest: int = 0,
                timeout: float = 60.0) -> Compacted:
        """Have the hypervisor make a free run of host memory, by moving frames of guests if it must be."""
        want = (size_bytes(length), size_bytes(align), size_bytes(boundary), highest)
        return compacted(self.channel.order("compact " + " ".join(hex(n) for n in want), "compact", timeout))

    def blocks(self) -> list[Block]:
        """What each 2 MiB of RAM is made of: `cordon.moves.picture(m.blocks())` draws it."""
        return blocks(self.channel)

    def counters(self, what: str | Named = "all") -> Counters:
        """What IOMMUs have counted of a device ("00:01.0"), of each device of a guest, or of all that passes them,
        since it was asked for last; counting begins with the first time. CommandRefused where an IOMMU has no
        counters, or all of them are taken."""
        return counters(self.channel, self._counted(what))

    def counters_off(self, what: str | Named = "all") -> None:
        """Count that no more: other things can be counted."""
        self.channel.order(f"counters {self._counted(what)} off", "counters")

    def _counted(self, what: str | Named) -> str:
        name = what if isinstance(what, str) else what.name
        try:
            return self.name_of(name)
        except LookupError:  # a guest, or all
            return name

    def stop(self) -> None:
        """Stop the clock of the whole machine, devices included. The hypervisor answers nothing then, and
        faults are those that it has told of."""
        self.qmp.command("stop")
        self.stands_still = True

    def resume(self) -> None:
        self.qmp.command("cont")
        self.stands_still = False

    def close(self) -> None:
        """End QEMU, whatever it is doing."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for sock in self._ours:
            sock.close()
        if self._log:
            with suppress(OSError):  # the console has said so
                self._log.close()
        os.close(self.ram_file.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        ended = self._process.poll()
        return f"<Machine {self.bundle} {f'pid {self._process.pid}' if ended is None else f'ended with {ended}'}>"
