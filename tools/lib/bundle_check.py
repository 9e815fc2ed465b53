"""The rules for a bundle, written a second time: what the hypervisor would start, and its sentence
for what it would not. dma-tests/config holds it against the hypervisor's parser.
"""
import re
import struct
from dataclasses import dataclass

import libfdt

from bundle_limits import LIMITS, PAGE, SCATTER_BITS, guest_ram_end

NAME = re.compile(r"[A-Za-z0-9_-]{1,31}")
PCI = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
TEXT_MAX = 159
MIB2 = LIMITS["GUEST_RAM_ALIGN"]
_PRINTABLE = {chr(n) for n in range(32, 127)}


class Refused(Exception):
    """A sentence, as the hypervisor would print it."""

    def __str__(self):
        return printable(self.args[0])[:TEXT_MAX]


def printable(text):
    return "".join(c if c in _PRINTABLE else "?" for c in text)


@dataclass
class Node:
    name: str       # one character a byte, as all text here
    props: list     # (name, bytes, offset of the bytes in the bundle)
    children: list  # Node


BEGIN_NODE, END_NODE, PROP, NOP = 1, 2, 3, 4
_HEADER = struct.Struct(">10I")


def _c_text(data, at):
    return data[at:data.index(b"\0", at)].decode("latin-1")


