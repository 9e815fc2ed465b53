"""QEMU's edu device, driven from outside: DMA between its 4 KiB buffer and any address."""
import time
from typing import TYPE_CHECKING, SupportsInt

if TYPE_CHECKING:
    from ..qemu.pci import Function

BUFFER, BUFFER_SIZE = 0x40000, 4096
IRQ_RAISE, IRQ_ACK, SRC, DST, COUNT, CMD = 0x60, 0x64, 0x80, 0x88, 0x90, 0x98
RUN, TO_MEMORY = 1, 2
ID = 0x1234, 0x11e8


class DmaTimeout(Exception):
    """The device did not finish in time."""


class EduDriver:
    """Moves bytes by real DMA. The device never says whether its DMA was refused: look at memory."""

    def __init__(self, function: "Function", timeout: float = 10.0) -> None:
        function.must_be("edu", vendor_device=ID)
        self.function, self._bar, self._timeout = function, function.bars[0], timeout

    def _start(self, src: int, dst: int, length: int, command: int) -> None:
        # QEMU does not bound the count against the device's own buffer; we must.
        if not 0 < length <= BUFFER_SIZE:
            raise ValueError(f"edu moves 1 to {BUFFER_SIZE} bytes, not {length:#x}")
        bar = self._bar
        bar.post(SRC, src, 8)
        bar.post(DST, dst, 8)
        bar.post(COUNT, length, 8)
        bar.post(CMD, RUN | command, 8)

    def busy(self) -> bool:
        return bool(self._bar.read(CMD, 8) & RUN)

    def wait(self) -> None:
        """Until the transfer that was started is over."""
        deadline = time.monotonic() + self._timeout
        while self.busy():
            if time.monotonic() > deadline:
                raise DmaTimeout(f"edu {self.function!r} is still busy after {self._timeout} s")

    def start_load(self, iova: SupportsInt, length: int = BUFFER_SIZE, at: int = 0) -> None:
        """Begin to fill the buffer from memory."""
        self._start(int(iova), BUFFER + at, self._fits(length, at), 0)

    def start_store(self, iova: SupportsInt, length: int = BUFFER_SIZE, at: int = 0) -> None:
        """Begin to write the buffer to memory."""
        self._start(BUFFER + at, int(iova), self._fits(length, at), TO_MEMORY)

    @staticmethod
    def _fits(length: int, at: int) -> int:
        if at < 0 or at + length > BUFFER_SIZE:
            raise ValueError(f"{length:#x} bytes at {at:#x} are not inside edu's buffer")
        return length

    def load(self, iova: SupportsInt, length: int = BUFFER_SIZE, at: int = 0) -> None:
        """DMA from memory into the device. A refused one leaves zeros (or less) in the buffer."""
        self.start_load(iova, length, at)
        self.wait()

    def store(self, iova: SupportsInt, length: int = BUFFER_SIZE, at: int = 0) -> None:
        """DMA from the device to memory."""
        self.start_store(iova, length, at)
        self.wait()

    def signal(self, bits: int = 1) -> None:
        """Raise the device's interrupt (an MSI where one is enabled), and acknowledge it."""
        self._bar.write(IRQ_RAISE, bits)
        self._bar.write(IRQ_ACK, bits)
