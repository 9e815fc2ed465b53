"""The command's exit statuses: 1 says what was found, so that whatever else goes wrong is 2 and a sentence."""
import subprocess
import sys

import pytest

from cordon import Platform
from cordon import cli
from cordon.backends import BACKENDS
from cordon.dump import capture, save
from cordon.dump.format import HartState
from cordon.machine import Machine
from cordon.qemu import QemuError


@pytest.fixture
def dump_file(tmp_path):
    with Platform("model") as platform:
        platform.guest("red", "64K")
        save(capture(platform), tmp_path / "one.dump")
    return str(tmp_path / "one.dump")


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the whole command; its exit status and its errors."""
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cordon", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err
    return run


def test_what_cannot_be_written_is_no_finding_and_is_named(command, dump_file, tmp_path):
    for full in ("full.svg", "full.dump"):
        (tmp_path / full).symlink_to("/dev/full")
    for option, name, sentence in (("--picture", "t.xyz", "t.xyz' ends in none of .svg, .png, .pdf"),
                                   ("--picture", "no/t.svg", "no/t.svg: No such file"),
                                   ("--picture", "full.svg", "full.svg: No space left"),
                                   ("--save", "no/t.dump", "no/t.dump: No such file"),
                                   ("--save", "full.dump", "full.dump: No space left")):
        status, said = command("dump", dump_file, option, tmp_path / name)
        assert status == 2 and sentence in said and "Traceback" not in said
    assert command("dump", dump_file)[0] == 0


def test_a_hart_without_a_guest_has_no_guest_addresses(command, tmp_path):
    with Platform("model") as platform:
        dump = capture(platform)
        hgatp = platform.guest("red", "64K").domain.hgatp
    dump.harts = [HartState(0, 0, 0, hgatp, True), HartState(1, 0, 0, 0, False)]
    save(dump, tmp_path / "harts.dump")
    status, said = command("walk", tmp_path / "harts.dump", "--gva", "0x1000", "--hart", 1)
    assert status == 2 and "hart 1 has no guest; those that have: 0" in said


def test_an_oracle_that_names_no_program_is_refused(command, dump_file):
    assert command("judge", dump_file, "--oracle", " ") == (2, "cordon: oracle ' ': cannot be run: it names no program\n")


def test_a_mistake_of_our_own_is_no_finding(command, dump_file, monkeypatch):
    monkeypatch.setattr(cli, "views_of", lambda dump: 1 // 0)
    status, said = command("dump", dump_file)
    assert status == 2 and "ZeroDivisionError" in said


@pytest.mark.parametrize("arguments, sentence", [
    ([], "cordon: the command needs click and rich: pip install click rich, or apt install"),
    (["dump", "FILE", "--picture", "t.svg"], "a picture needs matplotlib: pip install matplotlib, or apt install")])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(dump_file, arguments, sentence, tmp_path):
    lacks = "matplotlib" if arguments else "click"
    code = f"import sys; sys.modules[{lacks!r}] = None; from cordon.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *(dump_file if a == "FILE" else a for a in arguments)],
                          text=True, capture_output=True, cwd=tmp_path, timeout=60,
                          env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 2 and sentence in " ".join(done.stderr.split()), done.stderr


def test_a_machine_without_its_files_is_refused_before_qemu_starts(tmp_path):
    (tmp_path / "vms.itb").touch()
    with pytest.raises(QemuError, match="bundle='/nowhere.itb': there is no such file"):
        Machine("/nowhere.itb")
    with pytest.raises(QemuError, match="hypervisor='/nowhere.bin': there is no such file; make hyp"):
        Machine(tmp_path / "vms.itb", hypervisor="/nowhere.bin")


@pytest.mark.skipif(BACKENDS["qemu"].missing() is not None, reason="QEMU is not installed")
def test_a_machine_says_what_it_runs_and_whether_it_does(tmp_path):
    for name in ("vms.itb", "hypervisor.bin"):
        (tmp_path / name).write_bytes(bytes(4096))
    with Machine(tmp_path / "vms.itb", ram="256M", harts=1, hypervisor=tmp_path / "hypervisor.bin") as machine:
        assert f"vms.itb pid {machine._process.pid}>" in repr(machine)
    assert repr(machine) == f"<Machine {tmp_path / 'vms.itb'} ended with -9>"
