"""Errors of the library as exceptions: one class a code, each carrying what it was about."""
import copyreg
from typing import Any

from . import _abi
from ._base import show


class CordonError(Exception):
    """A call of the library was refused. `code` is the CORDON_E... number, `call` the C function,
    `text` the library's sentence, and `fields` what the call was given, by name. `argument` is the name of
    the one that it was refused for, such as "perms" or "ops[1].extents[0]", or None if that cannot be told."""

    code = 0

    def __init__(self, call: str, text: str, code: int | None = None,
                 blame: tuple[str, str] | None = None, **fields: Any) -> None:
        self.code = type(self).code if code is None else code
        self.call, self.text, self.fields = call, text, fields
        self.argument: str | None
        self.argument, why = blame or (None, "")
        given = ", ".join(f"{name}={show(value)}" for name, value in fields.items())
        super().__init__(": ".join(filter(None, (call, f"{text} ({name_of(self.code)})", why, given))))

    def __reduce__(self) -> tuple[Any, ...]:
        """It can go to another process."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name}") from None


class InvalidArgument(CordonError):
    """EINVAL: an argument makes no sense."""
    code = _abi.CORDON_EINVAL


class Misaligned(CordonError):
    """EALIGN: not a multiple of the page, or of what was asked."""
    code = _abi.CORDON_EALIGN


class OutOfRange(CordonError):
    """ERANGE: beyond the address width, wraps around, or is empty."""
    code = _abi.CORDON_ERANGE


class AlreadyExists(CordonError):
    """EEXIST: something stands there already."""
    code = _abi.CORDON_EEXIST


class NotFound(CordonError):
    """ENOENT: nothing stands there."""
    code = _abi.CORDON_ENOENT


class NotOwner(CordonError):
    """EPERM: it belongs to somebody else."""
    code = _abi.CORDON_EPERM


class OutOfMemory(CordonError):
    """ENOMEM: no frames, or no run satisfies the constraints."""
    code = _abi.CORDON_ENOMEM


class LimitReached(CordonError):
    """ELIMIT: a named limit is reached."""
    code = _abi.CORDON_ELIMIT


class Busy(CordonError):
    """EBUSY: in use."""
    code = _abi.CORDON_EBUSY


class HardwareTimeout(CordonError):
    """ETIMEOUT: hardware did not answer in time."""
    code = _abi.CORDON_ETIMEOUT


class NotSupported(CordonError):
    """ENOTSUP: the hardware lacks what is needed."""
    code = _abi.CORDON_ENOTSUP


class HardwareError(CordonError):
    """EHW: the hardware reported an error."""
    code = _abi.CORDON_EHW


class Corrupt(CordonError):
    """ECORRUPT: memory is not what the library left there. After an audit, `finding` says what."""
    code = _abi.CORDON_ECORRUPT


class Pending(CordonError):
    """EPENDING: the map has changed; frames stay REVOKING until the hardware is proven quiet."""
    code = _abi.CORDON_EPENDING


class TranslationFault(CordonError):
    """EFAULT: a translation stops: not present, or not permitted."""
    code = _abi.CORDON_EFAULT


class WrongHandle(CordonError):
    """EHANDLE: a handle that was closed, or that is of another context."""
    code = _abi.CORDON_EHANDLE


class LibraryError(Exception):
    """libcordon cannot be used: not found, or not the one that this package was made for."""


class UseAfterClose(Exception):
    """The object, or the context it lives in, has been closed."""


BY_CODE = {cls.code: cls for cls in CordonError.__subclasses__()}


def name_of(code: int) -> str:
    """CORDON_EPERM for 6."""
    for name, value in vars(_abi).items():
        if name.startswith("CORDON_E") and value == code and name not in ("CORDON_ERROR_LAST", "CORDON_EXEC"):
            return name
    return f"error {code}"


def from_code(code: int, call: str, text: str, blame: tuple[str, str] | None = None,
              **fields: Any) -> CordonError:
    """The exception for a negative result CODE."""
    return BY_CODE.get(-code, CordonError)(call, text, -code, blame, **fields)
