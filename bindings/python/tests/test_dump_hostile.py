"""Dumps, oracles and sockets made by somebody who means harm: each ends soon, with a sentence."""
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import cordon
from cordon import Platform
from cordon.cli import WRONG, cli
from cordon.dump import DumpError, capture, load, save, views_of
from cordon.dump.format import DeviceState, DomainState
from cordon.dump.machine import machine
from cordon.dump.oracle import OracleError, ask
from cordon.dump.views import Loans, Reach
from cordon.judge.tables import TooManyTables
from cordon.parts import Dma
from cordon.qemu.qmp import Qmp, QmpError

RED, PAGE = 0x8000_0000, 0x1000
PACKAGES = Path(cordon.__file__).parents[1]


@pytest.fixture
def found(tmp_path):
    """Red and blue with a device each; blue's tables lead to red's first page, too."""
    with Platform("model", [Dma(2), Dma(3)], ram="8M") as plat:
        for name, part, gpa in (("red", "dma2", RED), ("blue", "dma3", 0)):
            guest = plat.guest(name)
            guest.grant(gpa, plat.context.scatter("16K", seed=3))
            plat.device(part).attach(guest.domain)
        walk = plat.guests[1].domain.walk(0)
        plat.memory(walk.steps[-1].word, 8)[:] = (plat.guests[0].hpa(RED) >> 2 | 0xdf).to_bytes(8, "little")
        yield capture(plat)


def told(dump, tmp_path, *arguments):
    """Exit status and output of `cordon dump` on what is now in the file."""
    save(dump, tmp_path / "x.dump")
    done = CliRunner().invoke(cli, ["dump", str(tmp_path / "x.dump"), *arguments])
    if isinstance(done.exception, WRONG):
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


# ---- dumps -----------------------------------------------------------------------------------------


def test_two_domains_of_one_name_are_still_two(found, tmp_path):
    assert told(found, tmp_path)[0] == 1
    for domain in found.domains:
        domain.name = "guest"
    status, said = told(found, tmp_path)
    assert status == 1 and "harts of guest 1" in said and "harts of guest 2" in said


def test_devices_of_no_known_domain_are_strangers_to_each_other(found, tmp_path):
    found.domains, found.devices = [], []
    assert told(found, tmp_path)[0] == 1


def test_device_is_told_by_its_iommu_and_its_id(found):
    found.iommus.append(found.iommus[0])
    found.devices += [DeviceState(0x10, "other", 2, iommu=1), DeviceState(0x18, "another", 1, iommu=1)]
    owners = {(view.iommu, view.device): view.domain for view in views_of(found)}
    assert owners[0, 0x10] == owners[1, 0x18] == "red" and owners[0, 0x18] == owners[1, 0x10] == "blue"


def test_loan_as_long_as_an_address_reaches_takes_no_time(found, tmp_path):
    found.loans = [(0, 1 << 55, 1, 2)]
    assert told(found, tmp_path)[0] == 0
    first = min(hpa for view in views_of(found) for run in view.runs for hpa, _ in run.parts)
    found.loans = [(0, first, 1, 2), (first + PAGE, 1 << 54, 1, 2)]
    assert told(found, tmp_path)[0] == (0 if first != found_page(found) else 1)


def found_page(dump):
    """The host page that both reach."""
    red, blue = ({hpa + at for run in view.runs for hpa, length in run.parts for at in range(0, length, PAGE)}
                 for view in views_of(dump)[:2])
    return min(red & blue)


def test_loans_say_who_may_reach_what_together(found):
    found.domains.append(DomainState(3, "green", 0))
    loans = Loans(found.__class__("", domains=found.domains, loans=[
        (0x1000, 0x3000, 1, 2), (0x2000, 0x1000, 1, 3), (0x4000, 0x1000, 1, 2), (0x9000, 0x1000, 1, 9)]))
    red_blue, blue_green = {"red", "blue"}, {"blue", "green"}
    assert loans.allow(red_blue, 0x1000, 0x5000) and loans.allow(red_blue, 0x3800, 0x3900)
    assert not loans.allow(red_blue, 0x1000, 0x5001) and not loans.allow(red_blue, 0x800, 0x2000)
    assert loans.allow(blue_green, 0x2000, 0x3000) and not loans.allow(blue_green, 0x2000, 0x3001)
    assert not loans.allow({"red", "blue"}, 0x9000, 0xa000)
    assert Reach(views_of(found), loans)


@pytest.mark.parametrize("name", ["[/x]", "[bold", "$_$ \\frac"])
def test_names_are_text_and_not_markup(found, tmp_path, name):
    found.made_by = found.domains[0].name = found.devices[0].name = name
    status, said = told(found, tmp_path, "--picture", str(tmp_path / "x.svg"))
    assert status == 1 and said.count(name) >= 3


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\ud800", "\u202e"])
def test_name_that_commands_a_terminal_is_refused(found, tmp_path, name):
    save(found, tmp_path / "x.dump")
    first, line, blob = (tmp_path / "x.dump").read_bytes().split(b"\n", 2)
    header = {**json.loads(line), "made_by": name}
    (tmp_path / "x.dump").write_bytes(b"\n".join([first, json.dumps(header).encode(), blob]))
    with pytest.raises(DumpError, match="not a short text"):
        load(tmp_path / "x.dump")


