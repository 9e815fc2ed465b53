"""Which edit of an update of a space a refusal is about, and why: see blame.py."""
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from typing import TYPE_CHECKING

from . import _abi
from .errors import NotFound
from .types import LEGAL_PERMS, PAGE, FrameState, Perm

if TYPE_CHECKING:
    from .domain import Domain, Region
    from .space import Space

Answer = tuple[str, str] | None  # the argument's name, and the sentence about it
_MOST = 1 << 10  # frames that are asked for, at most


@dataclass
class _Tree:
    """`nodes`: as they would stand before the edit that is looked at; `final`: after all of them. `last`: the edit
    that each node's final form is from; what those before it say of the map and of neighbours is not looked at."""

    space: "Space"
    nodes: dict[int, _abi.Node]
    final: dict[int, _abi.Node]
    last: dict[int, _abi.Edit]

    @property
    def domain(self) -> "Domain":
        return self.space.of_domain

    def name(self, number: int) -> str:
        return self.space.named(number).name

    def counts(self, edit: _abi.Edit) -> bool:
        """Is the node, in the end, as EDIT says, and enabled?"""
        return _says(edit) and self.last[edit.node.id] is edit and not edit.node.disabled

    @cached_property
    def in_the_way(self) -> dict[int, _abi.Node]:
        """Of each node that overlaps a sibling of its priority, in the end: that one."""
        nodes = [n for n in self.final.values() if not n.disabled and n.parent != _abi.CORDON_NODE_NOWHERE]
        nodes.sort(key=lambda n: (n.parent, n.priority, n.offset))
        found: dict[int, _abi.Node] = {}
        for _, siblings in groupby(nodes, lambda n: (n.parent, n.priority)):
            far = next(siblings)  # the one that ends last so far
            for node in siblings:
                if node.offset < far.offset + far.len:
                    found[node.id] = far
                    found.setdefault(far.id, node)
                far = max(far, node, key=lambda n: n.offset + n.len)
        return found

    @cached_property
    def needed(self) -> dict[int, tuple[int, str]]:
        """Who needs a node, in the end, and how."""
        aliases = {n.target: (number, "is an alias of it") for number, n in self.final.items() if n.target}
        return aliases | {n.parent: (number, "lies in it") for number, n in self.final.items()}


def _apply(nodes: dict[int, _abi.Node], edit: _abi.Edit) -> None:
    if edit.kind == _abi.CORDON_TREE_REMOVE:
        nodes.pop(edit.node.id, None)
    else:
        nodes[edit.node.id] = edit.node


def blame_edits(space: "Space", edits: list[_abi.Edit], code: int) -> Answer:
    """The one of EDITS that was refused with CODE, or None. Nothing of the update has been done."""
    rule = _RULES.get(code)
    if rule is None:
        return None
    standing = {node.id: node.info for node in space.nodes()}
    tree = _Tree(space, standing, dict(standing), {edit.node.id: edit for edit in edits})
    for edit in edits:
        _apply(tree.final, edit)
    for number, edit in enumerate(edits):
        if answer := rule(tree, edit):
            which = f"edits[{number}]" if len(edits) > 1 else ""
            return ".".join(filter(None, (which, answer[0]))), f"{which} {tree.name(edit.node.id)}: {answer[1]}".lstrip()
        _apply(tree.nodes, edit)
    return None


def _extents(node: _abi.Node) -> Iterator[tuple[str, int, int]]:
    for number in range(node.extent_count if node.extents else 0):
        extent = node.extents[number]
        yield f"extents[{number}]", extent.hpa.v, extent.len


def _says(edit: _abi.Edit) -> bool:
    return bool(edit.kind != _abi.CORDON_TREE_REMOVE)


def _backed(node: _abi.Node) -> bool:
    return node.kind in (_abi.CORDON_NODE_RAM, _abi.CORDON_NODE_MMIO)


def _misaligned(_: _Tree, edit: _abi.Edit) -> Answer:
    node = edit.node
    values = [("at", node.offset), ("length", node.len), ("target_at", node.target_offset)]
    for name, hpa, length in _extents(node):
        values += [(f"{name}.hpa", hpa), (f"{name}.len", length)]
    return no_page(values) if _says(edit) else None


def _out_of_range(tree: _Tree, edit: _abi.Edit) -> Answer:
    node, limit = edit.node, tree.domain.gpa_limit
    if not _says(edit):
        return None
    for name, length in [("length", node.len), *((f"{name}.len", length) for name, _, length in _extents(node))]:
        if length == 0:
            return name, f"{name} is 0"
    if node.parent == _abi.CORDON_NODE_ROOT and node.offset + node.len > limit:
        return "at", (f"at={node.offset:#x} and {node.len:#x} bytes end at {node.offset + node.len:#x}, beyond the "
                      f"{limit:#x} of domain {tree.domain.number}")
    return None


