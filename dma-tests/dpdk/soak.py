"""All at once, for a set time: guests with cards of every model do DMA that is right and DMA that is wrong, have their
cards reset, die and start again, while the machine is looked at and changed beside them; and all counts agree.

    summary = soak.run(folder, seconds=60, seed=7, say=print)

What each guest does, and what is done beside it, follows from the seed; how these meet in time does not.
"""
import random
import struct
import time
from collections import Counter
from contextlib import contextmanager, suppress

import guests
from cordon.qemu.qmp import QmpError
from labours import Broken, Faults, Worker, must
from machine import MIB, bare, bare_guest
from outside import Outside
from reach import FREE, HELD, OWNED, PAGE, REVOKING, TABLE, addresses_of

SLOTS = {"red": (1, 4), "blue": (7, 10), "green": (13, 16)}
EVERY = 0.3  # seconds between what is done beside the guests
KEEPER = "grey"  # has no card: its memory comes at first touch, moves, and is compared all the time
SETTINGS = {"memory": 224 * MIB, "hugepages": 56, "vcpus": 1, "pool": 8 * MIB,
            "ram-base": 0}  # no host address of RAM is one of its own


class Beside:
    """What is done to the machine while its guests work."""

    def __init__(self, soak, seed):
        self._soak, self._random = soak, random.Random(f"{seed} beside")
        self._machine, self._keeper = soak.shared.machine, soak.shared.machine.guests[KEEPER]
        self._acts = [self._audit, self._log, self._coalesce, self._move, self._compact, self._look, self._pause]
        self.done = Counter({act.__name__[1:]: 0 for act in self._acts})
        self._last = time.monotonic()

    def act(self):
        """One thing, or nothing while the last one is fresh; a guest that is not there is left out."""
        if time.monotonic() < self._last + EVERY:
            return
        act = self._random.choice(self._acts)
        guest = self._random.choice([self._keeper, *(worker.guest for worker in self._soak.workers if worker.alive)])
        act(guest)
        self.done[act.__name__[1:]] += 1
        self._last = time.monotonic()

    def _audit(self, guest):
        self._machine.audit()

    def _log(self, guest):
        guest.log()
        guest.dirty()
        guest.log(False)

    def _coalesce(self, guest):
        guest.coalesce()

    def _move(self, guest):
        moves, refused = guest.move(4, self._random.randrange(1 << 30), PAGE)
        must(guest is self._keeper or refused == 4, f"{guest.name} has cards, and {moves.pages} pages of it have moved")

    def _compact(self, guest):
        self._machine.compact(4 * MIB, align=2 * MIB)

    def _look(self, guest):
        guest.memory(), guest.exits(), guest.tables(), guest.map()

    def _pause(self, guest):
        guest.pause()
        guest.resume()