def test_msi_table_of_all_memory_is_too_many_tables(found):
    ddtp = found.iommus[0].register(0x10, 8)
    table = (ddtp >> 10 & (1 << 44) - 1) * PAGE
    for _ in range((ddtp & 15) - 2):
        table = (found.read64(table) >> 10 & (1 << 44) - 1) * PAGE
    page, at = bytearray(found.pages[table]), 64 * 0x10
    page[at + 32:at + 48] = (1 << 60 | table >> 12).to_bytes(8, "little") + ((1 << 52) - 1).to_bytes(8, "little")
    found.pages[table] = bytes(page)
    with pytest.raises(TooManyTables):
        views_of(found)


@pytest.mark.parametrize("change, sentence", [
    (lambda d: d.domains.append(d.domains[0]), "two domains have one number"),
    (lambda d: d.domains.extend(DomainState(n, "", 0) for n in range(9, 9 + 4095)), "4097 domains are more than"),
    (lambda d: d.iommus.extend(d.iommus * 8), "9 iommus are more than 8")])
def test_more_than_the_library_can_have_is_refused(found, tmp_path, change, sentence):
    change(found)
    status, said = told(found, tmp_path)
    assert status == 2 and sentence in said


def test_mode_that_no_hart_has_is_named(found, tmp_path):
    found.domains[0].hgatp = 15 << 60
    save(found, tmp_path / "x.dump")
    done = CliRunner().invoke(cli, ["walk", str(tmp_path / "x.dump"), "--gpa", "0x1000", "--domain", "red"])
    assert isinstance(done.exception, WRONG) and "mode 15 of hgatp" in str(done.exception)


def test_file_without_an_end_is_refused_at_its_first_line():
    with pytest.raises(DumpError, match="first line"):
        load("/dev/zero")


# ---- oracles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command, sentence", [
    ("yes", "bytes for an answer"), ("sh -c 'sleep 30 & exit 0'", "no answer within 1 s"),
    ("sh -c 'exec >&- 2>&-; sleep 30'", "no answer within 1 s"),
    ("""sh -c 'echo "{\\"request\\":0,\\"hpa\\":\\"-1\\"}"'""", "is no address of 64 bits")])
def test_oracle_that_never_ends_is_ended(found, command, sentence):
    found.requests = [{"iommu": 0, "device": 0x10, "iova": 0, "access": "r"}]
    with pytest.raises(OracleError, match=sentence):
        ask(command, found, 1.0)


def test_what_an_oracle_has_started_ends_with_it(found, tmp_path):
    found.requests = [{"iommu": 0, "device": 0x10, "iova": 0, "access": "r"}]
    left = tmp_path / "left"
    left.touch()
    with left.open() as held, pytest.raises(OracleError):
        ask(f"sh -c 'exec 9<{left}; flock -x 9; sleep 30 & exit 3'", found, 1.0)
    with left.open() as held:
        import fcntl
        deadline = time.monotonic() + 5
        while True:  # the killed one is gone when the kernel has seen to it
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline, "it still holds its lock"


# ---- sockets that are no QEMU ----------------------------------------------------------------------


@pytest.mark.parametrize("lines, sentence", [
    (b"SSH-2.0-OpenSSH\r\n", "no QMP of a QEMU"), (b"[]\n", "no QMP of a QEMU"), (b"{}\n5\n", "no QMP of a QEMU"),
    (b"{}\n{}\n", "neither a result nor an error"), (b'{}\n{"error":"no"}\n', "'no'"), (b"", "closed the QMP")])
def test_socket_that_is_no_qemu_is_an_error(lines, sentence):
    ours, theirs = socket.socketpair()
    theirs.sendall(lines)
    theirs.shutdown(socket.SHUT_WR)
    with ours, theirs, pytest.raises(QmpError, match=sentence):
        Qmp(ours)


def test_a_socket_that_another_program_has_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("cordon.dump.machine.GREETING_S", 0.05)
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(tmp_path / "qmp"))
        busy.listen()
        with pytest.raises(DumpError, match="no greeting within 0.05 s: QMP serves one program at a time"):
            with machine(str(tmp_path / "qmp")):
                pass


def test_events_without_an_answer_end():
    ours, theirs = socket.socketpair()

    def talk():
        try:
            while True:
                theirs.sendall(b'{"event": "RTC_CHANGE"}\n')
        except OSError:
            pass
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        with pytest.raises(QmpError, match="events, and no answer"):
            Qmp(ours, timeout=0.2)
    finally:
        ours.close()
        theirs.close()
        thread.join(10)


def test_machine_that_answers_in_another_form_is_an_error(tmp_path):
    path = tmp_path / "q"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)

        def serve():
            peer = server.accept()[0]
            with peer, peer.makefile("rwb") as file:
                file.write(b'{"QMP": {}}\n')
                file.flush()
                for _ in file:
                    file.write(b'{"return": []}\n')
                    file.flush()
        thread = threading.Thread(target=serve)
        thread.start()
        done = CliRunner().invoke(cli, ["dump", f"qmp:{path}"])
        thread.join(10)
    assert isinstance(done.exception, DumpError) and "not what a QEMU" in str(done.exception)


def test_a_reader_that_leaves_does_not_look_like_a_leak(found, tmp_path):
    found.domains, found.devices = found.domains[:1], found.devices[:1]
    save(found, tmp_path / "x.dump")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "cordon", "dump", tmp_path / "x.dump"], stdout=writer,
                          stderr=subprocess.PIPE, text=True, cwd=PACKAGES)
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, "")
