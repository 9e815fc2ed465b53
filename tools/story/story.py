"""The story, act by act: two guests at work, a rogue device, a judge outside."""
import hashlib
import re

import attacks
import counts
import judge
import scene
import stage
import verdict

PAGE = judge.PAGE
ROUND_END = r"CORDON-DISK end rounds=(\d+) bad=(\d+) failed=(\d+)\."
ARCHIVE_BYTES = 16 << 20
KEPT_OUT = "kept out of the hashes, searched for the rogue's marker instead"
GIVEBACK_TRIES = 5
BLOCK = 256  # what one edu writes of a page that is given back: dma-tests/guest/lib/holes.c


class Story(stage.Stage):
    """One run of it. QUICK: fewer samples of each class, less data a round."""

    # ---- the machine ----------------------------------------------------------------------------

    def open(self, **machine):
        """Start the machine, and wait until both guests are at work."""
        with self.progress.doing("disks are made"):
            disks = scene.disks(self.folder)
        red = "cordon.run=disk" + (" cordon.round=8" if self.quick else "")
        self.start(scene.TREE / "tools/story/story.toml", {"red": red, "blue": "cordon.run=rogue"},
                   [*disks, *scene.edus()], **machine)
        self.progress.say("Cordon has started red and blue, their memory scattered and mixed")
        with self.progress.doing("both guests boot"):
            self.console.wait_said("blue", "CORDON-ROGUE ready edus=", stage.BOOT_TIMEOUT)
            found = self.console.wait_said("red", r"CORDON-DISK (working round=1 tree=(\w+)|no "
                                                  r"disk)\.",
                                           stage.BOOT_TIMEOUT)
        if found[2] != "good":
            self.verdict.trouble(f"red says: {found[0]}")
        self._check_blue_disk()
        self.progress.say("both are up: red has checked its disk once by SHA-256 and goes on, "
                          "blue's edu functions wait for orders")

    def _check_blue_disk(self):
        found = re.search(r"CORDON-DISK read bytes=(\d+) sha256=([0-9a-f]+)\.",
                          self.console.said_by("blue"))
        with open(self.folder / "blue.img", "rb") as disk:
            right = hashlib.sha256(disk.read(ARCHIVE_BYTES)).hexdigest()
        if not found or found[2] != right:
            self.verdict.trouble("what blue read from its disk is not what the disk holds")
        self.verdict.facts["blue_disk"] = {"bytes": int(found[1]) if found else 0,
                                           "right": bool(found) and found[2] == right}

    # ---- what is attacked -----------------------------------------------------------------------

    def everything_forbidden(self, runs):
        """Orders that aim at every class of memory and registers that is not blue's."""
        red, qmp = self.number("red"), self.machine.qmp
        samples = 2 if self.quick else attacks.SAMPLES
        orders = attacks.edges(0, int(self.domains["blue"]["ram_bytes"]))
        orders += attacks.frames(runs, "red's-RAM", lambda r: r.domain == red, samples)
        for state in ("table", "free", "held", "revoking"):
            orders += attacks.frames(runs, f"{state}-frame", lambda r, s=state: r.state == s,
                                     samples)
        orders += attacks.places(self.places())
        for name, address in scene.directory_places(scene.iommu_registers(qmp)):
            orders += attacks.both(name, address)
        orders += attacks.registers(scene.IOMMU, scene.IOMMU_REGISTERS)
        orders += [a for slot, bar in scene.bars(qmp).items()
                   for a in attacks.both(f"BAR-of-slot-{slot}", bar)]
        orders += attacks.both("configuration-space", scene.ECAM + (scene.RED_DISK << 15))
        orders += attacks.levels()
        files = [int(p["hpa"], 0) + n * PAGE for p in self.places()
                 if p["name"].startswith("interrupt files") for n in range(3)]
        orders += attacks.messages(files, scene.GUEST_FILE, self.domains["blue"]["vcpus"])
        return attacks.ordered(a for a in orders if not self._is_own(a.iova))

    def _is_own(self, iova):
        """Host addresses that are blue's own guest addresses too lead there, and rightly so."""
        blue = self.domains["blue"]
        pool = scene.GUEST_POOL
        return (iova < int(blue["ram_bytes"]) and iova // PAGE not in self.holes
                or pool <= iova < pool + blue["pool_bytes"]
                or scene.GUEST_FILE <= iova < scene.GUEST_FILE + PAGE * blue["vcpus"])

    def make_holes(self):
        """Blue's RAM covers the address of the IOMMU's registers: it gives that page back, so that
        an attack on them does not end in its own memory."""
        with self.progress.doing("blue looks for its page at the IOMMU's address"):
            words, values = self.tell(f"hole IOMMU-registers {scene.IOMMU:x}")
        if words[-1] == "made":
            self.holes.add(scene.IOMMU // PAGE)
        self.verdict.facts["hole"] = {"gpa": scene.IOMMU, "how": words[-1],
                                      "error": int(values["error"]),
                                      "kernel_page_flags": values["flags"]}
        self.progress.say(f"blue has given its page at {scene.IOMMU:#x} back: the IOMMU's "
                          "registers can be "
                          "attacked there" if self.holes else
                          f"blue's kernel does not part with the page at {scene.IOMMU:#x}: "
                          "the IOMMU's registers cannot be attacked at that address")

    # ---- the acts -------------------------------------------------------------------------------

    holes = frozenset()

    def prepare(self):
        self.holes = set()
        self.sample_pool()
        self.make_holes()

    def attack_beside_work(self):
        """First time: red works at full load meanwhile, and its own checksums must hold."""
        orders = self.everything_forbidden(self.owners())
        self.progress.say(f"blue's rogue tries {len(orders)} things while red works")
        with self.progress.doing("the rogue attacks"):
            found = self.order(self.own("before") + orders + self.own("after"))
        self._look_at(found)
        self.give_back("while red works")

    def attack_in_silence(self):
        """Second time: red stands still, the machine is stopped before and after, and every frame
        that is not blue's is hashed from outside."""
        machine = self.machine
        with self.progress.doing("red is made to stand still"):
            machine.channel.ask("pause red", "paused", stage.BOOT_TIMEOUT, vm="red")
            machine.stop()  # waits for what red's disk has in flight; its completion is told after
            machine.resume()
            runs = self.owners()
        orders = self.everything_forbidden(runs)
        hashed, kept_out = self._judged(runs)
        machine.stop()
        with self.progress.doing("every frame that is not blue's is hashed from outside"):
            before = judge.Snapshot(machine.ram_file, scene.RAM_BASE, hashed)
        state = counts.device_state(machine.qmp)
        machine.resume()
        self.progress.say(f"red stands still; {before.frames} frames are hashed from outside; the "
                          "rogue "
                          f"tries {len(orders)} things again")
        with self.progress.doing("the rogue attacks"):
            found = self.order(self.own("before") + orders + self.own("after"))
        machine.stop()
        with self.progress.doing("the frames are hashed again"):
            after = judge.Snapshot(machine.ram_file, scene.RAM_BASE, hashed)
            self._compare(runs, before, after, kept_out)
        self._compare_state(state, counts.device_state(machine.qmp))
        machine.resume()
        self._look_at(found)
        self.give_back("while red stands still")
        machine.channel.ask("resume red", "resumed", stage.BOOT_TIMEOUT)

    def _judged(self, runs):
        """(runs to hash, runs that change in the ordinary course)."""
        registers = dict(scene.directory_places(scene.iommu_registers(self.machine.qmp)))
        changing = [(int(p["hpa"], 0) // PAGE, -(-int(p["len"], 0) // PAGE))
                    for p in self.places() if p["changes"]]
        changing += [(registers["command-queue"] // PAGE, 16),
                     (registers["fault-queue"] // PAGE, 32)]
        blue = self.number("blue")
        others = [r for r in runs if r.domain != blue or r.state != "owned"]
        quiet = judge.without(others, changing)
        named = [(int(p["hpa"], 0) // PAGE, -(-int(p["len"], 0) // PAGE)) for p in self.places()]
        records = [r for r in judge.without(quiet, named) if r.state in ("hypervisor", "held")]
        hashed = judge.without(quiet, [(r.first, r.pages) for r in records])
        return hashed, judge.without(others, [(r.first, r.pages) for r in hashed])

    def _compare(self, runs, before, after, kept_out):
        names = {self.number("red"): "red", self.number("blue"): "blue"}
        changed = before.changed(after)
        for frame in changed[:20]:
            owner = judge.who(runs, frame)
            self.verdict.escape(f"frame {frame * PAGE:#x}, "
                                f"{owner.label(names) if owner else 'unknown'}, changed")
        marked = judge.search(self.machine.ram_file, scene.RAM_BASE, kept_out, verdict.MARKER)
        for at in marked:
            self.verdict.escape(f"the rogue's marker stands at {at:#x}")
        frames = sum(r.pages for r in kept_out)
        self.verdict.facts["judge"] = {"frames_hashed": before.frames,
                                       "frames_changed": len(changed),
                                       "frames_kept_out": frames, "kept_out": KEPT_OUT,
                                       "markers_found": len(marked)}
        self.progress.say(f"{before.frames} frames hashed twice: {len(changed)} changed; {frames} "
                          "frames that "
                          f"change by themselves searched for the rogue's marker: found in "
                          f"{len(marked)}")

    def _compare_state(self, before, after):
        for name, value in before.items():
            if after[name] != value:
                self.verdict.escape(f"{name} changed from {value:#x} to {after[name]:#x}")
        self.verdict.facts["device_state"] = {"registers_compared": len(before),
                                              "registers_changed": sum(after[n] != v for n,
                                                                       v in before.items())}

    def _look_at(self, found):
        self.look_at_own(found)
        for answer in found:
            if answer["leaked"]:
                what = "did nothing" if answer["idle"] else f"brought back {answer['leaked']} bytes"
                (self.verdict.trouble if answer["idle"] else self.verdict.escape)(
                    f"read of {answer['name']} at {answer['iova']:#x} {what}")

    # ---- memory that was its own a moment ago ---------------------------------------------------

    def give_back(self, when):
        """A page goes back while DMA to it is going on. The judge looks at what was its frame."""
        for _ in range(GIVEBACK_TRIES):
            before = self.owners()
            with self.progress.doing("blue gives a page back while DMA to it is going on"):
                words, values = self.tell("giveback late")
            pending = int(values["pending"], 0)
            if words[2] != "gone" or values["honest"] != "yes":
                self.verdict.trouble(f"the page at {words[1]} could not be given back ({words[2]}, "
                                     "error "
                                     f"{values['error']}, honest DMA before: {values['honest']})")
                return
            gpa = int(words[1], 0)
            if pending:
                self._judge_given(when, gpa, pending, before)
                return
            self.tell(f"take {gpa:x}")
        self.verdict.trouble(f"{GIVEBACK_TRIES} times no DMA was on its way any more when a page "
                             "was gone")

    def _judge_given(self, when, gpa, pending, before):
        blue, machine = self.number("blue"), self.machine
        gone = (judge.frames(self.owners(), lambda r: r.state != "owned" or r.domain != blue)
                & judge.frames(before, lambda r: r.state == "owned" and r.domain == blue))
        if len(gone) != 1:
            self.verdict.trouble(f"{len(gone)} frames left blue with the page at {gpa:#x}")
            return
        frame = gone.pop()
        at = frame * PAGE - scene.RAM_BASE
        machine.stop()
        late = [n for n in range(scene.EDUS) if pending >> n & 1
                and bytes(machine.ram[at + n * BLOCK:at + (n + 1) * BLOCK]).find(verdict.LATE) >= 0]
        for n in late:
            self.verdict.escape(f"DMA of edu {n} landed in frame {frame * PAGE:#x} after blue had "
                                "given it back")
        self._attack_given(gpa, at)
        words, values = self.tell(f"take {gpa:x}")
        if words[1:] != ["taken"] or values.get("dma") != "good":
            self.verdict.trouble(f"the page at {gpa:#x} did not come back: {' '.join(words)} "
                                 f"{values}")
        elif values["zero"] != "yes":
            self.verdict.escape(f"the page that stands at {gpa:#x} now was not zeros")
        after = judge.who(self.owners(), frame)
        if after.state != "revoking":
            self.verdict.escape(f"frame {frame * PAGE:#x} is {after.state} while blue's NVMe was "
                                "not reset")
        self.verdict.facts.setdefault("given_back", []).append(
            {"when": when, "gpa": gpa, "frame": frame * PAGE,
             "dma_on_its_way": bin(pending).count("1"),
             "landed": len(late), "frame_now": after.state,
             "fresh_page": values.get("zero") == "yes"})
        self.progress.say(f"a page given back with {bin(pending).count('1')} transfers on their "
                          f"way: {len(late)} "
                          f"landed; its frame stays {after.state.upper()} until blue's NVMe is "
                          "reset, a fresh one "
                          "took its place")

    def _attack_given(self, gpa, at):
        """The machine stands still. Plant a pattern in the frame, and go on trying."""
        pattern = hashlib.sha256(b"given back").digest() * (PAGE // 32)
        ram = self.machine.ram
        ram[at:at + PAGE] = pattern
        self.machine.resume()
        self._look_at(self.order(attacks.ordered(a for n in range(scene.EDUS)
                                                 for a in attacks.both("given-back",
                                                                       gpa + n * BLOCK))))
        self.machine.stop()
        if bytes(ram[at:at + PAGE]) != pattern:
            self.verdict.escape(f"frame {at + scene.RAM_BASE:#x} changed after blue had given it "
                                "back")
        self.machine.resume()

    # ---- the pool -------------------------------------------------------------------------------

    def sample_pool(self):
        """Edu copies pages of the contiguous pool out and in; the host run holds them."""
        blue = self.domains["blue"]
        length, run = blue["pool_bytes"], int(blue["pool_hpa"], 0)
        with self.progress.doing("edu samples the contiguous pool"):
            words, values = self.tell(f"pool {scene.GUEST_POOL:x} {length:x}")
        if "pages" not in values:
            self.verdict.trouble(f"the pool: {' '.join(words)}")
            return
        pages, at = length // PAGE, run - scene.RAM_BASE
        sampled = [*range(0, pages, 128), pages - 1]
        right = sum(bytes(self.machine.ram[at + n * PAGE:at + (n + 1) * PAGE]) == pool_page(n)
                    for n in sampled)
        facts = {"gpa": scene.GUEST_POOL, "host_run": run, "bytes": length,
                 "pages_sampled": int(values["pages"]),
                 "right_out": int(values["out"]), "right_in": int(values["in"]),
                 "right_in_host_run": right, "host_runs": int(values["runs"])}
        self.verdict.facts["pool"] = facts
        counted = {int(values[key]) for key in ("pages", "out", "in")} | {right}
        if counted != {len(sampled)} or facts["host_runs"] != 1 or values["error"] != "0":
            self.verdict.trouble(f"the pool is not what it should be: {facts}")
        self.progress.say(f"blue's pool: {facts['pages_sampled']} pages sampled by DMA both ways, "
                          "all right; one host "
                          f"run of {length >> 20} MiB at {run:#x}")

    # ---- the end --------------------------------------------------------------------------------

    def end_of_work(self):
        """Red ends its work; the audit has the last word of the hypervisor's own."""
        self.type("red", ["end"])
        with self.progress.doing("red ends its round"):
            match = self.console.wait_said("red", ROUND_END, stage.BOOT_TIMEOUT)
        if match[2] != "0":
            self.verdict.escape("red's checksums do not hold")
        if match[3] != "0" or match[1] == "0":
            self.verdict.trouble("red's disk did not take what was written: is there no room left for "
                                 f"{self.folder}?")
        audit = self.machine.channel.ask("audit", "audit", stage.BOOT_TIMEOUT)
        if not audit["clean"]:
            self.verdict.escape(f"the audit: {audit['text']}")
        self.verdict.facts["red"] = {"rounds": int(match[1]), "bad": int(match[2]), "failed": int(match[3])}
        self.verdict.facts["audit_clean"] = audit["clean"]
        self.progress.say(f"red has ended: rounds {match[1]}, every checksum right; the audit is "
                          "clean"
                          if match[2] == match[3] == "0" and audit["clean"] else "red's work or the audit says "
                                                                     "otherwise")

    def count(self):
        """Fill the verdict's tables."""
        counts.fill(self)


def pool_page(number):
    """What edu left in a sampled page of the pool: dma-tests/guest/lib/pool.c."""
    return bytes((i * 31 + (i >> 8) + number * 7 + 0x5b) & 0xff for i in range(PAGE))
