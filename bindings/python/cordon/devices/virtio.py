"""A virtio block device over PCI, driven from outside: one split ring in a guest's memory, whose
descriptors gather and scatter [virtio 1.2: 2.7 split rings, 4.1.4 PCI, 5.2 block]."""
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, SupportsInt

from .memory import Memory

if TYPE_CHECKING:
    from ..qemu.pci import Bar, Function

VENDOR, CAP_VENDOR = 0x1af4, 0x09
ID = VENDOR, 0x1042  # block; modern only
COMMON, NOTIFY = 1, 2
# The common configuration [4.1.4.3].
FEATURE_SELECT, FEATURES, DRIVER_SELECT, DRIVER_FEATURES, STATUS = 0x00, 0x04, 0x08, 0x0c, 0x14
QUEUE_SELECT, QUEUE_SIZE, QUEUE_ENABLE, QUEUE_NOTIFY = 0x16, 0x18, 0x1c, 0x1e
QUEUE_DESCRIPTORS, QUEUE_DRIVER, QUEUE_DEVICE = 0x20, 0x28, 0x30
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64
VERSION_1, ACCESS_PLATFORM = 1, 2  # bits 32 and 33 of the features
NEXT, WRITE = 1, 2                 # flags of a descriptor
READ_BLOCKS, WRITE_BLOCKS = 0, 1
ENTRIES, RING_BYTES, BLOCK = 64, 0x1000, 512
_AVAILABLE, _USED, _HEADER, _STATUS = 0x400, 0x800, 0xc00, 0xc10
_UNTOLD = 0xff


class VirtioTimeout(Exception):
    """The device did not answer in time."""


class VirtioBroken(Exception):
    """The device has given up, and says that it needs a reset."""


def _structure(function: "Function", wanted: int) -> tuple["Bar", int, int]:
    """(BAR, offset in it, the capability's place) of one of the device's structures."""
    at, seen = function.config(0x34, 1), 0
    while at and seen < 48:
        if function.config(at, 1) == CAP_VENDOR and function.config(at + 3, 1) == wanted:
            return function.bars[function.config(at + 4, 1)], function.config(at + 8), at
        at, seen = function.config(at + 1, 1), seen + 1
    raise LookupError(f"{function!r} has no virtio structure {wanted}")


def reset(function: "Function", timeout: float = 10.0) -> None:
    """The device's own reset. QEMU ends within it what the device had in flight [2.4]."""
    bar, base, _ = _structure(function, COMMON)
    bar.write(base + STATUS, 0, 1)
    deadline = time.monotonic() + timeout
    while bar.read(base + STATUS, 1):
        if time.monotonic() > deadline:
            raise VirtioTimeout(f"{function!r} took more than {timeout} s to reset")


