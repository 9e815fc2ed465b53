"""Bundles for boot tests: a Flattened Image Tree with its images behind the tree."""
import hashlib

import libfdt

ALIGN = 4096


def _words(numbers):
    return b"".join(n.to_bytes(4, "big") for n in numbers)


def _put(tree, name, value):
    """One property: True is a flag, int 32 or 64 bits by NAME, str a text, bytes as they are."""
    if value is True:
        tree.property(name, b"")
    elif isinstance(value, str):
        tree.property_string(name, value)
    elif isinstance(value, bytes):
        tree.property(name, value)
    elif name in ("memory", "ram-base", "scatter-seed", "pool"):
        tree.property(name, value.to_bytes(8, "big"))
    else:
        tree.property(name, value.to_bytes(4, "big"))


def _image_node(tree, name, position, data, digest):
    tree.begin_node(name)
    tree.property_u32("data-position", position)
    tree.property_u32("data-size", len(data))
    tree.begin_node("hash-1")
    tree.property_string("algo", "sha256")
    tree.property("value", digest)
    tree.end_node()
    tree.end_node()


def _vm_node(tree, name, settings):
    tree.begin_node(name)
    for key, value in settings.items():
        if key != "devices":
            _put(tree, key, value)
    if settings.get("devices"):
        tree.begin_node("devices")
        for number, device in enumerate(settings["devices"]):
            tree.begin_node(f"device-{number}")
            for key, value in device.items():
                _put(tree, key, value)
            tree.end_node()
        tree.end_node()
    tree.end_node()


def _tree(images, vms, digests, machine, start):
    """The tree, with the images' positions counted from START."""
    tree = libfdt.FdtSw(32768)
    tree.finish_reservemap()
    tree.begin_node("")
    for key, value in machine.items():
        _put(tree, key, value)
    tree.begin_node("images")
    position = start
    for name, data in images.items():
        _image_node(tree, name, position, data, digests[name])
        position += -(-len(data) // ALIGN) * ALIGN
    tree.end_node()
    tree.begin_node("vms")
    for name, settings in vms.items():
        _vm_node(tree, name, settings)
    tree.end_node()
    tree.end_node()
    return bytes(tree.as_fdt().as_bytearray())


def make(images, vms, digests=None, machine=None):
    """The bytes of a bundle. IMAGES: {name: bytes}; VMS: {name: {property: value}}; DIGESTS replaces
    some images' SHA-256; MACHINE: {property: value} for all of the machine."""
    digests = {name: hashlib.sha256(data).digest() for name, data in images.items()} | (digests or {})
    start = -(-len(_tree(images, vms, digests, machine or {}, 0)) // ALIGN) * ALIGN
    parts = [_tree(images, vms, digests, machine or {}, start)]
    parts[0] += bytes(start - len(parts[0]))
    for data in images.values():
        parts.append(data + bytes(-len(data) % ALIGN))
    return b"".join(parts)
