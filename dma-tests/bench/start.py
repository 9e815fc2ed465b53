"""The hypervisor's image, and how long it takes until its guests run."""
import statistics
import subprocess

import bundle
import machine as boots
from cordon.machine.machine import HYPERVISOR
from emulator import Emulator, MIB, TREE
from figures import Figure

SIZE_MAX = 192 << 10
HARTS = 4
RAM_MIB = 2048
READY = r"guests: (\d+); (\d+) ms from entry, of which (\d+) ms to hash"
# As in the story: RAM in shuffled pieces of 4 KiB and 2 MiB.
SCATTER = {"scatter-pieces": 0x201}


def _size():
    elf = TREE / "out/hyp/cordon.elf"
    last = subprocess.run([boots.CROSS + "size", elf], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()[-1]
    text, data, bss = map(int, last.split()[:3])
    return Figure("start", "image", "bytes of code and data", text + data, SIZE_MAX, "the limit", SIZE_MAX,
                  of="ours", note=f"{bss:,} bytes of bss; Bao 48 KiB, Xvisor 767 KiB")


def _guests():
    return {"red": boots.linux("red", vcpus=2, memory=384 * MIB, **{"scatter-seed": 1}, **SCATTER),
            "blue": boots.linux("blue", memory=256 * MIB, **{"ram-base": 0, "scatter-seed": 2}, **SCATTER)}


def _time(env, name, vms, note):
    path = env.parts.write("start.itb", bundle.make(boots.linux_images(), vms))
    found = []
    for turn in range(env.turns(5)):
        env.say(f"start: {name}, turn {turn + 1} of {env.turns(5)}")
        with Emulator(HYPERVISOR, path, harts=HARTS, ram_mib=RAM_MIB) as machine:
            ready = machine.wait(READY)
        found.append((int(ready[2]) - int(ready[3]), int(ready[3])))
    ours, hashing = (statistics.median(column) / 1e3 for column in zip(*found))
    total = statistics.median(map(sum, found)) / 1e3
    return [Figure("start", name, "s to the first guest instruction", ours, 0.3, "the limit", 0.3, of="ours",
                   note=f"{note}; without hashing; best of the runs {min(found)[0] / 1e3:.3f} s; with it "
                        f"{total:.3f} s", more={"total_s": total}),
            Figure("start", name + "-hashing", "s to hash", hashing,
                   note="told apart; memory is scrubbed and devices are reset meanwhile")]


def run(env):
    one = {"red": boots.linux("red", vcpus=2, memory=256 * MIB)}
    return [_size(), *_time(env, "one-guest", one, "256 MiB, 4 harts"),
            *_time(env, "two-guests", _guests(), "384 and 256 MiB scattered in 4 KiB and 2 MiB, 4 harts")]
