"""Guests with DPDK, for tests and benchmarks: under Cordon, and on the same machine without it.

    with guests.cordon(folder, {"red": guests.vm("red", [1, 4])}, wire("igb", [1, 4])) as m:
        done = m.order("red", "sg --ring 64")      # a line for its shell; waits until it is over
        assert done.status == 0 and done.result["passed"]
    with guests.plain(folder, wire("igb", [1, 4])) as alone:
        done = alone.order("sg")                   # the same kernel and root, no hypervisor

A machine starts in some seconds, so tests share one: the fixtures `pair` and `apart` of conftest.py are it. What
went wrong is in FOLDER: the console, and QEMU's own trace of what its IOMMU was told and did. Where nothing did,
both are deleted.
"""
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bundle
import emulator
from cordon.machine import Machine
from machine import MIB

TREE = Path(__file__).resolve().parents[2]
KERNEL, ROOT = TREE / "out/guest/Image", TREE / "out/dpdk/initramfs.cpio.zst"
BOOTARGS = "console=ttyS0 panic=-1 quiet cryptomgr.notests cordon.run=dpdk-orders"
CONSOLE, TRACED = "console.log", "iommu.log"
MODELS = {"e1000e": "", "igb": "", "virtio-net-pci": ",iommu_platform=on,disable-legacy=on"}
READY = 180  # seconds for a boot, on a host that has much else to do


def card(model, slot, hub=0, more=None):
    """QEMU's arguments for a network card at a slot, on the wire HUB. MORE replaces its usual properties."""
    properties = MODELS[model] if more is None else more
    return ("-netdev", f"hubport,id=wire{slot},hubid={hub}",
            "-device", f"{model},netdev=wire{slot},addr={slot:#x},id=card{slot}{properties}")


def wire(model, slots, more=None):
    """Cards of a model at SLOTS, all on one wire. Functions of SR-IOV want slots of their own: 1 and 4, not 1 and 2."""
    return tuple(word for slot in slots for word in card(model, slot, more=more))


def vm(name, slots, memory=384 * MIB, hugepages=112, vcpus=2, more="", **settings):
    """Settings of a guest that is given the cards at SLOTS; see dma-tests/dpdk/etc/dpdk. MORE: more bootargs."""
    return {"vcpus": vcpus, "memory": memory, "kernel": "linux", "ramdisk": "ramdisk",
            "bootargs": f"{BOOTARGS} cordon.name={name} cordon.hugepages={hugepages} {more}".strip(),
            "devices": [{"pci": f"0000:00:{slot:02x}.0"} for slot in slots]} | settings


@dataclass(frozen=True)
class Done:
    """An order that is over: its exit status, and what was said meanwhile, without line ends."""

    status: int
    text: str

    @property
    def result(self):
        """The JSON that our programs end with."""
        found = re.search(r'\{"program": .*\}', self.text)
        assert found, f"no result in: {self.text[-2000:]}"
        return json.loads(found[0])


# ---- evidence -------------------------------------------------------------------------------------

MANY = ("-riscv_iommu_dma", "-riscv_iommu_hpm_*")  # a line for each DMA is much
_traced = ["riscv_iommu_*", *MANY]
_at_work, _broken = set(), set()  # folders of machines


def trace(everything):
    """Whether QEMU's trace of machines that start from now on has a line for each DMA, too."""
    _traced[1:] = [] if everything else MANY


def _witness(folder):
    return *(word for events in _traced for word in ("-trace", events)), "-D", str(folder / TRACED)


def something_failed():
    """What the machines that are at work leave is kept: their folders, and those of any that have broken off."""
    kept = sorted(_broken | _at_work)
    _broken.clear()
    _broken.update(_at_work)
    return kept


