"""The isolation layer over the software IOMMU: all in this process, in milliseconds."""
import mmap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..parts import Dma, Part
from ..platform import Platform
from ..port import Port
from ..types import Size, size_pages
from .engine import Engine
from .iommu import ModelIommu

if TYPE_CHECKING:
    from ..device import Device

RAM_BASE = 0x80000000
IOMMU_BASE = 0x3010000
FILES, FILES_END = 0x28000000, 0x28040000  # interrupt files: they take messages of four bytes


class ModelPort(Port):
    """The library's port over the software IOMMU. Time stands still but for a millisecond a look, so
    that a wait for what never comes is over at once."""

    def __init__(self, model: ModelIommu, base: int) -> None:
        self._model, self._base, self._now = model, base, 0

    def read(self, hpa: int, width: int) -> int:
        return self._model.read(hpa - self._base, width)

    def write(self, hpa: int, width: int, value: int) -> None:
        self._model.write(hpa - self._base, value, width)

    def time_us(self) -> int:
        self._now += 1000
        return self._now


class ModelPlatform(Platform):
    """RAM of this process, a software IOMMU, and scatter-gather engines.

    `model` (a ModelIommu) and each device's `dma` (an Engine) can be told to misbehave. `messages` are
    the (host address, value) of what devices wrote to interrupt files. `capabilities` (out of
    CAPABILITIES) and `without` (Cache flags) say what the IOMMU has."""

    model: ModelIommu = None  # type: ignore[assignment]

    def __init__(self, parts: Iterable[Part] = (), *, ram: Size = "16M", capabilities: int = 0,
                 without: int = 0, cache_entries: int = 0, **settings: Any) -> None:
        parts = list(parts)
        for part in parts:
            if not isinstance(part, Dma):
                raise ValueError(f"{part.name}: the model has no {part.kind}: use Dma({part.slot})")
        self._map = mmap.mmap(-1, size_pages(ram, "ram"), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._map.madvise(mmap.MADV_HUGEPAGE)  # a fault a megabyte would be most of a test's time
        self.messages: list[tuple[int, int]] = []
        self._engines: dict[str, Engine] = {}
        memory = memoryview(self._map)
        try:
            self.model = ModelIommu(memory, RAM_BASE, capabilities=capabilities, without=without,
                                    cache_entries=cache_entries, outside=self._outside)
            self._begin(parts, ram=memory, ram_base=RAM_BASE, iommu_base=IOMMU_BASE,
                             port=ModelPort(self.model, IOMMU_BASE), **settings)
        except BaseException:
            self.close()
            raise

    def _outside(self, hpa: int, data: bytes | int) -> bytes | None:
        """An interrupt file takes a message; nothing else stands outside of RAM."""
        if not isinstance(data, bytes) or len(data) != 4 or not FILES <= hpa < FILES_END:
            return None
        self.messages.append((hpa, int.from_bytes(data, "little")))
        return b""

    def instrument(self, part: Part, device: "Device") -> Engine:
        if part.name not in self._engines:
            self._engines[part.name] = Engine(self.model, part.device_id)
        return self._engines[part.name]

    def reset(self, part: Part) -> None:
        self._engines[part.name].reset()

    def complaints(self) -> list[str]:
        stats = self.model.stats
        if not stats.violations:
            return []
        return [f"{stats.violations} accesses that the specification leaves UNSPECIFIED, the last: "
                f"{stats.violation.decode()}"]

    def close(self) -> None:
        super().close()
        if self.model is not None:
            self.model.close()
        self._map.madvise(mmap.MADV_DONTNEED)  # what still points into it sees zeros


__all__ = ["ModelPlatform", "ModelPort"]
