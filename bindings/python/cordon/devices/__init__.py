"""Drivers of QEMU's devices, as instruments: each makes real hardware models do real DMA."""
from .e1000e import E1000eDriver
from .edu import EduDriver
from .igb import IgbDriver
from .memory import Memory
from .nvme import NvmeDriver
from .virtio import VirtioDriver

__all__ = ["E1000eDriver", "EduDriver", "IgbDriver", "Memory", "NvmeDriver", "VirtioDriver"]
