"""Domain: what stands at each guest physical address of one guest."""
import ctypes
from dataclasses import dataclass

from . import _abi
from ._base import as_int
from .context import Child
from .errors import NotFound
from .types import Extent, Gpa, Hpa, Perm, address, extents_array, extents_of, size_bytes
from .walk import leaves, walk


@dataclass(frozen=True)
class Grant:
    """A new region: EXTENTS back GPA and what follows, in order."""

    gpa: Gpa
    extents: tuple
    perms: Perm = Perm.RWX
    mmio: bool = False
    dma: bool = True
    peer: bool = False
    keep: bool = False

    def fill(self, op):
        flags = ((_abi.CORDON_REGION_MMIO if self.mmio else 0) | (0 if self.dma else _abi.CORDON_REGION_NODMA)
                 | (_abi.CORDON_REGION_PEER if self.peer else 0)
                 | (_abi.CORDON_REGION_KEEP if self.keep else 0))
        op.kind, op.flags, op.perms = _abi.CORDON_OP_GRANT, flags, int(Perm.of(self.perms))
        extents = extents_of(self.extents)
        op.gpa, op.len = address(Gpa, self.gpa), sum(e.len for e in extents)
        op.extents, op.extent_count = extents_array(extents)


@dataclass(frozen=True)
class Revoke:
    """Take GPA and LEN bytes from there out of the map."""

    gpa: Gpa
    len: int

    def fill(self, op):
        op.kind, op.gpa, op.len = _abi.CORDON_OP_REVOKE, address(Gpa, self.gpa), size_bytes(self.len)


@dataclass(frozen=True)
class Protect:
    """Change the rights of GPA and LEN bytes from there."""

    gpa: Gpa
    len: int
    perms: Perm

    def fill(self, op):
        op.kind, op.gpa, op.len = _abi.CORDON_OP_PROTECT, address(Gpa, self.gpa), size_bytes(self.len)
        op.perms = int(Perm.of(self.perms))


@dataclass(frozen=True)
class Region:
    gpa: Gpa
    len: int
    perms: Perm
    flags: int

    @property
    def end(self):
        return self.gpa + self.len

    def __repr__(self):
        return f"Region({self.gpa.v:#x}..{self.end.v - 1:#x} {self.perms})"


@dataclass(frozen=True)
class Hit:
    """Where an address leads: the byte's HPA, bytes to the end of the leaf, its rights and level."""

    hpa: Hpa
    span: int
    perms: Perm
    level: int


