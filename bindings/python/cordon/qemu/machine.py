"""QEMU's RISC-V `virt` machine without guest code: RAM as a buffer, registers as calls."""
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self

from .hart import Hart
from .pci import scan
from .process import BINARY, QemuProcess, SharedFile
from ..types import Size, size_bytes

if TYPE_CHECKING:
    from .parts import Disk, Part
    from .pci import Function

RAM_BASE = 0x80000000
IOMMU_SYS = 0x3010000
IMSIC_S = 0x28000000
GUEST_FILES = 4          # aia-guests
PAGE = 0x1000


def guest_file(number: int, hart: int = 0) -> int:
    """The host address of guest interrupt file NUMBER (1..4) of a hart; 0 is the hart's own S file."""
    if not 0 <= number <= GUEST_FILES:
        raise ValueError(f"this machine has guest interrupt files 1 to {GUEST_FILES}, not {number}")
    return IMSIC_S + (hart << 3 | number) * PAGE


class QemuMachine:
    """One running QEMU. `parts` are plugged in; `iommu` is "sys", "pci" or None; `globals_` are -global
    settings such as "riscv-iommu.intremap=off" (they reach the IOMMU of either kind). `binary` is the
    QEMU; CORDON_QEMU in the environment names the one to take where nobody says."""

    def __init__(self, parts: Sequence["Part"] = (), *, ram: Size = "64M", iommu: str | None = "sys",
                 globals_: Iterable[str] = (), arguments: Iterable[str] = (), run: bool = True,
                 binary: str = BINARY) -> None:
        self.parts = {part.name: part for part in parts}
        if len(self.parts) != len(parts):
            raise ValueError("two parts have the same name")
        size = size_bytes(ram)
        self._ram_file = SharedFile("ram", size)
        self._files = [self._ram_file]
        self.ram_base, self.ram = RAM_BASE, memoryview(self._ram_file.map)
        command = self._command(size, iommu, globals_) + list(arguments)
        for part in parts:
            command += part.arguments(self._files)
        try:
            self.process = QemuProcess(command, self._files, binary=binary)
        except BaseException:
            self._close_files()
            raise
        self.qtest, self.qmp = self.process.qtest, self.process.qmp
        self._start(run)

    def _command(self, size: int, iommu: str | None, globals_: Iterable[str]) -> list[str]:
        machine = "virt,aia=aplic-imsic,aia-guests=4,memory-backend=ram"
        command = ["-M", machine + (",iommu-sys=on" if iommu == "sys" else ""), "-cpu", "rv64,h=true",
                   "-accel", "tcg", "-icount", "shift=0,sleep=off", "-bios", "none",
                   "-m", f"{size >> 10}k", "-object",
                   f"memory-backend-file,id=ram,size={size},share=on,mem-path={self._ram_file.path}"]
        for setting in globals_:
            command += ["-global", setting]
        return command

    def _start(self, run: bool) -> None:
        try:
            self.hart = Hart(self.qtest, self.ram)
            self.hart.install()
            self.functions = scan(self.qtest)
            if run:
                self.qmp.command("cont")
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of this QEMU, such as (10, 0, 2)."""
        found = self.qmp.command("query-version")["qemu"]
        return found["major"], found["minor"], found["micro"]

    def function(self, name: str) -> "Function":
        """The PCI function of the part called NAME."""
        return self.functions[self.parts[name].device_id]

    def hold(self, part: "Disk", bytes_per_second: int = 1) -> None:
        """Reads from PART's disk wait for this rate, once one has used up what is free; 0: no more."""
        others = dict.fromkeys(("bps", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        self.qmp.command("block_set_io_throttle", id=part.block_id, bps_rd=bytes_per_second, **others)

    def stderr(self) -> str:
        return self.process.stderr()

    def _close_files(self) -> None:
        for file in self._files:
            file.close()
        self._files = []

    def close(self) -> None:
        self.process.close()
        self._close_files()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<QemuMachine pid {self.process.pid} {', '.join(self.parts) or 'no parts'}>"