def _senseless(tree: _Tree, edit: _abi.Edit) -> Answer:
    node = edit.node
    if not _says(edit):
        return None
    backed = _backed(node)
    if backed and tree.counts(edit) and (answer := no_rights(Perm(node.perms))):
        return answer
    given = sum(length for _, _, length in _extents(node))
    if given and given < node.len:
        return "extents", f"extents have {given:#x} bytes, the node {node.len:#x}"
    if backed and edit.kind == _abi.CORDON_TREE_ADD and not given and not node.flags & _abi.CORDON_REGION_DEMAND:
        return "extents", "it has no extents, and is not of first touch (demand=True)"
    return None


def _taken(tree: _Tree, edit: _abi.Edit) -> Answer:
    node = edit.node
    if not tree.counts(edit):
        return None
    if other := tree.in_the_way.get(node.id):
        return "at", (f"at={node.offset:#x}: {tree.name(other.id)} has {other.offset:#x}-"
                      f"{other.offset + other.len - 1:#x}, with the same priority {node.priority}")
    return _stands_in_the_way(tree, node) if _backed(node) and node.parent == _abi.CORDON_NODE_ROOT else None


def _stands_in_the_way(tree: _Tree, node: _abi.Node) -> Answer:
    """What the map has there that does not come from this space."""
    at, end = node.offset, node.offset + node.len
    while at < end:
        try:
            region = tree.domain.region_at(at, next=True)
            if region.gpa.v >= end:
                break
            tree.space.section_at(max(region.gpa.v, at))
        except NotFound as missing:
            if missing.call != "cordon_section_find":
                break
            return "at", f"at={node.offset:#x}: {place_of(tree.domain, region)} stands in the way, and is not of this space"
        at = region.end.v
    return None


def _missing(tree: _Tree, edit: _abi.Edit) -> Answer:
    node = edit.node
    if edit.kind != _abi.CORDON_TREE_ADD and node.id not in tree.nodes:
        return "node", "there is no such node"
    nowhere = (_abi.CORDON_NODE_ROOT, _abi.CORDON_NODE_NOWHERE)
    if _says(edit) and node.parent not in nowhere and node.parent not in tree.final:
        return "parent", f"its parent, {tree.name(node.parent)}, is not there"
    if _says(edit) and node.kind == _abi.CORDON_NODE_ALIAS and node.target not in tree.final:
        return "target", f"its target, {tree.name(node.target)}, is not there"
    return None


def _needed(tree: _Tree, edit: _abi.Edit) -> Answer:
    if _says(edit) or edit.node.id not in tree.needed:
        return None
    number, how = tree.needed[edit.node.id]
    return "node", f"{tree.name(number)} {how}"


def _not_held(tree: _Tree, edit: _abi.Edit) -> Answer:
    if not tree.counts(edit) or edit.node.kind != _abi.CORDON_NODE_RAM:
        return None
    mine = tree.domain.number if edit.kind == _abi.CORDON_TREE_SET else None  # frames that it may keep
    return frames_not_held(tree.domain, _extents(edit.node), mine)


def place_of(domain: "Domain", region: "Region") -> str:
    return f"{region.gpa.v:#x}-{region.end.v - 1:#x} of domain {domain.number}"


def no_page(values: Iterable[tuple[str, int]]) -> Answer:
    """Which of VALUES, by name, is not of whole pages."""
    return next(((name, f"{name}={value:#x} is no multiple of {PAGE:#x}") for name, value in values if value % PAGE), None)


def no_rights(perms: Perm) -> Answer:
    """Why PERMS cannot be a region's."""
    if perms in LEGAL_PERMS:
        return None
    return "perms", f"perms={perms} is none that tables can say: {', '.join(map(str, LEGAL_PERMS))}"


def frames_not_held(domain: "Domain", extents: Iterable[tuple[str, int, int]], mine: int | None = None) -> Answer:
    """Which frame of EXTENTS, as (name, HPA, length), cannot be granted. Those of the domain MINE are passed over."""
    pages = ((name, at) for name, hpa, length in extents for at in range(hpa, hpa + length, PAGE))
    for name, at in islice(pages, _MOST):
        frame = domain.context.frame(at)
        if frame.state is FrameState.OWNED and frame.domain == mine:
            continue
        if frame.state is FrameState.NONE:
            return name, f"{name}: {at:#x} is no RAM of this context"
        if frame.state is not FrameState.HELD:
            whose = f" (domain {frame.domain})" if frame.state in (FrameState.OWNED, FrameState.REVOKING) else ""
            return name, f"{name}: frame {at:#x} is {frame.state.name}{whose}; only frames that are HELD can be granted"
    return None


_RULES: dict[int, Callable[[_Tree, _abi.Edit], Answer]] = {
    _abi.CORDON_EALIGN: _misaligned, _abi.CORDON_ERANGE: _out_of_range, _abi.CORDON_EINVAL: _senseless,
    _abi.CORDON_EEXIST: _taken, _abi.CORDON_ENOENT: _missing, _abi.CORDON_EBUSY: _needed, _abi.CORDON_EPERM: _not_held,
}
