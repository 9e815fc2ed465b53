"""Cordon's isolation layer from Python: the C library that guards the machine, in process."""
from .backends import BACKENDS
from .buffer import Buffer
from .context import Context, FrameInfo
from .device import Device
from .domain import Domain, Entry, Grant, Hit, Protect, Region, Revoke
from .errors import (AlreadyExists, Busy, CordonError, Corrupt, HardwareError, HardwareTimeout,
                     InvalidArgument, LibraryError, LimitReached, Misaligned, NotFound, NotOwner,
                     NotSupported, OutOfMemory, OutOfRange, Pending, TranslationFault, UseAfterClose,
                     WrongHandle)
from .guest import Guest
from .gva import GpaEnd, GuestStep, GuestWalk, GvaEnd, Rules
from .hpm import HpmCounter, HpmEvent
from .iommu import Cause, Fault, Iommu, Napot, Nearest
from .listen import Listening, Told, ToldKind
from .log import Coalesced, Harvest, Mark, PageSet
from .moves import Block, MadeRun, Moves
from .parts import Dma
from .platform import Platform
from .shape import Shape
from .space import Node, NodeKind, Section, Space
from .touch import Demand, Discard, Touched, TouchWhat
from .types import PAGE, Drain, Extent, FrameState, Gpa, Gva, Hpa, Iova, MemoryType, Mode, Perm
from .walk import Leaf, Step, Walk, WalkEnd

__all__ = [
    "BACKENDS", "PAGE", "AlreadyExists", "Block", "Buffer", "Busy", "Cause", "Coalesced", "Context",
    "CordonError", "Corrupt", "Demand", "Device", "Discard", "Dma", "Domain", "Drain", "Entry", "Extent",
    "Fault", "FrameInfo", "FrameState", "Gpa", "GpaEnd", "Grant", "Guest", "GuestStep", "GuestWalk",
    "Gva", "GvaEnd", "HardwareError", "HardwareTimeout", "Harvest", "Hit", "Hpa", "HpmCounter", "HpmEvent",
    "InvalidArgument", "Iommu", "Iova", "Leaf", "LibraryError", "LimitReached", "Listening", "MadeRun", "Mark",
    "MemoryType", "Misaligned", "Mode", "Moves", "Napot", "Nearest", "Node", "NodeKind", "NotFound", "NotOwner",
    "NotSupported", "OutOfMemory", "OutOfRange", "PageSet", "Pending", "Perm", "Platform",
    "Protect", "Region", "Revoke", "Rules", "Section", "Shape", "Space", "Step", "Told", "ToldKind",
    "TouchWhat", "Touched", "TranslationFault", "UseAfterClose", "Walk", "WalkEnd", "WrongHandle",
]