def _read_nodes(tree):
    """The root of a tree that has passed fdt_check_full [Devicetree 5.4]."""
    _, _, at, strings, *_ = _HEADER.unpack_from(tree)
    root = Node("", [], [])
    open_nodes = [root]
    if int.from_bytes(tree[at:at + 4], "big") != BEGIN_NODE:
        raise Refused("bundle: malformed tree (no root node)")
    while len(open_nodes) > 1 or not root.children:
        token = int.from_bytes(tree[at:at + 4], "big")
        at += 4
        if token == BEGIN_NODE:
            node = Node(_c_text(tree, at), [], [])
            open_nodes[-1].children.append(node)
            open_nodes.append(node)
            at += len(node.name) + 1
        elif token == PROP:
            if open_nodes[-1].children:
                raise Refused("bundle: malformed tree (a property behind a node)")
            length, name = struct.unpack_from(">2I", tree, at)
            at += 8
            open_nodes[-1].props.append((_c_text(tree, strings + name), bytes(tree[at:at + length]),
                                         at))
            at += length
        elif token == END_NODE:
            open_nodes.pop()
        at = -(-at // 4) * 4
    return root.children[0]


U32, U64, TEXT, FLAG, BYTES = "u32", "u64", "text", "flag", "bytes"
_LENGTHS = {U32: 4, U64: 8, FLAG: 0}

ROOT_RULES = {"vmid-bits": U32, "description": TEXT, "timestamp": U32, "#address-cells": U32}
IMAGE_RULES = {"data": BYTES, "data-position": U32, "data-size": U32, "description": TEXT,
               "type": TEXT, "arch": TEXT, "os": TEXT, "compression": TEXT}
HASH_RULES = {"algo": TEXT, "value": BYTES}
VM_RULES = {"vcpus": U32, "memory": U64, "ram-base": U64, "scatter-pieces": U32,
            "scatter-seed": U64, "fill": TEXT, "overcommit": FLAG, "gstage": TEXT, "pool": U64, "kernel": TEXT,
            "ramdisk": TEXT, "fdt": TEXT, "bootargs": TEXT, "unsafe-devices-without-iommu": FLAG}
FILLS = ("start", "first-touch", "first-touch-2M")  # enum vm_fill, in its order
GSTAGE = {"sv39x4": 8, "sv48x4": 9, "sv57x4": 10}  # as in hgatp
DEVICE_RULES = {"pci": TEXT, "reset": TEXT}


def _read_value(kind, name, value, who):
    must = _LENGTHS.get(kind, len(value))
    if len(value) != must:
        raise Refused(f'{who}: property "{name}" has {len(value)} bytes, it must have {must}')
    if kind in (U32, U64):
        return int.from_bytes(value, "big")
    if kind == TEXT:
        if value.find(b"\0") != len(value) - 1 or not value:
            raise Refused(f'{who}: property "{name}" is no text')
        return value[:-1].decode("latin-1")
    return value


def read_props(node, who, rules, required=()):
    """{name: value} of NODE's properties, each known, given once, and of the right length."""
    values = {}
    for name, value, _ in node.props:
        if name not in rules:
            raise Refused(f'{who}: unknown property "{name[:40]}"')
        if name in values:
            raise Refused(f'{who}: property "{name}" is given twice')
        values[name] = _read_value(rules[name], name, value, who)
    for name in rules:
        if name in required and name not in values:
            raise Refused(f'{who}: property "{name}" is missing')
    return values


def child(node, name, who):
    """The child of this name; None if there is none."""
    found = [c for c in node.children if c.name == name]
    if len(found) > 1:
        raise Refused(f'{who}: node "{name}" is given twice')
    return found[0] if found else None


def children_known(node, who, names):
    for one in node.children:
        if one.name not in names:
            raise Refused(f'{who}: unknown node "{one.name[:40]}"')


def _properties_fit(tree):
    """No property goes over the end of the tags: libfdt 1.6.1 does not see a length that wraps around, and
    its full check would never end. What else is wrong it says itself."""
    start, size = int.from_bytes(tree[8:12], "big"), int.from_bytes(tree[36:40], "big")
    tags, at = tree[start:start + size], 0
    while size - at >= 4:
        tag, left, length = int.from_bytes(tags[at:at + 4], "big"), size - at - 4, 0
        if tag == BEGIN_NODE:
            end = tags.find(b"\0", at + 4)
            length = end - at - 3 if end >= 0 else left
        elif tag == PROP and left >= 8:
            length = int.from_bytes(tags[at + 4:at + 8], "big") + 8
            if length > left:
                return False
        elif tag not in (END_NODE, NOP):
            break
        at = at + length + 7 & ~3
    return True


def _check_tree(data):
    """The root node of a bundle."""
    if len(data) < 40 or data[:4] != b"\xd0\x0d\xfe\xed":
        raise Refused(f"bundle: {len(data):#x} bytes that are no flattened device tree")
    total = int.from_bytes(data[4:8], "big")
    version = int.from_bytes(data[20:24], "big")
    if total > len(data):
        raise Refused(f"bundle: cut short: its tree has {total:#x} bytes, {len(data):#x} are here")
    if version != 17:
        raise Refused(f"bundle: its tree has version {version}, it must have 17")
    tree = bytearray(data[:total])
    if libfdt.fdt_check_header(tree) == 0 and not _properties_fit(tree):
        raise Refused("bundle: malformed tree (a property goes over its end)")
    status = libfdt.fdt_check_full(tree, total)
    if status:
        raise Refused(f"bundle: malformed tree ({libfdt.fdt_strerror(status)})")
    return _read_nodes(tree)


def _vmid_bits(values):
    limit = LIMITS["BUNDLE_MAX_VMID_BITS"]
    bits = values.get("vmid-bits", limit)
    if bits > limit:
        raise Refused(f"bundle: vmid-bits is {bits}, it must be 0 to {limit}")
    return bits


class Bundle:
    """What is collected while a bundle is read."""

    def __init__(self, data):
        self.data = data
        self.root = _check_tree(data)
        values = read_props(self.root, "bundle", ROOT_RULES)
        children_known(self.root, "bundle", ("images", "vms", "configurations"))
        self.vmid_bits = _vmid_bits(values)
        self.tree_len = int.from_bytes(data[4:8], "big")
        self.images = {}  # name: blob, in the order of first use
        self.vms = []
        self.refused = []

    def folder(self, name):
        node = child(self.root, name, "bundle")
        if node is None:
            raise Refused(f'bundle: node "{name}" is missing')
        read_props(node, "bundle", {})
        return node


# ---- images ---------------------------------------------------------------------------------

def _image_place(bundle, node, values, who):
    """(offset, length) of an image's bytes."""
    external = "data-position" in values or "data-size" in values
    if "data" in values and external:
        raise Refused(f"{who}: it has both data and data-position or data-size")
    if "data" in values:
        place = next(at for name, _, at in node.props if name == "data"), len(values["data"])
    elif "data-position" in values and "data-size" in values:
        place = values["data-position"], values["data-size"]
        if place[0] < bundle.tree_len:
            raise Refused(f"{who}: data-position {place[0]:#x} lies inside the tree, which ends at "
                          f"{bundle.tree_len:#x}")
        if sum(place) > len(bundle.data):
            raise Refused(f"{who}: bytes {place[0]:#x} to {sum(place):#x} reach beyond the "
                          f"bundle's {len(bundle.data):#x}")
    else:
        raise Refused(f"{who}: it has neither data nor data-position and data-size")
    if place[1] == 0:
        raise Refused(f"{who}: it is empty")
    return place


def _image_hash(node, who):
    children_known(node, who, ("hash-1",))
    found = child(node, "hash-1", who)
    if found is None:
        raise Refused(f"{who}: it has no hash-1")
    who = f"{who}, hash-1"
    values = read_props(found, who, HASH_RULES, HASH_RULES)
    children_known(found, who, ())
    if values["algo"] != "sha256":
        raise Refused(f'{who}: algo is "{values["algo"][:20]}", it must be "sha256"')
    if len(values["value"]) != 32:
        raise Refused(f'{who}: value has {len(values["value"])} bytes, it must have 32')
    return values["value"].hex()


def _image_read(bundle, name, who):
    node = child(bundle.folder("images"), name, who)
    if node is None:
        raise Refused(f"{who}: the bundle has no such image")
    values = read_props(node, who, IMAGE_RULES)
    for prop, must in (("arch", "riscv"), ("compression", "none")):
        if values.get(prop, must) != must:
            raise Refused(f'{who}: {prop} is "{values[prop][:20]}", it must be "{must}"')
    offset, length = _image_place(bundle, node, values, who)
    digest = _image_hash(node, who)
    for other, blob in bundle.images.items():
        if offset < blob["offset"] + blob["len"] and blob["offset"] < offset + length:
            raise Refused(f'{who}: its bytes overlap image "{other}"')
    return {"image": name, "offset": offset, "len": length, "sha256": digest}


def use_image(bundle, name, who):
    if not NAME.fullmatch(name):
        raise Refused(f'{who}: image name "{name[:40]}" must be 1 to 31 letters, digits, - or _')
    if name not in bundle.images:
        bundle.images[name] = _image_read(bundle, name, f'{who}, image "{name}"')
    return bundle.images[name]


def _check_fit(bundle, vm, who):
    """The kernel's header says how much RAM it needs; the rest must fit beside it."""
    blob = vm["kernel"]
    header = bundle.data[blob["offset"]:blob["offset"] + min(64, blob["len"])]
    name = blob["image"]
    if len(header) < 64 or header[56:60] != b"RSC\x05" or header[24] & 1:
        raise Refused(f'{who}: kernel "{name}" is no RISC-V Linux Image')
    offset, size = (int.from_bytes(header[at:at + 8], "little") for at in (8, 16))
    if size < blob["len"] or offset + size >= 1 << 64:
        raise Refused(f'{who}: kernel "{name}" has a header whose sizes are wrong')
    rest = sum(vm[key]["len"] for key in ("ramdisk", "fdt") if vm[key])
    if offset + size + rest > vm["ram_len"]:
        raise Refused(f'{who}: kernel ({size:#x} at {offset:#x}) and {rest:#x} more do not fit '
                      f'memory {vm["ram_len"]:#x}')


# ---- VMs ------------------------------------------------------------------------------------

def _check_ram(vm, who):
    length, base = vm["ram_len"], vm["ram_base"]
    end = guest_ram_end(base)
    if length == 0 or length % MIB2:
        raise Refused(f"{who}: memory is {length:#x} bytes, it must be a multiple of 2 MiB, not 0")
    if base % MIB2:
        raise Refused(f"{who}: ram-base is {base:#x}, it must be a multiple of 2 MiB")
    if base + length > end:
        raise Refused(f"{who}: {length:#x} bytes of RAM from {base:#x} touch the devices, the "
                      f"limit is {end:#x}")


def _check_scatter(vm, seed_given, who):
    pieces = vm["scatter_pieces"]
    if pieces & ~SCATTER_BITS:
        raise Refused(f"{who}: scatter-pieces is {pieces:#x}, only bits of {SCATTER_BITS:#x} are "
                      "sizes")
    if pieces == 0:
        if seed_given:
            raise Refused(f"{who}: scatter-seed without scatter-pieces")
    elif vm["ram_len"] % ((pieces & -pieces) * PAGE):
        raise Refused(f"{who}: the smallest of scatter-pieces {pieces:#x} does not divide memory "
                      f'{vm["ram_len"]:#x}')


def _check_fill(vm, who):
    if vm["fill"] not in FILLS:
        raise Refused(f'{who}: fill "{vm["fill"][:20]}" must be "start", "first-touch" or "first-touch-2M"')
    if vm["overcommit"] and vm["fill"] == "start":
        raise Refused(f'{who}: overcommit needs fill "first-touch" or "first-touch-2M"')
    if vm["scatter_pieces"] and vm["fill"] != "start":
        raise Refused(f'{who}: scatter-pieces needs fill "start"')


def _check_pool(vm, who):
    pool, limit = vm["pool_len"], LIMITS["GUEST_POOL_MAX"]
    if pool > limit:
        raise Refused(f"{who}: pool is {pool:#x} bytes, the limit is {limit:#x}")
    if pool % LIMITS["GUEST_POOL_ALIGN"]:
        raise Refused(f"{who}: pool is {pool:#x} bytes, it must be a multiple of 2 MiB")


def _check_bootargs(text, who):
    limit = LIMITS["VM_BOOTARGS_BYTES"] - 1
    if len(text) > limit:
        raise Refused(f"{who}: bootargs has {len(text)} characters, the limit is {limit}")
    for number, character in enumerate(text, 1):
        if character not in _PRINTABLE:
            raise Refused(f"{who}: bootargs: character {number} is not printable")


def _read_device(bundle, vm, node, who):
    values = read_props(node, who, DEVICE_RULES, ("pci",))
    children_known(node, who, ())
    pci, reset = values["pci"], values.get("reset", "required")
    found = PCI.fullmatch(pci)
    if not found:
        raise Refused(f'{who}: pci "{pci[:20]}" must be like 0000:00:1f.7')
    segment, bus, slot, function = (int(part, 16) for part in found.groups())
    if reset not in ("required", "none-allowed"):
        raise Refused(f'{who}: reset "{reset[:20]}" must be "required" or "none-allowed"')
    device = {"segment": segment, "bdf": bus << 8 | slot << 3 | function, "reset": reset}
    for owner in [vm, *bundle.vms]:
        if any((d["segment"], d["bdf"]) == (segment, device["bdf"]) for d in owner["devices"]):
            raise Refused(f"{who}: {pci} is listed twice" if owner is vm else
                          f'{who}: {pci} is given to VM "{owner["name"]}" already')
    return device


def _read_devices(bundle, vm, node, who):
    devices = child(node, "devices", who)
    if devices is None:
        return
    read_props(devices, who, {})
    for one in devices.children:
        if len(vm["devices"]) == LIMITS["VM_MAX_DEVICES"]:
            raise Refused(f'{who}: more than {LIMITS["VM_MAX_DEVICES"]} devices')
        label = printable(one.name)[:LIMITS["VM_NAME_BYTES"] - 1]
        vm["devices"].append(_read_device(bundle, vm, one, f'{who}, device "{label}"'))


def _read_vm(bundle, node):
    if not NAME.fullmatch(node.name):
        raise Refused(f'VM "{node.name[:40]}": a name must be 1 to 31 letters, digits, - or _')
    who = f'VM "{node.name}"'
    values = read_props(node, who, VM_RULES, ("vcpus", "memory", "kernel"))
    children_known(node, who, ("devices",))
    if not 1 <= values["vcpus"] <= LIMITS["VM_MAX_VCPUS"]:
        raise Refused(f'{who}: vcpus is {values["vcpus"]}, it must be 1 to '
                      f'{LIMITS["VM_MAX_VCPUS"]}')
    vm = {
        "name": node.name, "vcpus": values["vcpus"],
        "ram_base": values.get("ram-base", LIMITS["GUEST_RAM_HIGH"]), "ram_len": values["memory"],
        "scatter_pieces": values.get("scatter-pieces", 0),
        "scatter_seed": values.get("scatter-seed", 0), "fill": values.get("fill", "start"),
        "overcommit": "overcommit" in values,
        "gstage": GSTAGE.get(values.get("gstage"), 0), "pool_len": values.get("pool", 0),
        "kernel": None, "ramdisk": None, "fdt": None, "bootargs": values.get("bootargs", ""),
        "devices": [],
        "unsafe_devices_without_iommu": "unsafe-devices-without-iommu" in values,
    }
    if "gstage" in values and not vm["gstage"]:
        raise Refused(f"{who}: gstage must be sv39x4, sv48x4 or sv57x4")
    _check_ram(vm, who)
    _check_scatter(vm, "scatter-seed" in values, who)
    _check_fill(vm, who)
    _check_pool(vm, who)
    _check_bootargs(vm["bootargs"], who)
    _read_devices(bundle, vm, node, who)
    for key in ("kernel", "ramdisk", "fdt"):
        if key in values:
            vm[key] = use_image(bundle, values[key], who)
    _check_fit(bundle, vm, who)
    return vm


def _read_vms(bundle):
    bundle.folder("images")
    nodes = bundle.folder("vms").children
    if not 1 <= len(nodes) <= LIMITS["VM_MAX"]:
        raise Refused(f'bundle: it has {len(nodes)} VMs, it must have 1 to {LIMITS["VM_MAX"]}')
    for number, node in enumerate(nodes):
        try:
            if any(earlier.name == node.name for earlier in nodes[:number]):
                raise Refused(f'VM "{node.name[:40]}": an earlier VM has this name')
            bundle.vms.append(_read_vm(bundle, node))
        except Refused as why:
            name = printable(node.name)[:LIMITS["VM_NAME_BYTES"] - 1]
            bundle.refused.append({"name": name, "why": str(why)})
    if not bundle.vms:
        raise Refused(bundle.refused[0]["why"])


def check_bundle(data):
    """What the hypervisor makes of the bundle in DATA: {error, vmid_bits, vms, refused}."""
    error, vmid_bits, vms, refused = None, LIMITS["BUNDLE_MAX_VMID_BITS"], [], []
    try:
        bundle = Bundle(data)
        vmid_bits, vms, refused = bundle.vmid_bits, bundle.vms, bundle.refused
        _read_vms(bundle)
    except Refused as why:
        error = str(why)
    return {"error": error, "vmid_bits": vmid_bits, "vms": vms, "refused": refused}
