"""The dump file: what a judge needs of a machine, in a form that any language reads (docs/dump.md).

A line "CORDON-DUMP 1", a line of JSON, then the bytes of memory. Nothing in a file is trusted: what does
not fit is refused with a DumpError that names the part.
"""
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

MAGIC = "CORDON-DUMP 1"
HEADER_MAX = 1 << 26
DOMAINS_MAX, IOMMUS_MAX = 4095, 8  # as the library has them
PAGE = 0x1000


class DumpError(Exception):
    """A dump file that cannot be read, or holds what no dump may. `path` and `part` say where."""

    def __init__(self, path: object, part: str, why: object) -> None:
        self.path, self.part, self.why = str(path), part, why
        super().__init__(f"{path}: {part}: {why}")


@dataclass
class IommuState:
    """The registers of one IOMMU: {offset: (width in bytes, value)}."""

    base: int
    registers: dict

    def register(self, offset: int, width: int) -> int:
        """As a judge asks for it."""
        held, value = self.registers[offset]
        return value & (1 << 8 * min(width, held)) - 1


@dataclass
class DomainState:
    number: int
    name: str
    hgatp: int


@dataclass
class DeviceState:
    """A device by the id that IOMMU number `iommu` sees; `domain` is a number or None."""

    id: int
    name: str
    domain: int | None = None
    iommu: int = 0


@dataclass
class HartState:
    """Where a hart's translation begins. `virtual`: it runs a guest, and vsatp is in use."""

    number: int
    satp: int
    vsatp: int
    hgatp: int
    virtual: bool


@dataclass
class Dump:
    """Memory (pages by their HPA) and registers of one machine at one moment."""

    made_by: str
    pages: dict[int, bytes] = field(default_factory=dict, repr=False)
    iommus: list[IommuState] = field(default_factory=list)
    domains: list[DomainState] = field(default_factory=list)
    devices: list[DeviceState] = field(default_factory=list)
    harts: list[HartState] = field(default_factory=list)
    direct_map: int | None = None  # HVA = HPA + this, modulo 2^64
    requests: list[dict[str, Any]] = field(default_factory=list)
    loans: list[tuple[int, int, int, int]] = field(default_factory=list)  # (hpa, bytes, owner's number, borrower's number)

    def read(self, hpa: int, length: int) -> bytes:
        """LENGTH bytes inside one page; LookupError where the dump has none."""
        page, at = hpa & -PAGE, hpa % PAGE
        if at + length > PAGE:
            raise IndexError(f"{hpa:#x} + {length} goes over a page's end")
        return self.pages[page][at:at + length]

    def read64(self, hpa: int) -> int:
        return int.from_bytes(self.read(hpa, 8), "little")

    def domain(self, name: str | int) -> DomainState:
        """The domain of this name or number; KeyError names those that there are."""
        for found in self.domains:
            if name in (found.name, found.number, str(found.number)):
                return found
        raise KeyError(f"no domain is {name!r}; there are "
                       + (", ".join(f"{d.number} ({d.name})" for d in self.domains) or "none"))

    def device(self, name: str) -> DeviceState:
        """The device of this name or id ("0x10", "00:02.0"); KeyError names those that there are."""
        for found in self.devices:
            if name == found.name or as_device_id(name) == found.id:
                return found
        raise KeyError(f"no device is {name!r}; there are "
                       + (", ".join(f"{d.id:#x} ({d.name})" for d in self.devices) or "none"))

    def digest(self) -> str:
        """Equal for equal dumps, whoever made them."""
        return hashlib.sha256(json.dumps(_header(self), sort_keys=True).encode()
                              + b"".join(_blob(self))).hexdigest()


def as_device_id(text):
    """The device id that "0x10", "16" or "00:02.0" say, or None."""
    if isinstance(text, int):
        return text
    try:
        if ":" in text:
            bus, rest = text.split(":")
            slot, function = rest.split(".")
            return int(bus, 16) << 8 | int(slot, 16) << 3 | int(function, 16)
        return int(text, 0)
    except ValueError:
        return None


