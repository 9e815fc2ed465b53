"""The whole system: QEMU with OpenSBI, the hypervisor, its guests; console, host channel, QMP."""
from .channel import Channel, ChannelError, CommandRefused
from .console import Console, ConsoleTimeout
from .counters import Counters
from .dirty import DirtyRate, HarvestStopped
from .guests import Ended, Exits, Fences, GuestMemory, Guests, GuestState, MachineGuest
from .machine import Machine
from .mapped import GuestMap, MapChange, MapRegion
from .moves import Compacted
from .present import History, Present
from .reports import HeldDevice, LeftOut
from .trouble import GuestError, NoSuchGuest
from .vcpu import NoSuchVcpu, Vcpu

__all__ = ["Channel", "ChannelError", "CommandRefused", "Compacted", "Console", "ConsoleTimeout", "Counters",
           "DirtyRate", "Ended", "Exits", "Fences", "GuestError", "GuestMap", "GuestMemory", "GuestState", "Guests",
           "HarvestStopped", "HeldDevice", "History", "LeftOut", "Machine", "MachineGuest", "MapChange", "MapRegion", "NoSuchGuest", "NoSuchVcpu", "Present", "Vcpu"]
