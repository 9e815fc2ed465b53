"""The isolation layer over a running QEMU: the same C driver, its registers over qtest, its tables in
the machine's own RAM, and the devices that those tables are to hold back."""
from .. import parts as neutral
from ..platform import Platform
from ..port import Port
from ..types import Extent, extents_of
from . import hart
from .dma import EduDma
from .machine import IOMMU_SYS, RAM_BASE, QemuMachine
from .parts import Edu, PciIommu, for_qemu

_DDTP = 0x10
_BARE = 1


class QtestPort(Port):
    """The library's port over qtest."""

    def __init__(self, qtest):
        self._qtest = qtest

    def read(self, hpa, width):
        return self._qtest.read(width, hpa)

    def write(self, hpa, width, value):
        self._qtest.write(width, hpa, value)


class QemuPlatform(Platform):
    """A QEMU machine without guest code, a context over its RAM, and its IOMMU taken over.

    `iommu` is "sys" or "pci"; `globals_` are QEMU's -global settings. `firmware`, called with the
    machine and the IOMMU's address before the library comes, stands for what ran before us."""

    def __init__(self, parts=(), *, iommu="sys", globals_=(), ram="64M", reserved=(), firmware=None,
                 **settings):
        pci_iommu = [PciIommu()] if iommu == "pci" else []
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

    def _iommu_base(self, pci_iommu):
        if not pci_iommu:
            return IOMMU_SYS
        function = self.machine.functions[pci_iommu[0].device_id]
        function.command(memory=True, master=True)
        return function.bars[0].address

    def _prime(self, port, base, parts):
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

    def function(self, name):
        """The PCI function of the part called NAME."""
        return self.machine.function(self.part(name).name)

    def instrument(self, part, device):
        if not isinstance(part, Edu):
            return None
        return self._primed.get(part.name, EduDma(self.function(part.name))).lead(self, device)

    def quiet(self, part):
        self.function(part.name).command(master=False)

    def wake(self, part):
        self.function(part.name).command(master=True)

    def reset(self, part):
        part.reset(self.function(part.name))

    def close(self):
        super().close()
        self.machine.close()
