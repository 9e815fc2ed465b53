"""How fast the bench is: printed, never judged."""
import time

from scene import BLUE_BASE, mark

OPERATIONS = 2000


def test_dma_per_second(scene, capsys):
    edu, data = scene.rogue.edu, mark("speed", 0)
    scene.rogue.arm(data)
    start = time.perf_counter()
    for _ in range(OPERATIONS):
        edu.store(BLUE_BASE, 64)
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\nqtest: {OPERATIONS / seconds:,.0f} edu DMA transfers a second, "
              "one device, one after the other")
    assert scene.blue.read(BLUE_BASE, 64) == data
