"""Bundles written node by node, so that anything in them can be wrong: a property twice, a length
that does not fit, an image behind the end.
"""
import copy
import hashlib
from dataclasses import dataclass, field

import libfdt

PAGE = 4096


def u32(value):
    return value.to_bytes(4, "big")


def u64(value):
    return value.to_bytes(8, "big")


def text(value):
    return value.encode("latin-1") + b"\0"


@dataclass
class Node:
    name: str
    props: list = field(default_factory=list)     # [name, bytes]
    children: list = field(default_factory=list)  # Node
    late: list = field(default_factory=list)      # [name, bytes], written behind the children

    def at(self, path):
        """The node that PATH names from here."""
        node = self
        for name in filter(None, path.split("/")):
            node = next(c for c in node.children if c.name == name)
        return node

    def set(self, name, value):
        self.drop(name)
        self.props.append([name, value])
        return self

    def drop(self, name):
        self.props = [p for p in self.props if p[0] != name]
        return self

    def add(self, *nodes):
        self.children += nodes
        return self

    def remove(self, name):
        self.children = [c for c in self.children if c.name != name]
        return self

    def walk(self):
        yield self
        for one in self.children:
            yield from one.walk()


def _write(tree, node):
    tree.begin_node(node.name)
    for name, value in node.props:
        tree.property(name, value)
    for one in node.children:
        _write(tree, one)
    for name, value in node.late:
        tree.property(name, value)
    tree.end_node()


def flatten(root):
    """The bytes of a tree."""
    tree = libfdt.FdtSw()
    tree.finish_reservemap()
    _write(tree, root)
    tree.resize(len(tree.as_bytearray()) + 64)  # room for the end tag
    made = tree.as_fdt()
    made.pack()
    return bytes(made.as_bytearray())[:made.totalsize()]


def kernel(text_offset=0x200000, image_size=0x1000000, length=0x100):
    header = bytearray(length)
    header[8:16] = text_offset.to_bytes(8, "little")
    header[16:24] = image_size.to_bytes(8, "little")
    header[48:60] = b"RISCV\0\0\0RSC\x05"
    return bytes(header)


@dataclass
class Bundle:
    """A tree, and images behind it at fixed places."""
    root: Node
    blobs: list  # (position, bytes)

    def bytes(self):
        out = bytearray(flatten(self.root))
        for position, data in self.blobs:
            out += bytes(max(position - len(out), 0))
            out[position:position + len(data)] = data
        return bytes(out)

    def copy(self):
        return copy.deepcopy(self)


def image(name, position, data):
    return Node(name, [["data-position", u32(position)], ["data-size", u32(len(data))]],
                [Node("hash-1", [["algo", text("sha256")],
                                 ["value", hashlib.sha256(data).digest()]])])


def vm(name, *devices):
    node = Node(name, [["vcpus", u32(2)], ["memory", u64(0x8000000)], ["kernel", text("linux")],
                       ["ramdisk", text("initramfs")]])
    if devices:
        node.add(Node("devices", [], [Node(label, [["pci", text(pci)]])
                                      for label, pci in devices]))
    return node


def good():
    """Two VMs, three images, all settings at some value."""
    linux, initramfs, tree = kernel(), bytes(range(85)), b"a device tree"
    red = vm("red", ("disk", "0000:00:01.0"))
    blue = vm("blue", ("disk", "0000:00:02.0"), ("edu", "0000:00:03.0"))
    blue.at("devices/edu").set("reset", text("none-allowed"))
    blue.set("ram-base", u64(0)).set("pool", u64(0x800000)).set("fdt", text("tree"))
    blue.set("scatter-pieces", u32(0x201)).set("scatter-seed", u64(1 << 63))
    blue.set("bootargs", text('say="hi" \\')).set("unsafe-devices-without-iommu", b"")
    images = Node("images", [], [image("linux", 0x2000, linux),
                                 image("initramfs", 0x3000, initramfs),
                                 image("tree", 0x3100, tree)])
    return Bundle(Node("", [["description", text("test")]], [images, Node("vms", [], [red, blue])]),
                  [(0x2000, linux), (0x3000, initramfs), (0x3100, tree)])