class VirtioDriver:
    """`memory` reads and writes the guest's memory by GPA; the ring takes RING_BYTES at `ring`. One
    request is under way at a time. Statuses are returned, not judged."""

    def __init__(self, function: "Function", memory: Memory, ring: SupportsInt,
                 timeout: float = 10.0) -> None:
        function.must_be("virtio block device", vendor_device=ID)
        self.function, self.memory, self.ring, self._timeout = function, memory, int(ring), timeout
        self._bar, self._common, _ = _structure(function, COMMON)
        self._notify_bar, self._notify, at = _structure(function, NOTIFY)
        self._multiplier = function.config(at + 16)
        self.features = 0
        self._requests = 0

    # ---- life -----------------------------------------------------------------------------------

    def _read(self, register: int, width: int) -> int:
        return self._bar.read(self._common + register, width)

    def _write(self, register: int, value: int, width: int) -> None:
        self._bar.write(self._common + register, value, width)

    def start(self, accepted: int = VERSION_1 | ACCESS_PLATFORM) -> Self:
        """Reset, take those of the ACCEPTED features that are offered, and set up queue 0."""
        reset(self.function, self._timeout)
        self._write(STATUS, ACKNOWLEDGE | DRIVER, 1)
        self._write(FEATURE_SELECT, 1, 4)
        self.features = self._read(FEATURES, 4) & accepted
        for select, features in ((0, 0), (1, self.features)):
            self._write(DRIVER_SELECT, select, 4)
            self._write(DRIVER_FEATURES, features, 4)
        self._write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK, 1)
        if not self._read(STATUS, 1) & FEATURES_OK:
            raise VirtioBroken(f"{self.function!r} refuses features {self.features:#x} << 32")
        self.memory.write(self.ring, bytes(RING_BYTES))
        self._requests = 0
        self._write(QUEUE_SELECT, 0, 2)
        self._write(QUEUE_SIZE, ENTRIES, 2)
        for register, offset in ((QUEUE_DESCRIPTORS, 0), (QUEUE_DRIVER, _AVAILABLE), (QUEUE_DEVICE, _USED)):
            self._write(register, (self.ring + offset) & 0xffffffff, 4)
            self._write(register + 4, self.ring + offset >> 32, 4)
        self._write(QUEUE_ENABLE, 1, 2)
        self._bell = self._notify + self._multiplier * self._read(QUEUE_NOTIFY, 2)
        self._write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1)
        return self

    # ---- requests -------------------------------------------------------------------------------

    def submit(self, kind: int, sector: int, pieces: Sequence[tuple[SupportsInt, int]]) -> None:
        """Begin a request whose data are PIECES, (address, length) each."""
        self.memory.write(self.ring + _HEADER, struct.pack("<IIQB", kind, 0, sector, _UNTOLD))
        flags = WRITE if kind == READ_BLOCKS else 0
        chain = [(self.ring + _HEADER, 16, 0), *((int(at), n, flags) for at, n in pieces),
                 (self.ring + _STATUS, 1, WRITE)]
        if len(chain) > ENTRIES:
            raise ValueError(f"{len(pieces)} pieces do not fit in {ENTRIES} descriptors")
        table = b"".join(struct.pack("<QIHH", at, n, more | (NEXT if index < len(chain) else 0), index)
                         for index, (at, n, more) in enumerate(chain, 1))
        self.memory.write(self.ring, table)
        slot = self.ring + _AVAILABLE + 4 + 2 * (self._requests % ENTRIES)
        self.memory.write(slot, struct.pack("<H", 0))
        self._requests += 1
        self.memory.write(self.ring + _AVAILABLE + 2, struct.pack("<H", self._requests & 0xffff))
        self._notify_bar.write(self._bell, 0, 2)

    def done(self) -> bool:
        """Whether the last request is over; VirtioBroken where it never will be."""
        if self._read(STATUS, 1) & NEEDS_RESET:
            raise VirtioBroken(f"{self.function!r} needs a reset")
        used, = struct.unpack("<H", self.memory.read(self.ring + _USED + 2, 2))
        return used == self._requests & 0xffff

    def wait(self) -> int | None:
        """The status of the last request, once it is over; 0 is success, None when none was told."""
        deadline = time.monotonic() + self._timeout
        while not self.done():
            if time.monotonic() > deadline:
                raise VirtioTimeout(f"{self.function!r} took more than {self._timeout} s for a request")
        status, = self.memory.read(self.ring + _STATUS, 1)
        return None if status == _UNTOLD else status

    def read(self, sector: int, pieces: Sequence[tuple[SupportsInt, int]]) -> int | None:
        """Blocks from SECTOR on into PIECES; the status."""
        self.submit(READ_BLOCKS, sector, pieces)
        return self.wait()

    def write(self, sector: int, pieces: Sequence[tuple[SupportsInt, int]]) -> int | None:
        """PIECES to blocks from SECTOR on; the status."""
        self.submit(WRITE_BLOCKS, sector, pieces)
        return self.wait()