class Domain(Child):
    """One guest's map and the views made from it."""

    closed_after = 1

    def __init__(self, context, gpa_limit=1 << 41, *, modes=0):
        super().__init__(context)
        config = _abi.DomainConfig(modes=int(modes), gpa_limit=as_int(gpa_limit, "gpa_limit"))
        out = ctypes.POINTER(_abi.Domain)()
        try:
            context.call("cordon_domain_create", context.ptr, ctypes.byref(config), ctypes.byref(out),
                         gpa_limit=config.gpa_limit, modes=config.modes)
        except BaseException:
            self.forget()
            raise
        self._ptr = out

    @property
    def number(self):
        return self.context.call("cordon_domain_number", self.ptr)

    @property
    def hgatp(self):
        return self.context.call("cordon_domain_hgatp", self.ptr)

    # ---- changes ------------------------------------------------------------------------------

    def change(self, ops, **fields):
        """Carry out Grant, Revoke and Protect operations as one transaction."""
        array = (_abi.Op * len(ops))()
        for op, slot in zip(ops, array):
            op.fill(slot)
        self.context.call("cordon_change", self.ptr, array, len(ops), domain=self.number,
                          **(fields or {"ops": ops}))

    def grant(self, gpa, extents, perms=Perm.RWX, **flags):
        """Make EXTENTS (one Extent or a list) stand at GPA. Flags: mmio, dma, peer, keep."""
        extents = [extents] if isinstance(extents, Extent) else list(extents)
        self.change([Grant(gpa, tuple(extents), perms, **flags)], gpa=address(Gpa, gpa), extents=extents)

    def revoke(self, gpa, length):
        """Pending when the frames could not be released yet: see retire."""
        self.change([Revoke(gpa, length)], gpa=address(Gpa, gpa), len=size_bytes(length))

    def protect(self, gpa, length, perms):
        self.change([Protect(gpa, length, perms)], gpa=address(Gpa, gpa), len=size_bytes(length),
                    perms=Perm.of(perms))

    def share(self, borrower, gpa, to, length, perms=Perm.RW, *, dma=True):
        """Lend [GPA, GPA+LENGTH) to another domain, where it stands at TO. The frames stay this domain's;
        while anybody borrows them, they cannot be revoked here (Busy). The borrower revokes as its own."""
        what = _abi.Share(gpa=address(Gpa, gpa), to=address(Gpa, to), len=size_bytes(length),
                          perms=int(Perm.of(perms)), flags=0 if dma else _abi.CORDON_REGION_NODMA)
        self.context.call("cordon_share", self.ptr, borrower.ptr, ctypes.byref(what), domain=self.number,
                          borrower=borrower.number, gpa=what.gpa, to=what.to, len=what.len,
                          perms=Perm.of(perms))

    def move(self, gpa, to, length):
        """Have [GPA, GPA+LENGTH) stand at TO, with the same frames; accesses fault in between."""
        self._remap(gpa, to, length, ())

    def replace(self, gpa, extents):
        """Back the range from GPA on with EXTENTS (HELD) instead of its frames. Contents are not copied."""
        extents = [extents] if isinstance(extents, Extent) else list(extents)
        self._remap(gpa, gpa, sum(extent.len for extent in extents), extents)

    def _remap(self, gpa, to, length, extents):
        array, count = extents_array(extents) if extents else (None, 0)
        what = _abi.Remap(gpa=address(Gpa, gpa), to=address(Gpa, to), len=size_bytes(length), extents=array,
                          extent_count=count)
        self.context.call("cordon_remap", self.ptr, ctypes.byref(what), domain=self.number, gpa=what.gpa,
                          to=what.to, len=what.len)

    def retire(self):
        """Try again to release what a Pending change left."""
        self.context.call("cordon_retire", self.ptr, domain=self.number)

    # ---- questions ----------------------------------------------------------------------------

    def region_at(self, gpa, *, next=False):
        """The region that holds GPA (or, with next, the nearest above it); NotFound."""
        out = _abi.RegionInfo()
        gpa = address(Gpa, gpa)
        self.context.call("cordon_region_find", self.ptr, gpa, bool(next), ctypes.byref(out), gpa=gpa)
        return Region(out.gpa, out.len, Perm(out.perms), out.flags)

    def translate(self, gpa, access="", *, view=0):
        """Where GPA leads in a view (0: what the harts see); TranslationFault where it does not."""
        out = _abi.Hit()
        gpa, access = address(Gpa, gpa), Perm.of(access)
        self.context.call("cordon_translate", self.ptr, view, gpa, int(access), ctypes.byref(out),
                          gpa=gpa, view=view, access=access)
        return Hit(out.hpa, out.span, Perm(out.perms), out.level)

    def walk(self, gpa, access="", *, view=0):
        """Every word that a walk of GPA reads, and why it ends; a fault is an answer here."""
        return walk(self, gpa, access, view)

    def leaves(self, *, view=0):
        """The leaves of a view in the order of their GPA."""
        return leaves(self, view)

    def regions(self):
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

    def msi_window(self, base, mask):
        """Pages that differ from BASE only in the bits of MASK (page-number bits) are MSI targets."""
        base, mask = address(Gpa, base), as_int(mask, "mask")
        self.context.call("cordon_msi_window", self.ptr, base, mask, base=base, mask=mask)

    def msi_set(self, index, file):
        """Lead MSIs for file INDEX to the interrupt file at FILE (None: nowhere)."""
        file = address(Hpa, 0 if file is None else file)
        self.context.call("cordon_msi_set", self.ptr, index, file, index=index, file=file)

    def close(self):
        """Revoke all and free the domain. Busy while a device is attached; Pending: call again."""
        if self._ptr is not None:
            self.context.call("cordon_domain_destroy", self._ptr, domain=self.number)
            self.forget()

    def __repr__(self):
        return "<Domain closed>" if self._ptr is None else f"<Domain {self.number} hgatp {self.hgatp:#x}>"
