"""Four kinds of address: a guest's virtual address led through its own tables and the map, each word told."""
import ctypes
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from . import _abi
from ._base import as_int
from .types import Gpa, Gva, Hpa, MemoryType, Perm, PermLike, address
from .walk import MODES, SPANS, Step, Walk, WalkEnd, flags_of, walk_of

if TYPE_CHECKING:
    from .domain import Domain

GvaLike = Gva | int | str
PPN = (1 << 44) - 1
STAGES = {0: "Bare", 8: "Sv39", 9: "Sv48", 10: "Sv57"}


class GvaEnd(IntEnum):
    """How the way through the guest's own tables ended."""

    LEADS = _abi.CORDON_GVA_LEADS
    MODE = _abi.CORDON_GVA_MODE
    CANONICAL = _abi.CORDON_GVA_CANONICAL
    EMPTY = _abi.CORDON_GVA_EMPTY
    RESERVED = _abi.CORDON_GVA_RESERVED
    DEEP = _abi.CORDON_GVA_DEEP
    MISALIGNED = _abi.CORDON_GVA_MISALIGNED
    BAD_NAPOT = _abi.CORDON_GVA_BAD_NAPOT
    USER = _abi.CORDON_GVA_USER
    SUPERVISOR = _abi.CORDON_GVA_SUPERVISOR
    RIGHTS = _abi.CORDON_GVA_RIGHTS
    UNACCESSED = _abi.CORDON_GVA_UNACCESSED
    CLEAN = _abi.CORDON_GVA_CLEAN
    NO_TABLE = _abi.CORDON_GVA_NO_TABLE
    NO_PAGE = _abi.CORDON_GVA_NO_PAGE


class GpaEnd(IntEnum):
    """What the map said of the last GPA that it was asked for."""

    RAM = _abi.CORDON_GPA_RAM
    MMIO = _abi.CORDON_GPA_MMIO
    WIDTH = _abi.CORDON_GPA_WIDTH
    HOLE = _abi.CORDON_GPA_HOLE
    ABSENT = _abi.CORDON_GPA_ABSENT
    RIGHTS = _abi.CORDON_GPA_RIGHTS
    CORRUPT = _abi.CORDON_GPA_CORRUPT


_WHY = {
    GvaEnd.EMPTY: "the word is not valid",
    GvaEnd.RESERVED: "the word has a bit, or a combination of bits, that is reserved",
    GvaEnd.DEEP: "the word of the last level is no leaf",
    GvaEnd.MISALIGNED: "a superpage that is not aligned to its size",
    GvaEnd.BAD_NAPOT: "N in a word that is no 64 KiB run",
    GvaEnd.USER: "the page is not for user mode",
    GvaEnd.SUPERVISOR: "a page of user mode, which the supervisor may not use so",
    GvaEnd.UNACCESSED: "A is clear, and this hart does not set it",
    GvaEnd.CLEAN: "D is clear, and this hart does not set it",
}
_MAP = {
    GpaEnd.MMIO: "registers of a device stand there",
    GpaEnd.WIDTH: "that is beyond what the map can address",
    GpaEnd.HOLE: "the map has nothing there",
    GpaEnd.ABSENT: "the map has it, and no frame stands there yet: not touched",
    GpaEnd.RIGHTS: "the map does not allow it",
    GpaEnd.CORRUPT: "CORRUPT: a word of the G-stage that is not the library's",
}


@dataclass(frozen=True)
class Rules:
    """What decides besides the tables: who asks (user mode or the supervisor), vsstatus.SUM and MXR, whether
    the hart sets A and D itself (henvcfg.ADUE), and whether it has Svpbmt and Svnapot."""

    user: bool = False
    sum: bool = False
    mxr: bool = False
    adue: bool = False
    pbmt: bool = False
    napot: bool = False

    @property
    def flags(self) -> int:
        """As CORDON_GVA_* has them: the fields in their order."""
        return sum(1 << bit for bit, field in enumerate(fields(self)) if getattr(self, field.name))

    @classmethod
    def of(cls, flags: int) -> Self:
        return cls(*(bool(flags >> bit & 1) for bit in range(len(fields(cls)))))

    def __str__(self) -> str:
        more = [name.upper() for name in ("sum", "mxr", "adue", "pbmt", "napot") if getattr(self, name)]
        return " ".join(["user" if self.user else "supervisor", *more])


