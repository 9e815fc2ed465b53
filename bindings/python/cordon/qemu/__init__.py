"""QEMU as a test bench: Debian's own binary, no guest, real devices and its RISC-V IOMMU."""
from .machine import QemuMachine, guest_file
from .parts import E1000e, Edu, Nvme, Part, PciIommu
from .process import QemuError, QemuProcess

__all__ = ["E1000e", "Edu", "Nvme", "Part", "PciIommu", "QemuError", "QemuMachine", "QemuProcess",
           "guest_file"]
