"""What the generated interface is made of: addresses, records and handles that refuse bad values."""
import ctypes
import operator
from typing import Any, ClassVar, Self, overload

_SIGNED = {ctypes.c_int8, ctypes.c_int16, ctypes.c_int32, ctypes.c_int64}
_UNSIGNED = {ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64}
INTEGERS = _SIGNED | _UNSIGNED


def as_int(value: int | str, what: str = "value") -> int:
    """An integer out of an int or a string such as "0x8000_0000"; nothing else."""
    if isinstance(value, Address):
        raise TypeError(f"{what}: {value!r} is an address of its own kind, not a plain number")
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            raise ValueError(f"{what}: {value!r} is not a number") from None
    return operator.index(value)


def check_fits(value: int | str, ctype: Any, what: str = "value") -> int:
    """VALUE as an int that CTYPE holds whole, or OverflowError: ctypes itself would cut it."""
    number = as_int(value, what)
    bits = 8 * ctypes.sizeof(ctype)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if ctype in _SIGNED else (0, (1 << bits) - 1)
    if not low <= number <= high:
        raise OverflowError(f"{what}: {number:#x} does not fit in {bits} bits"
                            + ("" if ctype in _SIGNED else ", unsigned"))
    return number


class Address(ctypes.Structure):
    """One kind of address. Kinds do not mix: only a lookup in a map leads from one to another."""

    v: int

    def __init__(self, value: "Self | int | str" = 0) -> None:
        number: Any = value.v if isinstance(value, type(self)) else value
        vars(type(self))["v"].__set__(self, check_fits(number, ctypes.c_uint64, type(self).__name__))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: make a new one")

    def __int__(self) -> int:
        return self.v

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.v:#x})"

    def __hash__(self) -> int:
        return hash((type(self), self.v))

    def _same_kind(self, other: object) -> bool:
        if isinstance(other, Address) and type(other) is not type(self):
            raise TypeError(f"{self!r} and {other!r} are addresses of different kinds")
        return isinstance(other, Address)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.v == other.v

    def __lt__(self, other: Self) -> bool:
        if not self._same_kind(other):
            return NotImplemented
        return self.v < other.v

    def __le__(self, other: Self) -> bool:
        if not self._same_kind(other):
            return NotImplemented
        return self.v <= other.v

    def __add__(self, bytes_: int) -> Self:
        return type(self)(self.v + as_int(bytes_, "offset"))

    @overload
    def __sub__(self, other: Self) -> int: ...

    @overload
    def __sub__(self, other: int) -> Self: ...

    def __sub__(self, other: Any) -> Any:
        """Minus a number: an address. Minus an address of the same kind: bytes between."""
        if self._same_kind(other):
            return self.v - other.v
        return type(self)(self.v - as_int(other, "offset"))


class Record(ctypes.Structure):
    """A struct. Fields are checked when they are set; a leading `size` is filled in."""

    def __init__(self, **fields: Any) -> None:
        if type(self)._fields_[0][0] == "size":
            fields.setdefault("size", ctypes.sizeof(type(self)))
        super().__init__(**fields)

    def __setattr__(self, name: str, value: Any) -> None:
        ctype: Any = next((kind for field, kind, *_ in type(self)._fields_ if field == name), None)
        if ctype is None:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        what = f"{type(self).__name__}.{name}"
        if ctype in INTEGERS:
            value = check_fits(value, ctype, what)
        elif issubclass(ctype, ctypes.Array) and isinstance(value, (str, bytes)):
            value = value.encode() if isinstance(value, str) else value
            if b"\0" in value:
                raise ValueError(f"{what}: {value!r} has a zero byte, where a name would end")
            if len(value) >= ctypes.sizeof(ctype):
                raise OverflowError(f"{what}: {value!r} is longer than {ctypes.sizeof(ctype) - 1} bytes")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={show(getattr(self, name))}" for name, *_ in type(self)._fields_)
        return f"{type(self).__name__}({shown})"


class Handle(ctypes.Structure):
    """An object of the library that only the library looks into."""

    _fields_: ClassVar[list] = []


def show(value: object) -> str:
    """A value as people read it: numbers above nine in hex."""
    if isinstance(value, bool) or not isinstance(value, int):
        return repr(value)
    return f"{value:#x}" if value > 9 else str(value)
