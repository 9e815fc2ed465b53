"""Intel's 82576 network card, with advanced descriptors."""
import struct

from .intel import CTRL, CTRL_LINK_UP, RCTL, TCTL, TCTL_ON, IntelCard

MDIC, SRRCTL, RXDCTL, TXDCTL = 0x0020, 0xc00c, 0xc028, 0xe028
NEGOTIATE = 1 << 26 | 1 << 21 | 0x1340  # write the PHY's control register: start auto-negotiation
RCTL_ON = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 15 | 1 << 26  # promiscuous, long, no checksum
QUEUE_ON = 1 << 25
SRRCTL_ADVANCED_1K = 1 << 25 | 1
TX_DATA = 3 << 20 | 1 << 29 | 1 << 25  # an advanced data descriptor; the card adds the checksum
TX_END, TX_REPORT = 1 << 24, 1 << 27
BUFFER = 1024


class IgbDriver(IntelCard):
    KIND, ID = "igb", (0x8086, 0x10c9)
    TX, RX = 0xe000, 0xc000
    CONNECT = ((SRRCTL, SRRCTL_ADVANCED_1K), (CTRL, CTRL_LINK_UP), (MDIC, NEGOTIATE))
    SWITCH_ON = ((TXDCTL, QUEUE_ON), (RXDCTL, QUEUE_ON), (TCTL, TCTL_ON), (RCTL, RCTL_ON))

    def _sent_as(self, address: int, length: int, total: int, last: bool) -> bytes:
        command = TX_DATA | TX_REPORT | (TX_END if last else 0)
        return struct.pack("<QII", address, command | length, total << 14)

    def _came_as(self, entry: bytes) -> tuple[int, int]:
        status, length = struct.unpack("<8xIH2x", entry)
        return status, length
