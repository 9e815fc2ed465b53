"""Writes a bundle: a Flattened Image Tree, and behind it the images, each at a page of its own.

Equal settings and images make equal bytes: there is no time stamp.
"""
import hashlib

import libfdt

PAGE = 4096


def _write_image(tree, name, data, position):
    with tree.add_node(name):
        tree.property_u32("data-position", position)
        tree.property_u32("data-size", len(data))
        tree.property_string("arch", "riscv")
        tree.property_string("compression", "none")
        with tree.add_node("hash-1"):
            tree.property_string("algo", "sha256")
            tree.property("value", hashlib.sha256(data).digest())


def _write_numbers(tree, numbers):
    for name, (value, bits) in numbers.items():
        (tree.property_u32 if bits == 32 else tree.property_u64)(name, value)


def _write_vm(tree, vm):
    with tree.add_node(vm.name):
        _write_numbers(tree, vm.numbers)
        for name, text in vm.texts.items():
            tree.property_string(name, text)
        for name in vm.flags:
            tree.property(name, b"")
        if vm.devices:
            with tree.add_node("devices"):
                for device in vm.devices:
                    with tree.add_node(device.label):
                        tree.property_string("pci", device.pci)
                        if device.reset is not None:
                            tree.property_string("reset", device.reset)


def _write_tree(numbers, vms, images, positions):
    """The tree's bytes, with each image said to be at its position."""
    tree = libfdt.FdtSw()
    tree.finish_reservemap()
    with tree.add_node(""):
        tree.property_string("description", "Cordon guests")
        tree.property_u32("#address-cells", 1)
        _write_numbers(tree, numbers)
        with tree.add_node("images"):
            for name, data in images.items():
                _write_image(tree, name, data, positions[name])
        with tree.add_node("vms"):
            for vm in vms:
                _write_vm(tree, vm)
    tree.resize(len(tree.as_bytearray()) + 64)  # as_fdt adds an end tag without asking for room
    made = tree.as_fdt()
    made.pack()
    return bytes(made.as_bytearray())[:made.totalsize()]


def _round_up(value):
    return -(-value // PAGE) * PAGE


def make_bundle(numbers, vms, images):
    """The bundle's bytes. NUMBERS are the machine's; IMAGES: {name: bytes}. The positions are written into the tree once its
    size is known: they do not change it."""
    positions, at = {}, _round_up(len(_write_tree(numbers, vms, images, dict.fromkeys(images, 0))))
    for name, data in images.items():
        positions[name] = at
        at = _round_up(at + len(data))
    out = bytearray(_write_tree(numbers, vms, images, positions))
    for name, data in images.items():
        out += bytes(positions[name] - len(out)) + data
    return bytes(out)
