"""What can be plugged into the machine: devices that do DMA, each with the way it is drained."""
from dataclasses import dataclass, field

from .. import parts
from ..types import Drain, size_bytes
from .process import SharedFile


@dataclass
class Part(parts.Part):
    """A PCI function that QEMU plugs in."""

    more: str = ""  # further -device properties

    def arguments(self, files):
        """The command line of the part; files that it names go on FILES."""
        properties = self.properties() + ([self.more] if self.more else [])
        return ["-device", ",".join([self.kind, f"id={self.name}", f"addr={self.slot:x}.{self.function}",
                                     *properties])]

    def properties(self):
        return []


@dataclass
class Edu(Part):
    """QEMU's teaching device: DMA of up to 4 KiB to and from anywhere, one MSI. No reset of any kind."""

    kind = "edu"

    def properties(self):
        return ["dma_mask=0xffffffffffffffff"]


@dataclass
class Nvme(Part):
    """An NVMe controller with one namespace in `disk.map`. Its DMA in flight is drained by reset only."""

    size: int | str = "4M"
    disk: SharedFile | None = field(default=None, repr=False)
    kind = "nvme"
    drain = Drain.RESET

    def arguments(self, files):
        self.disk = SharedFile(f"{self.name}-disk", size_bytes(self.size))
        files.append(self.disk)
        command = ["-blockdev", f"driver=raw,node-name={self.name}-disk,file.driver=file,"
                                f"file.locking=off,file.filename={self.disk.path}"]
        return command + super().arguments(files)

    def properties(self):
        return [f"serial={self.name}", f"drive={self.name}-disk"]


@dataclass
class E1000e(Part):
    """A network card; cards with the same hub are on one wire."""

    hub: int = 0
    kind = "e1000e"

    def arguments(self, files):
        return ["-netdev", f"hubport,id={self.name}-port,hubid={self.hub}", *super().arguments(files)]

    def properties(self):
        return [f"netdev={self.name}-port", "romfile="]


@dataclass
class PciIommu(Part):
    """The RISC-V IOMMU as a PCI function."""

    slot: int = 1
    kind = "riscv-iommu-pci"


def for_qemu(part):
    """PART as QEMU has it: a Dma is an edu device."""
    if not isinstance(part, parts.Dma):
        return part
    if part.drain is not Drain.IOMMU:
        raise ValueError(f"{part.name}: QEMU's edu device has no reset: it is drained by the IOMMU")
    return Edu(part.slot, part.function, part.name)
