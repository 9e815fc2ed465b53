"""Linux from its first instruction to init, as a guest beside the same kernel without a hypervisor."""
import statistics

import bundle
import machine as boots
from cordon.machine.machine import HYPERVISOR
from emulator import GUEST_MIB, Emulator, FillCounter
from figures import Figure
from cordon.qemu.gdbstub import GdbStub

# The PMU driver, which a guest does not load, would halt the counter that idle time is read with.
BOOTARGS = "console=ttyS0 panic=-1 nokaslr initcall_blacklist=pmu_sbi_devinit"
INIT = r"BENCH-INIT time=(\d+) uptime_us=(\d+)"
NS_PER_TICK = 100  # of the time CSR of QEMU's virt
FILL = r"bench fill (\d+)"


def _boot(emulator, start=None):
    """(ticks from the first instruction to init, uptime at init in seconds)."""
    with emulator as machine:
        if start:
            start()
        init = machine.wait(INIT)
        first = machine.wait(r"BENCH-FIRST time=(\d+)", 1)
    return int(init[1]) - int(first[1]), int(init[2]) / 1e6


def _idle(stub):
    """Nanoseconds of virtual time that went by without an instruction (shift=0: each takes one)."""
    ticks, instructions = stub.read("time", "minstret")
    return ticks * NS_PER_TICK - instructions


def _count(env, make, seed):
    """Instructions from the kernel's first to init's, in whichever mode.

    Nothing idles between the kernel's first instruction and the moment its line is seen: the scheduler
    does not run so early. Nor does anything after init's line, for init spins.
    """
    stub = GdbStub(env.parts.folder)
    arguments = (*stub.arguments, "-seed", str(seed))
    with make(BOOTARGS + " -- spin", *arguments, icount=True) as machine:
        first = machine.wait(r"BENCH-FIRST time=(\d+)")
        idle_before = _idle(stub)
        init = machine.wait(INIT)
        idle = _idle(stub) - idle_before
    return (int(init[1]) - int(first[1])) * NS_PER_TICK - idle, idle


def _instructions(env):
    turns = env.turns(3)
    found = {"plain": [], "guest": []}
    for turn in range(turns):
        for name, make in (("plain", env.parts.plain), ("guest", env.parts.guest)):
            env.say(f"boot: instructions, seed {turn + 1} of {turns}, {name}")
            found[name].append(_count(env, make, turn + 1))
    plain, guest = (statistics.median(count for count, _ in found[name]) for name in ("plain", "guest"))
    return Figure("boot", "instructions", "instructions to init", guest, plain, "no hypervisor", 1.05,
                  note=f"-icount shift=0, one hart; median of {turns} seeds of the kernel's random numbers",
                  more={name: [{"instructions": count, "idle_ns": idle} for count, idle in runs]
                        for name, runs in found.items()})


def _fill_cost(env):
    """Nanoseconds a TLB fill (plain, guest): medians of runs in turns."""
    payload = env.parts.fill
    plain = env.parts.write("fill.bin", payload)
    guest = env.parts.write("fill.itb", bundle.make({"guest": payload}, {"solo": boots.bare(memory=64 << 20)}))
    found = ([], [])
    for turn in range(env.turns(3)):
        env.say(f"boot: cost of a TLB fill, turn {turn + 1}")
        for costs, emulator in ((found[0], Emulator(plain, None, ram_mib=GUEST_MIB)),
                                (found[1], Emulator(HYPERVISOR, guest))):
            with emulator as machine:
                costs.append(int(machine.wait(FILL)[1]) * NS_PER_TICK / 100)
    return tuple(statistics.median(costs) for costs in found)


def _fills(env):
    """TLB fills of a boot, counted in QEMU's log."""
    env.say("boot: TLB fills of one boot, counted in QEMU's log")
    counter = FillCounter()
    _boot(env.parts.plain(BOOTARGS, *counter.arguments, pass_fds=counter.fds), counter.start)
    return counter.end()


def _uptime(env):
    turns = env.turns(9)
    found = {"plain": [], "guest": []}
    for turn in range(turns):
        for name, make in (("plain", env.parts.plain), ("guest", env.parts.guest)):
            env.say(f"boot: uptime at init, turn {turn + 1} of {turns}, {name}")
            found[name].append(_boot(make(BOOTARGS))[1])
    plain, guest = (statistics.median(found[name]) for name in ("plain", "guest"))
    one, two = _fill_cost(env)
    fills = _fills(env)
    floor = plain + fills * (two - one) / 1e9
    spread = {name: [min(times), max(times)] for name, times in found.items()}
    return [
        Figure("boot", "uptime", "s at init", guest, floor, "the floor", 1.15,
               note=f"floor: {plain:.3f} s plain + {fills:,} fills x ({two:.0f} - {one:.0f}) ns, each taken "
                    f"as a walk of all levels, which is the dearest: a generous floor; median of {turns}",
               more={"plain_s": plain, "fills": fills, "fill_ns_plain": one, "fill_ns_guest": two,
                     "range_s": spread, "turns": turns}),
        Figure("boot", "uptime-plain", "s at init", guest, plain, "no hypervisor",
               note=f"told, not judged; median of {turns}")]


def run(env):
    return [_instructions(env), *_uptime(env)]
