"""Spaces: a tree of regions and slots that lead a domain's map, as VMM authors describe a guest's memory."""
import ctypes
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from . import _abi
from ._base import as_int
from .blame_tree import blame_edits
from .context import Child
from .errors import NotFound
from .types import (Extent, Extents, Gpa, GpaLike, MemoryType, Perm, PermLike, Size, address, extents_array,
                    extents_of, size_bytes)

if TYPE_CHECKING:
    from .domain import Domain

_FIRST_ID = 1
_SLOT = _abi.CORDON_NODE_SLOT


class NodeKind(enum.IntEnum):
    CONTAINER = _abi.CORDON_NODE_CONTAINER
    RAM = _abi.CORDON_NODE_RAM
    MMIO = _abi.CORDON_NODE_MMIO
    HOLE = _abi.CORDON_NODE_HOLE
    ALIAS = _abi.CORDON_NODE_ALIAS


@dataclass(frozen=True)
class Node:
    """A node of a space, by its name there. What it is, is asked of the library each time."""

    space: "Space"
    id: int
    name: str

    @property
    def info(self) -> _abi.Node:
        """Its record as it stands: kind, parent, priority, disabled, offset, len, perms, flags, target, ..."""
        return self.space._node(self.id)

    @property
    def is_slot(self) -> bool:
        return bool(self.id & _SLOT)

    def set(self, **changes: Any) -> None:
        """Change any of at, length, perms, priority, parent, enabled, dma, log, target_at, extents."""
        self.space._submit(_edit(_abi.CORDON_TREE_SET, _changed(self.space._standing(self.id), changes)))

    def remove(self) -> None:
        """Take it out of the tree. Busy while it has children, or is the target of an alias."""
        self.space._submit(_edit(_abi.CORDON_TREE_REMOVE, _abi.Node(id=self.id)))

    def __repr__(self) -> str:
        return f"<{self.name}>"


Parent = Node | None


@dataclass(frozen=True)
class Section:
    """A part of the flat view: LEN bytes from GPA on show `node` from OFFSET on."""

    gpa: Gpa
    len: int
    node: Node
    kind: NodeKind
    offset: int
    perms: Perm
    flags: int

    @property
    def end(self) -> Gpa:
        return self.gpa + self.len

    def __str__(self) -> str:
        at = f" + {self.offset:#x}" if self.offset else ""
        return (f"{self.gpa.v:#014x}..{self.end.v - 1:#014x} {self.perms!s:3} {self.kind.name.lower():5} "
                f"{self.node.name}{at}")


def _edit(kind: int, node: _abi.Node) -> _abi.Edit:
    return _abi.Edit(kind=kind, node=node)


_FLAGS = {"dma": _abi.CORDON_REGION_NODMA, "log": _abi.CORDON_REGION_LOG, "keep": _abi.CORDON_REGION_KEEP,
          "demand": _abi.CORDON_REGION_DEMAND, "peer": _abi.CORDON_REGION_PEER, "file": _abi.CORDON_REGION_FILE,
          "pin": _abi.CORDON_REGION_PIN}
_PLAIN = {"at": "offset", "length": "len", "target_at": "target_offset"}


def _changed(node: _abi.Node, changes: dict[str, Any]) -> _abi.Node:
    """NODE with CHANGES by the names of Node.set."""
    for name, value in changes.items():
        if name in _PLAIN:
            setattr(node, _PLAIN[name], as_int(int(value) if isinstance(value, Gpa) else
                                               size_bytes(value) if name == "length" else value, name))
        elif name in _FLAGS:
            on = bool(value) != (name == "dma")
            node.flags = node.flags | _FLAGS[name] if on else node.flags & ~_FLAGS[name]
        elif name == "type":
            node.flags = node.flags & ~_abi.CORDON_REGION_TYPES | MemoryType(value).flag
        elif name == "perms":
            node.perms = int(Perm.of(value))
        elif name == "priority":
            node.priority = value
        elif name == "enabled":
            node.disabled = 0 if value else 1
        elif name == "parent":
            node.parent = value.id if value is not None else _abi.CORDON_NODE_ROOT
        elif name == "extents":
            node.extents, node.extent_count = _backing(value)
        else:
            raise TypeError(f"a node has no {name!r}; it has {', '.join([*_PLAIN, *_FLAGS])}, type, perms, priority, "
                            "enabled, parent, extents")
    return node


def _runs(extents: Extents) -> list[Extent]:
    return [extents] if isinstance(extents, Extent) else extents_of(extents)


def _backing(extents: Extents) -> tuple[Any, int]:
    return extents_array(_runs(extents))


