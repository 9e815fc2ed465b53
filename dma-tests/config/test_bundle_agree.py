"""The hypervisor's parser (C) and tools/bundle (Python) must say the same of any bundle, word for
word: which VMs may be started, with which values, and the sentence for each that may not.
"""
import json
import random
import subprocess

import pytest
from bundle_check import check_bundle
from trees import Node, good, text, u32, u64, vm

MUTANTS = 1500
PIECE = 250  # files a call


def c_says(program, tmp_path, bundles):
    """What the C parser makes of each of BUNDLES."""
    said = []
    for start in range(0, len(bundles), PIECE):
        paths = []
        for number, data in enumerate(bundles[start:start + PIECE], start):
            paths.append(tmp_path / f"{number}.itb")
            paths[-1].write_bytes(data)
        done = subprocess.run([program("bundle_json"), *paths], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        said += [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(bundles)
    return said


def spoil(change):
    """A bundle's bytes after CHANGE(root) has been at the good one."""
    bundle = good()
    change(bundle.root)
    return bundle.bytes()


def at(path, name, value):
    return lambda root: root.at(path).set(name, value)


def without(path, name):
    return lambda root: root.at(path).drop(name)


def rename(path, name):
    def change(root):
        root.at(path).name = name
    return change


def twice(path, name):
    def change(root):
        node = root.at(path)
        node.props += [p for p in node.props if p[0] == name]
    return change


def clone(path, name):
    def change(root):
        node = root.at(path)
        node.add(*[c for c in node.children if c.name == name])
    return change


RED, BLUE, LINUX = "vms/red", "vms/blue", "images/linux"
BAD = {
    "unknown-root-property": at("", "compatible", text("x")),
    "vmid-bits-15": at("", "vmid-bits", u32(15)),
    "vmid-bits-huge": at("", "vmid-bits", u32(0xffffffff)),
    "vmid-bits-too-wide": at("", "vmid-bits", u64(1)),
    "vmid-bits-empty": at("", "vmid-bits", b""),
    "vmid-bits-twice": lambda root: root.props.extend([["vmid-bits", u32(1)], ["vmid-bits", u32(1)]]),
    "vmid-bits-of-a-vm": at("vms/red", "vmid-bits", u32(1)),
    "unknown-root-node": lambda root: root.add(Node("more")),
    "no-images": lambda root: root.remove("images"),
    "no-vms": lambda root: root.remove("vms"),
    "empty-vms": lambda root: root.at("vms").remove("red").remove("blue"),
    "property-behind-node": lambda root: root.at("vms/blue").late.append(["hidden", b""]),
    "known-property-behind-node": lambda root: root.at("images/linux").late.append(
        ["arch", text("riscv")]),
    "images-twice": clone("", "images"),
    "vms-with-property": at("vms", "x", b""),
    "nine-vms": lambda root: root.at("vms").add(*[vm(f"vm{n}") for n in range(7)]),
    "name-with-space": rename(RED, "r ed"),
    "name-with-escape": rename(RED, "\x1b[2Jred"),
    "name-not-ascii": rename(RED, "r\u00e9d"),
    "name-too-long": rename(RED, "r" * 32),
    "name-much-too-long": rename(RED, "r" * 200),
    "name-twice": rename(BLUE, "red"),
    "vcpus-0": at(RED, "vcpus", u32(0)),
    "vcpus-9": at(RED, "vcpus", u32(9)),
    "vcpus-too-wide": at(RED, "vcpus", u64(1)),
    "vcpus-missing": without(RED, "vcpus"),
    "vcpus-twice": twice(RED, "vcpus"),
    "memory-missing": without(RED, "memory"),
    "memory-0": at(RED, "memory", u64(0)),
    "memory-odd": at(RED, "memory", u64(0x8001000)),
    "memory-wraps": at(RED, "memory", u64((1 << 64) - 0x200000)),
    "ram-on-low-devices": at(BLUE, "memory", u64(0xC0200000)),
    "ram-on-high-devices": at(RED, "memory", u64(0x3F80200000)),
    "ram-base-odd": at(RED, "ram-base", u64(0x80001000)),
    "ram-base-below-window": lambda root: root.at(RED).set("ram-base", u64(0x7FE00000)).set(
        "memory", u64(0x40400000)),
    "ram-base-at-top": at(RED, "ram-base", u64((1 << 64) - 0x200000)),
    "scatter-too-large": at(RED, "scatter-pieces", u32(1 << 19)),
    "scatter-does-not-fill": at(RED, "scatter-pieces", u32(1 << 18)),
    "seed-alone": at(RED, "scatter-seed", u64(0)),
    "fill-unknown": at(BLUE, "fill", text("lazily, some day, perhaps")),
    "fill-empty": at(BLUE, "fill", text("")),
    "fill-of-another-case": at(BLUE, "fill", text("first-touch-2m")),
    "fill-no-text": at(BLUE, "fill", u32(1)),
    "fill-with-scatter": at(BLUE, "fill", text("first-touch")),
    "overcommit-alone": at(BLUE, "overcommit", b""),
    "overcommit-at-start": lambda root: root.at(BLUE).set("fill", text("start")).set("overcommit", b""),
    "overcommit-with-value": lambda root: root.at(RED).set("fill", text("first-touch")).set(
        "overcommit", u32(1)),
    "gstage-unknown": at(RED, "gstage", text("sv39")),
    "gstage-empty": at(RED, "gstage", text("")),
    "gstage-number": at(RED, "gstage", u32(8)),
    "pool-odd": at(RED, "pool", u64(0x1000)),
    "pool-too-large": at(RED, "pool", u64(0xE200000)),
    "bootargs-too-long": at(RED, "bootargs", text("x" * 512)),
    "bootargs-with-newline": at(RED, "bootargs", text("a\nb")),
    "bootargs-not-ascii": at(RED, "bootargs", b"\xff\0"),
    "bootargs-two-strings": at(RED, "bootargs", b"a\0b\0"),
    "bootargs-not-ended": at(RED, "bootargs", b"a"),
    "unsafe-with-value": at(RED, "unsafe-devices-without-iommu", u32(1)),
    "unknown-setting": at(RED, "hugepages", b""),
    "unknown-setting-long": at(RED, "h" * 100, b""),
    "unknown-node": lambda root: root.at(RED).add(Node("disks")),
    "devices-twice": clone(RED, "devices"),
    "devices-with-property": at(RED + "/devices", "x", b""),
    "device-unknown-property": at(RED + "/devices/disk", "irq", u32(1)),
    "device-unknown-node": lambda root: root.at(RED + "/devices/disk").add(Node("x")),
    "device-without-pci": without(RED + "/devices/disk", "pci"),
    "device-bad-pci": at(RED + "/devices/disk", "pci", text("00:01.0")),
    "device-bad-slot": at(RED + "/devices/disk", "pci", text("0000:00:20.0")),
    "device-bad-function": at(RED + "/devices/disk", "pci", text("0000:00:01.8")),
    "device-upper-case": at(RED + "/devices/disk", "pci", text("0000:0A:01.0")),
    "device-bad-reset": at(RED + "/devices/disk", "reset", text("none")),
    "device-of-another": at(BLUE + "/devices/disk", "pci", text("0000:00:01.0")),
    "device-twice": at(BLUE + "/devices/disk", "pci", text("0000:00:03.0")),
    "device-label-odd": lambda root: root.at(RED + "/devices").add(
        Node("d\u00fcsk " + "x" * 50, [["pci", text("-")]])),
    "seventeen-devices": lambda root: root.at(RED + "/devices").add(
        *[Node(f"d{n}", [["pci", text(f"0000:01:{n:02x}.0")]]) for n in range(16)]),
    "kernel-missing": without(RED, "kernel"),
    "kernel-not-there": at(RED, "kernel", text("bsd")),
    "kernel-bad-name": at(RED, "kernel", text("a/b")),
    "kernel-is-no-image": at(RED, "kernel", text("initramfs")),
    "memory-too-small": at(RED, "memory", u64(0x200000)),
    "image-twice": clone("images", "linux"),
    "image-behind-end": at(LINUX, "data-size", u32(0x10000)),
    "image-in-tree": at(LINUX, "data-position", u32(0x20)),
    "image-empty": at(LINUX, "data-size", u32(0)),
    "image-overlaps": at("images/initramfs", "data-position", u32(0x2000)),
    "image-without-data": without(LINUX, "data-position"),
    "image-with-both": at(LINUX, "data", b"x"),
    "image-empty-data": lambda root: root.at("images/tree").drop("data-position").drop(
        "data-size").set("data", b""),
    "image-with-load": at(LINUX, "load", u64(0)),
    "image-arch": at(LINUX, "arch", text("x86")),
    "image-compressed": at(LINUX, "compression", text("lzma")),
    "hash-missing": lambda root: root.at(LINUX).remove("hash-1"),
    "hash-short": at(LINUX + "/hash-1", "value", bytes(31)),
    "hash-empty": at(LINUX + "/hash-1", "value", b""),
    "hash-algo": at(LINUX + "/hash-1", "algo", text("md5")),
    "hash-without-algo": without(LINUX + "/hash-1", "algo"),
    "hash-with-node": lambda root: root.at(LINUX + "/hash-1").add(Node("x")),
    "hash-two": lambda root: root.at(LINUX).add(Node("hash-2")),
}

GOOD = {
    "good": lambda root: None,
    "configurations": lambda root: root.add(Node("configurations", [["default", text("x")]],
                                                 [Node("conf-1", [], [Node("deeper")])])),
    "as-mkimage-writes": lambda root: root.set("timestamp", u32(1)).set("#address-cells", u32(1))
    .at(LINUX).set("type", text("kernel")).set("os", text("linux")).set("arch", text("riscv"))
    .set("compression", text("none")).set("description", text("")),
    "spare-bad-image": lambda root: root.at("images").add(Node("spare", [["load", b""]])),
    "data-inside": lambda root: root.at("images/tree").drop("data-position").drop("data-size").set(
        "data", b"inside the tree"),
    "limits": lambda root: root.at(RED).set("vcpus", u32(8)).set("memory", u64(0x3F80000000))
    .set("pool", u64(0xE000000)).set("scatter-pieces", u32(0x40001))
    .set("bootargs", text("~" * 511)),
    "first-touch": at(RED, "fill", text("first-touch")),
    "first-touch-2M-overcommit": lambda root: root.at(RED).set("fill", text("first-touch-2M")).set(
        "overcommit", b""),
    "vmid-bits-0": at("", "vmid-bits", u32(0)),
    "vmid-bits-14": at("", "vmid-bits", u32(14)),
    "fill-start": at(RED, "fill", text("start")),
    "empty-devices": lambda root: root.at(RED).remove("devices").add(Node("devices")),
}


@pytest.mark.parametrize("name", BAD)
def test_both_refuse_in_the_same_words(program, tmp_path, name):
    data = spoil(BAD[name])
    python = check_bundle(data)
    assert python["error"] or python["refused"]
    assert c_says(program, tmp_path, [data]) == [python]


@pytest.mark.parametrize("name", GOOD)
def test_both_read_the_same_values(program, tmp_path, name):
    data = spoil(GOOD[name])
    python = check_bundle(data)
    assert not python["error"] and not python["refused"]
    assert len(python["vms"]) == 2
    assert c_says(program, tmp_path, [data]) == [python]


def test_both_agree_wherever_a_bundle_is_cut(program, tmp_path):
    data = good().bytes()
    cuts = [data[:n] for n in (*range(0, 64), *range(64, len(data), 97), len(data) - 1)]
    python = [check_bundle(cut) for cut in cuts]
    assert all(one["error"] or one["refused"] for one in python)
    assert c_says(program, tmp_path, cuts) == python


@pytest.mark.parametrize("length", [0xfffffff0, 0xfffffff4, 0xfffffff8, 0xffffffff, 0x7fffffff])
def test_both_refuse_a_property_whose_length_wraps_around(program, tmp_path, length):
    data = bytearray(good().bytes())
    at = data.index(b"\0\0\0\3", int.from_bytes(data[8:12], "big"))
    data[at + 4:at + 8] = length.to_bytes(4, "big")
    python = check_bundle(bytes(data))
    assert python["error"].startswith("bundle: malformed tree")
    assert c_says(program, tmp_path, [data]) == [python]


@pytest.mark.parametrize("token", [3, 4, 9])
def test_both_refuse_a_tree_without_a_root(program, tmp_path, token):
    data = bytearray(good().bytes())
    start = int.from_bytes(data[8:12], "big")
    data[start:start + 4] = token.to_bytes(4, "big")
    python = check_bundle(bytes(data))
    assert python["error"].startswith("bundle: malformed tree")
    assert c_says(program, tmp_path, [data]) == [python]


WORDS = ("vmid-bits", "vcpus", "memory", "ram-base", "scatter-pieces", "scatter-seed", "fill", "overcommit", "gstage", "pool", "kernel",
         "ramdisk", "fdt", "bootargs", "unsafe-devices-without-iommu", "pci", "reset", "data",
         "data-position", "data-size", "arch", "compression", "algo", "value", "hash-1", "devices",
         "images", "vms", "configurations", "red", "blue", "linux", "initramfs", "tree", "disk",
         "x")
VALUES = (b"", b"\0", u32(0), u32(1), u32(8), u32(9), u32(0x201), u32(0x2000), u32(0xFFFFFFFF),
          u64(0), u64(1 << 21), u64(1 << 31), u64(1 << 32), u64(3 << 30), u64(1 << 38),
          u64((1 << 64) - 1), text("linux"), text("initramfs"), text("sha256"), text("riscv"), text("sv48x4"),
          text("none"), text("required"), text("none-allowed"), text("first-touch"), text("0000:00:01.0"),
          text("0000:00:02.0"), text("ffff:ff:1f.7"), bytes(32), b"\xfe\x01ab\0")


def mutate(dice, root):
    """One change of a tree, of any kind, anywhere."""
    nodes = list(root.walk())
    node, other = dice.choice(nodes), dice.choice(nodes)
    kind = dice.randrange(9)
    if kind == 0 and node.props:
        dice.choice(node.props)[1] = dice.choice(VALUES)
    elif kind == 1 and node.props:
        dice.choice(node.props)[0] = dice.choice(WORDS)
    elif kind == 2 and node.props:
        node.props.remove(dice.choice(node.props))
    elif kind == 3:
        node.props.append([dice.choice(WORDS), dice.choice(VALUES)])
    elif kind == 4 and node is not root:
        node.name = dice.choice(WORDS)
    elif kind == 5 and node.children:
        node.children.remove(dice.choice(node.children))
    elif kind == 6 and other not in list(node.walk()):
        other.children.append(node)
    elif kind == 7:
        node.children.append(Node(dice.choice(WORDS)))
    elif kind == 8 and node.props and dice.random() < 0.2:
        node.late.append(node.props.pop())


def test_both_agree_on_random_trees(program, tmp_path):
    dice = random.Random(20261)
    bundles = []
    for _ in range(MUTANTS):
        bundle = good()
        for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
            mutate(dice, bundle.root)
        bundles.append(bundle.bytes())
    python = [check_bundle(data) for data in bundles]
    assert sum(1 for one in python if one["vms"]) > MUTANTS // 4
    assert sum(1 for one in python if one["error"]) > MUTANTS // 8
    for data, mine, theirs in zip(bundles, python, c_says(program, tmp_path, bundles)):
        assert mine == theirs, data[:0x2000].hex()


def test_both_agree_on_random_bytes(program, tmp_path):
    """Bytes changed anywhere in tree and header: what is malformed is so for both."""
    dice = random.Random(20262)
    whole = good().bytes()
    tree_len = int.from_bytes(whole[4:8], "big")
    bundles = []
    for _ in range(MUTANTS):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 5))):
            data[dice.randrange(tree_len)] = dice.choice((0, 1, 2, 3, 9, 0x7F, 0x80, 0xFF,
                                                          dice.randrange(256)))
        bundles.append(bytes(data))
    python = [check_bundle(data) for data in bundles]
    for data, mine, theirs in zip(bundles, python, c_says(program, tmp_path, bundles)):
        assert mine == theirs, data[:0x2000].hex()
