"""The guest's device tree before another judge: dtc reads it without a single warning."""
import subprocess

import pytest

ISA = "rv64imafdch_zicbom_zicboz_zicntr_smaia_ssaia_sstc_svadu"


def dtc(data, output="dts"):
    done = subprocess.run(["dtc", "-I", "dtb", "-O", output], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return done.stdout


def tree(program, vcpus, ram_base, ram_len, pool, *supplied):
    done = subprocess.run([program("guest_dt_write"), str(vcpus), hex(ram_base), hex(ram_len),
                           hex(pool), ISA, "console=ttyS0", *supplied], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("vcpus, ram_base, ram_len, pool", [
    (1, 0x80000000, 0x8000000, 0),
    (2, 0x80000000, 0x20000000, 0x800000),
    (8, 0x100000000, 0x1000000000, 0xE000000),
    (3, 0, 0xC0000000, 0x800000),
    (1, 0x40000000, 0x200000, 0x200000),
])
def test_dtc_has_nothing_to_say(program, vcpus, ram_base, ram_len, pool):
    text = dtc(tree(program, vcpus, ram_base, ram_len, pool)).decode()
    assert text.count("cpu@") == vcpus
    assert text.count("cordon,contiguous-pool") == (1 if pool else 0)


def test_a_tree_of_ours_supplied_again_stays_one_without_warnings(program, tmp_path):
    """What was made is a tree that could be supplied: completing it for other RAM replaces RAM."""
    supplied = tmp_path / "supplied.dtb"
    supplied.write_bytes(tree(program, 2, 0x80000000, 0x8000000, 0x200000))
    text = dtc(tree(program, 2, 0x80000000, 0x10000000, 0x400000, supplied)).decode()
    assert "reg = <0x00 0x80000000 0x00 0x10000000>" in text
    assert "reg = <0x00 0x2000000 0x00 0x400000>" in text
    assert text.count('device_type = "memory"') == 1
    assert text.count("cordon,contiguous-pool") == 1
