"""What a test costs in Python: a whole platform opened, used and closed, and real DMA operations a second."""
import statistics
import time

from cordon import Perm, Platform
from cordon.devices.edu import EduDriver
from figures import Figure

GOALS = {"model": 5.0, "qemu": 100.0}  # ms
TURNS = {"model": 51, "qemu": 15}
OPERATIONS = 10_000
IOVA = 0x1000_0000


def one_test(backend):
    """As small as a test gets that proves something: a device writes, and reads back."""
    with Platform(backend) as platform:
        guest, device = platform.guest("red", "64K"), platform.device("00:02.0")
        with guest.assign(device):
            buffer = guest.map(device, iova=IOVA, size=0x1000, perm=Perm.RW)
            device.dma.write(buffer.iova, b"A" * 64)
            if buffer.read(64) != b"A" * 64:
                raise RuntimeError(f"{backend}: the device's bytes did not arrive")


def milliseconds(backend, turns):
    took = []
    for _ in range(turns):
        start = time.perf_counter()
        one_test(backend)
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took)


def writes(backend, seconds):
    """Writes of 64 bytes by dma.write() in a second, the last of them looked at."""
    with Platform(backend) as platform:
        guest, device = platform.guest("red", "64K"), platform.device("00:02.0")
        with guest.assign(device):
            buffer = guest.map(device, iova=IOVA, size=0x1000, perm=Perm.RW)
            count, start = 0, time.perf_counter()
            while (took := time.perf_counter() - start) < seconds:
                for _ in range(100):
                    device.dma.write(buffer.iova, count.to_bytes(8, "little") * 8)
                    count += 1
            if buffer.read(8) != (count - 1).to_bytes(8, "little"):
                raise RuntimeError(f"{backend}: the last write did not arrive")
    return count / took


def transfers(seconds):
    """DMA transfers of QEMU's edu in a second, one after the other, the last of them looked at. (A write by
    dma.write() is two: edu has to fetch what it is to write.)"""
    with Platform("qemu") as platform:
        guest, device = platform.guest("red", "64K"), platform.device("00:02.0")
        with guest.assign(device):
            buffer = guest.map(device, iova=IOVA, size=0x1000, perm=Perm.RW)
            edu, count, start = EduDriver(platform.function("00:02.0")), 0, time.perf_counter()
            buffer.write(b"E" * 64)
            edu.load(buffer.iova, 64)
            buffer.write(bytes(64))
            while (took := time.perf_counter() - start) < seconds:
                for _ in range(100):
                    edu.store(buffer.iova, 64)
                    count += 1
            if buffer.read(64) != b"E" * 64:
                raise RuntimeError("qemu: the last transfer did not arrive")
    return count / took


def run(env):
    figures = []
    for backend, goal in GOALS.items():
        env.say(f"scripts: a test on {backend}")
        figures.append(Figure("scripts", f"test-{backend}", "ms", milliseconds(backend, env.turns(TURNS[backend])),
                              limit=goal, of="ours", note="median; opening and closing included"))
    seconds = 0.2 if env.quick else 2.0
    env.say("scripts: DMA on both")
    rows = [("writes-model", writes("model", seconds), None), ("writes-qemu", writes("qemu", seconds), None),
            ("transfers-qemu", transfers(seconds), OPERATIONS)]
    return figures + [Figure("scripts", name, "a second", value, limit=goal, of="ours", least=True,
                             note="64 bytes each, from Python") for name, value, goal in rows]
