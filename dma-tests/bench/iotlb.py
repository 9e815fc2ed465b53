"""What the IOMMU looks up for packets, by its own counters: a guest with two network cards whose memory is made of
4 KiB, 2 MiB or 1 GiB. Once with QEMU's IOTLB, which remembers a million pages, and once with 64 entries.

Cards are virtio-net: Intel's lose packets in memory of 4 KiB pieces (docs/limits.md).
"""
import sys
from pathlib import Path

from emulator import MIB, TREE, BenchError
from figures import Figure
from nested import BACKINGS

sys.path.insert(0, str(TREE / "dma-tests/dpdk"))
import guests  # noqa: E402

SLOTS = (1, 4)
SIZES = ("4K", "2M", "1G")  # of BACKINGS
SMALL = 64                  # entries
GUEST_MIB, MACHINE = 1024, "3G"
COLD, WARM = "first", "again"  # the same order twice


def _counted(machine, packets):
    """(packets that came, what was counted meanwhile) of one order."""
    machine.machine.counters("red")
    done = machine.order("red", f"sg --packets {packets}", 150)
    counted = machine.machine.counters("red")
    if done.status != 0:
        raise BenchError(f"sg: {done.text[-1500:]}")
    return sum(flow["received"] for flow in done.result["flows"]), counted


def _figure(name, packets, counted):
    words = f"{counted.g_walks / counted.tlb_misses:.2f} words of the G-stage a miss" if counted.tlb_misses else "no walk"
    return Figure("iotlb", name, "IOTLB misses for 1,000 packets", counted.tlb_misses * 1000 / packets,
                  counted.requests * 1000 / packets, "requests of the cards",
                  note=f"{words}; {packets:,} packets",
                  more={"packets": packets, "requests": counted.requests, "tlb_misses": counted.tlb_misses,
                        "g_walks": counted.g_walks, "ddt_walks": counted.ddt_walks})


def _backing(env, size, entries, packets):
    few = ("-global", f"riscv-iommu.ioatc-limit={entries}") if entries else ()
    name = f"{size}-{entries}" if entries else size
    env.say(f"iotlb: {name}")
    red = guests.vm("red", SLOTS, memory=GUEST_MIB * MIB, **BACKINGS[size])
    with guests.cordon(Path(env.parts.folder) / f"iotlb-{name}", {"red": red},
                       (*guests.wire("virtio-net-pci", SLOTS), *few), ram=MACHINE) as machine:
        for when in (COLD, WARM):
            yield _figure(f"{name}-{when}", *_counted(machine, packets))


def run(env):
    packets = 500 if env.quick else 2000
    for entries in (None, SMALL):
        for size in SIZES[:1] if env.quick else SIZES:
            yield from _backing(env, size, entries, packets)
