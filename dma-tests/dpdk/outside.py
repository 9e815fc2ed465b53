"""Network cards as nobody in a guest sees them: their registers, frames on their wire, and all of RAM."""
import os
import re
import socket
import struct
import tempfile
from contextlib import contextmanager
from itertools import count

from cordon.machine.machine import RAM_BASE

INTEL_ON = ("RCTL", 0, 0x100, 0x2), ("TCTL", 0, 0x400, 0x2)
ALL = 0xFFFFFFFF
# What is 0 after a reset and not while a driver is at work: (name, BAR, offset, bits). Linux says to a virtio card that it
# has seen it (1) before it knows that nobody wants it to.
STATE = {
    "e1000e": (*INTEL_ON, ("RDBAL", 0, 0x2800, ALL), ("RDLEN", 0, 0x2808, ALL), ("TDBAL", 0, 0x3800, ALL),
               ("TDLEN", 0, 0x3808, ALL)),
    "igb": (*INTEL_ON, ("RDBAL", 0, 0xC000, ALL), ("RDLEN", 0, 0xC008, ALL), ("TDBAL", 0, 0xE000, ALL),
            ("TDLEN", 0, 0xE008, ALL)),
    "virtio-net-pci": (("device_status", 4, 0x14, 0x0E),),
}
FRAMES, ETHERTYPE = 8, 0x88B6  # for local experiments; not that of our programs
SECONDS = 30  # without a frame


class Outside:
    """The cards of MACHINE."""

    def __init__(self, machine):
        self._machine, self._numbers, self._bars = machine, count(), {}

    def registers(self, model, slot):
        """STATE of a card whose registers are decoded."""
        return {name: self._read(self._bar(slot, bar) + offset) & mask for name, bar, offset, mask in STATE[model]}

    def _read(self, address):
        text = self._machine.qmp.hmp(f"xp /1wx {address:#x}")
        return int(re.search(r": (0x[0-9a-f]+)", text)[1], 16)

    def _bar(self, slot, bar):
        if (slot, bar) not in self._bars:
            text = re.split(rf"device +{slot}, function 0", self._machine.qmp.hmp("info pci"))[1]
            self._bars[slot, bar] = int(re.search(rf"BAR{bar}: .*? at (0x[0-9a-f]+)", text)[1], 16)
        return self._bars[slot, bar]

    @contextmanager
    def _on_wire(self, hub):
        """A socket on the wire HUB. What it sent and no card has taken goes with it."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(SECONDS)
            line.bind(f"{folder}/ours")
            ends = {"local": {"type": "unix", "path": f"{folder}/qemus"}, "remote": {"type": "unix", "path": f"{folder}/ours"}}
            qmp = self._machine.qmp.command
            qmp("netdev_add", type="dgram", id="line", **ends)
            qmp("netdev_add", type="hubport", id="port", hubid=hub, netdev="line")
            try:
                line.connect(f"{folder}/qemus")
                yield line
            finally:
                qmp("netdev_del", id="port")
                qmp("netdev_del", id="line")

    def knock(self, hub):
        """Put frames on a wire: the host addresses at which any of it stands in RAM afterwards."""
        words = b"-KNOCK-%012d-" % next(self._numbers)
        frame = b"\xff" * 6 + b"\x02KNOCK" + struct.pack(">H", ETHERTYPE) + words * 4
        with self._on_wire(hub) as line:
            for _ in range(FRAMES):
                line.send(frame)
            for _ in range(2 * FRAMES):  # in each turn of its loop QEMU looks at a frame, and then at us
                self._machine.qmp.hmp("info status")
            return self.find(words)

    def await_frames(self, hub, number):
        """Wait until NUMBER frames more have gone over a wire."""
        with self._on_wire(hub) as line:
            for seen in range(number):
                try:
                    line.recv(1 << 16)
                except TimeoutError:
                    raise TimeoutError(f"{seen} frames have gone over wire {hub}, and for {SECONDS} s no more") from None

    def find(self, words):
        """Every host address at which WORDS stand."""
        found, ram, start = set(), self._machine.ram_file, 0
        while start < ram.size:
            try:
                start = os.lseek(ram.fd, start, os.SEEK_DATA)
            except OSError:  # no data behind START
                break
            end = os.lseek(ram.fd, start, os.SEEK_HOLE)
            at = ram.map.find(words, start, end)
            while at >= 0:
                found.add(RAM_BASE + at)
                at = ram.map.find(words, at + 1, end)
            start = end
        return found
