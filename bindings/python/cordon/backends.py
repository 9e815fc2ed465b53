"""The platforms that tests run on, by name. A backend is a class with three functions: `missing()`
says why it cannot run here (or None), `lacks(parts, settings)` why it cannot be like that (or None),
and `open(parts, settings)` gives a platform."""
import os
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ._lib import library
from .errors import LibraryError
from .parts import Dma, Part
from .types import Drain

if TYPE_CHECKING:
    from .platform import Platform


class Backend(Protocol):
    """What a backend says of itself."""

    @staticmethod
    def missing() -> str | None: ...

    @staticmethod
    def lacks(parts: list[Part], settings: dict[str, Any]) -> str | None: ...

    @staticmethod
    def open(parts: list[Part], settings: dict[str, Any]) -> "Platform": ...


_QEMU_ALONE = {"iommu", "globals_"}
_MODEL_ALONE = {"capabilities", "without", "cache_entries"}


def _others(settings: dict[str, Any], alone: set[str], whose: str) -> str | None:
    found = sorted(alone & settings.keys())
    return f"{found[0]} is a setting of {whose} alone" if found else None


def _library_missing() -> str | None:
    try:
        library()
    except LibraryError as why:
        return str(why)
    return None


class Model:
    """The software IOMMU: in process."""

    @staticmethod
    def missing() -> str | None:
        from . import model
        return _library_missing() or model.missing()

    @staticmethod
    def lacks(parts: list[Part], settings: dict[str, Any]) -> str | None:
        others = [part for part in parts if not isinstance(part, Dma)]
        if others:
            return f"{others[0].name} is a device of QEMU's alone"
        return _others(settings, _QEMU_ALONE, "QEMU's")

    @staticmethod
    def open(parts: list[Part], settings: dict[str, Any]) -> "Platform":
        from .model import ModelPlatform
        return ModelPlatform(parts, **settings)


class Qemu:
    """Debian's QEMU, no guest code."""

    @staticmethod
    def missing() -> str | None:
        from .qemu.process import BINARY
        return f"{BINARY} is not installed" if shutil.which(BINARY) is None else _library_missing()

    @staticmethod
    def lacks(parts: list[Part], settings: dict[str, Any]) -> str | None:
        resets = [part for part in parts if isinstance(part, Dma) and part.drain is not Drain.IOMMU]
        if resets:
            return f"{resets[0].name}: QEMU's edu device has no reset: it is drained by the IOMMU"
        return _others(settings, _MODEL_ALONE, "the model's")

    @staticmethod
    def open(parts: list[Part], settings: dict[str, Any]) -> "Platform":
        from .qemu import QemuPlatform
        settings = {"ram": "16M", **settings}
        return QemuPlatform(parts, **settings)


class Machine:
    """The hypervisor, booted. Its guests drive the devices, so it is no Platform."""

    @staticmethod
    def missing() -> str:
        return ("on the booted machine guests drive the devices: a test there takes the fixture `machine`, a "
                "script cordon.machine.Machine")

    @staticmethod
    def lacks(parts: list[Part], settings: dict[str, Any]) -> str | None:
        return None

    @staticmethod
    def open(parts: list[Part], settings: dict[str, Any]) -> "Platform":
        raise LibraryError(Machine.missing())


BACKENDS: dict[str, type[Backend]] = {"model": Model, "qemu": Qemu, "machine": Machine}


def named_and_not_there() -> str | None:
    """What the environment names and is missing, in a sentence: a mistake, where what nobody named is only
    not installed."""
    for variable in ("CORDON_LIB", "CORDON_MODEL_LIB", "CORDON_QEMU", "CORDON_HYPERVISOR"):
        named = os.environ.get(variable)
        if named and not (shutil.which(named) if variable == "CORDON_QEMU" else os.path.exists(named)):
            return f"{variable} names {named}, which does not exist"
    return None


def default_parts() -> list[Part]:
    """What a platform has that nobody described."""
    return [Dma(2), Dma(3)]


def open_platform(backend: str, parts: Iterable[Part] | None = None, **settings: Any) -> "Platform":
    """The platform called BACKEND; LibraryError where it cannot run, ValueError where it cannot be like that."""
    if backend not in BACKENDS:
        raise ValueError(f"there is no platform {backend!r}; there are {', '.join(BACKENDS)}")
    if why := BACKENDS[backend].missing():
        raise LibraryError(f"{backend}: {why}")
    parts = default_parts() if parts is None else parts_of(parts)
    if why := BACKENDS[backend].lacks([], settings):
        raise ValueError(f"{backend}: {why}")
    return BACKENDS[backend].open(parts, settings)


def parts_of(parts: Iterable[Part]) -> list[Part]:
    """PARTS as a list, or TypeError."""
    if isinstance(parts, Part):
        raise TypeError(f"parts are a list: [{parts!r}]")
    parts = list(parts)
    for part in parts:
        if not isinstance(part, Part):
            raise TypeError(f"{part!r} is not a part, such as Dma(2)")
    return parts
