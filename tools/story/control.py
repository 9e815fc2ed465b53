"""A control: the same rogue where nothing holds it back. Every attack on a canary must land, or a
machine that confines nothing would look like one that does."""
import attacks
import canaries
import judge
import scene
import stage
import verdict

MARK = "CORDON-PAGE-{:02}-{}"
SETTINGS = {"no-iommu": "control.toml", "open-view": "story.toml"}


class Control(stage.Stage):
    """KIND: no-iommu, a machine without one; open-view, a hypervisor that maps too much."""

    def __init__(self, kind, progress, hypervisor=None, **options):
        super().__init__(progress, **options)
        self.kind, self.hypervisor = kind, hypervisor
        self.landed = []
        self.missed = []

    def open(self):
        settings = scene.TREE / "tools/story" / SETTINGS[self.kind]
        disks = [] if self.kind == "no-iommu" else scene.disks(self.folder)
        more = {"iommu": None} if self.kind == "no-iommu" else {}
        if self.hypervisor:
            more["hypervisor"] = self.hypervisor
        self.progress.say(f"control {self.kind}: the rogue, where nothing should hold it back")
        self.start(settings, {"red": "", "blue": "cordon.run=rogue"}, [*disks, *scene.edus()],
                   **more)
        with self.progress.doing("blue boots"):
            self.console.wait_said("blue", "CORDON-ROGUE ready edus=", stage.BOOT_TIMEOUT)
        self.machine.channel.ask("pause red", "paused", stage.BOOT_TIMEOUT, vm="red")
        self.progress.say("blue is up, red stands still")

    def attack(self):
        """Plant, attack, look."""
        runs = self.owners()
        if self.kind == "no-iommu":
            self._tell_host_addresses(runs)
        machine = self.machine
        machine.stop()
        planted, without = canaries.plant(machine.ram, scene.RAM_BASE, runs, self.places(),
                                          self.number("red"))
        machine.resume()
        self.progress.say(f"{len(planted)} canaries are planted from outside: "
                          + ", ".join(f"{c.name} at {c.hpa:#x}" for c in planted))
        orders = [a for verb in ("read", "write") for c in planted
                  for a in attacks.both(c.name, c.hpa, canaries.LENGTH) if a.verb == verb]
        with self.progress.doing("the rogue reads and overwrites them"):
            found = self.order(self.own("before") + orders)
        self.look_at_own(found)
        machine.stop()
        self._judge(planted, [a for a in found if a["verb"] == "read"])
        self.missed += [f"{name}: no room for a canary was found" for name in without]

    def _tell_host_addresses(self, runs):
        """Without an IOMMU devices go by host addresses: the rogue learns those of its pages."""
        self.tell("mark")
        self.machine.stop()
        mine = [r for r in runs if r.domain == self.number("blue") and r.state == "owned"]
        pages = judge.find_pages(self.machine.ram_file, scene.RAM_BASE, mine,
                                 [MARK.format(n, end).encode() for n in range(scene.EDUS)
                                  for end in "FT"])
        self.machine.resume()
        for n in range(scene.EDUS):
            at = [pages.get(MARK.format(n, end).encode()) for end in "FT"]
            if None in at:
                self.verdict.trouble(f"the pages of edu {n} are nowhere in blue's memory")
            else:
                self.tell(f"bus {n:x} {at[0]:x} {at[1]:x}")

    def _judge(self, planted, reads):
        for canary in planted:
            answer = next((a for a in reads if a["iova"] == canary.hpa), None)
            results = canaries.landed(canary, self.machine.ram, scene.RAM_BASE, answer,
                                      verdict.MARKER)
            for verb, landed in zip(("read", "write"), results):
                (self.landed if landed else self.missed).append(f"{verb} of {canary.name} at "
                                                                f"{canary.hpa:#x}")

    @property
    def sees(self):
        """True if this control saw every escape that it provoked."""
        return bool(self.landed) and not self.missed and not self.verdict.troubles

    def as_dict(self):
        return {"control": self.kind, "verdict": "SEEN" if self.sees else "FAILED",
                "landed": self.landed,
                "missed": self.missed, "troubles": self.verdict.troubles}
