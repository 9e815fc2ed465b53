"""What a guest does in a soak: DMA of every kind, resets of its cards, deaths; one after the other, as its seed says.

A labour is a generator that yields whenever the other guests may go on. It raises Broken when something is not as it
has to be.
"""
import json
import random
import re
import time
from contextlib import contextmanager

from reach import OWNED, PAGE, REVOKING, TABLE, addresses_of

PIECE = 1024  # dma-tests/dpdk/rogue/line.h
WHERES = ["first", "middle", "last"]
SECONDS = 300  # for one step
REPORTED = 60  # for a fault
ENDLESS = "sg --packets 60000000"
AT_WORK = r"sg: traffic: \d+ packets each way"
METHODS = {"e1000e": ("CTRL.RST", "device"), "igb": ("flr", "FLR"), "virtio-net-pci": ("status", "device")}  # guest's, Cordon's
NOWHERE, TOO_WIDE = 1 << 36, 1 << 50


class Broken(AssertionError):
    """Something was not as it has to be."""


def must(right, what):
    if not right:
        raise Broken(what)


class Faults:
    """Every fault of the machine, each of which somebody has to have asked for."""

    def __init__(self, machine):
        self._machine, self._asked, self.reported, self.left_out = machine, [], 0, 0

    @contextmanager
    def asked(self, slot, first, last):
        """In this block the card at SLOT has to fault between two addresses."""
        mine = [f"0000:00:{slot:02x}.0", first, last, 0]
        self._asked.append(mine)
        yield
        until = time.monotonic() + REPORTED  # a busy host's QEMU may get to the card after its driver has given up
        while not mine[3] and time.monotonic() < until:
            self.take()
        self._asked.remove(mine)
        must(mine[3], f"nothing was reported of {mine[0]}, which was told to go to {first:#x}")

    def take(self):
        left, faults = self._machine.left_out(), self._machine.unexpected
        self._machine.unexpected = []
        for fault in faults:
            mine = [one for one in self._asked if one[0] == fault.device and
                    one[1] <= int(fault.iova) + fault.span and int(fault.iova) <= one[2]]
            must(mine, f"a fault that nobody asked for: {fault}")
            mine[0][3] += fault.count
            self.reported += fault.count
        for more in left:
            must(more.device in [one[0] for one in self._asked], f"faults that nobody asked for: {more}")
            self.left_out += more.count


