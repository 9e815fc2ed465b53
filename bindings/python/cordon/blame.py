"""Which argument a refusal is about. The library answers with a code alone; this asks it again, afterwards, as
any caller could, so it explains and decides nothing."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import _abi
from ._base import Address
from .blame_tree import Answer, frames_not_held, no_page, no_rights, place_of
from .errors import NotFound
from .types import PAGE, Perm, extents_of, size_bytes

if TYPE_CHECKING:
    from .context import Context
    from .domain import Domain, Region

Fields = dict[str, Any]
Explain = Callable[[int], Answer]

CALLS = ("cordon_change", "cordon_share", "cordon_remap", "cordon_slot_set", "cordon_log_harvest", "cordon_relocate")
RUN_CALLS = ("cordon_run_alloc", "cordon_run_make")
MOST = 1 << 10  # regions that are asked for, at most


def blame(context: "Context", code: int, call: str, fields: Fields, explain: Explain | None) -> Answer:
    """The argument that CALL was refused for with CODE, and why; None where that cannot be told. EXPLAIN tells it of
    a call that nothing here is known of."""
    with suppress(Exception):  # what cannot be explained is still refused
        if explain:
            return explain(code)
        if call in RUN_CALLS:
            return _no_run(context, code, fields)
        rule = RULES_OF.get((call, code)) or RULES.get(code)
        if call not in CALLS or rule is None:
            return None
        domain = _domain(context, fields["domain"])
        for prefix, given in _operations(fields):
            if domain and (answer := rule(domain, given)):
                return prefix + answer[0], prefix + answer[1]
    return None


def _domain(context: "Context", number: object) -> "Domain | None":
    from .domain import Domain
    domains = (child for child in context.children if isinstance(child, Domain) and child.is_open)
    return next((domain for domain in domains if domain.number == number), None)


def _operations(fields: Fields) -> Iterator[tuple[str, Fields]]:
    """What each operation was given: one, or those of a transaction by their places."""
    if "ops" not in fields:
        yield "", {name: value for name, value in fields.items() if name != "domain"}
    for number, op in enumerate(fields.get("ops", ())):
        if isinstance(getattr(op, "extents", ()), Sequence):  # else they were used up
            yield f"ops[{number}].", vars(op)


def _number(value: Any) -> int:
    return value.v if isinstance(value, Address) else size_bytes(value)


def _extents(given: Fields) -> list[tuple[str, int, int]]:
    """(name, HPA, length) of each extent."""
    return [(f"extents[{n}]", extent.hpa.v, extent.len) for n, extent in enumerate(extents_of(given.get("extents", ())))]


def _length(given: Fields) -> int:
    return _number(given["len"]) if "len" in given else sum(length for _, _, length in _extents(given))


def _misaligned(_: "Domain", given: Fields) -> Answer:
    values = [(name, _number(given[name])) for name in ("gpa", "to", "len") if name in given]
    for name, hpa, length in _extents(given):
        values += [(f"{name}.hpa", hpa), (f"{name}.len", length)]
    return no_page(values)


def _out_of_range(domain: "Domain", given: Fields) -> Answer:
    for name, length in [("len", _length(given)), *((f"{n}.len", size) for n, _, size in _extents(given))]:
        if length == 0:
            return name, f"{name} is 0"
    for name, number in (("gpa", domain.number), ("to", given.get("borrower", domain.number))):
        owner = _domain(domain.context, number)
        if name in given and owner and (end := _number(given[name]) + _length(given)) > owner.gpa_limit:
            return name, (f"{name}={_number(given[name]):#x} and {_length(given):#x} bytes end at {end:#x}, beyond "
                          f"the {owner.gpa_limit:#x} of domain {number}")
    return None


def _senseless(domain: "Domain", given: Fields) -> Answer:
    if "extents" in given and not given["extents"]:
        return "extents", "extents is empty"
    if given.get("borrower") == domain.number:
        return "borrower", "borrower is the lender itself"
    return no_rights(Perm.of(given["perms"])) if "perms" in given else None


def _not_owned(domain: "Domain", given: Fields) -> Answer:
    if given.get("discard"):
        return _stays(domain, given)
    if given.get("mmio"):
        return None
    return frames_not_held(domain, _extents(given))


def _regions(domain: "Domain", given: Fields) -> Iterator["Region"]:
    """Those in the range, MOST at most."""
    at, end = _number(given["gpa"]), _number(given["gpa"]) + _length(given)
    with suppress(NotFound):
        for _ in range(MOST):
            region = domain.region_at(at, next=True)
            if region.gpa.v >= end:
                break
            yield region
            at = region.end.v


def _not_logged(domain: "Domain", given: Fields) -> Answer:
    others = _abi.CORDON_REGION_LOG | _abi.CORDON_REGION_MMIO | _abi.CORDON_REGION_SHARED
    for region in _regions(domain, given):
        if not region.flags & others:
            return "gpa", f"{place_of(domain, region)} is not logged: log() begins it"
    return None


def _nothing_logged(domain: "Domain", given: Fields) -> Answer:
    first = _number(given["gpa"])
    return "gpa", f"nothing of {first:#x}-{first + _length(given) - 1:#x} of domain {domain.number} is logged: log() begins it"


def _pinned(domain: "Domain", given: Fields) -> Answer:
    for region in _regions(domain, given):
        if region.flags & _abi.CORDON_REGION_PIN:
            return "gpa", f"{place_of(domain, region)} is pinned, so its frames stay"
    return None


def _no_run(context: "Context", code: int, given: Fields) -> Answer:
    """Why there is no such run."""
    length, align, boundary, highest = (_number(given[name]) for name in ("len", "align", "boundary", "highest"))
    if code == _abi.CORDON_EALIGN:
        if length % PAGE:
            return "len", f"len={length:#x} is no multiple of {PAGE:#x}"
        for name, value, least in (("align", align, PAGE), ("boundary", boundary, 1)):
            if value and (value.bit_count() != 1 or value < least):
                return name, f"{name}={value:#x} is no power of two" + (f" from {least:#x} on" if least > 1 else "")
    if code == _abi.CORDON_ERANGE:
        if length == 0:
            return "len", "len is 0"
        if 0 < boundary < length:
            return "boundary", f"boundary={boundary:#x} is less than len={length:#x}: any run would cross it"
        return "highest", f"highest={highest:#x} leaves no room for len={length:#x}"
    return _no_room(context, length, given) if code == _abi.CORDON_ENOMEM else None


def _no_room(context: "Context", length: int, given: Fields) -> Answer:
    stats = context.stats()
    if length > stats.total:
        return "len", f"len={length:#x} is more than all memory, {stats.total:#x} bytes"
    if length > stats.largest_free:
        return "len", f"{stats.free:#x} bytes are free, {stats.largest_free:#x} of them in the longest block"
    places = {name: value for name in ("align", "boundary", "highest") if (value := _number(given[name]))}
    if len(places) != 1:
        return None
    (name, value), = places.items()
    return name, f"no free run of {length:#x} bytes has {name}={value:#x}"


def _stays(domain: "Domain", given: Fields) -> Answer:
    """Why the frames of a range cannot be discarded."""
    for region in _regions(domain, given):
        where = place_of(domain, region)
        if not region.flags & _abi.CORDON_REGION_DEMAND:
            return "gpa", f"{where} is no region of first touch, so its frames cannot be discarded"
        if region.flags & _abi.CORDON_REGION_PIN:
            return "gpa", f"{where} is pinned, so its frames cannot be discarded"
    return None


def _slot_in_the_way(domain: "Domain", given: Fields) -> Answer:
    from .space import Space
    first, end = _number(given["gpa"]), _number(given["gpa"]) + _length(given)
    spaces = (child for child in domain.context.children if isinstance(child, Space) and child.of_domain is domain)
    for node in (node for space in spaces for node in space.nodes()):
        at, name = node.info.offset, node.name
        if node.is_slot and name != f"slot {given['slot']}" and at < end and first < at + node.info.len:
            return "gpa", f"gpa={first:#x}: {name} has {at:#x}-{at + node.info.len - 1:#x}"
    return None


def _taken(domain: "Domain", given: Fields) -> Answer:
    if "slot" in given:
        return _slot_in_the_way(domain, given)
    name = "to" if "to" in given else "gpa"
    owner = _domain(domain.context, given.get("borrower", domain.number))
    first = _number(given[name])
    if owner is None:
        return None
    with suppress(NotFound):
        region = owner.region_at(first, next=True)
        if region.gpa.v < first + _length(given):
            return name, f"{name}={first:#x}: {place_of(owner, region)} stands in the way"
    return None


def _missing(domain: "Domain", given: Fields) -> Answer:
    if "slot" in given:
        kept = " whose backing could be kept" if _length(given) else ""
        return "slot", f"there is no slot {given['slot']}{kept}"
    first = at = _number(given["gpa"])
    try:
        for _ in range(MOST):
            at = domain.region_at(at).end.v
            if at >= first + _length(given):
                break
    except NotFound:
        return "gpa", f"gpa={first:#x}: nothing stands at {at:#x} in domain {domain.number}"
    return None


RULES: dict[int, Callable[["Domain", Fields], Answer]] = {
    _abi.CORDON_EALIGN: _misaligned, _abi.CORDON_ERANGE: _out_of_range, _abi.CORDON_EINVAL: _senseless,
    _abi.CORDON_EPERM: _not_owned, _abi.CORDON_EEXIST: _taken, _abi.CORDON_ENOENT: _missing,
}
RULES_OF: dict[tuple[str, int], Callable[["Domain", Fields], Answer]] = {  # before those
    ("cordon_log_harvest", _abi.CORDON_EPERM): _not_logged, ("cordon_log_harvest", _abi.CORDON_ENOENT): _nothing_logged,
    ("cordon_relocate", _abi.CORDON_EPERM): _pinned,
}
