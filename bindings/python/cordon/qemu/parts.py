"""What can be plugged into the machine: devices that do DMA, each with the way it is drained."""
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import parts
from ..devices.virtio import reset
from ..types import Drain, size_bytes
from .process import SharedFile

if TYPE_CHECKING:
    from .pci import Function


@dataclass
class Part(parts.Part):
    """A PCI function that QEMU plugs in."""

    more: str = ""  # further -device properties

    def arguments(self, files: list[SharedFile]) -> list[str]:
        """The command line of the part; files that it names go on FILES."""
        properties = self.properties() + ([self.more] if self.more else [])
        return ["-device", ",".join([self.kind, f"id={self.name}", f"addr={self.slot:x}.{self.function}",
                                     *properties])]

    def properties(self) -> list[str]:
        return []

    def reset(self, function: "Function") -> None:
        """Reset the part's FUNCTION; its DMA is over when this returns."""
        function.flr()


@dataclass
class Edu(Part):
    """QEMU's teaching device: DMA of up to 4 KiB to and from anywhere, one MSI. No reset of any kind."""

    kind = "edu"

    def properties(self) -> list[str]:
        return ["dma_mask=0xffffffffffffffff"]


@dataclass
class Disk(Part):
    """A controller with one disk, whose blocks are `disk.map`. It translates addresses when it takes a
    command, so that its DMA in flight is drained by reset only."""

    size: int | str = "4M"
    disk: SharedFile | None = field(default=None, repr=False)
    drain = Drain.RESET

    @property
    def block_id(self) -> str:
        """What QMP calls the device that has the disk."""
        return self.name

    def arguments(self, files: list[SharedFile]) -> list[str]:
        self.disk = SharedFile(f"{self.name}-disk", size_bytes(self.size))
        files.append(self.disk)
        command = ["-blockdev", f"driver=raw,node-name={self.name}-disk,file.driver=file,"
                                f"file.locking=off,file.filename={self.disk.path}"]
        return command + super().arguments(files)

    def properties(self) -> list[str]:
        return [f"drive={self.name}-disk"]


@dataclass
class Nvme(Disk):
    """An NVMe controller with one namespace."""

    kind = "nvme"

    def properties(self) -> list[str]:
        return [f"serial={self.name}", *super().properties()]


@dataclass
class Virtio(Disk):
    """A virtio block device of the modern kind. Without `access_platform` (QEMU's iommu_platform) its
    DMA passes every IOMMU by: it reads and writes host addresses, whatever the tables say."""

    access_platform: bool = True
    kind = "virtio-blk-pci"

    @property
    def block_id(self) -> str:
        return f"/machine/peripheral/{self.name}/virtio-backend"

    def properties(self) -> list[str]:
        on = "on" if self.access_platform else "off"
        return [*super().properties(), "disable-legacy=on", f"iommu_platform={on}"]

    def reset(self, function: "Function") -> None:
        reset(function)


@dataclass
class E1000e(Part):
    """A network card; cards with the same hub are on one wire."""

    hub: int = 0
    kind = "e1000e"

    def arguments(self, files: list[SharedFile]) -> list[str]:
        return ["-netdev", f"hubport,id={self.name}-port,hubid={self.hub}", *super().arguments(files)]

    def properties(self) -> list[str]:
        return [f"netdev={self.name}-port", "romfile="]


@dataclass
class Igb(E1000e):
    """Intel's 82576 network card, on a wire as the other is. Its virtual functions, which nobody switches
    on, take the slots from 16 above its own on: two cards need two slots between them."""

    kind = "igb"


@dataclass
class PciIommu(Part):
    """The RISC-V IOMMU as a PCI function."""

    slot: int = 1
    kind = "riscv-iommu-pci"


def for_qemu(part: parts.Part) -> Part:
    """PART as QEMU has it: a Dma is an edu device."""
    if isinstance(part, Part):
        return part
    if not isinstance(part, parts.Dma):
        raise TypeError(f"{part!r} is not a part that QEMU has")
    if part.drain is not Drain.IOMMU:
        raise ValueError(f"{part.name}: QEMU's edu device has no reset: it is drained by the IOMMU")
    return Edu(part.slot, part.function, part.name)