@contextmanager
def evidence(folder):
    """What a machine leaves in FOLDER goes when the block is over, unless something has failed meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    _at_work.add(folder)
    try:
        yield
    except BaseException:
        _broken.add(folder)
        raise
    finally:
        _at_work.discard(folder)
    if folder not in _broken:
        for name in (CONSOLE, TRACED):
            (folder / name).unlink(missing_ok=True)


# ---- machines -------------------------------------------------------------------------------------

class Orders:
    """A shell that takes orders, one at a time. TYPE reaches its guest; WAIT(pattern, timeout) awaits what it says:
    the match, and all that was said since the last one."""

    def __init__(self, type_line, wait):
        self._type, self._wait, self._count = type_line, wait, 0
        (self.ready, _) = wait(r"CORDON-DPDK \w+ hugepages=(\d+) asked=\d+ cards=([\da-f:.,]*)", READY)
        wait("CORDON-DPDK-ORDERS", READY)

    def begin(self, text):
        """Type an order; end() waits for it."""
        self._count += 1
        self._type(text)

    def end(self, timeout=60):
        found, said = self._wait(rf"CORDON-DPDK-DONE {self._count} status=(\d+)", timeout)
        return Done(int(found[1]), said)


class Guests:
    """A machine with Cordon whose guests take orders; `machine` is the Machine itself."""

    def __init__(self, machine, names, traced):
        self.machine, self._traced = machine, traced
        self._orders, self._begun = {}, dict.fromkeys(names, 0)
        for name in names:
            self.listen(name)

    @staticmethod
    def _wait_of(guest, start=0):
        def wait(pattern, timeout):
            nonlocal start
            found = guest.wait(pattern, timeout, start)
            said, start = found.string[start:found.start()], found.end()
            return found, said
        return wait

    def ready(self, name):
        """(huge pages that are free, names of the cards) of a guest, when it was ready."""
        found = self._orders[name].ready
        return int(found[1]), found[2].split(",")

    def begin(self, name, text):
        self._begun[name] = len(self.machine.guests[name].said)
        self._orders[name].begin(text)

    def is_over(self, name):
        """Whether end() would not have to wait."""
        return "CORDON-DPDK-DONE" in self.machine.console.said_by(name, self._begun[name])

    def end(self, name, timeout=60):
        return self._orders[name].end(timeout)

    def order(self, name, text, timeout=60):
        """Run TEXT in a guest's shell to its end."""
        self.begin(name, text)
        return self.end(name, timeout)

    def start(self, name):
        """Start a guest again that has ended; listen() waits until it takes orders."""
        self._begun[name] = len(self.machine.guests[name].said)
        self.machine.guests[name].start()

    def listen(self, name):
        guest = self.machine.guests[name]
        self._orders[name] = Orders(guest.type, self._wait_of(guest, self._begun[name]))

    def seen_faults(self):
        """How many faults of the IOMMU QEMU's own trace has."""
        return self._traced.read_text().count("riscv_iommu_flt")

    def quiet(self):
        """No fault that nobody has taken, and all tables say what the maps say."""
        assert not self.machine.unexpected_faults() and not self.machine.left_out()
        self.machine.audit()


@contextmanager
def cordon(folder, vms, devices, ram="1536M", start=None, images=None, **options):
    """A machine with these guests. Those of START (default: all) must come up with DPDK. IMAGES: more for the bundle."""
    images = {"linux": KERNEL.read_bytes(), "ramdisk": ROOT.read_bytes()} | (images or {})
    path = folder / "guests.itb"
    with evidence(folder):
        path.write_bytes(bundle.make(images, vms))
        with Machine(path, devices=(*devices, *_witness(folder)), ram=ram, log=folder / CONSOLE, **options) as machine:
            path.unlink()  # QEMU has read it
            yield Guests(machine, vms if start is None else start, folder / TRACED)


class Plain:
    """The same kernel and root on a machine without hypervisor."""

    def __init__(self, console):
        self._console, self._line = console, 0
        self._orders = Orders(lambda text: console.type(text + "\n"), self._wait)

    def _wait(self, pattern, timeout):
        start = self._line
        number, found = self._console.wait(pattern, timeout, start)
        self._line = number + 1
        return found, "".join(self._console.lines[start:number])

    def order(self, text, timeout=60):
        self._orders.begin(text)
        return self._orders.end(timeout)


@contextmanager
def plain(folder, devices, mib=512, hugepages=112, iommu=False, more="", kernel=KERNEL, **options):
    """One guest's kernel and root alone on a machine: what DMA does where nobody confines it. OPTIONS: Emulator's."""
    if iommu:  # this kernel has no driver for it: its devices need not wait for one
        more = f"deferred_probe_timeout=0 {more}"
    append = f"{BOOTARGS} cordon.name=plain cordon.hugepages={hugepages} {more}"
    with evidence(folder), emulator.Emulator(kernel, ROOT, "-append", append, *devices, *(_witness(folder) if iommu else ()),
                                             harts=2, ram_mib=mib, iommu=iommu, **options) as alone:
        try:
            yield Plain(alone.console)
        finally:
            (folder / CONSOLE).write_text("\n".join(alone.console.lines) + "\n")
