"""Registers of devices: as many as there is room for, none where there is RAM; what cannot be
reached is left out by name, and the rest goes on."""
import ctypes
import subprocess

import pytest

from machine import TREE, bare, device_tree

HERE = TREE / "dma-tests/boot"
ELIMIT = -8
ENOMEM = -7
LIMIT = 256
MIB = 1 << 20
RAM = 0x90000000


@pytest.fixture
def windows(tmp_path):
    """hyp/core/memory.c on this machine, fresh."""
    path = tmp_path / "windows.so"
    subprocess.run(["gcc", "-std=c11", "-O1", "-shared", "-fPIC", "-fsanitize=undefined",
                    "-fno-sanitize-recover=all", f"-I{TREE / 'hyp'}", f"-I{TREE / 'iommu/include'}",
                    f"-I{TREE / 'vdev'}", "-o", path, TREE / "hyp/core/memory.c",
                    TREE / "iommu/core/error.c", HERE / "windows.c"], check=True)
    lib = ctypes.CDLL(str(path))
    lib.windows_map.restype = ctypes.c_uint64
    lib.windows_map.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(ctypes.c_int)]
    lib.windows_why.restype = ctypes.c_char_p
    lib.windows_why.argtypes = [ctypes.c_uint64, ctypes.c_int]
    lib.windows_init()
    return lib


def reach(windows, hpa, length=4):
    """(address or 0, error) of one window."""
    err = ctypes.c_int()
    return windows.windows_map(hpa, length, ctypes.byref(err)), err.value


def test_windows_end_at_their_limit_and_those_that_stand_stay(windows):
    first = reach(windows, 0x1000)[0]
    found = [reach(windows, 0x1000 * (2 * i + 1)) for i in range(LIMIT)]
    assert all(err == 0 for _, err in found) and len({at for at, _ in found}) == LIMIT
    assert windows.mmio_room() == 0
    assert reach(windows, 0x40000000) == (0, ELIMIT)
    assert b"limit" in windows.windows_why(0x40000000, ELIMIT)
    assert reach(windows, 0x1ffc) == (first + 0xffc, 0)


def test_large_window_can_have_large_leaves(windows):
    reach(windows, 0x1000)
    at, err = reach(windows, 0x30001000, 256 * MIB)
    assert err == 0 and at % (2 * MIB) == 0x1000


def test_place_of_a_mapping_that_failed_is_not_used_again(windows):
    answer = ctypes.c_int.in_dll(windows, "tables_answer")
    last = ctypes.c_uint64.in_dll(windows, "last_va")
    answer.value = ENOMEM
    assert reach(windows, 0x1000) == (0, ENOMEM)
    failed = last.value
    answer.value = 0
    assert reach(windows, 0x1000) == (failed + 0x1000, 0)


def test_registers_in_ram_are_called_that(windows):
    assert reach(windows, RAM)[1] != 0
    assert b"RAM" in windows.windows_why(RAM, reach(windows, RAM)[1])


def registers_at(node, address):
    """Has a NODE's registers be at ADDRESS."""
    def edit(tree):
        tree.setprop(tree.path_offset(node), "reg", address.to_bytes(8, "big") + (0x1000).to_bytes(8, "big"))
    return edit


@pytest.mark.parametrize("node, said", [
    ("/soc/iommu@3010000", "IOMMU at 0x90000000: the address is one of RAM"),
    ("/soc/virtio_mmio@10008000", "virtio device at 0x90000000: the address is one of RAM")])
def test_registers_that_lie_in_ram_are_left_out_by_name(boots, payload, tmp_path, node, said):
    tree = device_tree(tmp_path / "machine.dtb", 4, registers_at(node, RAM))
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, devices=("-dtb", str(tree)))
    assert run.has("cordon", said)
    assert run.of("solo")[-1] == "PASSED"
    assert run.status == 0
