"""Intel's 82576 network card, driven from outside with advanced descriptors: a packet is gathered
from, and scattered to, as many pieces of a guest's memory as there are descriptors."""
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, SupportsInt

from .memory import Memory

if TYPE_CHECKING:
    from ..qemu.pci import Function

CTRL, STATUS, MDIC, RCTL, TCTL = 0x0000, 0x0008, 0x0020, 0x0100, 0x0400
RDBAL, RDBAH, RDLEN, SRRCTL, RDT, RXDCTL = 0xc000, 0xc004, 0xc008, 0xc00c, 0xc018, 0xc028
TDBAL, TDBAH, TDLEN, TDH, TDT, TXDCTL = 0xe000, 0xe004, 0xe008, 0xe010, 0xe018, 0xe028
CTRL_LINK_UP, CTRL_RESET = 1 << 6, 1 << 26
STATUS_LINK = 1 << 1
NEGOTIATE = 1 << 26 | 1 << 21 | 0x1340  # write the PHY's control register: start auto-negotiation
RCTL_ON = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 15 | 1 << 26  # promiscuous, long, no checksum
TCTL_ON = 1 << 1 | 1 << 3
QUEUE_ON = 1 << 25
SRRCTL_ADVANCED_1K = 1 << 25 | 1
TX_DATA = 3 << 20 | 1 << 29 | 1 << 25  # an advanced data descriptor; the card adds the checksum
TX_END, TX_REPORT = 1 << 24, 1 << 27
DONE = 1
ID = 0x8086, 0x10c9
ENTRIES, BUFFER = 16, 1024
RING_BYTES = 0x1000  # both rings


class NicTimeout(Exception):
    """The card did not get to it in time."""


class IgbDriver:
    """`memory` reads and writes the guest's memory by GPA; the rings take RING_BYTES at `rings`."""

    def __init__(self, function: "Function", memory: Memory, rings: SupportsInt,
                 timeout: float = 10.0) -> None:
        function.must_be("igb", vendor_device=ID)
        self.function, self.memory, self._timeout = function, memory, timeout
        self._bar, self.tx, self.rx = function.bars[0], int(rings), int(rings) + RING_BYTES // 2
        self._tail = self._head = 0

    def _wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise NicTimeout(f"{self.function!r} took more than {self._timeout} s {what}")

    def reset(self) -> None:
        """The card's own reset."""
        self._bar.write(CTRL, CTRL_RESET)
        self._wait_for(lambda: not self._bar.read(CTRL) & CTRL_RESET, "to reset")

    def start(self, buffers: Sequence[SupportsInt] = ()) -> Self:
        """Reset, and switch on; received data goes to BUFFERS (GPAs, 1 KiB each), in order."""
        self.reset()
        bar = self._bar
        self.memory.write(self.tx, bytes(RING_BYTES))
        for low, high, length, ring in ((TDBAL, TDBAH, TDLEN, self.tx), (RDBAL, RDBAH, RDLEN, self.rx)):
            bar.write(low, ring & 0xffffffff)
            bar.write(high, ring >> 32)
            bar.write(length, 16 * ENTRIES)
        for index, buffer in enumerate(buffers):
            self.memory.write(self.rx + 16 * index, struct.pack("<Q8x", int(buffer)))
        bar.write(SRRCTL, SRRCTL_ADVANCED_1K)
        bar.write(CTRL, CTRL_LINK_UP)
        bar.write(MDIC, NEGOTIATE)
        self._wait_for(lambda: bar.read(STATUS) & STATUS_LINK, "for its link")
        bar.write(TXDCTL, QUEUE_ON)
        bar.write(RXDCTL, QUEUE_ON)
        bar.write(TCTL, TCTL_ON)
        bar.write(RCTL, RCTL_ON)
        bar.write(RDT, len(buffers))
        self._tail = self._head = 0
        return self

    def send(self, pieces: Sequence[tuple[SupportsInt, int]]) -> None:
        """Send one packet gathered from PIECES, (address, length) each."""
        total = sum(length for _, length in pieces)
        for index, (address, length) in enumerate(pieces):
            command = TX_DATA | TX_REPORT | (TX_END if index == len(pieces) - 1 else 0)
            entry = struct.pack("<QII", int(address), command | length, total << 14)
            self.memory.write(self.tx + 16 * self._tail, entry)
            self._tail = (self._tail + 1) % ENTRIES
        self._bar.write(TDT, self._tail)
        self._wait_for(lambda: self._bar.read(TDH) == self._tail, "to send")

    def received(self) -> list[int]:
        """The pieces that came in since the last call: a list of lengths, one a buffer, in order."""
        self._bar.read(STATUS)
        lengths = []
        while self._head < ENTRIES:
            status, length = struct.unpack("<8xIH2x", self.memory.read(self.rx + 16 * self._head, 16))
            if not status & DONE:
                break
            lengths.append(length)
            self._head += 1
        return lengths
