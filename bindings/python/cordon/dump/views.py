"""Who reaches what: the views that a dump's tables make, run by run."""
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..judge import Directory
from .format import PAGE, DeviceState, Dump

SVPBMT, MSI_FLAT = 1 << 15, 1 << 22
SIZES = {PAGE: "4K", PAGE << 9: "2M", PAGE << 18: "1G"}


@dataclass
class Run:
    """Leaves of one size and the same rights that follow each other in GPA; `parts` are their host
    runs, as (hpa, bytes)."""

    gpa: int
    len: int
    size: int
    perms: str
    parts: list[tuple[int, int]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"gpa": self.gpa, "len": self.len, "size": SIZES.get(self.size, str(self.size)),
                "perms": self.perms, "parts": [{"hpa": hpa, "len": length} for hpa, length in self.parts]}


@dataclass
class View:
    """One agent's reach: the harts of a domain, or a device. `broken` are rules that its tables break."""

    agent: str
    domain: str | None
    mode: str
    root: int
    runs: list[Run]
    msis: dict
    broken: list[str]
    iommu: int | None = None
    device: int | None = None

    @property
    def bytes(self) -> int:
        return sum(run.len for run in self.runs)


MODES = {0: "Bare", 8: "Sv39x4", 9: "Sv48x4", 10: "Sv57x4"}


def views_of(dump: Dump) -> list[View]:
    """Each View, in the order of domains and then devices. LookupError where a table is not in the
    dump."""
    most = 64 + 16 * len(dump.pages)  # views share tables, and tables cannot lead in circles
    found, domains = [], labels_of(dump)
    for domain in dump.domains:
        judged = Directory.second_stage(dump.read64, domain.hgatp, most, napot=True, pbmt=True)
        label = domains[domain.number]
        found.append(_view(judged, f"harts of {label}", label, domain.hgatp))
    names: dict[Any, DeviceState] = {(device.iommu, device.id): device for device in dump.devices}
    for number, iommu in enumerate(dump.iommus):
        capabilities = iommu.register(0, 8)
        directory = Directory(dump.read64, iommu.register(0x10, 8), bool(capabilities & MSI_FLAT), most,
                              pbmt=bool(capabilities & SVPBMT))
        for judged in directory.judge():
            known = names.get((number, judged.device_id))
            agent = f"device {judged.device_id:#x}" + (f" {known.name}" if known and known.name else "")
            holder = domains.get(known.domain) if known else None
            found.append(_view(judged, agent, holder, judged.iohgatp, number))
    return found


def labels_of(dump):
    """{number: name} of the domains; one whose name another has is told by its number, too."""
    used = Counter(domain.name for domain in dump.domains)
    return {domain.number: domain.name if domain.name and used[domain.name] == 1
            else f"{domain.name or 'domain'} {domain.number}" for domain in dump.domains}


def _view(judged, agent, domain, atp, iommu=None):
    return View(agent, domain, MODES.get(atp >> 60, "?"), (atp & (1 << 44) - 1) * PAGE, _runs(judged.leaves),
                judged.msis, judged.broken, iommu, judged.device_id)


def _runs(leaves):
    runs = []
    for leaf in leaves:
        last = runs[-1] if runs else None
        if not (last and last.gpa + last.len == leaf.gpa and last.size == leaf.size
                and last.perms == leaf.perms):
            last = Run(leaf.gpa, 0, leaf.size, leaf.perms)
            runs.append(last)
        last.len += leaf.size
        if last.parts and sum(last.parts[-1]) == leaf.hpa:
            last.parts[-1] = last.parts[-1][0], last.parts[-1][1] + leaf.size
        else:
            last.parts.append((leaf.hpa, leaf.size))
    return runs


class Loans:
    """Which domains may reach which memory together, out of the dump's loans; nothing goes page by page,
    since a loan may be as long as an address reaches."""

    def __init__(self, dump):
        names, edges, now = labels_of(dump), {}, Counter()
        for hpa, length, owner, borrower in dump.loans:
            for at, step in ((hpa, 1), (hpa + length, -1)):
                for number in (owner, borrower):
                    edges.setdefault(at, Counter())[names.get(number)] += step
        self._starts, self._parties = [0], [frozenset()]
        for at in sorted(edges):
            for name, step in edges[at].items():
                now[name] += step
            self._starts.append(at)
            self._parties.append(frozenset(name for name, count in now.items() if count))

    def allow(self, both, start, end):
        """Whether all of [start, end) is lent between BOTH, or to both."""
        at = bisect_right(self._starts, start) - 1
        while both <= self._parties[at]:
            at += 1
            if at == len(self._starts) or self._starts[at] >= end:
                return True
        return False


class Reach:
    """Which agents reach a stretch of host memory, and whether LOANS allow it."""

    def __init__(self, views, loans=None):
        self._loans = loans
        self._parts = sorted((hpa, hpa + length, number) for number, view in enumerate(views)
                             for run in view.runs for hpa, length in run.parts)
        self._starts = [part[0] for part in self._parts]
        self._longest = max((end - start for start, end, _ in self._parts), default=0)
        self._views = views

    def others(self, view, run):
        """Agents besides VIEW that reach some byte of RUN, by name, each with what entitles them to it:
        "same" domain, "loan", or "" for nothing."""
        found = {}
        for hpa, length in run.parts:
            at = bisect_right(self._starts, hpa + length - 1) - 1
            while at >= 0 and self._parts[at][0] > hpa - self._longest:
                start, end, number = self._parts[at]
                if end > hpa:
                    common = max(start, hpa), min(end, hpa + length)
                    why = self._why(view, self._views[number], common)
                    found[number] = why and found.get(number, why)
                at -= 1
        return [(self._views[n].agent, why) for n, why in sorted(found.items()) if self._views[n] is not view]

    def _why(self, view, other, common):
        if view.domain == other.domain and view.domain is not None:
            return "same"
        both = {view.domain, other.domain}
        return "loan" if self._loans and None not in both and self._loans.allow(both, *common) else ""