# ---- writing ---------------------------------------------------------------------------------------


def _segments(dump):
    """(hpa, len) of each run of pages that follow each other."""
    runs = []
    for hpa in sorted(dump.pages):
        if runs and runs[-1][0] + runs[-1][1] == hpa:
            runs[-1][1] += PAGE
        else:
            runs.append([hpa, PAGE])
    return runs


def _blob(dump):
    return (dump.pages[hpa] for hpa in sorted(dump.pages))


def _header(dump):
    """The JSON line; numbers of 64 bits are strings, since many readers hold 53 bits only."""
    segments, at = [], 0
    for hpa, length in _segments(dump):
        segments.append({"hpa": hex(hpa), "len": length, "at": at})
        at += length
    return {
        "made_by": dump.made_by, "memory": segments,
        "iommus": [{"base": hex(i.base), "registers": [
            {"offset": offset, "width": width, "value": hex(value)}
            for offset, (width, value) in sorted(i.registers.items())]} for i in dump.iommus],
        "domains": [{"number": d.number, "name": d.name, "hgatp": hex(d.hgatp)} for d in dump.domains],
        "devices": [vars(d) for d in dump.devices],
        "harts": [{**{k: hex(v) for k, v in vars(h).items() if k not in ("number", "virtual")},
                   "number": h.number, "virtual": h.virtual} for h in dump.harts],
        "direct_map": None if dump.direct_map is None else hex(dump.direct_map),
        "loans": [{"hpa": hex(hpa), "len": length, "owner": owner, "borrower": borrower}
                  for hpa, length, owner, borrower in dump.loans],
        "requests": [{**r, "iova": hex(r["iova"])} for r in dump.requests]}


def save(dump: Dump, path: str | os.PathLike[str]) -> None:
    """Write a dump file."""
    header = _header(dump)
    blob = b"".join(_blob(dump))
    header["sha256"] = hashlib.sha256(blob).hexdigest()
    with open(path, "wb") as out:
        out.write(f"{MAGIC}\n{json.dumps(header)}\n".encode() + blob)


# ---- reading ---------------------------------------------------------------------------------------


class _Reader:
    """Takes what a header says, and refuses what it may not say."""

    def __init__(self, path):
        self.path, self.part = path, "header"

    def refuse(self, why):
        raise DumpError(self.path, self.part, why)

    def items(self, table, name, most=None):
        """Each dictionary of a list, with the place in it for messages."""
        found = table.get(name, [])
        if not isinstance(found, list):
            self.refuse(f"{name} is {type(found).__name__}, not a list")
        if most is not None and len(found) > most:
            self.refuse(f"{len(found)} {name} are more than {most}")
        for number, item in enumerate(found):
            self.part = f"{name}[{number}]"
            if not isinstance(item, dict):
                self.refuse(f"{item!r} is no object")
            yield item
        self.part = "header"

    def number(self, table, name, bits=64, none=False):
        value = table.get(name)
        if none and value is None:
            return None
        try:
            number = int(value, 0) if isinstance(value, str) else value
        except ValueError:
            number = None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << bits:
            self.refuse(f"{name} is {value!r}, not a number of {bits} bits")
        return number

    def text(self, table, name):
        value = table.get(name, "")
        if not isinstance(value, str) or len(value) > 256 or not value.isprintable():
            self.refuse(f"{name} is {value!a:.40}, not a short text")
        return value


def load(path: str | os.PathLike[str]) -> Dump:
    """Read a dump file. DumpError where it is not one."""
    reader = _Reader(path)
    try:
        with open(path, "rb") as file:
            first = file.readline(64)
            if first != MAGIC.encode() + b"\n":  # what is no dump may have no end
                reader.refuse(f"the first line is {first!r:.40}, not {MAGIC!r}")
            line, blob = file.readline(HEADER_MAX), file.read()
    except OSError as why:
        raise DumpError(path, "file", why.strerror or str(why)) from None
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as why:
        reader.refuse(f"the second line is no JSON: {why}")
    if not isinstance(table, dict):
        reader.refuse("the second line is no JSON object")
    return _build(reader, table, blob)


