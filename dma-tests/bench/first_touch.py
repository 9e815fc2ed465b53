"""What the first touch of a page costs, in instructions that the guest sees: the exit, the frame, its zeroes."""
import bundle
import machine as boots
from cordon.machine.machine import HYPERVISOR
from emulator import Emulator
from figures import Figure

MIB = 1 << 20
KVM, XVISOR = 6155, 6932  # instructions for the same touch on the same emulator, measured earlier
LIMIT = 1000
WITHOUT = ("-cpu", "rv64,h=true,zicboz=false")  # the last -cpu counts


def costs(env, fill, *arguments):
    """Instructions by what was done, the loop's own taken off."""
    blob = bundle.make({"guest": boots.bare_guest("touch_bench", env.parts.folder)},
                       {"solo": boots.bare(memory=64 * MIB, fill=fill)})
    with Emulator(HYPERVISOR, env.parts.write("touch.itb", blob), *arguments, icount=True) as machine:
        machine.wait(r"\[solo\] PASSED")
        found = {m[1]: int(m[2]) for m in machine.console.find(r"\[solo\] bench (\S+) (\d+)")}
    return {size: found[f"touch-{size}"] - found[f"touched-{size}"] for size in ("4k", "2m")}


def run(env):
    env.say("first_touch: 2,048 pages, one frame a fault, -icount shift=0")
    small, large, stores = (costs(env, "first-touch"), costs(env, "first-touch-2M"),
                            costs(env, "first-touch", *WITHOUT))
    return [
        Figure("first_touch", "4 KiB", "instructions", small["4k"], KVM, "KVM, recorded", LIMIT, of="ours",
               note="zeroes by cbo.zero counted in"),
        Figure("first_touch", "4 KiB beside Xvisor", "instructions", small["4k"], XVISOR, "Xvisor, recorded"),
        Figure("first_touch", "4 KiB without Zicboz", "instructions", stores["4k"], KVM, "KVM, recorded",
               note="512 stores and their loop counted in"),
        Figure("first_touch", "4 KiB, a table each", "instructions", small["2m"],
               note="one page in each 2 MiB: a leaf table comes with it"),
        Figure("first_touch", "2 MiB", "instructions", large["2m"], 512 * small["4k"], "512 pages one by one"),
    ]
