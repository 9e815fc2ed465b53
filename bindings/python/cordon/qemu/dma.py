"""edu's DMA as bytes in and out. The device's buffer is out of the host's sight: it is filled and looked
at by DMA only, so honest memory is borrowed from the device's guest, or the buffer is primed."""
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from ..checks import walker_of
from ..devices.edu import BUFFER_SIZE, EduDriver
from ..types import PAGE, Bytes, Iova, IovaLike, Perm, address

if TYPE_CHECKING:
    from ..device import Device
    from .pci import Function
    from .platform import QemuPlatform

_RUN = 8                       # the bank has so many of each byte value
_BANK = 256 * _RUN             # at the buffer's end
_STAGE = BUFFER_SIZE - _BANK   # what is left for data


class EduDma:
    """write() and read() through an edu device.

    Data that the buffer has not got is brought there by an honest read of a page of the device's
    guest, whose bytes are put back at once; where the device has no such page, it is written in
    pieces out of a bank of every byte value. What was read is looked at by an honest write to a
    borrowed page; a device that has none is attached, for that look, to a domain of the bench."""

    def __init__(self, function: "Function") -> None:
        self._edu = EduDriver(function)
        self._held: Any = None
        self._platform: Any = None
        self._device: Any = None

    def lead(self, platform: "QemuPlatform", device: "Device") -> Self:
        """Act for DEVICE of PLATFORM."""
        self._platform, self._device = platform, device
        return self

    def prime(self, ram: memoryview, base: int) -> Self:
        """Fill the buffer with zeros and the bank, out of RAM while nothing is in the way."""
        bank = bytes(_STAGE) + b"".join(bytes([value]) * _RUN for value in range(256))
        at = len(ram) - PAGE
        before = bytes(ram[at:])
        ram[at:] = bank
        self._edu.load(base + at, BUFFER_SIZE)
        ram[at:] = before
        self._held = bytearray(bank)
        return self

    # ---- in and out -----------------------------------------------------------------------------------

    def write(self, iova: IovaLike, data: Bytes) -> None:
        """DMA of DATA to IOVA."""
        iova, data = int(address(Iova, iova)), bytes(data)
        for at in range(0, len(data), _STAGE):
            self._write(iova + at, data[at:at + _STAGE])

    def read(self, iova: IovaLike, length: int) -> bytes:
        """DMA from IOVA: the bytes that came; zeros where none did."""
        iova, got = int(address(Iova, iova)), b""
        for at in range(0, length, _STAGE):
            got += self._read(iova + at, min(length - at, _STAGE))
        return got

    def _write(self, iova: int, data: bytes) -> None:
        if self._held is None or data not in self._held:
            page = self._borrowed(Perm.R)
            if page is not None:
                self._fill(page, data)
            elif self._held is None:
                raise ValueError(f"{self._device.name} has nothing to write and no page to fetch it from: "
                                 "attach it first, or make it a Dma part")
        while data:
            length = self._longest(data)
            held: Any = self._held
            self._edu.store(iova, length, at=held.index(data[:length]))
            iova, data = iova + length, data[length:]

    def _longest(self, data: bytes) -> int:
        """How much of the beginning of DATA the buffer has in one piece."""
        if data in self._held:
            return len(data)
        length = 1
        while length < len(data) and data[:length + 1] in self._held:
            length += 1
        return length

    def _fill(self, page, data):
        """Bring DATA into the buffer by an honest read of PAGE."""
        with self._lent(page, data):
            self._edu.load(page, len(data))
        self._held = self._held or bytearray(BUFFER_SIZE)
        self._held[:len(data)] = data

    def _read(self, iova: int, length: int) -> bytes:
        self._blank(length)
        self._edu.load(iova, length)
        page = self._borrowed(Perm.W)
        if page is not None:
            got = self._look(page, length)
        elif self._device.domain is None:
            got = self._look_alone(length)
        else:
            raise ValueError(f"{self._device.name} has no page that it may write, so what it read stays in "
                             "it: give its guest some memory, as in guest(name, \"64K\")")
        self._held[:length] = got
        return got

    def _blank(self, length):
        """Zeros in the first LENGTH bytes of the buffer, if they are not there already."""
        if self._held is None:
            self._held = bytearray(BUFFER_SIZE)
        page = self._borrowed(Perm.R) if any(self._held[:length]) else None
        if page is not None:
            self._fill(page, bytes(length))

    # ---- memory to borrow -------------------------------------------------------------------------------

    def _borrowed(self, access):
        """The address of a page of the device's guest that the tables let it reach, or None."""
        guest = next((g for g in self._platform.guests if g.domain is self._device.domain), None)
        if guest is None:
            return None
        walker, letter = walker_of(self._platform), str(access).strip("-")
        wanted = [gpa for gpa, page in guest.pages.items() if page.dma and access in page.perms]
        for gpa in wanted[-1:] + wanted[:3]:
            trail = walker.walk(self._device.device_id, gpa, letter)
            if not trail.cause and trail.hpa == guest.pages[gpa].hpa:
                return gpa
        return None

    def _page(self, gpa):
        guest = next(g for g in self._platform.guests if g.domain is self._device.domain)
        return self._platform.memory(guest.pages[gpa].hpa, PAGE)

    @contextmanager
    def _lent(self, gpa, data):
        """The page begins with DATA in this block, and is as it was after it."""
        page = self._page(gpa)
        before = bytes(page[:len(data)])
        page[:len(data)] = data
        yield page
        page[:len(data)] = before

    def _look(self, gpa, length):
        with self._lent(gpa, bytes(length)) as page:
            self._edu.store(gpa, length)
            return bytes(page[:length])

    def _look_alone(self, length):
        """Look while a domain of the bench has the device, which nobody else has."""
        guest = self._platform.guest("bench", PAGE)
        try:
            with guest.assign(self._device):
                return self._look(int(guest.ram.gpa), length)
        finally:
            self._platform.guests.remove(guest)
            guest.domain.close()


__all__ = ["EduDma"]
