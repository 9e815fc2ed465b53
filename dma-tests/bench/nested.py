"""Linux in a guest beside the same Linux without a hypervisor, for each page size and mode of the G-stage: to its
init, starting programs, reading anywhere in 1 GiB (short: 64 MiB), mapping pages. Instructions under -icount; time beside
a floor: the plain time, and what two stages cost more at each TLB fill that was counted."""
import statistics

import bundle
import machine as boots
from boot import BOOTARGS, FILL, INIT, NS_PER_TICK
from cordon.machine.machine import HYPERVISOR
from cordon.qemu.gdbstub import GdbStub
from emulator import MIB, TREE, Emulator, FillCounter
from figures import Figure

LINUX_MIB = 256
WORKS = ("storm", "walk", "mmap")
MEANING = {"boot": "to init", "storm": "fork and exec", "walk": "reads anywhere", "mmap": "mmap of 4 KiB"}
LIMIT, TIME_LIMIT = 1.05, 1.15
WIDTH = 0.12  # of a bar
CPU = ("-cpu", "rv64,h=true,svnapot=true")  # the last -cpu counts; without Svnapot there are no leaves of 64 KiB
PICTURE = TREE / "out/bench/nested.svg"

# What the guest's memory is made of (bit n: pieces of 2^n pages), and the mode of its tables where that is not
# the smallest, Sv39x4: settings of its node in the bundle.
LARGE = {"scatter-pieces": 1 << 9, "scatter-seed": 1}
BACKINGS = {
    "4K": {"scatter-pieces": 1 << 0, "scatter-seed": 1},
    "64K": {"scatter-pieces": 1 << 4, "scatter-seed": 1},
    "2M": LARGE,
    "1G": {},
    "2M-Sv48x4": {**LARGE, "gstage": "sv48x4"},
    "2M-Sv57x4": {**LARGE, "gstage": "sv57x4"},
    "first-touch": {"fill": "first-touch"},
}


def _sizes(env):
    """How much work: children, MiB to read in, reads, maps."""
    return (20, 64, 20_000, 500) if env.quick else (200, 1024, 400_000, 10_000)


def _guest_mib(env):
    return LINUX_MIB + _sizes(env)[1]


def _machine_mib(env):
    """With the hypervisor in it, and room for an aligned GiB."""
    return 2 * _guest_mib(env) + 512


def _backings(env):
    return list(BACKINGS)[:1] if env.quick else list(BACKINGS)


def _orders(storm, mib, walk, maps):
    """The kernel's command line with the words for init behind "--"."""
    return f"{BOOTARGS} -- work {storm} {mib} {walk} {maps} spin"


def _all(env):
    return _orders(*_sizes(env))


def _measure(emulator, start=None, idle=lambda: 0):
    """{work: ticks} of one run, without those in which, as IDLE counts them, no instruction ran."""
    found = {}
    with emulator as machine:
        if start:
            start()
        since = int(machine.wait(r"BENCH-FIRST time=(\d+)")[1])
        rested = idle()
        for work in ("boot", *WORKS):
            line = machine.wait(INIT if work == "boot" else rf"BENCH-WORK {work} ticks=(\d+)")
            before, rested = rested, idle()
            found[work] = int(line[1]) - (since if work == "boot" else 0) - (rested - before)
    return found


def _plain(env, *arguments, **options):
    return env.parts.plain(_all(env), *CPU, *arguments, mib=_guest_mib(env), **options)


def _guest(env, backing, *arguments, **options):
    return env.parts.guest(_all(env), *CPU, *arguments, mib=_guest_mib(env), more=BACKINGS[backing],
                           ram_mib=_machine_mib(env), **options)


def _fill_ns(env, backing=None):
    """Nanoseconds of a TLB fill, without a hypervisor or over this backing."""
    payload, found = env.parts.fill, []
    if backing is None:
        args = (env.parts.write("fill.bin", payload), None)
    else:
        one = bundle.make({"guest": payload}, {"solo": {**boots.bare(memory=_sizes(env)[1] * MIB), **BACKINGS[backing]}})
        args = (HYPERVISOR, env.parts.write("fill.itb", one))
    for _ in range(env.turns(3)):
        with Emulator(*args, *CPU, ram_mib=_machine_mib(env)) as machine:
            found.append(int(machine.wait(FILL)[1]) * NS_PER_TICK / 100)
    return statistics.median(found)


