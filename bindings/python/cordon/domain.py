"""Domain: what stands at each guest physical address of one guest."""
import ctypes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _abi
from ._base import as_int
from .context import Child, Context
from .errors import NotFound
from .gva import GuestWalk, GvaLike, Rules, walk_guest
from .log import Coalesced, Harvest, Mark, coalesce, harvest
from .moves import Moves, relocate
from .shape import Shape, shape
from .types import (Extent, ExtentLike, Extents, Gpa, GpaLike, Hpa, HpaLike, MemoryType, Perm, PermLike, Size, address,
                    extents_array, extents_of, size_bytes)
from .touch import Demand, Discard, Touched, marks, populate, touch
from .walk import Leaf, Walk, leaves, walk

if TYPE_CHECKING:
    from .listen import Listening
    from .space import Space


@dataclass(frozen=True)
class Grant:
    """A new region: EXTENTS back GPA and what follows, in order."""

    gpa: GpaLike
    extents: Iterable[ExtentLike]
    perms: PermLike = Perm.RWX
    mmio: bool = False
    dma: bool = True
    peer: bool = False
    keep: bool = False
    pin: bool = False
    type: MemoryType = MemoryType.PMA

    def fill(self, op: _abi.Op) -> None:
        flags = (self.type.flag | (_abi.CORDON_REGION_MMIO if self.mmio else 0) | (0 if self.dma else _abi.CORDON_REGION_NODMA)
                 | (_abi.CORDON_REGION_PEER if self.peer else 0)
                 | (_abi.CORDON_REGION_KEEP if self.keep else 0)
                 | (_abi.CORDON_REGION_PIN if self.pin else 0))
        op.kind, op.flags, op.perms = _abi.CORDON_OP_GRANT, flags, int(Perm.of(self.perms))
        extents = extents_of(self.extents)
        op.gpa, op.len = address(Gpa, self.gpa), sum(e.len for e in extents)
        op.extents, op.extent_count = extents_array(extents)


@dataclass(frozen=True)
class Revoke:
    """Take GPA and LEN bytes from there out of the map."""

    gpa: GpaLike
    len: Size

    def fill(self, op: _abi.Op) -> None:
        op.kind, op.gpa, op.len = _abi.CORDON_OP_REVOKE, address(Gpa, self.gpa), size_bytes(self.len)


@dataclass(frozen=True)
class Protect:
    """Change the rights of GPA and LEN bytes from there."""

    gpa: GpaLike
    len: Size
    perms: PermLike

    def fill(self, op: _abi.Op) -> None:
        op.kind, op.gpa, op.len = _abi.CORDON_OP_PROTECT, address(Gpa, self.gpa), size_bytes(self.len)
        op.perms = int(Perm.of(self.perms))


Op = Grant | Demand | Revoke | Discard | Protect | Mark


@dataclass(frozen=True)
class Region:
    gpa: Gpa
    len: int
    perms: Perm
    flags: int

    @property
    def end(self) -> Gpa:
        return self.gpa + self.len

    @property
    def type(self) -> MemoryType:
        return MemoryType.of_flags(self.flags)

    def __repr__(self) -> str:
        kind = f" {self.type.name}" if self.type else ""
        return f"Region({self.gpa.v:#x}..{self.end.v - 1:#x} {self.perms}{kind})"


@dataclass(frozen=True)
class Hit:
    """Where an address leads: the byte's HPA, bytes to the end of the leaf, its rights, level, bytes and memory type."""

    hpa: Hpa
    span: int
    perms: Perm
    level: int
    size: int
    type: MemoryType = MemoryType.PMA


@dataclass(frozen=True)
class Entry:
    """What a hart is given that is about to run a domain."""

    hgatp: int
    forget: bool  # hfence.gvma for the VMID, hfence.vvma and fence.i before the guest's first instruction

    @property
    def vmid(self) -> int:
        return self.hgatp >> 44 & 0x3fff