class Worker:
    """A guest with two cards of MODEL on the wire HUB."""

    def __init__(self, soak, name, model, hub, slots, seed):
        self.soak, self.name, self.model, self.hub, self.slots = soak, name, model, hub, slots
        self.shared, self.outside, self.faults = soak.shared, soak.outside, soak.faults
        self.machine = self.shared.machine
        self.guest = self.machine.guests[name]
        self.random = random.Random(f"{seed} {name}")
        self.lives, self.alive, self.doing, self._text = 1, True, "nothing", None
        self.packets = self.attacks = self.resets = 0
        self.labours = [self.sg, self.rogue, self.contig, self.reset, self.die]
        if model != "virtio-net-pci":  # QEMU has all of a ring's memory mapped from the start
            self.labours.append(self.churn)
        self.done = dict.fromkeys((labour.__name__ for labour in self.labours), 0)

    def work(self, is_over):
        """All labours, again and again, until IS_OVER after one of them and each was done."""
        while True:
            for labour in self.random.sample(self.labours, len(self.labours)):
                self.doing = labour.__name__
                began = time.monotonic()
                yield from labour()
                self.done[self.doing] += 1
                self.soak.say(f"{self.name}, {self.model}: {self.doing}, {time.monotonic() - began:.1f} s")
                self.doing = "nothing"
                if is_over() and all(self.done.values()):
                    return

    # ---- its shell --------------------------------------------------------------------------------------

    def _until(self, look, what):
        until = time.monotonic() + SECONDS
        while not (found := look()):
            must(time.monotonic() < until, f"{what} within {SECONDS} s; it ends with:\n{self.guest.tail()}")
            yield
        return found

    def _said(self, pattern):
        wanted, start = re.compile(pattern), self._heard

        def look():
            over = self.shared.is_over(self.name)
            found = wanted.search(self.guest.said, start)
            must(found or not over, f"its order has ended without {pattern!r}; it ends with:\n{self.guest.tail()}")
            return found
        found = yield from self._until(look, f"it has not said {pattern!r}")
        self._heard = found.end()
        return found

    def _begin(self, text):
        self._heard = len(self.guest.said)
        self.shared.begin(self.name, text)

    def _end(self):
        yield from self._until(lambda: self.shared.is_over(self.name), "its order has not ended")
        return self.shared.end(self.name)

    def _run(self, text):
        """The result of a program that has to pass."""
        self._begin(text)
        done = yield from self._end()
        must(done.status == 0 and done.result["passed"], f"{text}: {done.text[-2000:]}")
        return done.result

    def _ask(self, text):
        """The answer of a program that takes orders."""
        self.guest.type(text)
        found = yield from self._said(rf'\{{"order": "{text}".*?\}}')
        answer = json.loads(found[0])
        must("error" not in answer, f"{answer}")
        return answer

    def _quit(self):
        self.guest.type("quit")
        done = yield from self._end()
        must(done.status == 0, done.text[-2000:])

    # ---- labours ----------------------------------------------------------------------------------------

    def sg(self):
        choice = self.random.choice
        result = yield from self._run(f"sg --ring {choice([64, 256])} --frame {choice([1514, 9014])} --room {choice([1024, 2048])}")
        for flow in result["flows"]:
            must(flow["received"] == flow["sent"] == flow["packets"] and not flow["wrong"] + flow["strange"], str(flow))
            self.packets += flow["received"]

    def contig(self):
        result = yield from self._run("contig")
        must(len(result["pool"]) == 1, "contig has found no pool")

    def churn(self):
        """Memory is given back that both cards hold descriptors for."""
        self._begin("churn")
        found = yield from self._said(r'\{"program".*?\}')
        told = json.loads(found[0])
        answer = yield from self._ask("send")
        must(answer["came"], "churn: its packet has not come")
        was = addresses_of(self.machine, OWNED, self.guest.domain)
        answer = yield from self._ask("give")
        given = was - addresses_of(self.machine, OWNED, self.guest.domain)
        must(answer["own_error"] == 0 and len(given) == told["bytes"] // PAGE, f"churn: {answer}, {len(given)} pages have gone")
        sender, receiver = self.slots
        place = told["gpa"], told["gpa"] + told["bytes"] - 1
        with self.soak.untouched(given), self.faults.asked(sender, *place), self.faults.asked(receiver, *place):
            yield from self._ask("send")
        answer = yield from self._ask("take")
        must(answer["own_error"] == 0, f"churn: {answer}")
        answer = yield from self._ask("send")
        must(answer["came"], "churn: its packet has not come after the memory was taken again")
        yield from self._quit()

    def rogue(self):
        self._begin("rogue")
        yield from self._said(r'\{"program": "rogue".*?\]\}')
        ways = ["send", "receive"] + (["ring send", "ring receive"] if self.model != "virtio-net-pci" else [])
        for _ in range(6):
            yield from self._attack(self.random.choice(ways))
            answer = yield from self._ask("send none")
            must(answer["rest"], f"an honest packet after an attack: {answer}")
        mine = addresses_of(self.machine, OWNED, self.guest.domain)
        heard = self.outside.knock(self.hub)  # the control of those that nobody may hear
        must(heard and all(at & -PAGE in mine for at in heard), f"what came over the wire of {self.name} stands at {heard}")
        yield from self._quit()

    def _attack(self, way):
        place, held = self._aim()
        if "ring" in way:
            place &= -PAGE
        where = "" if "ring" in way else self.random.choice(WHERES) + " "
        before = held and bytes(self.machine.memory(held, PAGE))
        with self.faults.asked(self.slots["receive" in way], place - 64, place + PAGE):  # virtio: a header before it
            answer = yield from self._ask(f"{way} {where}{place:#x}")
        must(not held or bytes(self.machine.memory(held, PAGE)) == before, f"{way} at {place:#x} has changed what stands there")
        must("receive" in way or not answer.get("nonzero"), f"{way} from {place:#x}: something came over the wire: {answer}")
        self.attacks += 1

    def _aim(self):
        """A bus address that leads nowhere, and the host page there if nobody else changes it."""
        kind = self.random.choice(["guest", "hypervisor", "table", "nothing", "too wide"])
        others = [at for name, at in self.soak.kernels() if name != self.name]
        if kind == "guest" and others:
            page = self.random.choice(others)
            return page + PIECE, page
        if kind == "table":
            return self.random.choice(sorted(addresses_of(self.machine, TABLE))) + PIECE, None
        if kind == "nothing":
            return NOWHERE + PIECE, None
        page = self.soak.code + PAGE
        return (page | TOO_WIDE if kind == "too wide" else page) + PIECE, page

    # ---- resets -----------------------------------------------------------------------------------------

    def _traffic(self, then):
        """sg without an end is at work; THEN happens when a line is typed."""
        self._begin(f"{ENDLESS} & read line; {then}")
        found = yield from self._said(rf'{AT_WORK}|"error": "[^"]*"')
        must("error" not in found[0], found[0])
        yield from self._until(lambda: all(all(self._registers(slot).values()) for slot in self.slots), "its cards do not work")

    def _registers(self, slot):
        return self.outside.registers(self.model, slot)

    def _must_be_reset(self):
        for slot in self.slots:
            state = self._registers(slot)
            must(not any(state.values()), f"after its reset the card at {slot} has {state}")
        self._must_be_quiet()

    def _must_be_quiet(self):
        heard = self.outside.knock(self.hub)
        must(not heard, f"the cards of {self.name} are not quiet: what came over the wire stands at {[hex(at) for at in heard]}")

    def reset(self):
        """By the guest itself, in the middle of traffic."""
        cards = " ".join(f"0000:00:{1 + n:02x}.0" for n in range(len(self.slots)))
        yield from self._traffic(f"for card in {cards}; do sh /etc/cordon/reset $card; done; read line; "
                                 "kill -9 $!; wait $!")
        self.guest.type("reset")
        for _ in self.slots:
            found = yield from self._said(r"CORDON-DPDK-RESET \S+ \((\S+?)\)")
            must(found[1] == METHODS[self.model][0], f"{self.model} was reset by {found[1]}")
        self._must_be_reset()
        self.resets += len(self.slots)
        self.guest.type("end")
        yield from self._end()

    def die(self):
        """In the middle of traffic; and start again."""
        yield from self._traffic("echo c >/proc/sysrq-trigger")
        was = addresses_of(self.machine, OWNED, self.guest.domain)
        self.alive = False
        self.guest.type("die")
        yield from self._until(self.guest.peek_end, "it has not ended")
        must(self.guest.wait_end(1).how == "reboot", f"{self.guest.ended}")
        mine = (was & addresses_of(self.machine, state, self.guest.domain) for state in (OWNED, REVOKING))
        another = any(worker.alive and worker.guest.domain == self.guest.domain for worker in self.soak.workers)
        must(another or not any(mine), "its frames have not come free")  # a number goes to whoever starts next
        with self.soak.untouched(was):
            self._must_be_quiet()
        line = len(self.machine.console.lines)
        self._heard = len(self.guest.said)
        self.shared.start(self.name)
        self.alive, self.lives = True, self.lives + 1
        yield from self._said("CORDON-DPDK-ORDERS")
        self.shared.listen(self.name)
        given = self.machine.console.find(rf"\] {self.name}: device \S+: given; reset (\S+),", line)
        must([how[1] for how in given] == [METHODS[self.model][1]] * len(self.slots), f"its cards were reset by {given}")
        self._must_be_reset()
        self.resets += len(self.slots)
