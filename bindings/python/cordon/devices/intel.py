"""What Intel's network cards have in common, driven from outside: a packet is gathered from, and
scattered to, as many pieces of a guest's memory as there are descriptors."""
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Self, SupportsInt

from .memory import Memory

if TYPE_CHECKING:
    from ..qemu.pci import Function

Writes = tuple[tuple[int, int], ...]  # (register, value), in order

CTRL, STATUS, RCTL, TCTL = 0x0000, 0x0008, 0x0100, 0x0400
LOW, HIGH, LENGTH, HEAD, TAIL = 0x00, 0x04, 0x08, 0x10, 0x18  # of a ring
CTRL_LINK_UP, CTRL_RESET = 1 << 6, 1 << 26
STATUS_LINK = 1 << 1
TCTL_ON = 1 << 1 | 1 << 3
DONE = 1
ENTRIES = 16
RING_BYTES = 0x1000  # both rings


class NicTimeout(Exception):
    """The card did not get to it in time."""


class IntelCard:
    """`memory` reads and writes the guest's memory by GPA; the rings take RING_BYTES at `rings`."""

    KIND: ClassVar[str]
    ID: ClassVar[tuple[int, int]]
    TX: ClassVar[int]  # registers of the rings
    RX: ClassVar[int]
    CONNECT: ClassVar[Writes]    # what brings the link up
    SWITCH_ON: ClassVar[Writes]  # what follows once it is

    def __init__(self, function: "Function", memory: Memory, rings: SupportsInt,
                 timeout: float = 10.0) -> None:
        function.must_be(self.KIND, vendor_device=self.ID)
        self.function, self.memory, self._timeout = function, memory, timeout
        self._bar, self.tx, self.rx = function.bars[0], int(rings), int(rings) + RING_BYTES // 2
        self._tail = self._head = 0

    def _sent_as(self, address: int, length: int, total: int, last: bool) -> bytes:
        """The descriptor of a piece of a packet of TOTAL bytes."""
        raise NotImplementedError

    def _came_as(self, entry: bytes) -> tuple[int, int]:
        """Status and length in a descriptor that the card wrote."""
        raise NotImplementedError

    def reset(self) -> None:
        """The card's own reset."""
        self._bar.write(CTRL, CTRL_RESET)
        self._wait_for(lambda: not self._bar.read(CTRL) & CTRL_RESET, "to reset")

    def _wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise NicTimeout(f"{self.function!r} took more than {self._timeout} s {what}")

    def _write(self, writes: Writes) -> None:
        for register, value in writes:
            self._bar.write(register, value)

    def start(self, buffers: Sequence[SupportsInt] = ()) -> Self:
        """Reset, and switch on; received data goes to BUFFERS (GPAs, the module's BUFFER bytes each), in order."""
        self.reset()
        self.memory.write(self.tx, bytes(RING_BYTES))
        for at, ring in ((self.TX, self.tx), (self.RX, self.rx)):
            self._write(((at + LOW, ring & 0xffffffff), (at + HIGH, ring >> 32), (at + LENGTH, 16 * ENTRIES)))
        for index, buffer in enumerate(buffers):
            self.memory.write(self.rx + 16 * index, struct.pack("<Q8x", int(buffer)))
        self._write(self.CONNECT)
        self._wait_for(lambda: self._bar.read(STATUS) & STATUS_LINK, "for its link")
        self._write(self.SWITCH_ON)
        self._bar.write(self.RX + TAIL, len(buffers))
        self._tail = self._head = 0
        return self

    def send(self, pieces: Sequence[tuple[SupportsInt, int]]) -> None:
        """Send one packet gathered from PIECES, (address, length) each."""
        total = sum(length for _, length in pieces)
        for index, (address, length) in enumerate(pieces):
            entry = self._sent_as(int(address), length, total, index == len(pieces) - 1)
            self.memory.write(self.tx + 16 * self._tail, entry)
            self._tail = (self._tail + 1) % ENTRIES
        self._bar.write(self.TX + TAIL, self._tail)
        self._wait_for(lambda: self._bar.read(self.TX + HEAD) == self._tail, "to send")

    def received(self) -> list[int]:
        """The pieces that came in since the last call: a list of lengths, one a buffer, in order."""
        self._bar.read(STATUS)
        lengths = []
        while self._head < ENTRIES:
            status, length = self._came_as(self.memory.read(self.rx + 16 * self._head, 16))
            if not status & DONE:
                break
            lengths.append(length)
            self._head += 1
        return lengths