class Soak:
    """The machine SHARED at work."""

    def __init__(self, shared, seed, say):
        self.shared, self.say = shared, say
        machine = self._machine = shared.machine
        self.outside, self.faults = Outside(machine), Faults(machine)
        start = len(machine.channel.events)
        machine.channel.order("places", "places")
        (told,) = machine.channel.seen("place", start, name="hypervisor code")
        self.code = int(told["hpa"], 0)
        self._kernel, self._kernels = guests.KERNEL.read_bytes(), {}
        self.workers = [Worker(self, name, model, hub, SLOTS[name], seed)
                        for hub, (name, model) in enumerate(zip(SLOTS, guests.MODELS))]
        self._beside = Beside(self, seed)

    def kernels(self):
        """(name, host address) of a page of each guest's kernel that it never changes."""
        for worker in self.workers:
            if worker.alive and (worker.name, worker.lives) not in self._kernels:
                self._kernels[worker.name, worker.lives] = self._kernel_of(worker.guest)
        return [(worker.name, self._kernels[worker.name, worker.lives]) for worker in self.workers if worker.alive]

    def _kernel_of(self, guest):
        mine = addresses_of(self._machine, OWNED, guest.domain)
        for at in range(len(self._kernel) // 2 & -PAGE, len(self._kernel), MIB):
            page = self._kernel[at:at + PAGE]
            if any(page) and (found := mine & self.outside.find(page)):
                return found.pop()
        raise Broken(f"{guest.name}'s kernel is not found in its memory")

    @contextmanager
    def untouched(self, frames):
        """In this block nothing lands in those of FRAMES that are nobody's."""
        held = {at: hash(bytes(self._machine.memory(at, PAGE))) for at in frames & addresses_of(self._machine, FREE)}
        yield
        for at in held.keys() & addresses_of(self._machine, FREE):
            must(hash(bytes(self._machine.memory(at, PAGE))) == held[at], f"frame {at:#x}, which is nobody's, has changed")

    def work(self, seconds):
        until = time.monotonic() + seconds
        working = {worker: worker.work(lambda: time.monotonic() > until) for worker in self.workers}
        while working:
            for worker, labours in list(working.items()):
                if next(labours, "over") == "over":
                    del working[worker]
            self._beside.act()
            self.faults.take()

    def frames(self):
        """How many frames there are of each state, the keeper's apart, which stands still or has ended."""
        keeper = self._machine.guests[KEEPER].domain
        found = Counter()
        for _, pages, owner, state in struct.iter_unpack("<QIHH", self._machine.owner_records()):
            found[FREE if (state, owner) == (OWNED, keeper) else state] += pages
        return found

    def settle(self, before):
        """It is over: nothing is left of those who died, and nothing has happened that was not asked for."""
        keeper = self._machine.guests[KEEPER]
        keeper.type("")
        must(keeper.wait_end(60).how == "shutdown" and "FAILED" not in keeper.said, f"{KEEPER}: {keeper.tail()}")
        self.faults.take()
        told, seen = self.faults.reported + self.faults.left_out, self.shared.seen_faults()
        must(told == seen or (told < seen and self._overflowed()), f"{told} faults were told of, QEMU's own trace has {seen}")
        self._machine.audit()
        after = self.frames()
        must(not after[REVOKING], f"{after[REVOKING]} frames still wait for devices")
        must(all(sum(after[state] - before[state] for state in states) == 0 for states in ([OWNED], [FREE, HELD, TABLE])),
             f"frames by state were {dict(before)}, and are {dict(after)}")
        return {"free_before": before[FREE], "free": after[FREE], "tables_before": before[TABLE], "tables": after[TABLE],
                "owned": after[OWNED], "revoking": after[REVOKING]}

    def _overflowed(self):
        """Has the fault queue been full? What it had no room for then is known to QEMU alone."""
        start = len(self._machine.channel.events)
        self._machine.channel.order("faults", "faults")
        return any(iommu["overflows"] for iommu in self._machine.channel.seen("iommu-faults", start))

    def told(self):
        """What has been done, and by whom."""
        return {"guests": {worker.name: {"model": worker.model, "lives": worker.lives, "packets": worker.packets,
                                         "attacks": worker.attacks, "cards_reset": worker.resets, "done": worker.done}
                           for worker in self.workers},
                "faults": {"reported": self.faults.reported, "only_counted": self.faults.left_out, "unexplained": 0},
                "beside": dict(self._beside.done)}

    def doing(self):
        return ", ".join(f"{worker.name} {worker.doing}" for worker in self.workers)


@contextmanager
def _machine(folder):
    vms = {name: guests.vm(name, slots, **SETTINGS) for name, slots in SLOTS.items()}
    vms[KEEPER] = bare(KEEPER, memory=8 * MIB, fill="first-touch")
    devices = [word for hub, (slots, model) in enumerate(zip(SLOTS.values(), guests.MODELS))
               for slot in slots for word in guests.card(model, slot, hub)]
    folder.mkdir(parents=True, exist_ok=True)
    with guests.cordon(folder, vms, devices, ram="1280M", start=SLOTS, images={KEEPER: bare_guest("keeper", folder)},
                       harts=len(vms) + 1) as shared:
        shared.machine.guests[KEEPER].wait("keeps")
        yield shared


def run(folder, seconds, seed, say):
    """A summary, as JSON has it. What is not as it has to be is a Broken, with the seed."""
    began = time.monotonic()
    say(f"four guests start; seed {seed}")
    with _machine(folder) as shared:
        keeper = shared.machine.guests[KEEPER]
        soak = Soak(shared, seed, say)
        keeper.pause()
        before = soak.frames()
        keeper.resume()
        try:
            soak.work(seconds)
            frames = soak.settle(before)
        except Exception as why:
            with suppress(QmpError):  # of a QEMU that has gone, WHY says how
                (folder / "harts.txt").write_text(shared.machine.qmp.hmp("info registers -a"))
            raise Broken(f"seed {seed}, {soak.doing()}: {why}") from why
        return {"program": "soak", "passed": True, "seed": seed, "seconds": round(time.monotonic() - began, 1),
                **soak.told(), "frames": frames}