class Domain(Child):
    """One guest's map and the views made from it."""

    closed_after = 1

    def __init__(self, context: Context, gpa_limit: Size = 1 << 41, *, modes: int = 0) -> None:
        super().__init__(context)
        config = _abi.DomainConfig(modes=int(modes), gpa_limit=as_int(gpa_limit, "gpa_limit"))
        self.gpa_limit = config.gpa_limit
        out = ctypes.POINTER(_abi.Domain)()
        try:
            context.call("cordon_domain_create", context.ptr, ctypes.byref(config), ctypes.byref(out),
                         gpa_limit=config.gpa_limit, modes=config.modes)
        except BaseException:
            self.forget()
            raise
        self._ptr = out

    @property
    def number(self) -> int:
        return self.context.call("cordon_domain_number", self.ptr)

    @property
    def hgatp(self) -> int:
        """MODE and PPN as they stand in hgatp; its VMID belongs to who runs: see enter."""
        return self.context.call("cordon_domain_hgatp", self.ptr)

    # ---- harts --------------------------------------------------------------------------------

    def enter(self, hart: int) -> Entry:
        """Hart number HART runs this domain from here on: its hgatp, and whether it must forget what it
        remembers of that VMID first. Busy (it runs something), LimitReached (as many domains run as there
        are VMIDs)."""
        out = _abi.Entry()
        self.context.call("cordon_domain_enter", self.ptr, as_int(hart, "hart"), ctypes.byref(out),
                          domain=self.number, hart=hart)
        return Entry(out.hgatp, bool(out.forget))

    def leave(self, hart: int) -> None:
        """It does not run it any more. NotFound: it did not."""
        self.context.call("cordon_domain_leave", self.ptr, as_int(hart, "hart"), domain=self.number, hart=hart)

    @property
    def fences(self) -> _abi.FenceStats:
        """How often harts were told of changes: asked, nobody, ranges, whole, harts."""
        out = _abi.FenceStats()
        self.context.call("cordon_domain_fences", self.ptr, ctypes.byref(out))
        return out

    # ---- changes ------------------------------------------------------------------------------

    def change(self, ops: Sequence[Op], **fields: Any) -> None:
        """Carry out Grant, Demand, Revoke, Discard, Protect and Mark operations as one transaction."""
        for op in ops:
            if not isinstance(op, (Grant, Demand, Revoke, Discard, Protect, Mark)):
                raise TypeError(f"ops: {op!r} is no Grant, Demand, Revoke, Discard, Protect or Mark")
        array = (_abi.Op * len(ops))()
        for op, slot in zip(ops, array):
            op.fill(slot)
        self.context.call("cordon_change", self.ptr, array, len(ops), domain=self.number,
                          **(fields or {"ops": ops}))

    def grant(self, gpa: GpaLike, extents: Extents, perms: PermLike = Perm.RWX, **flags: Any) -> None:
        """Make EXTENTS (one Extent or a list) stand at GPA. Flags: mmio, dma, peer, keep, pin; and type, a MemoryType."""
        backing: list[ExtentLike] = [extents] if isinstance(extents, Extent) else list(extents)
        self.change([Grant(gpa, tuple(backing), perms, **flags)], gpa=address(Gpa, gpa), extents=backing,
                    perms=Perm.of(perms), **flags)

    def demand(self, gpa: GpaLike, length: Size, perms: PermLike = Perm.RWX, *, dma: bool = True,
               huge: bool = False, promised: bool = False) -> None:
        """A region whose frames come at first touch: see Demand."""
        self.change([Demand(gpa, length, perms, dma, huge, promised)], gpa=address(Gpa, gpa),
                    len=size_bytes(length), perms=Perm.of(perms), huge=huge, promised=promised)

    def touch(self, gpa: GpaLike, access: PermLike = "") -> Touched:
        """What a hart's fault at GPA is answered with: the page is filled, if it is absent and may be accessed
        so. NotFound, TranslationFault, OutOfMemory."""
        return touch(self, gpa, access)

    def populate(self, gpa: GpaLike, length: Size) -> None:
        """Fill what is absent. OutOfMemory: what came until then stays."""
        populate(self, gpa, length)

    def discard(self, gpa: GpaLike, length: Size) -> None:
        """Give the frames of a demand region back; it stays. Pending: see retire."""
        self.change([Discard(gpa, length)], gpa=address(Gpa, gpa), len=size_bytes(length), discard=True)

    def pin(self, gpa: GpaLike, length: Size, on: bool = True) -> None:
        """Have frames never move, and not be discarded; what is absent is filled first. Or let go of them."""
        self.change(marks(self, gpa, length, pin=on), gpa=address(Gpa, gpa), len=size_bytes(length), pin=on)

    def revoke(self, gpa: GpaLike, length: Size) -> None:
        """Pending when the frames could not be released yet: see retire."""
        self.change([Revoke(gpa, length)], gpa=address(Gpa, gpa), len=size_bytes(length))

    def protect(self, gpa: GpaLike, length: Size, perms: PermLike) -> None:
        self.change([Protect(gpa, length, perms)], gpa=address(Gpa, gpa), len=size_bytes(length),
                    perms=Perm.of(perms))

    def log(self, gpa: GpaLike, length: Size, on: bool = True) -> None:
        """Begin dirty logging of [GPA, GPA+LENGTH), or end it: RAM of the domain's own, all of it in the map."""
        self.change(marks(self, gpa, length, log=on), gpa=address(Gpa, gpa), len=size_bytes(length), log=on)

    def harvest(self, gpa: GpaLike, length: Size, *, used: bool = False, keep: bool = False) -> Harvest:
        """The pages of a logged range that were written (and, with USED, those that were used) since they were
        last asked about, which begins anew with that; or with KEEP, only look."""
        return harvest(self, gpa, length, used, keep)

    def written(self, gpa: GpaLike, length: Size) -> None:
        """Say that bytes of this domain were written through no view of it: they are dirty, where logged."""
        self.context.call("cordon_log_written", self.ptr, address(Gpa, gpa), size_bytes(length),
                          domain=self.number, gpa=address(Gpa, gpa), len=size_bytes(length))

    def coalesce(self, gpa: GpaLike, length: Size, *, budget: int = 0) -> Coalesced:
        """Make large leaves out of small ones again, where they go on with each other and say the same; BUDGET
        tables at a time."""
        return coalesce(self, gpa, length, budget)

    def share(self, borrower: "Domain", gpa: GpaLike, to: GpaLike, length: Size, perms: PermLike = Perm.RW,
              *, dma: bool = True) -> None:
        """Lend [GPA, GPA+LENGTH) to another domain, where it stands at TO. The frames stay this domain's;
        while anybody borrows them, they cannot be revoked here (Busy). The borrower revokes as its own."""
        what = _abi.Share(gpa=address(Gpa, gpa), to=address(Gpa, to), len=size_bytes(length),
                          perms=int(Perm.of(perms)), flags=0 if dma else _abi.CORDON_REGION_NODMA)
        self.context.call("cordon_share", self.ptr, borrower.ptr, ctypes.byref(what), domain=self.number,
                          borrower=borrower.number, gpa=what.gpa, to=what.to, len=what.len,
                          perms=Perm.of(perms))

    def give_back(self) -> None:
        """Revoke all that this domain borrows. Pending: see retire; the loans are not over yet."""
        loans = [r for r in self.regions() if r.flags & _abi.CORDON_REGION_SHARED]
        if loans:
            self.change([Revoke(loan.gpa, loan.len) for loan in loans])

    def move(self, gpa: GpaLike, to: GpaLike, length: Size) -> None:
        """Have [GPA, GPA+LENGTH) stand at TO, with the same frames; accesses fault in between."""
        self._remap(gpa, to, length, ())

    def replace(self, gpa: GpaLike, extents: Extents) -> None:
        """Back the range from GPA on with EXTENTS (HELD) instead of its frames. Contents are not copied."""
        backing = [extents] if isinstance(extents, Extent) else extents_of(extents)
        self._remap(gpa, gpa, sum(extent.len for extent in backing), backing)

    def relocate(self, gpa: GpaLike, length: Size) -> Moves:
        """Give these pages other frames with the same contents, wherever there is room. On an exception `moves`
        says what was moved before."""
        return relocate(self, gpa, length)

    @property
    def moved(self) -> Moves:
        """What was moved of its frames so far, whoever asked for it."""
        out = _abi.Moves()
        self.context.call("cordon_domain_moves", self.ptr, ctypes.byref(out))
        return Moves.of(out)

    def _remap(self, gpa: GpaLike, to: GpaLike, length: Size, extents: Sequence[ExtentLike]) -> None:
        array, count = extents_array(extents) if extents else (None, 0)
        what = _abi.Remap(gpa=address(Gpa, gpa), to=address(Gpa, to), len=size_bytes(length), extents=array,
                          extent_count=count)
        given: dict[str, Any] = {"extents": extents} if extents else {}
        self.context.call("cordon_remap", self.ptr, ctypes.byref(what), domain=self.number, gpa=what.gpa,
                          to=what.to, len=what.len, **given)

    def retire(self) -> None:
        """Try again to release what a Pending change left."""
        self.context.call("cordon_retire", self.ptr, domain=self.number)

    def space(self) -> "Space":
        """A tree of regions, and slots, that lead this map."""
        from .space import Space
        return Space(self)

    def listen(self, listener: object) -> "Listening":
        """Have each change of this map told to LISTENER's prepare, commit and abort, from what stands on."""
        from .listen import Listening
        return Listening(self, listener)

    # ---- questions ----------------------------------------------------------------------------

    def region_at(self, gpa: GpaLike, *, next: bool = False) -> Region:
        """The region that holds GPA (or, with next, the nearest above it); NotFound."""
        out = _abi.RegionInfo()
        gpa = address(Gpa, gpa)
        self.context.call("cordon_region_find", self.ptr, gpa, bool(next), ctypes.byref(out), gpa=gpa)
        return Region(out.gpa, out.len, Perm(out.perms), out.flags)

    def translate(self, gpa: GpaLike, access: PermLike = "", *, view: int = 0) -> Hit:
        """Where GPA leads in a view (0: what the harts see); TranslationFault where it does not."""
        out = _abi.Hit()
        gpa, access = address(Gpa, gpa), Perm.of(access)
        self.context.call("cordon_translate", self.ptr, view, gpa, int(access), ctypes.byref(out),
                          gpa=gpa, view=view, access=access)
        return Hit(out.hpa, out.span, Perm(out.perms), out.level, 1 << out.shift, MemoryType.of_flags(out.type))

    def walk(self, gpa: GpaLike, access: PermLike = "", *, view: int = 0) -> Walk:
        """Every word that a walk of GPA reads, and why it ends; a fault is an answer here."""
        return walk(self, gpa, access, view)

    def shape(self, *, view: int = 0) -> Shape:
        """What the tables of a view cost, and how long walks through them are."""
        return shape(self, view)

    def walk_guest(self, gva: GvaLike, satp: int = 0, access: PermLike = "", rules: Rules = Rules()) -> GuestWalk:
        """GVA through the tables below SATP, which stand in this guest's memory, and the map: each word, and all
        four kinds of address. With SATP 0 (Bare) it is the way of a GPA. ACCESS is "r", "w", "x" or "": any leaf."""
        return walk_guest(self, gva, satp, access, rules)

    def leaves(self, *, view: int = 0) -> Iterator[Leaf]:
        """The leaves of a view in the order of their GPA."""
        return leaves(self, view)

    def regions(self) -> Iterator[Region]:
        """The regions of the map in the order of their GPA."""
        gpa = Gpa(0)
        while True:
            try:
                region = self.region_at(gpa, next=True)
            except NotFound:
                return
            yield region
            gpa = region.end

    # ---- MSIs ---------------------------------------------------------------------------------

    def msi_window(self, base: GpaLike, mask: Size) -> None:
        """Pages that differ from BASE only in the bits of MASK (page-number bits) are MSI targets."""
        base, mask = address(Gpa, base), as_int(mask, "mask")
        self.context.call("cordon_msi_window", self.ptr, base, mask, base=base, mask=mask)

    def msi_set(self, index: int, file: HpaLike | None) -> None:
        """Lead MSIs for file INDEX to the interrupt file at FILE (None: nowhere)."""
        file = address(Hpa, 0 if file is None else file)
        self.context.call("cordon_msi_set", self.ptr, index, file, index=index, file=file)

    def close(self) -> None:
        """Revoke all and free the domain, its spaces and its listeners. Busy while a device is attached; Pending:
        call again."""
        if self._ptr is not None:
            for child in [c for c in self.context.children if getattr(c, "of_domain", None) is self]:
                child.close()
            self.context.call("cordon_domain_destroy", self._ptr, domain=self.number)
            self.forget()

    def __repr__(self) -> str:
        return "<Domain closed>" if self._ptr is None else f"<Domain {self.number} hgatp {self.hgatp:#x}>"
