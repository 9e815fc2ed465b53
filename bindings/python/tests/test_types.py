"""What a type checker tells somebody who writes tests with the package."""
import subprocess
import sys
from pathlib import Path

import pytest

import cordon

pytest.importorskip("mypy")
GOOD = """
from cordon import PAGE, Cause, Context, Dma, Fault, Gpa, Hpa, Perm, Platform
from cordon.devices import NvmeDriver
from cordon.devices.nvme import QUEUE_BYTES
from cordon.dump import capture, save
from cordon.machine import Ended, Machine
from cordon.model import ModelPlatform
from cordon.qemu import Nvme, QemuPlatform


def test_release(platform: Platform) -> None:
    nic, red = platform.device("00:02.0"), platform.guest("red", "1M")
    with red.assign(nic):
        buf = red.map(nic, iova=0x1000_0000, size="8K", perm=Perm.RW)
        nic.dma.write(buf.iova + 8, b"A" * 64)
        data: bytes = buf.read(64)
        with platform.expect_fault(nic, Cause.WRITE_GUEST_PAGE, iova=buf.end) as fault:
            nic.dma.write(buf.end, data)
        assert fault.owner == "red" and red.untouched()
    faults: list[Fault] = platform.faults()
    assert not faults


def alone() -> None:
    with Context("64M") as machine:
        red = machine.domain()
        red.grant(0x1000, machine.scatter("2M"), "rw")
        hpa: Hpa = red.translate(Gpa(0x1000)).hpa
        assert hpa - 1 < hpa and hpa - hpa == 0 and machine.frame(hpa).domain == red.number


def models() -> None:
    with Platform("model", [Dma(2)], ram="64M") as plat:
        model: ModelPlatform = plat
        model.model.fail_fences(1)
        save(capture(plat), "two.dump")


def test_rogue(machine: Machine) -> None:
    blue = machine.guests["blue"]
    word: str = blue.wait(r"ready (\\d+)")[1]
    with machine.expect_fault(machine.devices["0000:00:03.0"], Cause.READ_GUEST_PAGE) as fault:
        blue.type(word)
    owners: list[str | None] = [one.owner for one in machine.faults()]
    end: Ended | None = blue.ended
    assert fault.owner == "blue" and not owners and end is None and blue.exits().mmio > 0


def disks(name: str) -> Platform:
    with Platform("qemu", [Nvme(4)]) as plat:
        qemu: QemuPlatform = plat
        NvmeDriver(qemu.function("nvme4"), plat.guest("red"), QUEUE_BYTES).read(0, [Gpa(PAGE)])
    return Platform(name, ram="64M")
"""
BAD = [
    ("machine.domain().translate(Hpa(0x1000))", 'Argument 1 to "translate" of "Domain" has incompatible type "Hpa"'),
    ("machine.domain().grant(Gpa(0), machine.scatter(1.5))", 'Argument 1 to "scatter"'),
    ("machine.domain().gratn(0)", '"Domain" has no attribute "gratn"'),
    ("Hpa(1) - Gpa(1)", "No overload variant"),
    ("Hpa(1) < Gpa(1)", "Unsupported operand types"),
    ("Platform('model').gest('red')", '"ModelPlatform" has no attribute "gest"'),
    ("Machine('guests.itb').guests['red'].typ('text')", '"MachineGuest" has no attribute "typ"'),
    ("Platform('model').guest('red').write(0, 'text')", 'Argument 2 to "write" of "Guest"'),
]


def check(folder, text):
    """The errors that mypy sees in a file that knows the package by its place alone."""
    file = folder / "test_theirs.py"
    file.write_text(text)
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", file],
                          env={"MYPYPATH": str(Path(cordon.__file__).parents[1]), "PATH": "/usr/bin:/bin"},
                          cwd=folder, text=True, capture_output=True, timeout=100)
    assert "Found " in done.stdout or "Success" in done.stdout, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("test_theirs.py") and ": error: " in line]


def test_tests_as_the_documents_show_them_pass_a_strict_checker(tmp_path):
    assert check(tmp_path, GOOD) == []


def test_mistakes_are_seen_before_the_test_runs(tmp_path):
    lines = "".join(f"    {code}\n" for code, _ in BAD)
    head = "from cordon import Context, Gpa, Hpa, Platform\nfrom cordon.machine import Machine\n\n\ndef f(machine: Context) -> None:\n"
    told = check(tmp_path, head + lines)
    assert len(told) == len(BAD), told
    for line, (code, error) in zip(told, BAD):
        assert error in line, code
