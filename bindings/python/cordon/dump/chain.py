"""One address through all that stands between it and host memory: GVA, GPA, HVA, HPA."""
from dataclasses import dataclass
from typing import Any

from ..judge import HartWalker, Trail, Walker
from .format import DeviceState, DomainState, Dump, HartState


@dataclass
class Chain:
    """The four addresses as far as they are known, and the walk that found them."""

    trail: Trail
    gva: int | None = None
    iova: int | None = None
    gpa: int | None = None
    hva: int | None = None
    hpa: int | None = None
    note: str = ""

    KINDS = ("gva", "iova", "gpa", "hva", "hpa")

    def to_json(self) -> dict[str, Any]:
        found = {kind: None if getattr(self, kind) is None else hex(getattr(self, kind)) for kind in self.KINDS}
        return {**found, "note": self.note, "walk": self.trail.to_json()}

    def __str__(self) -> str:
        known = [(kind, getattr(self, kind)) for kind in self.KINDS]
        line = " -> ".join(f"{kind.upper()} {value:#x}" for kind, value in known if value is not None)
        note = f"\n({self.note})" if self.note else ""
        return f"{self.trail}\n{line}{'' if self.hpa is not None else ' -> nowhere'}{note}"


def _finish(dump: Dump, chain: Chain) -> Chain:
    """HPA to HVA, which is the same place in the hypervisor's direct map; looked up where its tables are
    in the dump."""
    chain.hpa = chain.trail.hpa
    if chain.hpa is None or dump.direct_map is None:
        return chain
    chain.hva = chain.hpa + dump.direct_map & (1 << 64) - 1
    satp = next((hart.satp for hart in dump.harts if hart.satp >> 60), None)
    if satp is not None:
        back = HartWalker(dump.read).hva(satp, chain.hva)
        if back.hpa != chain.hpa:
            chain.hva, chain.note = None, f"the hypervisor does not map it: {back.reason}"
    return chain


def from_iova(dump: Dump, device: DeviceState, iova: int, access: str = "r") -> Chain:
    """Where a device's request leads."""
    walker = Walker(dump.read, dump.iommus[device.iommu].register)
    trail = walker.walk(device.id, iova, access)
    return _finish(dump, Chain(trail, iova=iova, gpa=trail.gpa))


def from_gpa(dump: Dump, domain: DomainState, gpa: int, access: str = "r") -> Chain:
    """Where an address of a domain's memory stands."""
    return _finish(dump, Chain(HartWalker(dump.read).gpa(domain.hgatp, gpa, access), gpa=gpa))


def from_gva(dump: Dump, hart: HartState, gva: int, access: str = "r") -> Chain:
    """Where the guest that a hart runs leads an address of its own."""
    trail = HartWalker(dump.read).gva(hart.vsatp, hart.hgatp, gva, access)
    return _finish(dump, Chain(trail, gva=gva, gpa=trail.gpa))
