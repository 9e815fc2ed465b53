"""What a machine has: sources of DMA, by their place on its bus."""
from dataclasses import dataclass

from .types import Drain


@dataclass
class Part:
    """A PCI function on bus 0. `slot` is 1..31; QEMU 10.0 gives devices behind bridges device id 0."""

    slot: int
    function: int = 0
    name: str = ""
    kind = ""
    drain = Drain.IOMMU

    def __post_init__(self) -> None:
        if not 1 <= self.slot <= 31 or not 0 <= self.function <= 7:
            raise ValueError(f"slot {self.slot} function {self.function} is not on bus 0")
        self.name = self.name or f"{self.kind}{self.slot}"

    @property
    def device_id(self) -> int:
        return self.slot << 3 | self.function

    @property
    def bdf(self) -> str:
        """Its address as people write it: "00:02.0"."""
        return f"00:{self.slot:02x}.{self.function}"


@dataclass
class Dma(Part):
    """A device that does the DMA it is told to, on any platform: QEMU's edu, the model's engine.
    `drain` is what proves that its DMA is over; QEMU's cannot be reset."""

    drain: Drain = Drain.IOMMU
    kind = "dma"


def refuse_twins(parts: "list[Part]") -> None:
    """ValueError if two of PARTS have one name or stand in one place."""
    for what, values in (("name", [part.name for part in parts]), ("place", [part.bdf for part in parts])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ValueError(f"two parts have the same {what}: {twice}")


__all__ = ["Dma", "Part", "refuse_twins"]