def _fills(env):
    """{work: TLB fills}, from the log of runs without a hypervisor, each of which does one thing more."""
    storm, mib, walk, maps = _sizes(env)
    runs = {"boot": (0, 1, 0, 0), "storm": (storm, 1, 0, 0), "written": (storm, mib, 0, 0),
            "walk": (storm, mib, walk, 0), "mmap": (storm, mib, walk, maps)}
    counts, last = {}, 0
    for name, sizes in runs.items():
        env.say(f"nested: TLB fills, {name}")
        counter = FillCounter()
        _measure(env.parts.plain(_orders(*sizes), *CPU, *counter.arguments, mib=_guest_mib(env), pass_fds=counter.fds),
                 counter.start)
        count = counter.end()
        counts[name], last = max(count - last, 0), count
    return counts


def _medians(runs):
    return {work: statistics.median(run[work] for run in runs) for work in runs[0]}


def _counted(env, make, *arguments):
    """A run under -icount, without idle time."""
    stub = GdbStub(env.parts.folder)

    def idle():
        ticks, instructions = stub.read("time", "minstret")
        return ticks - instructions // NS_PER_TICK
    return _measure(make(env, *arguments, *stub.arguments, icount=True), idle=idle)


def _instructions(env):
    env.say("nested: instructions without a hypervisor")
    plain = _counted(env, _plain)
    for backing in _backings(env):
        env.say(f"nested: instructions over {backing}")
        for work, count in _counted(env, _guest, backing).items():
            yield Figure("nested", f"{work}-{backing}", f"instructions {MEANING[work]}", count * NS_PER_TICK,
                         plain[work] * NS_PER_TICK, "no hypervisor", LIMIT, note="-icount shift=0, one hart",
                         more={"work": work, "backing": backing, "kind": "instructions"})


def _times(env):
    turns = env.turns(3)
    runs = {None: [], **{backing: [] for backing in _backings(env)}}
    for turn in range(turns):
        for backing, found in runs.items():
            env.say(f"nested: time, turn {turn + 1} of {turns}, {backing or 'no hypervisor'}")
            found.append(_measure(_plain(env) if backing is None else _guest(env, backing)))
    fills, one = _fills(env), _fill_ns(env)
    plain = _medians(runs.pop(None))
    for backing, found in runs.items():
        two, guest = _fill_ns(env, backing), _medians(found)
        for work, count in guest.items():
            seconds, bare = (ticks * NS_PER_TICK / 1e9 for ticks in (count, plain[work]))
            floor = bare + fills[work] * max(two - one, 0) / 1e9
            yield Figure("nested", f"{work}-time-{backing}", f"s {MEANING[work]}", seconds, floor, "the floor", TIME_LIMIT,
                         note=f"floor: {bare:.3f} s plain + {fills[work]:,} fills x "
                              f"({two:.0f} - {one:.0f}) ns; median of {turns}",
                         more={"work": work, "backing": backing, "kind": "time", "plain_s": bare, "fill_ns": two})


def _draw(figures):
    """Bars of the ratios, with the limits: out/bench/nested.svg."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    chart, axes = pyplot.subplots(1, 2, figsize=(13, 4), sharey=True)
    for axis, kind, limit in zip(axes, ("instructions", "time"), (LIMIT, TIME_LIMIT), strict=True):
        for place, backing in enumerate(dict.fromkeys(f.more["backing"] for f in figures)):
            ours = [f for f in figures if f.more["kind"] == kind and f.more["backing"] == backing]
            axis.bar([i + place * WIDTH for i in range(len(ours))], [f.ratio for f in ours], WIDTH * 0.9, label=backing)
        axis.axhline(limit, color="black", linewidth=0.8, linestyle="--")
        axis.set_xticks([i + 3 * WIDTH for i in range(len(MEANING))], list(MEANING))
        axis.set_title("instructions ÷ no hypervisor" if kind == "instructions" else "time ÷ floor")
    axes[0].legend(title="backing")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(PICTURE, bbox_inches="tight")
    pyplot.close(chart)


def run(env):
    figures = [*_instructions(env), *_times(env)]
    _draw(figures)
    env.say(f"nested: drawn in {PICTURE.relative_to(TREE)}")
    return figures
