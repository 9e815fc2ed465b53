"""The isolation layer over a running QEMU: the same C driver, its registers over qtest, its tables in
the machine's own RAM, and the devices that those tables are to hold back."""
from ..context import Context
from ..expect import FaultLog
from ..types import Drain, Extent, extents_of
from . import hart
from .guest import Guest
from .machine import IOMMU_SYS, RAM_BASE, QemuMachine
from .parts import PciIommu


class QtestPort:
    """The library's port over qtest. There is one hart, and it runs no guest: nothing to fence.

    Hardware that misbehaves is simulated here: `on_write(hpa, width, value)` is asked before each
    register write, and drops it by answering False; `on_read(hpa, width, value)` may answer another
    value than the register's."""

    def __init__(self, qtest):
        self._qtest = qtest
        self.on_write = self.on_read = None

    def mmio_read(self, hpa, width):
        value = self._qtest.read(width, hpa)
        return value if self.on_read is None else self.on_read(hpa, width, value)

    def mmio_write(self, hpa, width, value):
        if self.on_write is None or self.on_write(hpa, width, value) is not False:
            self._qtest.write(width, hpa, value)


class QemuPlatform(FaultLog):
    """A machine, a context over its RAM, and its IOMMU taken over.

    `firmware`, called with the machine and the IOMMU's address before that, stands for what ran
    before us. `reserved` names further parts of RAM that are not ours to give."""

    def __init__(self, parts=(), *, iommu="sys", globals_=(), ram="64M", reserved=(), firmware=None,
                 take_over=True, **iommu_settings):
        super().__init__()
        pci_iommu = [PciIommu()] if iommu == "pci" else []
        self.machine = QemuMachine([*pci_iommu, *parts], ram=ram, iommu=iommu, globals_=globals_)
        self.guests, self.devices, self.context, self.iommu = [], {}, None, None
        try:
            self.iommu_base = self._iommu_base(pci_iommu)
            if firmware:
                firmware(self.machine, self.iommu_base)
            taken = [Extent(RAM_BASE, hart.SIZE), *extents_of(reserved)]
            self.port = QtestPort(self.machine.qtest)
            self.context = Context(self.machine.ram, RAM_BASE, reserved=taken, port=self.port, seed=1)
            self.iommu_settings = iommu_settings
            if take_over:
                self.take_over()
        except BaseException:
            self.close()
            raise

    def _iommu_base(self, pci_iommu):
        if not pci_iommu:
            return IOMMU_SYS
        function = self.machine.functions[pci_iommu[0].device_id]
        function.command(memory=True, master=True)
        return function.bars[0].address

    def take_over(self):
        self.iommu = self.context.iommu(self.iommu_base, **self.iommu_settings)

    # ---- memory -----------------------------------------------------------------------------------

    def memory(self, hpa, length):
        """LENGTH bytes of the machine's RAM from HPA on, to read and write in place."""
        start = int(hpa) - RAM_BASE
        if not 0 <= start <= start + length <= len(self.machine.ram):
            raise IndexError(f"{int(hpa):#x} + {length:#x} is not RAM")
        return self.machine.ram[start:start + length]

    def register(self, offset, width=4):
        """A register of the IOMMU, read past the library."""
        return self.machine.qtest.read(width, self.iommu_base + offset)

    def set_register(self, offset, value, width=4):
        self.machine.qtest.write(width, self.iommu_base + offset, value)

    # ---- guests and devices -----------------------------------------------------------------------

    def guest(self, name, gpa_limit=1 << 41):
        guest = Guest(self, name, self.context.domain(gpa_limit))
        self.guests.append(guest)
        return guest

    def function(self, name):
        return self.machine.function(name)

    def device(self, name):
        """The part as a device of the library, bus mastering on; it has no context yet."""
        if name not in self.devices:
            part = self.machine.parts[name]
            self.devices[name] = self.iommu.device(part.device_id, name, drain=part.drain)
            self.function(name).command(master=True)
        return self.devices[name]

    def release(self, name):
        """Take a device off the bus, out of its domain, reset it if only that drains it, forget it."""
        device = self.devices.pop(name)
        function = self.function(name)
        function.command(master=False)
        if device.drain is Drain.RESET:
            function.flr()
            device.close_after_reset()
        else:
            device.close()

    # ---- the end ----------------------------------------------------------------------------------

    def dismantle(self):
        """Give everything back in order; what is left must be what stood there before."""
        for name in list(self.devices):
            self.release(name)
        for guest in self.guests:
            guest.domain.close()
        if self.iommu is not None:
            self.iommu.close()

    def close(self):
        if self.context is not None:
            self.context.abandon()
        self.machine.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
