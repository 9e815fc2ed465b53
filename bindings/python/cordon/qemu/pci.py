"""PCI functions over ECAM: finding them, placing BARs, capabilities, interrupts, reset."""
from dataclasses import dataclass

from .qtest import QTest

ECAM = 0x30000000
WINDOW, WINDOW_SIZE = 0x40000000, 0x40000000
COMMAND, BAR0, CAPABILITIES = 0x04, 0x10, 0x34
COMMAND_MEMORY, COMMAND_MASTER = 2, 4
CAP_MSI, CAP_PCIE, CAP_MSIX = 0x05, 0x10, 0x11
_MSIX_MASKED = 1


class PciError(Exception):
    """A function is not what the caller took it for."""


@dataclass
class Bar:
    """A memory BAR, placed at ADDRESS; accesses go through qtest."""

    qtest: QTest
    address: int
    size: int

    def _at(self, offset: int, width: int) -> int:
        if not 0 <= offset <= self.size - width:
            raise PciError(f"offset {offset:#x} is beyond the BAR's {self.size:#x} bytes")
        return self.address + offset

    def read(self, offset: int, width: int = 4) -> int:
        return self.qtest.read(width, self._at(offset, width))

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.qtest.write(width, self._at(offset, width), value)

    def post(self, offset: int, value: int, width: int = 4) -> None:
        """A write that goes out with the next access."""
        self.qtest.post_write(width, self._at(offset, width), value)


class Function:
    """One PCI function, by its bus/device/function number."""

    def __init__(self, qtest: QTest, bdf: int) -> None:
        self._qtest, self.bdf = qtest, bdf
        self.vendor, self.device = self.config(0, 2), self.config(2, 2)
        self.class_code = self.config(8) >> 8
        self.bars: dict[int, Bar] = {}

    def config(self, offset: int, width: int = 4) -> int:
        return self._qtest.read(width, ECAM + (self.bdf << 12) + offset)

    def set_config(self, offset: int, value: int, width: int = 4) -> None:
        self._qtest.write(width, ECAM + (self.bdf << 12) + offset, value)

    def must_be(self, what: str, vendor_device: tuple[int, int] | None = None,
                class_code: int | None = None) -> None:
        """PciError unless the function is what a driver takes it for."""
        if (vendor_device not in (None, (self.vendor, self.device))
                or class_code not in (None, self.class_code)):
            raise PciError(f"{self} is no {what}")

    # ---- BARs ---------------------------------------------------------------------------------

    def place_bars(self, cursor: int) -> int:
        """Give each memory BAR a place of its own pages from CURSOR on; the next free address."""
        index, end = 0, 2 if self.config(0x0e, 1) & 0x7f == 1 else 6  # a bridge has two
        while index < end:
            flags, size, wide = self._probe(index)
            if size and not flags & 1:
                step = max(size, 0x1000)
                cursor = -(-cursor // step) * step
                self._set_bar(index, cursor, wide)
                self.bars[index] = Bar(self._qtest, cursor, size)
                cursor += step
            index += 2 if wide else 1
        if cursor > WINDOW + WINDOW_SIZE:
            raise PciError("the BARs do not fit in the 32-bit window")
        self.command(memory=True)
        return cursor

    def _probe(self, index: int) -> tuple[int, int, bool]:
        """(flag bits, size, 64-bit) of a BAR register."""
        at = BAR0 + 4 * index
        flags = self.config(at) & 0xf
        wide = flags & 7 == 4
        self.set_config(at, 0xffffffff)
        mask = self.config(at) & ~0xf
        if wide:
            self.set_config(at + 4, 0xffffffff)
            mask |= self.config(at + 4) << 32
        else:
            mask |= 0xffffffff << 32 if mask else 0
        return flags, (~mask + 1) & (1 << 64) - 1, wide

    def _set_bar(self, index: int, address: int, wide: bool) -> None:
        self.set_config(BAR0 + 4 * index, address & 0xffffffff)
        if wide:
            self.set_config(BAR0 + 4 * index + 4, address >> 32)

    # ---- command register, capabilities -----------------------------------------------------------

    def command(self, *, memory: bool | None = None, master: bool | None = None) -> None:
        """Set or clear memory decoding and bus mastering."""
        value = self.config(COMMAND, 2)
        for wanted, bit in ((memory, COMMAND_MEMORY), (master, COMMAND_MASTER)):
            if wanted is not None:
                value = value | bit if wanted else value & ~bit
        self.set_config(COMMAND, value, 2)

    def capability(self, wanted: int) -> int:
        """The offset of a capability; PciError if the function has none."""
        at, seen = self.config(CAPABILITIES, 1), 0
        while at and seen < 48:
            if self.config(at, 1) == wanted:
                return at
            at, seen = self.config(at + 1, 1), seen + 1
        raise PciError(f"{self} has no capability {wanted:#x}")

    def set_msi(self, address: int, data: int) -> None:
        """Program and enable MSI with one message."""
        at = self.capability(CAP_MSI)
        control = self.config(at + 2, 2)
        self.set_config(at + 4, address & 0xffffffff)
        if control & 0x80:
            self.set_config(at + 8, address >> 32)
        self.set_config(at + (12 if control & 0x80 else 8), data, 2)
        self.set_config(at + 2, control | 1, 2)

    def set_msix(self, vector: int, address: int, data: int) -> None:
        """Program, unmask and enable one MSI-X vector."""
        at = self.capability(CAP_MSIX)
        table = self.config(at + 4)
        bar, entry = self.bars[table & 7], (table & ~7) + 16 * vector
        for offset, value in ((0, address & 0xffffffff), (4, address >> 32), (8, data), (12, 0)):
            bar.write(entry + offset, value)
        self.set_config(at + 2, self.config(at + 2, 2) | 0x8000, 2)

    def flr(self) -> None:
        """Function level reset. QEMU completes it within the write; BARs and command are kept by us."""
        at = self.capability(CAP_PCIE)
        if not self.config(at + 4) >> 28 & 1:
            raise PciError(f"{self} has no function level reset")
        command = self.config(COMMAND, 2)
        self.set_config(at + 8, self.config(at + 8, 2) | 0x8000, 2)
        for index, bar in self.bars.items():
            self._set_bar(index, bar.address, self.config(BAR0 + 4 * index) & 7 == 4)
        self.set_config(COMMAND, command & ~COMMAND_MASTER, 2)

    def __repr__(self) -> str:
        return (f"<PCI {self.bdf >> 8:02x}:{self.bdf >> 3 & 31:02x}.{self.bdf & 7} "
                f"{self.vendor:04x}:{self.device:04x}>")


def scan(qtest: QTest, cursor: int = WINDOW) -> dict[int, Function]:
    """Every function on bus 0 by device id, BARs placed, memory decoding on, bus mastering off."""
    found = {}
    for slot in range(32):
        for number in range(8):
            bdf = slot << 3 | number
            if qtest.read(2, ECAM + (bdf << 12)) == 0xffff:
                if number == 0:
                    break
                continue
            function = Function(qtest, bdf)
            if function.class_code >> 8 != 0x0600:
                cursor = function.place_bars(cursor)
                found[bdf] = function
            if number == 0 and not function.config(0x0e, 1) & 0x80:
                break
    return found
