"""The story, step by step: two guests at work, a rogue device, a judge outside."""
import tempfile
import time
from pathlib import Path

import attacks
import judge
import scene
import verdict
from cordon.machine import Machine

GUESTS_TIMEOUT = 180
ATTACK_TIMEOUT = 240
TYPE_PIECES = 16  # a UART takes so many bytes at a time
ROUND = r"CORDON-DISK round=(\d+) tree=(\w+) data=(\w+) again=(\w+)"
ROUND_BYTES = (2 * 16 + 2 * 64) << 20  # what one round of the disk's work moves
MEANT_TO_CHANGE = "kept out of the hashes, searched for the rogue's marker instead"


class Story:
    """One run. SAY gets a line at each step."""

    def __init__(self, say, folder=None, settings=None, log=None):
        self.say, self.log = say, log
        self.folder = Path(folder or tempfile.mkdtemp(prefix="cordon-story-"))
        self.settings = settings or scene.TREE / "tools/story/story.toml"
        self.verdict = verdict.Verdict()
        self.attacks = []   # all that were sent
        self.answers = []
        self.machine = None
        self.domains = {}

    # ---- the machine ----------------------------------------------------------------------------

    def open(self, **machine):
        """Make disks and bundle, start the machine, wait until both guests are at work."""
        bundle = scene.bundle(self.folder, self.settings,
                              {"red": "cordon.run=disk", "blue": "cordon.run=rogue"})
        self.say("OpenSBI starts Cordon; Cordon starts red and blue")
        self.machine = Machine(bundle, ram="3G", harts=4, log=self.log or self.folder / "console.log",
                               devices=scene.devices(self.folder), **machine)
        console = self.machine.console
        console.wait(r"\[cordon\] guests: 2;", 60)
        for name in ("red", "blue"):
            started = self.machine.channel.wait("vm-started", 5, vm=name)
            self.domains[name] = started
        console.wait("CORDON-ROGUE ready edus=", GUESTS_TIMEOUT)
        self.say("blue is up, its edu functions wait for orders")
        console.wait(ROUND, GUESTS_TIMEOUT)
        self.say("red is up, and has checked its disk once by SHA-256")
        self.machine.channel.ask("places", "places")

    def close(self):
        if self.machine:
            self.machine.close()

    # ---- what the judge knows -------------------------------------------------------------------

    def places(self):
        return [e for e in self.machine.channel.events if e["event"] == "place"]

    def owners(self):
        return judge.read_owners(self.machine.owner_records())

    def number(self, vm):
        return self.domains[vm]["domain"]

    # ---- attacks --------------------------------------------------------------------------------

    def order(self, orders):
        """Have blue's rogue carry out ORDERS; what it answers."""
        start = len(self.machine.console.lines)
        for line in [a.line() for a in orders] + ["go"]:
            self._type("blue", line)
        self.machine.console.wait("CORDON-ROGUE done", ATTACK_TIMEOUT, start)
        found = verdict.answers(self.machine.console.lines[start:])
        if len(found) != len(orders):
            self.verdict.trouble(f"{len(orders)} orders were given, {len(found)} were answered")
        self.attacks += orders
        self.answers += found
        return found

    def _type(self, vm, line):
        """Type a line to a guest; its UART takes a few bytes at a time."""
        taken = self.machine.channel.ask(f"type {vm} {line}", "typed")["taken"]
        deadline = time.monotonic() + 10
        while taken <= len(line):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{vm}'s console takes no input")
            taken += self.machine.channel.ask(f"type {vm} {line[taken:]}", "typed")["taken"]

    def everything_forbidden(self, runs):
        """Orders that aim at every class of memory and registers that is not blue's."""
        red = self.number("red")
        registers = scene.iommu_registers(self.machine.qmp)
        orders = [attacks.Attack("own", "before", 0, 0)]
        orders += attacks.edges(0, int(self.domains["blue"]["ram_bytes"]))
        orders += attacks.frames(runs, "red's-RAM", lambda r: r.domain == red)
        for state in ("table", "free", "held"):
            orders += attacks.frames(runs, f"{state}-frame", lambda r, s=state: r.state == s and not r.domain)
        orders += attacks.places(self.places())
        for name, address in scene.directory_places(registers):
            orders += attacks.both(name, address)
        orders += [a for slot, bar in scene.bars(self.machine.qmp).items()
                   for a in attacks.both(f"BAR-of-slot-{slot}", bar)]
        orders += attacks.both("configuration-space", 0x30000000 + (1 << 15))
        orders += attacks.levels()
        files = [int(p["hpa"], 0) + n * 0x1000 for p in self.places()
                 if p["name"].startswith("interrupt files") for n in range(3)]
        orders += attacks.messages(files, 0xC1000000, 1)
        orders = [a for a in orders if not self._is_own(a)]
        return orders + [attacks.Attack("own", "after", 0, 0)]

    def _is_own(self, attack):
        """Host addresses that happen to be addresses of blue's RAM too lead there, and rightly so."""
        return attack.verb != "own" and attack.iova < int(self.domains["blue"]["ram_bytes"])

    # ---- the acts -------------------------------------------------------------------------------

    def attack_beside_work(self):
        """First time: red works at full load meanwhile, and its own checksums must hold."""
        orders = self.everything_forbidden(self.owners())
        self.say(f"blue's rogue tries {len(orders)} things while red works")
        rounds = len(self.machine.console.find(ROUND))
        self._look_at(self.order(orders))
        self.machine.console.wait(ROUND.replace(r"(\d+)", str(rounds + 1)), GUESTS_TIMEOUT)

    def attack_in_silence(self):
        """Second time: red stands still, the machine is stopped before and after, and every frame that
        is not blue's is hashed from outside."""
        machine = self.machine
        machine.channel.ask("pause red", "paused", 30, vm="red")
        runs = self.owners()
        orders = self.everything_forbidden(runs)
        hashed, kept_out = self._judged(runs)
        machine.stop()
        before, registers = judge.Snapshot(machine.ram_file, scene.RAM_BASE, hashed), scene.iommu_registers(machine.qmp)
        machine.resume()
        self.say(f"red stands still; {before.frames} frames are hashed from outside; the rogue tries again")
        found = self.order(orders)
        machine.stop()
        after = judge.Snapshot(machine.ram_file, scene.RAM_BASE, hashed)
        self._compare(runs, before, after, kept_out)
        self._compare_registers(registers, scene.iommu_registers(machine.qmp))
        machine.resume()
        self._look_at(found)
        machine.channel.ask("resume red", "resumed", 10)

    def _judged(self, runs):
        """(runs to hash, runs that change in the ordinary course)."""
        blue = self.number("blue")
        registers = dict(scene.directory_places(scene.iommu_registers(self.machine.qmp)))
        changing = [(int(p["hpa"], 0) // 4096, -(-int(p["len"], 0) // 4096))
                    for p in self.places() if p["changes"]]
        changing += [(registers["command-queue"] // 4096, 16), (registers["fault-queue"] // 4096, 32)]
        others = [r for r in runs if r.domain != blue]
        quiet = judge.without(others, changing)
        named = [(int(p["hpa"], 0) // 4096, -(-int(p["len"], 0) // 4096)) for p in self.places()]
        records = [r for r in judge.without(quiet, named) if r.state in ("hypervisor", "held")]
        hashed = judge.without(quiet, [(r.first, r.pages) for r in records])
        return hashed, judge.without(others, [(r.first, r.pages) for r in hashed])

    def _compare(self, runs, before, after, kept_out):
        names = {self.number("red"): "red"}
        changed = before.changed(after)
        for frame in changed[:20]:
            owner = judge.who(runs, frame)
            self.verdict.escape(f"frame {frame << 12:#x}, {owner.label(names) if owner else 'unknown'}, changed")
        view, found = self.machine.ram, 0
        for run in kept_out:
            at = run.first * 4096 - scene.RAM_BASE
            if bytes(view[at:at + run.pages * 4096]).find(verdict.MARKER) >= 0:
                found += 1
                self.verdict.escape(f"the rogue's marker stands in {run.pages} frames at {run.first << 12:#x} ({run.state})")
        frames = sum(r.pages for r in kept_out)
        self.verdict.facts["judge"] = {"frames_hashed": before.frames, "frames_changed": len(changed),
                                       "frames_kept_out": frames, "kept_out": MEANT_TO_CHANGE}
        self.say(f"{before.frames} frames hashed twice: {len(changed)} changed; {frames} frames that change "
                 f"by themselves searched for the rogue's marker: found in {found} places")

    def _compare_registers(self, before, after):
        for name, value in before.items():
            if after[name] != value:
                self.verdict.escape(f"IOMMU register {name} changed from {value:#x} to {after[name]:#x}")

    def _look_at(self, found):
        for answer in found:
            if answer["verb"] == "own" and not answer["good"]:
                self.verdict.trouble(f"honest DMA ({answer['name']}) did not work: nothing can be concluded")
            elif answer["leaked"]:
                what = "did nothing" if answer["idle"] else f"brought back {answer['leaked']} bytes"
                (self.verdict.trouble if answer["idle"] else self.verdict.escape)(
                    f"read of {answer['name']} at {answer['iova']:#x} {what}")

    def end_of_work(self):
        """Red ends its work; the audit has the last word of the hypervisor's own."""
        self._type("red", "end")
        _, match = self.machine.console.wait(r"CORDON-DISK end rounds=(\d+) bad=(\d+)", GUESTS_TIMEOUT)
        if match[2] != "0":
            self.verdict.escape("red's checksums do not hold")
        audit = self.machine.channel.ask("audit", "audit", 60)
        if not audit["clean"]:
            self.verdict.escape(f"the audit: {audit['text']}")
        self.verdict.facts["red"] = {"rounds": int(match[1]), "bytes": int(match[1]) * ROUND_BYTES}
        self.verdict.facts["audit_clean"] = audit["clean"]
        self.say(f"red has ended: {match[1]} rounds, every checksum right; the audit is clean"
                 if match[2] == "0" and audit["clean"] else "red's work or the audit says otherwise")

    def count(self):
        """Fill the verdict's table of devices."""
        faults = [e for e in self.machine.channel.events if e["event"] == "fault"]
        self.verdict.facts["faults"] = verdict.fault_lines(faults)
        red = self.verdict.facts.get("red", {})
        rows = [("00:01.0 NVMe", "red", red.get("bytes", 0), 0, 0, 0), ("00:02.0 NVMe", "blue", 0, 0, 0, 0)]
        for n in range(scene.EDUS):
            slot = scene.FIRST_EDU + n
            mine = [a for i, a in enumerate(self.answers) if i % scene.EDUS == n]
            tries = [a for a in mine if a["verb"] != "own"]
            records = sum(e["count"] for e in faults if int(e["device_id"], 0) == slot << 3)
            rows.append((f"00:{slot:02x}.0 edu", "blue", 8192 * (len(mine) - len(tries)), len(tries),
                         len(tries) - sum(1 for a in tries if a["leaked"] and not a["idle"]), records))
        keys = ("device", "owner", "bytes_moved", "attempts", "refused", "fault_records")
        self.verdict.devices = [dict(zip(keys, row)) for row in rows]
