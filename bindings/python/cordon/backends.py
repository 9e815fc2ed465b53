"""The platforms that tests run on, by name. A backend is a class with two functions: `missing()`
says why it cannot run here (or None), `open(parts, settings)` gives a platform."""
import importlib.util
import shutil

from ._lib import library
from .errors import LibraryError


class Qemu:
    """Debian's QEMU, no guest code."""

    @staticmethod
    def missing():
        from .qemu.process import BINARY
        if shutil.which(BINARY) is None:
            return f"{BINARY} is not installed"
        try:
            library()
        except LibraryError as why:
            return str(why)
        return None

    @staticmethod
    def open(parts, settings):
        from .qemu import QemuPlatform
        return QemuPlatform(parts, **{"ram": "16M", **settings})


class Model:
    """The software IOMMU: in process, as soon as `cordon.model` is there to load it."""

    @staticmethod
    def missing():
        if importlib.util.find_spec("cordon.model") is None:
            return "this package has no cordon.model, which drives libcordon-model"
        from . import model
        return model.missing()

    @staticmethod
    def open(parts, settings):
        from . import model
        return model.ModelPlatform(parts, **settings)


class Machine:
    """The hypervisor, booted. Its guests drive the devices, so these fixtures do not fit it."""

    @staticmethod
    def missing():
        return "on the booted machine guests drive the devices: use cordon.machine itself"

    @staticmethod
    def open(parts, settings):
        raise LibraryError(Machine.missing())


BACKENDS = {"qemu": Qemu, "model": Model, "machine": Machine}
