"""Buffer: a named stretch of a guest's memory, as its devices and as the guest itself see it."""
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .types import Bytes, Extent, Gpa, GpaLike, Iova, address

if TYPE_CHECKING:
    from .guest import Guest


class Buffer:
    """Memory that a guest's devices reach from `iova` on. `read` and `write` are the guest's own
    side: they go to the host pages that were given to it, past every table."""

    def __init__(self, guest: "Guest", name: str, gpa: GpaLike, extents: Iterable[Extent]) -> None:
        self.guest, self.name, self.gpa = guest, name, address(Gpa, gpa)
        self.iova = Iova(int(self.gpa))  # no first stage: what a device says is a GPA
        self.extents, self.size = tuple(extents), sum(extent.len for extent in extents)

    @property
    def end(self) -> Iova:
        """The first address past it."""
        return self.iova + self.size

    def _runs(self, at: int, length: int) -> Iterator[memoryview]:
        """Memory of the stretch, run by run."""
        if not 0 <= at <= at + length <= self.size:
            raise IndexError(f"{length:#x} bytes at {at:#x} are not inside {self!r}")
        for extent in self.extents:
            if at >= extent.len:
                at -= extent.len
            elif length:
                part = min(length, extent.len - at)
                yield self.guest.platform.memory(extent.hpa + at, part)
                at, length = 0, length - part

    def read(self, length: int | None = None, at: int = 0) -> bytes:
        """LENGTH bytes (all of them) from offset AT on."""
        return b"".join(map(bytes, self._runs(at, self.size - at if length is None else length)))

    def write(self, data: Bytes, at: int = 0) -> None:
        done = 0
        for memory in self._runs(at, len(data)):
            memory[:] = data[done:done + len(memory)]
            done += len(memory)

    def revoke(self) -> None:
        """Take it out of the guest's map. Pending: its frames are not free yet."""
        self.guest.revoke(self.gpa, self.size)

    def __repr__(self) -> str:
        return f"<Buffer {self.name} {self.iova.v:#x}..{self.end.v - 1:#x}>"


__all__ = ["Buffer"]
