"""testpmd and our sg over two network cards of a guest, beside the same kernel and root without a hypervisor.

Three machines at a time, which take turns: the guest; B, the kernel alone with the same emulated IOMMU, its
tables set up by dma-tests/bench/loader; A, the kernel alone without any. All have as many harts, and as much memory
of one kind; the guest's is one leaf of 1 GiB. Linux has Sv39 tables in all of them, and what is measured is off its
first CPU, as docs/dpdk.md advises. testpmd has packets go round between the two cards for a while, and counts them;
sg sends so many both ways, in 1 to 4 segments, and looks at every byte.
"""
import re
import statistics
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from emulator import IOMMU, MIB, TREE, BenchError
from figures import Figure

sys.path.insert(0, str(TREE / "dma-tests/dpdk"))
import guests  # noqa: E402

SLOTS = (1, 4)
SIZES = (64, 512, 1518, 9000)  # with CRC
HARTS = 2
EACH_MIB, MACHINE = 1024, "3G"
SV39 = "no4lvl no5lvl"
KINDS = ("sbi", "mmio", "interrupt", "virtual", "absent", "spurious")
PARTS = 5  # of a measurement
ENOUGH = 150  # seconds for an order
START_GOAL = 10  # seconds
KVM_MMIO = 25_400 * 50  # for a million packets: KVM with VFIO on the same emulator, 25,400 for 20,000


def forwarded(machine, size, seconds, times):
    """[(time, packets that the two cards have sent on until then)], SECONDS apart, from some time after the start
    on: by dma-tests/dpdk/etc/forward."""
    done = machine.order(f"sh /etc/cordon/forward {size} {seconds} {times}", ENOUGH + 2 * seconds * times)
    found = [(float(at), int(sent)) for at, sent in re.findall(r"forwarded ([\d.]+) (\d+)", done.text)]
    if done.status != 0 or len(found) != times + 1:
        raise BenchError(f"testpmd: {done.text[-1500:]}")
    return found


def _sent_on(machine, size, seconds):
    """Packets a second: the median of parts of so many SECONDS."""
    found = forwarded(machine, size, seconds / PARTS, PARTS)
    return statistics.median((sent - before) / (at - since) for (since, before), (at, sent) in zip(found, found[1:]))


def checked(machine, size, count):
    """Packets a second that sg has found right, of COUNT."""
    done = machine.order(f"sg --size {size - 4} --segments 4 --packets {count} -- -l 1", ENOUGH)
    if done.status != 0:
        raise BenchError(f"sg: {done.text[-1500:]}")
    return done.result["packets_per_second"]


def _checked(machine, size, seconds):
    """Packets a second, of as many as take about so many SECONDS."""
    return checked(machine, size, int(checked(machine, size, 5000) * seconds / 2))


TOOLS = {"": _sent_on, "sg-": _checked}


class _Guest:
    """The guest, as guests.plain() shows a machine."""

    def __init__(self, machine):
        self._machine = machine
        self.exits = machine.machine.guests["red"].exits

    def order(self, text, timeout):
        return self._machine.order("red", text, timeout)


@contextmanager
def guest(folder, wire, **options):
    """A guest as docs/dpdk.md advises."""
    red = guests.vm("red", SLOTS, memory=EACH_MIB * MIB, more=SV39)
    with guests.cordon(folder, {"red": red}, wire, ram=MACHINE, harts=HARTS, **options) as machine:
        if "1G" not in {run.size for run in machine.machine.guests["red"].present()}:
            raise BenchError("the guest's memory is no leaf of 1 GiB")
        yield _Guest(machine)


def baseline(parts, folder, wire, **options):
    """B: the kernel alone, behind the same IOMMU with tables for the cards."""
    orders = {"iommu": IOMMU, "devices": sum(1 << (slot << 3) for slot in SLOTS), "ram_len": EACH_MIB * MIB}
    return guests.plain(folder, wire, EACH_MIB, iommu=True, again=True, more=SV39,
                        kernel=parts.write("loaded.bin", parts.kernel(**orders)), **options)