class Space(Child):
    """A tree of nodes over one domain. Each call is one transaction of the map, or all that is inside of
    `with space.update():` together. A call that is refused has changed nothing: not the tree, not any view.

    Close it to forget the tree; what stands in the map stands there on."""

    def __init__(self, domain: "Domain") -> None:
        super().__init__(domain.context)
        self.of_domain = domain
        self._names: dict[int, str] = {}
        self._last = _FIRST_ID - 1
        self._edits: list[_abi.Edit] | None = None
        out = ctypes.POINTER(_abi.Space)()
        try:
            self.context.call("cordon_space_create", domain.ptr, ctypes.byref(out), domain=domain.number)
        except BaseException:
            self.forget()
            raise
        self._ptr = out

    # ---- the tree -----------------------------------------------------------------------------

    def container(self, name: str, at: int | GpaLike, length: Size, perms: PermLike = Perm.RWX, *,
                  parent: Parent = None, priority: int = 0, dma: bool = True) -> Node:
        """A place for further nodes, which are cut at its ends and have at most its rights."""
        return self._add(name, NodeKind.CONTAINER, at, size_bytes(length), perms, parent, priority, dma=dma)

    def ram(self, name: str, at: int | GpaLike, extents: Extents | None = None, perms: PermLike = Perm.RWX, *,
            length: Size | None = None, parent: Parent = None, priority: int = 0, **flags: bool) -> Node:
        """HELD frames, in order; or, with demand=True, LENGTH bytes of first touch. keep=True: they are HELD while
        they are not seen, and afterwards; else they are the map's, and cannot be hidden. Further: dma, log, pin."""
        return self._add(name, NodeKind.RAM, at, length, perms, parent, priority, extents=extents, **flags)

    def mmio(self, name: str, at: int | GpaLike, extents: Extents, perms: PermLike = Perm.RW, *,
             parent: Parent = None, priority: int = 0, **flags: bool) -> Node:
        """Resources. Flags: peer; file: interrupt files, which the MSI table follows."""
        return self._add(name, NodeKind.MMIO, at, None, perms, parent, priority, extents=extents, **flags)

    def hole(self, name: str, at: int | GpaLike, length: Size, *, parent: Parent = None, priority: int = 0) -> Node:
        """Nothing stands there, whatever is below it."""
        return self._add(name, NodeKind.HOLE, at, size_bytes(length), Perm(0), parent, priority)

    def alias(self, name: str, at: int | GpaLike, length: Size, target: Node, target_at: int = 0,
              perms: PermLike = Perm.RWX, *, parent: Parent = None, priority: int = 0, dma: bool = True) -> Node:
        """A window onto TARGET, from TARGET_AT on."""
        return self._add(name, NodeKind.ALIAS, at, size_bytes(length), perms, parent, priority, target=target.id,
                         target_offset=target_at, dma=dma)

    @property
    def nowhere(self) -> Node:
        """As parent: a node that is seen through aliases only."""
        return Node(self, _abi.CORDON_NODE_NOWHERE, "nowhere")

    def _add(self, name: str, kind: NodeKind, at: int | GpaLike, length: Size | None, perms: PermLike,
             parent: Parent, priority: int, *, extents: Extents | None = None, target: int = 0,
             target_offset: int = 0, **flags: bool) -> Node:
        if extents is not None and length is None:
            length = sum(e.len for e in _runs(extents))
        node = _abi.Node(id=self._last + 1, kind=int(kind), target=target, target_offset=as_int(target_offset),
                         perms=int(Perm.of(perms)))
        node = _changed(node, {"at": address(Gpa, at), "length": length or 0, "parent": parent, "priority": priority,
                               **({"extents": extents} if extents is not None else {}), **flags})
        self._names[self._last + 1] = name  # a refusal names it
        self._submit(_edit(_abi.CORDON_TREE_ADD, node))
        self._last += 1
        return Node(self, self._last, name)

    @contextmanager
    def update(self) -> Iterator["Space"]:
        """What is done to the tree inside is one transaction, at the end; an exception drops all of it."""
        if self._edits is not None:
            raise RuntimeError("an update of this space is open already")
        last, self._edits = self._last, []
        try:
            yield self
            edits, self._edits = self._edits, None
            self._carry_out(edits)
        except BaseException:
            self._last = last  # ids of nodes that never came
            raise
        finally:
            self._edits = None

    def _submit(self, edit: _abi.Edit) -> None:
        if self._edits is not None:
            self._edits.append(edit)
        else:
            self._carry_out([edit])

    def _carry_out(self, edits: list[_abi.Edit]) -> None:
        array = (_abi.Edit * len(edits))(*edits)
        self.context.call("cordon_space_update", self.ptr, array, len(edits),
                          explain=partial(blame_edits, self, edits), domain=self.of_domain.number, edits=len(edits))

    # ---- slots --------------------------------------------------------------------------------

    def slot(self, number: int, gpa: GpaLike, length: Size | None = None, extents: Extents | None = None, *,
             hva: int | None = None, readonly: bool = False, **flags: bool) -> Node:
        """Create slot NUMBER, or change it: move it, resize it, change its flags. It is backed by EXTENTS, or by HELD
        frames from the host address HVA on; a slot that is there keeps what it has when neither is given.
        Flags: keep, dma, log, demand, pin."""
        if extents is not None and length is None:
            length = sum(e.len for e in _runs(extents))
        if length is None:
            length = self._node(_SLOT | number).len
        raw = _changed(_abi.Node(), flags)
        slot = _abi.Slot(id=number, gpa=address(Gpa, gpa), len=size_bytes(length), hva=hva,
                         flags=raw.flags | (_abi.CORDON_SLOT_READONLY if readonly else 0))
        if extents is not None:
            slot.extents, slot.extent_count = _backing(extents)
        self._set_slot(slot)
        self._names[_SLOT | number] = f"slot {number}"
        return Node(self, _SLOT | number, f"slot {number}")

    def slot_delete(self, number: int) -> None:
        """NotFound where there is none."""
        self._set_slot(_abi.Slot(id=number))

    def _set_slot(self, slot: _abi.Slot) -> None:
        if self._edits is not None:
            raise RuntimeError("a slot is set by a transaction of its own, not inside of an update")
        self.context.call("cordon_slot_set", self.ptr, ctypes.byref(slot), domain=self.of_domain.number, slot=slot.id,
                          gpa=slot.gpa, len=slot.len)

    # ---- questions ----------------------------------------------------------------------------

    def _node(self, number: int, *, next: bool = False) -> _abi.Node:
        out = _abi.Node()
        self.context.call("cordon_node_find", self.ptr, number, next, ctypes.byref(out), node=number)
        return out

    def _standing(self, number: int) -> _abi.Node:
        """As an edit wants it, with what this update has already said of it."""
        said = [e.node for e in self._edits or () if e.node.id == number and e.kind != _abi.CORDON_TREE_REMOVE]
        node = _abi.Node.from_buffer_copy(said[-1]) if said else self._node(number)
        node.extents, node.extent_count = None, 0
        node.flags &= ~_abi.CORDON_REGION_MMIO
        return node

    def named(self, number: int) -> Node:
        return Node(self, number, self._names.get(number, f"node {number}"))

    def nodes(self) -> Iterator[Node]:
        """All nodes, slots last, in the order of their ids."""
        at = 0
        while True:
            try:
                found = self._node(at, next=True)
            except NotFound:
                return
            yield self.named(found.id)
            at = found.id + 1

    def section_at(self, gpa: GpaLike, *, next: bool = False) -> Section:
        """What is seen at GPA (or, with next, the nearest above it); NotFound."""
        out = _abi.Section()
        gpa = address(Gpa, gpa)
        self.context.call("cordon_section_find", self.ptr, gpa, next, ctypes.byref(out), gpa=gpa)
        return Section(out.gpa, out.len, self.named(out.node), NodeKind(out.kind), out.offset, Perm(out.perms),
                       out.flags)

    def sections(self) -> Iterator[Section]:
        """The flat view in the order of GPA."""
        gpa = Gpa(0)
        while True:
            try:
                section = self.section_at(gpa, next=True)
            except NotFound:
                return
            yield section
            gpa = section.end

    # ---- pictures -----------------------------------------------------------------------------

    def _children(self, parent: int) -> list[Node]:
        return sorted((n for n in self.nodes() if n.info.parent == parent),
                      key=lambda n: (n.info.offset, -n.info.priority))

    def _line(self, node: Node) -> str:
        info = node.info
        onto = f" -> {self.named(info.target).name} + {info.target_offset:#x}" if info.target else ""
        return (f"{info.offset:#x}..{info.offset + info.len - 1:#x} {NodeKind(info.kind).name.lower()} {node.name}"
                f"{onto} {Perm(info.perms)!s} priority {info.priority}{' (off)' if info.disabled else ''}")

    def tree(self) -> str:
        """The tree as text, each node below its parent."""
        lines = [f"space of domain {self.of_domain.number}"]

        def show(parent: int, depth: int) -> None:
            for node in self._children(parent):
                lines.append("  " * depth + self._line(node))
                show(node.id, depth + 1)
        show(_abi.CORDON_NODE_ROOT, 1)
        if self._children(_abi.CORDON_NODE_NOWHERE):
            lines.append("nowhere")
            show(_abi.CORDON_NODE_NOWHERE, 1)
        return "\n".join(lines)

    def flat(self) -> str:
        """The flat view as text, a line a section."""
        return "\n".join(map(str, self.sections()))

    def __rich__(self) -> Any:
        from rich.tree import Tree
        root = Tree(f"space of domain {self.of_domain.number}")

        def grow(parent: int, branch: Any) -> None:
            for node in self._children(parent):
                grow(node.id, branch.add(self._line(node)))
        grow(_abi.CORDON_NODE_ROOT, root)
        if self._children(_abi.CORDON_NODE_NOWHERE):
            grow(_abi.CORDON_NODE_NOWHERE, root.add("nowhere"))
        flat = root.add("seen")
        for section in self.sections():
            flat.add(str(section))
        return root

    def close(self) -> None:
        """Forget the tree."""
        if self._ptr is not None:
            self.context.call("cordon_space_destroy", self._ptr, domain=self.of_domain.number)
            self.forget()

    def __repr__(self) -> str:
        return "<Space closed>" if self._ptr is None else f"<Space of domain {self.of_domain.number}>"


__all__ = ["Node", "NodeKind", "Section", "Space"]
