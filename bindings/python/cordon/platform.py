"""Platform: RAM, an IOMMU that the library has taken over, guests, and devices that do DMA. What the
backends share; each adds how its devices are made to move bytes, quieted and reset."""
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsInt, overload

from .context import Context
from .errors import HardwareError, Pending
from .expect import FaultLog
from .guest import Guest
from .iommu import Fault, Iommu
from .parts import Part, refuse_twins
from .types import Drain, ExtentLike, Size

if TYPE_CHECKING:
    from .device import Device
    from .model import ModelPlatform
    from .port import Port
    from .qemu import QemuPlatform

# The highest device id that a directory of so many levels reaches, in either form of context.
_MAX_DEVICE_ID = {1: 0x3f, 2: 0x7fff, 3: 0xffffff}


class _Opening(type):
    """Platform("model", ...) is a ModelPlatform, Platform("qemu", ...) a QemuPlatform."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        if cls.__name__ != "Platform":
            return super().__call__(*args, **settings)
        from .backends import open_platform
        return open_platform(*args, **settings)


class Platform(FaultLog, metaclass=_Opening):
    """Platform(backend, parts=(Dma(2), Dma(3)), *, ram="16M", ddt_levels=None, ...) opens one of the
    backends, "model" or "qemu".

    `parts` are the devices; `ddt_levels` is the depth of the device directory (what ids of 16 bits
    need); `reserved` names parts of RAM that are not ours to give; `before`, called with the platform before
    there is a context, stands for what ran before us: it has memory(), register() and set_register();
    take_over=False leaves the IOMMU alone until take_over(); cq_log2, fq_log2, timeout_us and
    max_device_id are those of Context.iommu."""

    # None before there is one.
    context: Context = None  # type: ignore[assignment]
    iommu: Iommu = None  # type: ignore[assignment]

    if TYPE_CHECKING:
        @overload
        def __new__(cls, backend: Literal["model"], parts: Iterable[Part] | None = None, *,
                    ddt_levels: int | None = None, **settings: Any) -> "ModelPlatform": ...

        @overload
        def __new__(cls, backend: Literal["qemu"], parts: Iterable[Part] | None = None, *,
                    ddt_levels: int | None = None, **settings: Any) -> "QemuPlatform": ...

        @overload
        def __new__(cls, backend: str, parts: Iterable[Part] | None = None, *,
                    ddt_levels: int | None = None, **settings: Any) -> "Platform": ...

        def __new__(cls, backend: str, parts: Iterable[Part] | None = None, **settings: Any) -> Any: ...

    def _begin(self, parts: list[Part], *, ram: memoryview, ram_base: int, port: "Port", iommu_base: int,
               reserved: Iterable[ExtentLike] = (), take_over: bool = True, ddt_levels: int | None = None,
               napot: bool = False, pbmt: bool = False, before: "Callable[[Platform], object] | None" = None,
               **iommu_settings: int) -> None:
        """What each backend's __init__ ends with: a context over RAM, and the IOMMU taken over."""
        FaultLog.__init__(self)
        refuse_twins(parts)
        self.parts = {part.name: part for part in parts}
        self.ram, self.ram_base, self.port, self.iommu_base = ram, ram_base, port, iommu_base
        self.guests: list[Guest] = []
        self.devices: dict[str, Device] = {}
        self.iommu_settings = iommu_settings
        self._levels = ddt_levels
        if ddt_levels is not None:
            if ddt_levels not in _MAX_DEVICE_ID:
                raise ValueError(f"ddt_levels: a device directory has 1, 2 or 3 levels, not {ddt_levels!r}")
            iommu_settings.setdefault("max_device_id", _MAX_DEVICE_ID[ddt_levels])
        if before:
            before(self)
        self.context = Context(ram, ram_base, reserved=reserved, port=port, seed=1, napot=napot, pbmt=pbmt)
        if take_over:
            self.take_over()

    def take_over(self) -> None:
        """Give the IOMMU to the library. Nothing passes it from then on."""
        self.iommu = self.context.iommu(self.iommu_base, **self.iommu_settings)
        found = self.iommu.info.directory_levels
        if self._levels not in (None, found):
            raise HardwareError("Platform.take_over", f"the directory has {found} levels, not {self._levels}")

    # ---- memory and registers -----------------------------------------------------------------------

    def memory(self, hpa: SupportsInt, length: int) -> memoryview:
        """LENGTH bytes of RAM from host address HPA on, to read and write in place."""
        start = int(hpa) - self.ram_base
        if not 0 <= start <= start + length <= len(self.ram):
            raise IndexError(f"{int(hpa):#x} + {length:#x} is not RAM")
        return self.ram[start:start + length]

    def register(self, offset: int, width: int = 4) -> int:
        """A register of the IOMMU, read past the library."""
        return self.port.read(self.iommu_base + offset, width)

    def set_register(self, offset: int, value: int, width: int = 4) -> None:
        self.port.write(self.iommu_base + offset, width, value)

    # ---- guests and devices -------------------------------------------------------------------------

    def guest(self, name: str, memory: Size | None = None, *, gpa_limit: Size = 1 << 41,
              modes: int = 0) -> Guest:
        """A Guest with nothing in its map, or with MEMORY bytes of RAM of its own. `modes` are the
        second-stage formats that it may have (0: any)."""
        if not isinstance(name, str):
            raise TypeError(f"a guest's name is text, not {name!r}")
        if any(guest.name == name and guest.domain.is_open for guest in self.guests):
            raise ValueError(f"guest {name!r}: there is one already on this platform, and faults are told by name")
        domain = self.context.domain(gpa_limit, modes=modes)
        try:
            guest = Guest(self, name, domain, memory)
        except BaseException:
            domain.close()
            raise
        self.guests.append(guest)
        return guest

    domain = guest

    def part(self, name: str) -> Part:
        """The part by its name or by its place, such as "00:02.0"."""
        for part in self.parts.values():
            if name in (part.name, part.bdf):
                return part
        there = ", ".join(f"{part.bdf} {part.name}" for part in self.parts.values()) or "none"
        raise LookupError(f"there is no device {name!r} here; there are: {there}")

    def device(self, name: str) -> "Device":
        """The part as a device of the library, which may make requests; it has no context yet."""
        part = self.part(name)
        if part.name not in self.devices:
            device = self.iommu.device(part.device_id, part.name, drain=part.drain)
            self.devices[part.name] = device
            device.dma = self.instrument(part, device)
            self.wake(part)
        return self.devices[part.name]

    def assign(self, guest: Guest, device: "Device", *, own_view: bool = False) -> None:
        """Reset DEVICE where it can be, and lead it to GUEST."""
        part = self.part(device.name)
        self.quiet(part)
        if device.drain is Drain.RESET:
            self.reset(part)
        device.attach(guest.domain, own_view=own_view)
        self.wake(part)

    def withdraw(self, device: "Device") -> None:
        """Quiesce DEVICE, take its context away and drain it. It stays known, and may try again: what
        keeps it out is the IOMMU. Pending: all of that is done, and the guest waits to be retired."""
        part, pending = self.part(device.name), None
        self.look()
        self.quiet(part)
        try:
            device.detach()
        except Pending as why:
            pending = why
        if device.drain is Drain.RESET:
            self.reset(part)
            try:
                device.drained()
            except Pending as why:
                pending = why
        self.wake(part)
        if pending is not None:
            raise pending

    def release(self, name: str) -> None:
        """Take a device off the bus, out of its domain, reset it if only that drains it, forget it.
        Pending: it is out, and known until its domain is retired and this is called again."""
        part = self.part(name)
        device = self.devices[part.name]
        self.look()
        self.quiet(part)
        if device.drain is Drain.RESET:
            self.reset(part)
            device.close_after_reset()
        else:
            device.close()
        del self.devices[part.name]

    # ---- what a backend says --------------------------------------------------------------------------

    def instrument(self, part: Any, device: "Device") -> Any:
        """The object with write(iova, data) and read(iova, n) that makes DEVICE do DMA, or None."""
        raise NotImplementedError

    def quiet(self, part: Any) -> None:
        """Keep the part from making requests, as far as its bus can."""

    def wake(self, part: Any) -> None:
        """Let the part make requests."""

    def reset(self, part: Any) -> None:
        """Reset the part; its DMA is over when this returns."""
        raise NotImplementedError

    def complaints(self) -> list[str]:
        """Sentences about what the library did to the hardware and should not have."""
        return []

    # ---- faults ---------------------------------------------------------------------------------------

    def named(self, fault: Fault) -> Fault:
        """FAULT with its guest's name as `owner`, and the name of the buffer that is nearest."""
        guest = next((g for g in self.guests if fault.domain and g.domain.is_open
                      and g.domain.number == fault.domain), None)
        if guest is None:
            return fault
        nearest = fault.nearest
        if nearest is not None:
            nearest = replace(nearest, name=guest.name_of(nearest.gpa))
        return replace(fault, owner=guest.name, nearest=nearest)

    # ---- the end ----------------------------------------------------------------------------------------

    def dismantle(self) -> None:
        """Give everything back in order; what is left must be what stood there before."""
        for name in list(self.devices):
            self.release(name)
        for guest in self.guests:
            if guest.domain.is_open:
                guest.domain.give_back()
        for guest in self.guests:
            guest.domain.close()
        if self.iommu is not None:
            self.iommu.close()

    def close(self) -> None:
        """The end of the machine, in whatever state it is."""
        if self.context is not None:
            self.context.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        guests = ", ".join(guest.name for guest in self.guests) or "no guests"
        return f"<{type(self).__name__} {', '.join(self.parts) or 'no parts'}; {guests}>"


__all__ = ["Platform"]
