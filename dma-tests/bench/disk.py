"""An NVMe disk passed through: direct reads beside the same kernel without a hypervisor, with and without an IOMMU.

Three machines in turns: the guest; the kernel alone with the same emulated IOMMU, its tables set up by
dma-tests/bench/loader; the kernel alone without any. The disk is QEMU's null device: what is compared is
the way to it.
"""
import re
import statistics

from emulator import GUEST_MIB, IOMMU, MIB
from figures import Figure

SLOT = 1
DISK = ("-drive", "if=none,id=disk,driver=null-co,size=1G,read-zeroes=on",
        "-device", f"nvme,serial=bench,drive=disk,addr={SLOT}")
DONE = r"BENCH-DISK sequential_ns=(\d+) random_ns=(\d+)"
ENDED = r"\[cordon\] guest: ENDED .*exits: SBI (\d+), MMIO (\d+), interrupt (\d+), " \
        r"virtual instruction (\d+), absent (\d+), spurious (\d+)"
KINDS = ("sbi", "mmio", "interrupt", "virtual", "absent", "spurious")
ORDERS = {"iommu": IOMMU, "devices": 1 << (SLOT << 3), "ram_len": GUEST_MIB * MIB}
HARTS = 2  # with the hypervisor: one for the guest, one that looks after the console


def _bootargs(mib, reads):
    return f"console=ttyS0 quiet panic=-1 -- disk {mib} {reads}"


def _machine(env, kind, mib, reads):
    if kind == "guest":
        return env.parts.guest(_bootargs(mib, reads), *DISK, devices=[f"0000:00:{SLOT:02x}.0"], harts=HARTS, shared=True)
    return env.parts.plain(_bootargs(mib, reads), *DISK, iommu=kind == "iommu",
                           orders=ORDERS if kind == "iommu" else None, shared=True)


def _read(env, kind, mib, reads):
    """(MiB/s, reads/s, exits by kind or None)."""
    with _machine(env, kind, mib, reads) as machine:
        done = machine.wait(DONE)
        exits = dict(zip(KINDS, map(int, machine.wait(ENDED).groups()))) if kind == "guest" else None
    return mib * 1e9 / int(done[1]), reads * 1e9 / int(done[2]), exits


def _throughput(env, mib, reads):
    turns = env.turns(5)
    found = {"guest": [], "iommu": [], "plain": []}
    for turn in range(turns):
        for kind, results in found.items():
            env.say(f"disk: reads, turn {turn + 1} of {turns}, {kind}")
            results.append(_read(env, kind, mib, reads))
    figures = []
    for column, (name, unit) in enumerate((("sequential-1M", "MiB/s"), ("random-4K", "reads/s"))):
        value = {kind: statistics.median(r[column] for r in results) for kind, results in found.items()}
        ratios = sorted(g[column] / b[column] for g, b in zip(found["guest"], found["iommu"]))
        figures.append(Figure("disk", name, unit, value["guest"], value["iommu"],
                              "IOMMU and tables, no hypervisor", 0.9, least=True,
                              note=f"median of {turns}", more={"ratios_by_turn": ratios}))
        figures.append(Figure("disk", name + "-plain", unit, value["guest"], value["plain"],
                              "no IOMMU, no hypervisor", note="told, not judged"))
    return figures


def _exits(env, reads):
    """Exits that READS more of the disk's reads cause, by kind, beside the same run without them."""
    env.say(f"disk: exits of {reads} reads more")
    few, many = (_read(env, "guest", 1, count)[2] for count in (reads, 2 * reads))
    more = {kind: many[kind] - few[kind] for kind in KINDS}
    path = sum(max(0, count) for count in more.values())  # one kind's luck hides no other's
    text = ", ".join(f"{kind} {few[kind]} and {many[kind]}" for kind in KINDS if few[kind] or many[kind])
    return Figure("disk", "exits", f"exits of {reads} reads more", path, limit=0, of="ours",
                  note=f"in runs of {reads} and {2 * reads} reads: {text}", more={"few": few, "many": many})


def run(env):
    mib, reads = (16, 500) if env.quick else (512, 10000)
    return [*_throughput(env, mib, reads), _exits(env, reads)]
