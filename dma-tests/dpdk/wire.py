"""What went over a line of the machine, as QEMU's own capture has it."""
import struct
from pathlib import Path

_FILE = struct.Struct("<IHHiIII")
_PACKET = struct.Struct("<IIII")
MAGIC = 0xA1B2C3D4


def arguments(netdev: str, path: Path) -> list[str]:
    """QEMU's arguments that have it keep every packet of a netdev."""
    return ["-object", f"filter-dump,id=wire-{netdev},netdev={netdev},file={path},maxlen=65536"]


class Wire:
    """The packets of a capture, from the first one that was not taken yet."""

    def __init__(self, path: Path) -> None:
        self.path, self._at = path, _FILE.size

    def take(self) -> list[bytes]:
        """The packets since the last call, whole."""
        data = self.path.read_bytes()
        if _FILE.unpack_from(data)[0] != MAGIC:
            raise ValueError(f"{self.path} is no capture")
        packets = []
        while self._at + _PACKET.size <= len(data):
            kept = _PACKET.unpack_from(data, self._at)[2]
            if self._at + _PACKET.size + kept > len(data):
                break  # it is being written
            self._at += _PACKET.size
            packets.append(data[self._at:self._at + kept])
            self._at += kept
        return packets