@dataclass(frozen=True)
class GuestStep:
    """One word of the guest's tables, as it was when it was read, and where it stands in all addresses."""

    level: int
    index: int
    gpa: Gpa
    hpa: Hpa
    hva: int
    value: int

    @property
    def flags(self) -> str:
        """The bits below the PPN, and N and the memory type where they are set."""
        return flags_of(self.value)

    def __str__(self) -> str:
        return (f"level {self.level} ({SPANS[self.level]:>4}) [{self.index:3}] at GPA {self.gpa.v:#x}, "
                f"HVA {self.hva:#x}, HPA {self.hpa.v:#x}: {self.value:#018x} {self.flags} -> GPA {(self.value >> 10 & PPN) << 12:#x}")


@dataclass(frozen=True)
class GuestWalk:
    """The way of GVA: `steps` through the guest's tables, `region` (GPA, bytes, rights, flags) and `gstage` of the
    map, and why it ended. `gpa` is the last one that the map was asked for, `hpa` and `hva` are known at the end.
    `marks` are the bits that the hart sets in the leaf first, `cause` is that of the exception that it raises, or 0.
    str() tells it all."""

    gva: Gva
    access: Perm
    satp: int
    rules: Rules
    end: GvaEnd
    map: GpaEnd | None
    cause: int
    marks: str
    steps: tuple[GuestStep, ...]
    perms: Perm
    span: int
    gpa: Gpa | None
    region: tuple[Gpa, int, Perm, int] | None
    gstage: Walk | None
    hpa: Hpa | None
    hva: int | None
    state: str = ""         # of the vCPU that was asked: running, paused, stopped
    emulated: bool = False  # the map has nothing there, but a device of the hypervisor's answers

    @property
    def mode(self) -> str:
        return STAGES.get(self.satp >> 60, f"mode {self.satp >> 60}")

    @property
    def type(self) -> MemoryType:
        """The memory type at the end: the guest's tables' own, or, where they say none, the map's [Privileged,
        Svpbmt]."""
        leaves = [step.value for step in self.steps[-1:]]
        leaves += [step.value for step in self.gstage.steps[-1:]] if self.gstage else []
        return MemoryType(next((leaf >> 61 & 3 for leaf in leaves if self.leads and leaf >> 61 & 3), 0))

    @property
    def leads(self) -> bool:
        """Whether it came to an end in host memory, or in registers."""
        return self.end is GvaEnd.LEADS

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence."""
        if self.hpa is not None:
            first = f"; the hart sets {' and '.join(self.marks)} first" if self.marks else ""
            what = "leads to" if self.hva is not None else "leads to registers at"
            kind = f", {self.type.name}" if self.type else ""
            return f"{what} HPA {self.hpa.v:#x}{kind}{first}"
        if self.end is GvaEnd.MODE:
            return f"satp.MODE {self.satp >> 60} is one that no hart has"
        if self.end is GvaEnd.CANONICAL:
            return f"cause {self.cause}: {self.gva.v:#x} is no address of {self.mode}: its upper bits differ"
        if self.end is GvaEnd.RIGHTS:
            return f"cause {self.cause}: the leaf allows {self.perms}, not {self.access}"
        if self.end in _WHY:
            return f"cause {self.cause}: level {self.steps[-1].level}: {_WHY[self.end]}"
        what = "a table" if self.end is GvaEnd.NO_TABLE else "the page"
        assert self.gpa is not None and self.map is not None
        why = "a device that is emulated stands there" if self.emulated else _MAP.get(self.map, "it is not to be had")
        return f"cause {self.cause}: {what} at GPA {self.gpa.v:#x}: {why}"

    def chain(self) -> str:
        """The addresses in one line."""
        gpa = self.gpa if self.end in (GvaEnd.LEADS, GvaEnd.NO_PAGE) else None
        known = (("GVA", self.gva.v), ("GPA", gpa and gpa.v), ("HVA", self.hva), ("HPA", self.hpa and self.hpa.v))
        line = " -> ".join(f"{kind} {value:#x}" for kind, value in known if value is not None)
        return line + ("" if self.hpa is not None else " -> nowhere")

    def __str__(self) -> str:
        root = f", root GPA {(self.satp & PPN) << 12:#x}" if self.satp >> 60 else ""
        head = f"{self.gva.v:#x} {self.access}, {self.rules}, {self.mode}{root}" + (self.state and f", {self.state}")
        lines = [head, *(f"  {step}" for step in self.steps)]
        if self.region is not None:
            start, length, perms, flags = self.region
            lines.append(f"  GPA {start.v:#x}..{start.v + length - 1:#x}: a region, {perms}, flags {flags:#x}")
        if self.gstage is not None:
            lines += [f"    {line}" for line in str(self.gstage).splitlines()]
        return "\n".join([*lines, f"  {self.reason}", self.chain()])

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values; addresses are numbers."""
        region = self.region and {"gpa": self.region[0].v, "len": self.region[1], "perms": str(self.region[2]),
                                  "flags": self.region[3]}
        return {"gva": self.gva.v, "access": str(self.access), "satp": self.satp, "mode": self.mode,
                **asdict(self.rules), "end": self.end.name, "map": None if self.map is None else self.map.name,
                "cause": self.cause, "marks": self.marks, "reason": self.reason,
                "steps": [{**vars(s), "gpa": s.gpa.v, "hpa": s.hpa.v, "flags": s.flags} for s in self.steps],
                "perms": str(self.perms), "span": self.span, "gpa": self.gpa and self.gpa.v, "region": region,
                "gstage": self.gstage and self.gstage.to_json(), "hpa": self.hpa and self.hpa.v, "hva": self.hva,
                "state": self.state, "emulated": self.emulated}


