"""The isolation layer over a running QEMU: the same C driver, its registers over qtest, its tables in
the machine's own RAM, and the devices that those tables are to hold back."""
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .. import parts as neutral
from ..platform import Platform
from ..port import Port
from ..types import Extent, ExtentLike, Size, extents_of
from . import hart
from .dma import EduDma
from .machine import IOMMU_SYS, RAM_BASE, QemuMachine
from .parts import Edu, Part, PciIommu, for_qemu

if TYPE_CHECKING:
    from ..device import Device
    from .pci import Function
    from .qtest import QTest

_DDTP = 0x10
_BARE = 1


class QtestPort(Port):
    """The library's port over qtest."""

    def __init__(self, qtest: "QTest") -> None:
        self._qtest = qtest

    def read(self, hpa: int, width: int) -> int:
        return self._qtest.read(width, hpa)

    def write(self, hpa: int, width: int, value: int) -> None:
        self._qtest.write(width, hpa, value)


class QemuPlatform(Platform):
    """A QEMU machine without guest code, a context over its RAM, and its IOMMU taken over.

    `iommu` is "sys" or "pci"; `globals_` are QEMU's -global settings. `firmware`, called with the
    machine and the IOMMU's address before the library comes, stands for what ran before us."""

    def __init__(self, parts: Iterable[neutral.Part] = (), *, iommu: str = "sys",
                 globals_: Iterable[str] = (), ram: Size = "64M", reserved: Iterable[ExtentLike] = (),
                 firmware: "Callable[[QemuMachine, int], object] | None" = None, **settings: Any) -> None:
        pci_iommu = [PciIommu()] if iommu == "pci" else []
        parts = list(parts)
        neutral.refuse_twins([*pci_iommu, *parts])
        self.machine = QemuMachine([*pci_iommu, *map(for_qemu, parts)], ram=ram, iommu=iommu,
                                   globals_=globals_)
        try:
            base = self._iommu_base(pci_iommu)
            port = QtestPort(self.machine.qtest)
            self._primed = self._prime(port, base, parts)
            if firmware:
                firmware(self.machine, base)
            self._begin([*pci_iommu, *map(for_qemu, parts)], ram=self.machine.ram, ram_base=RAM_BASE,
                             port=port, iommu_base=base,
                             reserved=[Extent(RAM_BASE, hart.SIZE), *extents_of(reserved)], **settings)
        except BaseException:
            self.close()
            raise

    def _iommu_base(self, pci_iommu: list[PciIommu]) -> int:
        if not pci_iommu:
            return IOMMU_SYS
        function = self.machine.functions[pci_iommu[0].device_id]
        function.command(memory=True, master=True)
        return function.bars[0].address

    def _prime(self, port: QtestPort, base: int, parts: list[neutral.Part]) -> dict[str, EduDma]:
        """Fill the buffers of Dma parts before the library comes, with the IOMMU out of the way for so
        long: what they hold then lets them attack without ever having had an honest page."""
        wanted = [part for part in parts if isinstance(part, neutral.Dma)]
        primed = {}
        if wanted:
            before = port.read(base + _DDTP, 8)
            port.write(base + _DDTP, 8, _BARE)
            for part in wanted:
                function = self.machine.function(part.name)
                function.command(master=True)
                primed[part.name] = EduDma(function).prime(self.machine.ram, RAM_BASE)
                function.command(master=False)
            port.write(base + _DDTP, 8, before)
        return primed

    # ---- devices ------------------------------------------------------------------------------------

    def function(self, name: str) -> "Function":
        """The PCI function of the part called NAME."""
        return self.machine.function(self.part(name).name)

    def instrument(self, part: neutral.Part, device: "Device") -> EduDma | None:
        if not isinstance(part, Edu):
            return None
        return self._primed.get(part.name, EduDma(self.function(part.name))).lead(self, device)

    def quiet(self, part: neutral.Part) -> None:
        self.function(part.name).command(master=False)

    def wake(self, part: neutral.Part) -> None:
        self.function(part.name).command(master=True)

    def reset(self, part: Part) -> None:
        part.reset(self.function(part.name))

    def close(self) -> None:
        super().close()
        self.machine.close()