def _build(reader, table, blob):
    dump = Dump(reader.text(table, "made_by"), _pages(reader, table, blob))
    for item in reader.items(table, "iommus", IOMMUS_MAX):
        dump.iommus.append(IommuState(reader.number(item, "base"), _registers(reader, item)))
    for item in reader.items(table, "domains", DOMAINS_MAX):
        dump.domains.append(DomainState(reader.number(item, "number", 32), reader.text(item, "name"),
                                        reader.number(item, "hgatp")))
    if len({domain.number for domain in dump.domains}) < len(dump.domains):
        reader.refuse("two domains have one number")
    for item in reader.items(table, "devices"):
        device = DeviceState(reader.number(item, "id", 24), reader.text(item, "name"),
                             reader.number(item, "domain", 32, none=True), reader.number(item, "iommu", 8))
        if device.iommu >= len(dump.iommus):
            reader.refuse(f"iommu {device.iommu} is none of the {len(dump.iommus)}")
        dump.devices.append(device)
    for item in reader.items(table, "harts"):
        dump.harts.append(HartState(reader.number(item, "number", 32), *(reader.number(item, name) for name in (
            "satp", "vsatp", "hgatp")), item.get("virtual") is True))
    dump.direct_map = reader.number(table, "direct_map", none=True)
    for item in reader.items(table, "loans"):
        dump.loans.append(_loan(reader, item))
    for item in reader.items(table, "requests"):
        dump.requests.append(_request(reader, item, len(dump.iommus)))
    return dump


def _registers(reader, item):
    found, part = {}, reader.part
    for register in reader.items(item, "registers"):
        offset, width = reader.number(register, "offset", 12), reader.number(register, "width", 8)
        if width not in (4, 8):
            reader.refuse(f"a register is 4 or 8 bytes wide, not {width}")
        found[offset] = width, reader.number(register, "value", 8 * width)
    reader.part = part
    if not {0x00, 0x08, 0x10} <= found.keys():
        reader.refuse("capabilities (0x0), fctl (0x8) and ddtp (0x10) have to be there")
    return found


def _loan(reader, item):
    hpa, length, owner, borrower = (reader.number(item, name, bits) for name, bits in (
        ("hpa", 56), ("len", 56), ("owner", 32), ("borrower", 32)))
    if hpa % PAGE or length % PAGE or not length:
        reader.refuse(f"{hpa:#x} + {length:#x} is not whole pages")
    return hpa, length, owner, borrower


def _request(reader, item, iommus):
    access = item.get("access")
    if access not in ("r", "w", "x"):
        reader.refuse(f"access is {access!r}, not r, w or x")
    request = {"iommu": reader.number(item, "iommu", 8), "device": reader.number(item, "device", 24),
               "iova": reader.number(item, "iova"), "access": access}
    if request["iommu"] >= iommus:
        reader.refuse(f"iommu {request['iommu']} is none of the {iommus}")
    return request


def _pages(reader, table, blob):
    told = table.get("sha256")
    if told != hashlib.sha256(blob).hexdigest():
        reader.refuse(f"the {len(blob)} bytes of memory are not those whose SHA-256 is {told!r:.70}")
    pages = {}
    for item in reader.items(table, "memory"):
        hpa, length, at = (reader.number(item, name) for name in ("hpa", "len", "at"))
        if hpa % PAGE or length % PAGE or not length:
            reader.refuse(f"{hpa:#x} + {length:#x} is not whole pages")
        if at + length > len(blob) or hpa + length > 1 << 56:
            reader.refuse(f"{length:#x} bytes at {at:#x} go over the end")
        for offset in range(0, length, PAGE):
            if hpa + offset in pages:
                reader.refuse(f"{hpa + offset:#x} is there twice")
            pages[hpa + offset] = blob[at + offset:at + offset + PAGE]
    return pages
