"""A machine on which a story is told: it starts, its rogue gets orders, its memory is listed."""
import tempfile
import time
from pathlib import Path

import attacks
import judge
import scene
import verdict
from cordon.machine import Machine

# Nothing waits for a time to pass: these bound how long an event may take on a slow machine.
BOOT_TIMEOUT = 600
ATTACK_TIMEOUT = 600
TYPE_TIMEOUT = 120
TYPE_BYTES = 400  # of one command to the hypervisor


class StageError(Exception):
    """The machine does not come to where the story begins."""


class Stage:
    """One machine. PROGRESS tells what goes on; FOLDER gets disks, bundle and console log."""

    def __init__(self, progress, folder=None, quick=False):
        self.progress, self.quick = progress, quick
        self.folder = Path(folder or tempfile.mkdtemp(prefix="cordon-story-"))
        self.verdict = verdict.Verdict()
        self.answers = []
        self.machine = None
        self.domains = {}

    @property
    def console(self):
        return self.machine.console

    def start(self, settings, bootargs, devices, **machine):
        """Start the machine and wait until Cordon has started all guests of the bundle."""
        with self.progress.doing("the bundle is made, with a hash of each image"):
            bundle = scene.bundle(self.folder, settings, bootargs)
        self.machine = Machine(bundle, ram="3G", harts=4, log=self.folder / "console.log",
                               devices=devices, **machine)
        with self.progress.doing("OpenSBI and Cordon start"):
            _, found = self.console.wait(r"\[cordon\] (guests: \d+;|REFUSED.*|.*PANIC.*)",
                                         BOOT_TIMEOUT)
        if not found[1].startswith(f"guests: {len(bootargs)};"):
            raise StageError(f"Cordon does not start all guests: {found[1]}")
        for name in bootargs:
            self.domains[name] = self.machine.channel.wait("vm-started", BOOT_TIMEOUT, vm=name)
        self.machine.channel.ask("places", "places", BOOT_TIMEOUT)

    def close(self):
        if self.machine:
            self.machine.close()

    # ---- what the judge knows -------------------------------------------------------------------

    def places(self):
        return [e for e in self.machine.channel.events if e["event"] == "place"]

    def owners(self):
        runs = judge.read_owners(self.machine.owner_records(BOOT_TIMEOUT))
        listed, there = sum(r.pages for r in runs), self.machine.ram_file.size // judge.PAGE
        if listed != there:
            raise StageError(f"the list of owners speaks of {listed} frames of {there}")
        for name, vm in self.domains.items():
            has = sum(r.pages for r in runs if r.domain == vm["domain"] and r.state == "owned")
            if has * judge.PAGE > int(vm["ram_bytes"]) + int(vm["pool_bytes"]):
                raise StageError(f"the list of owners gives {name} {has} frames, more than it has "
                                 "memory")
        return runs

    def number(self, vm):
        return self.domains[vm]["domain"]

    def faults(self):
        """Every fault event so far, those included that the hypervisor had not told yet."""
        self.machine.channel.ask("faults", "faults", BOOT_TIMEOUT)
        return [e for e in self.machine.channel.events if e["event"] == "fault"]

    # ---- orders ---------------------------------------------------------------------------------

    def order(self, orders):
        """Have blue's rogue carry out ORDERS; what it answers."""
        start = len(self.console.said_by("blue"))
        self.type("blue", [a.line() for a in orders] + ["go"])
        self.console.wait_said("blue", r"CORDON-ROGUE done orders=\d+\.", ATTACK_TIMEOUT, start)
        found = verdict.answers(self.console.said_by("blue", start))
        if [(a.verb, a.name) for a in orders] != [(a["verb"], a["name"]) for a in found]:
            self.verdict.trouble(f"{len(orders)} orders were given, {len(found)} were answered, or "
                                 "others")
        self.answers += found
        return found

    def tell(self, line):
        """Have blue's rogue do one thing at once; its answer: (words, {name: value})."""
        start = len(self.console.said_by("blue"))
        self.type("blue", [line])
        verb = line.split()[0]
        self.console.wait_said("blue", rf"CORDON-ROGUE {verb} [^.]*\.", ATTACK_TIMEOUT, start)
        return verdict.fields(self.console.said_by("blue", start), verb)

    def type(self, vm, lines):
        """Type LINES to a guest, as many bytes at a time as its UART has room for."""
        text, deadline = "\n".join(lines), time.monotonic() + TYPE_TIMEOUT
        while True:
            part = text[:TYPE_BYTES]
            if len(part) < len(text) and "\n" in part:
                part = part[:part.rindex("\n")]
            taken = self.machine.channel.ask(f"type {vm} {part}", "typed", TYPE_TIMEOUT)["taken"]
            if taken > len(text):
                return  # with the end of its last line
            text = text[taken:]
            deadline = time.monotonic() + TYPE_TIMEOUT if taken else deadline
            if time.monotonic() > deadline:
                raise TimeoutError(f"{vm}'s console takes no input")

    def own(self, name):
        """Honest DMA by every edu."""
        return attacks.own(name, scene.EDUS)

    def look_at_own(self, found):
        for answer in found:
            if answer["verb"] == "own" and not answer["good"]:
                self.verdict.trouble(f"honest DMA by edu {answer['by']} ({answer['name']}) did not "
                                     "work: "
                                     "nothing can be concluded")