def _start(env, model):
    """Seconds from the start of a guest of usual size to a packet that has arrived."""
    before = time.monotonic()
    with guests.cordon(Path(env.parts.folder) / f"{model}-start", {"red": guests.vm("red", SLOTS)},
                       guests.wire(model, SLOTS), ram="1G", harts=HARTS) as machine:
        done = machine.order("red", "sg --packets 1")
        took = time.monotonic() - before
    if done.status != 0:
        raise BenchError(f"no packet has arrived: {done.text[-1500:]}")
    return Figure("nics", f"{model}-start", "s to a packet that has arrived", took, limit=START_GOAL, of="ours",
                  note="from QEMU's start, the bundle's making included")


def _machines(env, model, stack):
    """{kind: machine}."""
    folder, wire = Path(env.parts.folder), guests.wire(model, SLOTS)
    return {"guest": stack.enter_context(guest(folder / model, wire)),
            "iommu": stack.enter_context(baseline(env.parts, folder / f"{model}-iommu", wire)),
            "plain": stack.enter_context(guests.plain(folder / f"{model}-plain", wire, EACH_MIB, more=SV39,
                                                      shared=True))}


def _rates(env, model, machines, tool, size, seconds, turns):
    found = {kind: [] for kind in machines}
    for turn in range(turns):
        env.say(f"nics: {model}, {tool}{size} bytes, turn {turn + 1} of {turns}")
        for kind in (*machines, *machines)[turn % 3:turn % 3 + 3]:  # each of them first in its turn
            found[kind].append(TOOLS[tool](machines[kind], size, seconds))
    value = {kind: statistics.median(rates) for kind, rates in found.items()}
    ratios = [ours / beside for ours, beside in zip(found["guest"], found["iommu"])]
    return [Figure("nics", f"{model}-{tool}{size}", "packets/s", value["guest"], value["iommu"],
                   "B: IOMMU and tables, no hypervisor", 0.95, least=True, note=f"median of {turns}",
                   more={"ratios_by_turn": ratios}),
            Figure("nics", f"{model}-{tool}{size}-A", "packets/s", value["guest"], value["plain"],
                   "A: no IOMMU, no hypervisor", note="told, not judged")]


def _exits(env, model, machine, seconds):
    """What packets cost in exits: a long run beside a short one, for its start and end are not the data path."""
    env.say(f"nics: {model}, exits")
    packets, exits = [], []
    for length in (seconds, 4 * seconds):
        before = machine.exits()
        packets.append(forwarded(machine, 64, length, 1)[-1][1])
        after = machine.exits()
        exits.append({kind: getattr(after, kind) - getattr(before, kind) for kind in KINDS})
    more = packets[1] - packets[0]
    rate = {kind: max(0, exits[1][kind] - exits[0][kind]) * 1e6 / more for kind in KINDS}
    text = ", ".join(f"{kind} {rate[kind]:.0f}" for kind in KINDS if rate[kind])
    return Figure("nics", f"{model}-exits", "MMIO exits of a million packets", rate["mmio"], KVM_MMIO,
                  "KVM with VFIO on this emulator", 100, of="ours",
                  note=f"{more:,} packets more; of any kind: {text or 0}",
                  more={"packets": packets, "exits": exits})


def _card(env, model, sizes, seconds, turns):
    env.say(f"nics: {model}, a guest starts")
    yield _start(env, model)
    with ExitStack() as stack:
        env.say(f"nics: {model}, three machines start")
        machines = _machines(env, model, stack)
        for tool in TOOLS:
            for size in sizes:
                yield from _rates(env, model, machines, tool, size, seconds, turns)
        yield _exits(env, model, machines["guest"], seconds)


def run(env):
    models = ["e1000e"] if env.quick else list(guests.MODELS)
    sizes, seconds = ((1518,), 0.5) if env.quick else (SIZES, 2)
    for model in models:
        yield from _card(env, model, sizes, seconds, env.turns(5))
