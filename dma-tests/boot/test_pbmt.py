"""Memory types in the tables of guests: only where harts can flush, and a guest that drops lines flushes them."""
import pytest

import bundle
from cordon import MemoryType
from cordon.qemu.gdbstub import GdbStub
from machine import bare, linux

CPU = "rv64,h=true,svpbmt=true"
PBMTE, CBIE = 1 << 62, 0x30
SHELL = linux("red")["bootargs"].replace("poweroff", "shell")


@pytest.mark.parametrize("has,flushes", [
    ("zicbom=true", True), ("zicbom=false", False), ("zicbom=true,cbom_blocksize=128", True),
    ("zicbom=true,cbom_blocksize=96", False)])
def test_guest_reads_past_the_caches_only_where_they_can_be_flushed(boots, payload, has, flushes):
    run = boots.run({"guest": payload("uncached")}, {"solo": bare()},
                    cpu=f"{CPU},{has}")
    said = run.of("solo")
    assert [line for line in said if line.startswith("not ok")] == []
    assert said[-1] == "PASSED" and ("memory is read past the caches" in said) == flushes
    assert any("guests have memory types (Svpbmt)" in line for line in run.of("cordon")) == flushes


def test_a_guests_cbo_inval_is_a_flush(boots, payload, tmp_path):
    stub = GdbStub(tmp_path)
    with boots.machine(bundle.make({"echo": payload("echo")}, {"red": bare("echo")}), cpu=CPU,
                       devices=stub.arguments) as machine:
        red = machine.guests["red"]
        red.wait("ready")
        (henvcfg,) = stub.read("henvcfg")
        assert henvcfg & PBMTE and henvcfg & CBIE == 0x10  # 01: flush; 11 would invalidate
        machine.console.type("quit\n")
        red.wait_end(30)


def test_linux_uses_memory_types(boots, linux_images):
    with boots.machine(bundle.make(linux_images, {"red": linux("red", bootargs=SHELL)}), cpu=CPU) as machine:
        red = machine.guests["red"]
        red.wait("CORDON-GUEST-SHELL", 90)
        red.type("grep -m1 ^isa /proc/cpuinfo")
        assert "_svpbmt" in red.wait(r"isa\s+: (\S+)", 30)[1]
        red.type("echo 1 > /proc/sys/kernel/kptr_restrict; grep -m1 phys=0x /proc/vmallocinfo")
        registers = int(red.wait(r"0x([0-9a-f]+)-0x[0-9a-f]+ .*ioremap.*phys=", 30)[1], 16)
        walk = red.vcpu(0).translate(registers, "r", "supervisor")
        assert walk.steps[-1].flags.endswith(" IO"), walk
        red.type("poweroff -f")
        assert machine.wait_end(30) == 0
