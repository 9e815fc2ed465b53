"""Intel's 82574L network card, driven from outside with legacy descriptors: a packet is gathered
from, and scattered to, as many pieces of a guest's memory as there are descriptors."""
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, SupportsInt

from .memory import Memory

if TYPE_CHECKING:
    from ..qemu.pci import Function

CTRL, STATUS, RCTL, TCTL = 0x0000, 0x0008, 0x0100, 0x0400
RDBAL, RDBAH, RDLEN, RDH, RDT = 0x2800, 0x2804, 0x2808, 0x2810, 0x2818
TDBAL, TDBAH, TDLEN, TDH, TDT = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
CTRL_LINK_UP, CTRL_RESET = 1 << 6, 1 << 26
STATUS_LINK = 1 << 1
RCTL_ON = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 15 | 1 << 26  # promiscuous, broadcast, without checksum
RCTL_BUFFER_256 = 3 << 16
TCTL_ON = 1 << 1 | 1 << 3
TX_END, TX_REPORT = 1, 8
DONE, LAST = 1, 2
ID = 0x8086, 0x10d3
ENTRIES, BUFFER = 16, 256
RING_BYTES = 0x1000  # both rings


class NicTimeout(Exception):
    """The card did not get to it in time."""


class E1000eDriver:
    """`memory` reads and writes the guest's memory by GPA; the rings take RING_BYTES at `rings`."""

    def __init__(self, function: "Function", memory: Memory, rings: SupportsInt,
                 timeout: float = 10.0) -> None:
        function.must_be("e1000e", vendor_device=ID)
        self.function, self.memory, self._timeout = function, memory, timeout
        self._bar, self.tx, self.rx = function.bars[0], int(rings), int(rings) + RING_BYTES // 2
        self._tail = self._head = 0

    def reset(self) -> None:
        """The card's own reset: it has no function level reset, and power states reset nothing."""
        self._bar.write(CTRL, CTRL_RESET)
        self._wait_for(lambda: not self._bar.read(CTRL) & CTRL_RESET, "to reset")

    def _wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise NicTimeout(f"{self.function!r} took more than {self._timeout} s {what}")

    def start(self, buffers: Sequence[SupportsInt] = ()) -> Self:
        """Reset, and switch on; received data goes to BUFFERS (GPAs, 256 bytes each), in order."""
        self.reset()
        bar = self._bar
        self.memory.write(self.tx, bytes(RING_BYTES))
        for low, high, length, ring in ((TDBAL, TDBAH, TDLEN, self.tx), (RDBAL, RDBAH, RDLEN, self.rx)):
            bar.write(low, ring & 0xffffffff)
            bar.write(high, ring >> 32)
            bar.write(length, 16 * ENTRIES)
        for index, buffer in enumerate(buffers):
            self.memory.write(self.rx + 16 * index, struct.pack("<Q8x", int(buffer)))
        bar.write(CTRL, CTRL_LINK_UP)
        self._wait_for(lambda: bar.read(STATUS) & STATUS_LINK, "for its link")
        bar.write(TCTL, TCTL_ON)
        bar.write(RCTL, RCTL_ON | RCTL_BUFFER_256)
        bar.write(RDT, len(buffers))
        self._tail = self._head = 0
        return self

    def send(self, pieces: Sequence[tuple[SupportsInt, int]]) -> None:
        """Send one packet gathered from PIECES, (address, length) each."""
        for index, (address, length) in enumerate(pieces):
            command = TX_REPORT | (TX_END if index == len(pieces) - 1 else 0)
            entry = struct.pack("<QHBBBBH", int(address), length, 0, command, 0, 0, 0)
            self.memory.write(self.tx + 16 * self._tail, entry)
            self._tail = (self._tail + 1) % ENTRIES
        self._bar.write(TDT, self._tail)
        self._wait_for(lambda: self._bar.read(TDH) == self._tail, "to send")

    def received(self) -> list[int]:
        """The pieces that came in since the last call: a list of lengths, one a buffer, in order."""
        self._bar.read(STATUS)
        lengths = []
        while self._head < ENTRIES:
            length, status = struct.unpack("<8xH2xB3x", self.memory.read(self.rx + 16 * self._head, 16))
            if not status & DONE:
                break
            lengths.append(length)
            self._head += 1
        return lengths
