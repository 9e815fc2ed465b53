"""Debian's kernel as a guest: to its init, and off."""
import bundle
import pytest
from machine import MIB, linux

SCATTER = {"scatter-pieces": 0x201, "scatter-seed": 7}


def reached_init(run, name):
    return run.has(name, f"CORDON-GUEST-INIT {name}") and run.has("cordon", f"{name}: ENDED (shutdown)")


def test_linux_on_one_vcpu_reaches_init(boots, linux_images):
    run = boots.run(linux_images, {"red": linux("red")}, timeout=90)
    assert reached_init(run, "red")
    assert run.has("red", "printk: legacy console [ttyS0] enabled")
    assert run.has("red", "[    0.000000] random: crng init done")  # it was given random bytes
    assert run.status == 0


def test_two_linux_guests_scattered_smp_and_ram_from_zero(boots, linux_images):
    run = boots.run(linux_images, {"red": linux("red", vcpus=2, **SCATTER),
                                   "blue": linux("blue", pool=8 * MIB, **{"ram-base": 0} | SCATTER)},
                    timeout=110)
    assert reached_init(run, "red") and reached_init(run, "blue")
    assert run.has("red", "smp: Brought up 1 node, 2 CPUs")
    assert run.has("blue", "(8192 KiB) nomap non-reusable pool")
    assert run.status == 0


def test_linux_with_vector_and_smstateen(boots, linux_images):
    run = boots.run(linux_images, {"red": linux("red")}, timeout=90,
                    cpu="rv64,h=true,v=true,smstateen=true")
    assert reached_init(run, "red")
    assert run.has("red", "riscv: base ISA extensions acdfimv")
    assert run.status == 0


def test_typing_reaches_the_shell_by_uart_and_interrupt(boots, linux_images):
    shell = linux("red")
    shell["bootargs"] = shell["bootargs"].replace("poweroff", "shell")
    with boots.machine(bundle.make(linux_images, {"red": shell})) as machine:
        machine.console.wait(r"\[red\] CORDON-GUEST-SHELL red", timeout=60)
        machine.console.type("echo sum=$((40+2)); cat /proc/interrupts; poweroff -f\n")
        machine.console.wait(r"\[red\] sum=42", timeout=30)
        _, found = machine.console.wait(r"\[red\] +\d+: +(\d+) .*ttyS0", timeout=30)
        assert int(found[1]) > 0
        assert machine.wait_end(30) == 0


@pytest.mark.parametrize("mode", [39, 48, 57])
def test_linux_runs_in_every_mode(boots, linux_images, mode):
    run = boots.run(linux_images, {"red": linux("red", vcpus=2, gstage=f"sv{mode}x4", **SCATTER)}, timeout=110)
    assert run.has("cordon", f"256 MiB at 0x80000000, Sv{mode}x4")
    assert reached_init(run, "red") and run.status == 0


@pytest.mark.parametrize("pieces", [0x1, 0x200, 0x40000], ids=["4K", "2M", "1G"])
def test_linux_runs_on_pages_of_one_size(boots, linux_images, pieces):
    memory = {"memory": 1 << 30} if pieces == 0x40000 else {}
    run = boots.run(linux_images, {"red": linux("red", **memory | {"scatter-pieces": pieces})}, timeout=110,
                    ram="3G" if memory else "1G")
    assert run.has("cordon", "MiB at 0x80000000, Sv39x4")
    assert reached_init(run, "red") and run.status == 0
