"""QEMU as a test bench: Debian's own binary, no guest, real devices and its RISC-V IOMMU."""
from ..guest import Guest
from ..snapshot import Snapshot
from .dma import EduDma
from .machine import QemuMachine, guest_file
from .parts import E1000e, Edu, Igb, Nvme, Part, PciIommu, Virtio
from .platform import QemuPlatform, QtestPort
from .process import QemuError, QemuProcess

__all__ = ["E1000e", "Edu", "EduDma", "Guest", "Igb", "Nvme", "Part", "PciIommu", "QemuError",
           "QemuMachine", "QemuPlatform", "QemuProcess", "QtestPort", "Snapshot", "Virtio", "guest_file"]
