"""Which edit of an update of a space a refusal is about, and why: see blame.py."""
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _abi
from .errors import NotFound
from .types import LEGAL_PERMS, PAGE, FrameState, Perm

if TYPE_CHECKING:
    from .domain import Domain
    from .space import Space

Answer = tuple[str, str] | None  # the argument's name, and the sentence about it
_MOST = 1 << 10  # frames that are asked for, at most


@dataclass(frozen=True)
class Edits:
    """What an update was asked to do. A message shows how many these are."""

    space: "Space"
    edits: list[_abi.Edit]

    def __repr__(self) -> str:
        return str(len(self.edits))


@dataclass
class _Tree:
    """`nodes`: as they would stand before the edit that is looked at; `final`: after all of them."""

    space: "Space"
    nodes: dict[int, _abi.Node]
    final: dict[int, _abi.Node]

    @property
    def domain(self) -> "Domain":
        return self.space.of_domain

    def name(self, number: int) -> str:
        return self.space.named(number).name


def _apply(nodes: dict[int, _abi.Node], edit: _abi.Edit) -> None:
    if edit.kind == _abi.CORDON_TREE_REMOVE:
        nodes.pop(edit.node.id, None)
    else:
        nodes[edit.node.id] = edit.node


def blame_edits(code: int, asked: Edits) -> Answer:
    """The edit that was refused with CODE, or None. Nothing of the update has been done."""
    rule = _RULES.get(code)
    if rule is None:
        return None
    standing = {node.id: node.info for node in asked.space.nodes()}
    tree = _Tree(asked.space, standing, dict(standing))
    for edit in asked.edits:
        _apply(tree.final, edit)
    for number, edit in enumerate(asked.edits):
        if answer := rule(tree, edit):
            which = f"edits[{number}]" if len(asked.edits) > 1 else ""
            return ".".join(filter(None, (which, answer[0]))), f"{which} {tree.name(edit.node.id)}: {answer[1]}".lstrip()
        _apply(tree.nodes, edit)
    return None


def _extents(node: _abi.Node) -> Iterator[tuple[str, int, int]]:
    for number in range(node.extent_count if node.extents else 0):
        extent = node.extents[number]
        yield f"extents[{number}]", extent.hpa.v, extent.len


def _says(edit: _abi.Edit) -> bool:
    return bool(edit.kind != _abi.CORDON_TREE_REMOVE)


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


def _senseless(_: _Tree, edit: _abi.Edit) -> Answer:
    node = edit.node
    if not _says(edit):
        return None
    backed = node.kind in (_abi.CORDON_NODE_RAM, _abi.CORDON_NODE_MMIO)
    if backed and (answer := no_rights(Perm(node.perms))):
        return answer
    given = sum(length for _, _, length in _extents(node))
    if given and given < node.len:
        return "extents", f"extents have {given:#x} bytes, the node {node.len:#x}"
    if backed and edit.kind == _abi.CORDON_TREE_ADD and not given and not node.flags & _abi.CORDON_REGION_DEMAND:
        return "extents", "it has no extents, and is not of first touch (demand=True)"
    return None


def _ranges_meet(a: _abi.Node, b: _abi.Node) -> bool:
    return bool(a.offset < b.offset + b.len and b.offset < a.offset + a.len)


def _taken(tree: _Tree, edit: _abi.Edit) -> Answer:
    node = edit.node
    if not _says(edit) or node.disabled:
        return None
    for number, other in tree.final.items():
        if (number != node.id and (other.parent, other.priority) == (node.parent, node.priority)
                and not other.disabled and _ranges_meet(node, other)):
            return "at", (f"at={node.offset:#x}: {tree.name(number)} has {other.offset:#x}-"
                          f"{other.offset + other.len - 1:#x}, with the same priority {node.priority}")
    return _stands_in_the_way(tree, node) if node.parent == _abi.CORDON_NODE_ROOT else None


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
            return "at", (f"at={node.offset:#x}: {region.gpa.v:#x}-{region.end.v - 1:#x} of domain "
                          f"{tree.domain.number} stands in the way, and is not of this space")
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
    if _says(edit):
        return None
    for number, other in tree.final.items():
        if edit.node.id in (other.parent, other.target):
            how = "lies in it" if other.parent == edit.node.id else "is an alias of it"
            return "node", f"{tree.name(number)} {how}"
    return None


def _not_held(tree: _Tree, edit: _abi.Edit) -> Answer:
    if not _says(edit) or edit.node.kind != _abi.CORDON_NODE_RAM:
        return None
    return frames_not_held(tree.domain, _extents(edit.node))


def no_page(values: Iterable[tuple[str, int]]) -> Answer:
    """Which of VALUES, by name, is not of whole pages."""
    return next(((name, f"{name}={value:#x} is no multiple of {PAGE:#x}") for name, value in values if value % PAGE), None)


def no_rights(perms: Perm) -> Answer:
    """Why PERMS cannot be a region's."""
    if perms in LEGAL_PERMS:
        return None
    return "perms", f"perms={perms} is none that tables can say: {', '.join(map(str, LEGAL_PERMS))}"


def frames_not_held(domain: "Domain", extents: Iterable[tuple[str, int, int]]) -> Answer:
    """Which frame of EXTENTS, as (name, HPA, length), cannot be granted."""
    pages = [(name, at) for name, hpa, length in extents for at in range(hpa, hpa + length, PAGE)[:_MOST]]
    for name, at in pages[:_MOST]:
        frame = domain.context.frame(at)
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