def _marks(bits: int) -> str:
    return "".join(name for name, bit in (("A", _abi.CORDON_GVA_MARK_A), ("D", _abi.CORDON_GVA_MARK_D)) if bits & bit)


def walk_guest(domain: "Domain", gva: GvaLike, satp: int, access: PermLike, rules: Rules) -> GuestWalk:
    """Ask the library; what stops the way is an answer, not an exception."""
    gva, access = address(Gva, gva), Perm.of(access)
    ask = _abi.GvaAsk(flags=rules.flags, satp=as_int(satp, "satp"), gva=gva, access=int(access))
    raw = _abi.GvaWalk()
    domain.context.call("cordon_walk_guest", domain.ptr, ctypes.byref(ask), ctypes.byref(raw),
                        gva=gva, satp=ask.satp, access=access)
    steps = tuple(GuestStep(s.level, s.index, s.gpa, s.hpa, s.hva, s.value) for s in raw.step[:raw.step_count])
    end, asked = GvaEnd(raw.end), bool(raw.gstage.size)
    leads = end is GvaEnd.LEADS
    region = (raw.region.gpa, raw.region.len, Perm(raw.region.perms), raw.region.flags) if raw.region.len else None
    return GuestWalk(gva, access, ask.satp, rules, end, GpaEnd(raw.map) if asked else None, raw.cause,
                     _marks(raw.marks), steps, Perm(raw.perms), raw.span, raw.gpa if asked else None, region,
                     walk_of(raw.gstage, raw.gpa, access, 0) if asked else None,
                     raw.gstage.hit.hpa if leads else None, raw.hva if leads and raw.hva else None)


def _number(event: Mapping[str, Any], key: str) -> int:
    return as_int(event[key], key)


def from_event(event: Mapping[str, Any]) -> GuestWalk:
    """What the hypervisor says over the host channel (its event "translated") as a GuestWalk."""
    steps = tuple(GuestStep(s["level"], s["index"], Gpa(s["gpa"]), Hpa(s["hpa"]), _number(s, "hva"),
                            _number(s, "value")) for s in event["steps"])
    end, access, told, found = GvaEnd(event["end"]), Perm(event["access"]), event.get("region"), event.get("gstage")
    gpa = Gpa(event["gpa"]) if "gpa" in event else None
    hpa = Hpa(event["hpa"]) if "hpa" in event else None
    gstage = None
    if found is not None and gpa is not None:
        words = tuple(Step(s["level"], s["index"], Hpa(s["word"]), _number(s, "value")) for s in found["steps"])
        leaf = (Hpa(found["hpa"]), Perm(found["perms"])) if "hpa" in found else (None, None)
        gstage = Walk(gpa, access, 0, MODES[found["mode"]], Hpa(found["root"]),
                      WalkEnd(found["end"]), words, *leaf)
    region = told and (Gpa(told["gpa"]), _number(told, "len"), Perm(told["perms"]), told["flags"])
    return GuestWalk(Gva(event["gva"]), access, _number(event, "vsatp"), Rules.of(event["flags"]), end,
                     GpaEnd(event["map"]) if "map" in event else None, event["cause"], _marks(event["marks"]), steps,
                     Perm(event["perms"]), _number(event, "span"), gpa, region, gstage, hpa,
                     _number(event, "hva") if "hva" in event else None, event["state"], event.get("emulated", False))


__all__ = ["GpaEnd", "GuestStep", "GuestWalk", "GvaEnd", "GvaLike", "Rules", "from_event", "walk_guest"]
