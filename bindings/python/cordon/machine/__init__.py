"""The whole system: QEMU with OpenSBI, the hypervisor, its guests; console, host channel, QMP."""
from .channel import Channel, ChannelError
from .console import Console, ConsoleTimeout
from .machine import Machine

__all__ = ["Channel", "ChannelError", "Console", "ConsoleTimeout", "Machine"]
