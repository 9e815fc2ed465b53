"""Listeners: told of every change of a map, in two steps. What prepare raises is a refusal."""
import ctypes
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _abi
from .context import Child
from .errors import CordonError
from .types import Gpa, Perm

if TYPE_CHECKING:
    from .domain import Domain

_TYPES: dict[str, Any] = {name: kind for name, kind, *_ in _abi.Listener._fields_}


class ToldKind(enum.IntEnum):
    """What becomes of a range."""

    ADDED = _abi.CORDON_TOLD_ADDED
    REMOVED = _abi.CORDON_TOLD_REMOVED
    CHANGED = _abi.CORDON_TOLD_CHANGED


@dataclass(frozen=True)
class Told:
    """One range of a change: what it is afterwards, and what it was."""

    kind: ToldKind
    gpa: Gpa
    len: int
    perms: Perm
    flags: int
    was_perms: Perm
    was_flags: int

    @property
    def end(self) -> Gpa:
        return self.gpa + self.len

    def __str__(self) -> str:
        was = f"{self.was_perms} -> " if self.kind is ToldKind.CHANGED else ""
        perms = self.was_perms if self.kind is ToldKind.REMOVED else self.perms
        return f"{self.kind.name.lower()} {self.gpa.v:#x}..{self.end.v - 1:#x} {was}{perms}"


def _told(raw: Any, count: int) -> tuple[Told, ...]:
    return tuple(Told(ToldKind(t.kind), t.gpa, t.len, Perm(t.perms), t.flags, Perm(t.was_perms), t.was_flags)
                 for t in raw[:count]) if count else ()


def _refusal(error: BaseException) -> int:
    return -error.code if isinstance(error, CordonError) and error.code else -_abi.CORDON_EPERM


class Listening(Child):
    """A listener of a domain, told until it is closed. `listener` has any of prepare(told), commit(told) and
    abort(told), each given a tuple of Told. What prepare raises refuses the change, and is raised again by the
    call that asked for it; nothing has changed then, in any view. They are called while the library waits: they
    must not call it."""

    def __init__(self, domain: "Domain", listener: object) -> None:
        super().__init__(domain.context)
        self.of_domain, self.listener = domain, listener
        self._raw = _abi.Listener()
        self._keep = [self._install(name, answer) for name, answer in
                      (("prepare", _refusal), ("commit", lambda _: None), ("abort", lambda _: None))]
        number = ctypes.c_uint32()
        try:
            self.context.call("cordon_listener_add", domain.ptr, ctypes.byref(self._raw), ctypes.byref(number),
                              domain=domain.number)
        except BaseException:
            self.forget()
            raise
        self._ptr = number.value

    def _install(self, name: str, answer: Callable[[BaseException], Any]) -> Any:
        method: Callable[[tuple[Told, ...]], object] | None = getattr(self.listener, name, None)
        default = 0 if name == "prepare" else None

        def callback(_user: object, raw: Any, count: int) -> Any:
            def call() -> Any:
                if method is not None:
                    method(_told(raw, count))
                return default
            return self.context.callbacks.called(call, answer)
        function = _TYPES[name](callback)
        setattr(self._raw, name, function)
        return function

    def close(self) -> None:
        """Tell it no more."""
        if self._ptr is not None:
            self.context.call("cordon_listener_remove", self.of_domain.ptr, self._ptr, domain=self.of_domain.number)
            self.forget()

    def __repr__(self) -> str:
        return "<Listening closed>" if self._ptr is None else f"<Listening {self._ptr}: {self.listener!r}>"


__all__ = ["Listening", "Told", "ToldKind"]
