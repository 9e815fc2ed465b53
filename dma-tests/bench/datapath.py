"""Instructions that a packet takes in a guest with two network cards, beside the same kernel and root without a
hypervisor: testpmd and our sg on the guest and the baseline B of nics.py.

Under -icount an instruction of any hart is a nanosecond of the machine's time, so a packet takes as many as its share
of a second. How busy this machine is changes nothing; what the emulator's TLB costs is not in it (nics.py has that).
Intel's cards do all that they are told before the hart goes on. virtio's work for a thread of the emulator's, and
harts that wait for it look again and again, as often as it happens: those figures are told, not judged.
"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nics
from figures import Figure
from nics import guests

SECONDS = 0.2  # that testpmd is watched, at most
PACKETS = 3000  # of sg, at most
NS = 1e9
LIMIT = 1.05
ASIDE = "virtio-net-pci"  # a model that works aside of the harts


def _forwarding(machine, size, part):
    (since, before), (until, after) = nics.forwarded(machine, size, SECONDS * part, 1)
    return (until - since) * NS / (after - before)


def _checking(machine, size, part):
    return NS / nics.checked(machine, size, int(PACKETS * part))


TOOLS = {"": _forwarding, "sg-": _checking}


def _counted(env, model, kind, making, sizes):
    """{name: instructions a packet} on one machine."""
    env.say(f"datapath: {model}, {kind} starts")
    found = {}
    with making as machine:
        for tool, measure in TOOLS.items():
            for size in sizes:
                env.say(f"datapath: {model}, {tool}{size} bytes, {kind}")
                found[f"{tool}{size}"] = measure(machine, size, 0.5 if env.quick else 1)
    return found


def _card(env, model, sizes):
    folder, wire = Path(env.parts.folder), guests.wire(model, nics.SLOTS)
    makers = {"guest": nics.guest(folder / f"{model}-guest", wire, icount=0),
              "B": nics.baseline(env.parts, folder / f"{model}-B", wire, icount=True)}
    with ThreadPoolExecutor(len(makers)) as pool:  # neither changes what the other counts
        under_way = [pool.submit(_counted, env, model, kind, making, sizes) for kind, making in makers.items()]
        ours, beside = (each.result() for each in under_way)
    for name, count in ours.items():
        yield Figure("datapath", f"{model}-{name}", "instructions a packet", count, beside[name],
                     "B: IOMMU and tables, no hypervisor", None if model == ASIDE else LIMIT,
                     note="-icount shift=0, both harts" + (" and their waiting; told, not judged" if model == ASIDE else ""))


def run(env):
    for model in ["e1000e"] if env.quick else guests.MODELS:
        yield from _card(env, model, nics.SIZES[2:3] if env.quick else nics.SIZES)
