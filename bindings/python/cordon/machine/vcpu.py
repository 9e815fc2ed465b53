"""One vCPU of a guest: where its addresses lead, while it runs."""
from collections.abc import Callable
from typing import Literal

from .channel import Event
from ..gva import GuestWalk, GvaLike, from_event
from ..types import Gva, Perm, PermLike, address

Who = Literal["", "user", "supervisor"]


class NoSuchVcpu(IndexError):
    """The guest has no vCPU of that number. The text says how many it has."""


class Vcpu:
    """vCPU NUMBER of the guest GUEST."""

    def __init__(self, guest: str, number: int, order: Callable[..., Event]) -> None:
        """ORDER asks the hypervisor: Channel.order, or one that knows more of the guest."""
        self.guest, self.number, self._order = guest, number, order

    def translate(self, gva: GvaLike, access: PermLike = "", who: Who = "") -> GuestWalk:
        """Where the vCPU's own tables and the map lead GVA now, each word told; it runs on. ACCESS is "r", "w", "x",
        or "": to any leaf, whoever may use it how; WHO makes it user mode's or the supervisor's, else the mode is the
        one that the vCPU is met in. A vCPU that is stopped translates nothing (Bare)."""
        gva, access = address(Gva, gva), Perm.of(access)
        if access not in (Perm.NONE, Perm.R, Perm.W, Perm.X):
            raise ValueError(f"one access at a time: r, w or x, not {access}")
        letter = str(access).strip("-") or "-"
        event = self._order(f"translate {self.guest} {self.number} {gva.v:#x} {letter} {who}".rstrip(), "translated",
                            vm=self.guest, vcpu=self.number, gva=hex(gva.v), access=int(access))
        return from_event(event)

    def __repr__(self) -> str:
        return f"<Vcpu {self.number} of {self.guest}>"


__all__ = ["NoSuchVcpu", "Vcpu", "Who"]
