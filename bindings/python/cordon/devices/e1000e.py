"""Intel's 82574L network card, with legacy descriptors. It has no function level reset, and power states
reset nothing: reset() is its own."""
import struct

from .intel import CTRL, CTRL_LINK_UP, RCTL, TCTL, TCTL_ON, IntelCard

RCTL_ON = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 15 | 1 << 26  # promiscuous, broadcast, without checksum
RCTL_BUFFER_256 = 3 << 16
TX_END, TX_REPORT = 1, 8
BUFFER = 256


class E1000eDriver(IntelCard):
    KIND, ID = "e1000e", (0x8086, 0x10d3)
    TX, RX = 0x3800, 0x2800
    CONNECT = ((CTRL, CTRL_LINK_UP),)
    SWITCH_ON = ((TCTL, TCTL_ON), (RCTL, RCTL_ON | RCTL_BUFFER_256))

    def _sent_as(self, address: int, length: int, total: int, last: bool) -> bytes:
        return struct.pack("<QHBBBBH", address, length, 0, TX_REPORT | (TX_END if last else 0), 0, 0, 0)

    def _came_as(self, entry: bytes) -> tuple[int, int]:
        length, status = struct.unpack("<8xH2xB3x", entry)
        return status, length
