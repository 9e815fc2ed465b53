"""Device: a source of DMA, by the id that its IOMMU sees."""
import ctypes
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from . import _abi
from .context import Child
from .errors import CordonError, NotFound, Pending
from .types import Drain

if TYPE_CHECKING:
    from .domain import Domain
    from .iommu import Iommu


class Device(Child):
    """A device known to an IOMMU. Until it is attached to a domain it reaches nothing. On a platform
    `dma` is the instrument that makes it write and read: dma.write(iova, data), dma.read(iova, n)."""

    dma: Any = None

    def __init__(self, iommu: "Iommu", device_id: int, name: str = "", *, drain: Drain = Drain.IOMMU) -> None:
        super().__init__(iommu.context)
        self.iommu, self.device_id, self.name, self.drain = iommu, device_id, name, Drain(drain)
        self.domain: Domain | None = None
        config = _abi.DeviceConfig(device_id=device_id, drain=int(self.drain), name=name)
        out = ctypes.POINTER(_abi.Device)()
        try:
            self.context.call("cordon_device_add", iommu.ptr, ctypes.byref(config), ctypes.byref(out),
                              device_id=device_id, device=name)
        except BaseException:
            self.forget()
            raise
        self._ptr = out

    def attach(self, domain: "Domain", *, own_view: bool = False) -> Self:
        """Publish a context that leads to the domain's common device view, or to one of its own."""
        flags = _abi.CORDON_ATTACH_OWN_VIEW if own_view else 0
        self.context.call("cordon_device_attach", domain.ptr, self.ptr, flags, device=self.name,
                          domain=domain.number)
        self.domain = domain
        return self

    def detach(self) -> None:
        """Withdraw the context and wait. The caller has quiesced the device. Pending: the context is
        gone, but the IOMMU did not confirm. A device that drains by reset is its domain's until
        drained() says that its reset has completed."""
        try:
            self.context.call("cordon_device_detach", self.ptr, device=self.name)
        except CordonError as error:
            if isinstance(error, (NotFound, Pending)):
                self.domain = None
            raise
        self.domain = None

    def drained(self) -> None:
        """State that the device's reset has completed and that none of its DMA is in flight."""
        self.context.call("cordon_device_drained", self.ptr, device=self.name)

    def close(self) -> None:
        """Detach it if it is attached, and make it unknown. Busy while its drain is awaited."""
        if self._ptr is None:
            return
        if self.domain is not None:
            with suppress(NotFound):
                self.detach()
        self.context.call("cordon_device_remove", self._ptr, device=self.name)
        self.forget()

    def close_after_reset(self) -> None:
        """Close a device whose reset has completed while it was off the bus."""
        if self.domain is not None:
            with suppress(Pending):
                self.detach()
        with suppress(NotFound):
            self.drained()
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._ptr is None else f"in {self.domain!r}" if self.domain else "detached"
        return f"<Device {self.device_id:#x} {self.name} {state}>"
