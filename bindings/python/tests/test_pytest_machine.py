"""The plugin's fixture `machine`: when it boots, what fails at its end, what is shown and kept. No hypervisor: a
play stands where it would."""
import json
from pathlib import Path

import pytest

import cordon

from fake_machine import __file__ as FAKE
from test_machine import BLUE, FAULT, FAULTS, GONE, RED, RED_ENDED, THIRD, events

pytest_plugins = ["pytester"]
MARK = "import pytest\n\n@pytest.mark.cordon(bundle='guests.itb', ram='1M')\n"
PASS = MARK + "def test_it(machine): pass\n"


@pytest.fixture
def run(pytester, monkeypatch):
    """run(BODY, *STEPS, COMMAND=...): a test of one's own on a machine whose hypervisor does that."""
    monkeypatch.setenv("PYTHONPATH", str(Path(cordon.__file__).parents[1]))
    monkeypatch.setenv("CORDON_QEMU", FAKE)
    monkeypatch.setenv("CORDON_HYPERVISOR", FAKE)

    def run(body, *start, guests=(RED, BLUE), folder=".", on="machine", **answers):
        (pytester.path / folder).mkdir(exist_ok=True)
        (pytester.path / folder / "guests.itb").write_text(json.dumps(
            {"start": [*events(*guests), *start], "answers": answers}))
        (pytester.path / folder / "test_theirs.py").write_text(body)
        return pytester.runpytest_subprocess("-p", "cordon.pytest_plugin", "-p", "no:cacheprovider", "-rs",
                                             "--cordon-keep=kept", f"--cordon-backend={on}", timeout=60)
    return run


def kept(pytester, name):
    (folder,) = (pytester.path / "kept").iterdir()
    return (folder / f"{name}.txt").read_text()


def test_a_clean_test_passes_on_the_machine_of_its_mark(run):
    result = run(MARK + """
def test_it(machine):
    assert list(machine.guests) == ["red", "blue"] and len(machine.ram) == 1 << 20
    kernel = machine.command[machine.command.index("-kernel") + 1]
    assert kernel.endswith("fake_machine.py")  # as CORDON_HYPERVISOR says
""", folder="theirs")
    result.assert_outcomes(passed=1)


def test_what_was_expected_or_looked_at_fails_nothing(run):
    result = run(MARK + """
def test_it(machine):
    with machine.expect_fault("00:01.0"):
        machine.guests["red"].pause()
    assert machine.guests["red"].ended.failed and machine.guests["third"].refused
    assert machine.left_out()
""", guests=(RED, BLUE, THIRD), **{"pause red": [
        events({"event": "paused", "vm": "red"}, FAULT, {"event": "faults-left-out", "count": 1}, RED_ENDED)]})
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("start, answers, told", [
    ((), {"faults": [events(FAULT, FAULTS)]},
     "*unexpected fault: DMA DENIED 00:01.0 0000:00:01.0 (red) iova 0x5000 *x3*"),
    ((), {"faults": [events({"event": "faults-left-out", "count": 9}, FAULTS)]},
     "*unexpected faults: other devices: 9 more faults*"),
    ((), {"audit": [events({"event": "audit", "clean": False, "text": "two owners"})]}, "*two owners*"),
    ((), {"audit": [[{"end": 1}]]}, "*no event 'audit'*closed*"),
    (events(THIRD), {}, "*third was refused: 8 vCPUs, 1 harts are left*"),
    (events(RED_ENDED), {}, "*red ended as a failure (stuck after 1.500 s: it trapped)*"),
    ([{"lose": 3}], {}, "*the host channel lost 3 frames*"),
    ([{"noise": "what?"}], {}, "*the host channel brought 5 bytes that are no frame*"),
], ids=["fault", "only counted", "audit", "cut off", "refused", "ended", "lost frames", "noise"])
def test_what_a_test_leaves_fails_it_once_in_words(run, pytester, start, answers, told):
    result = run(PASS, *start, **answers)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([told, "*kept in kept*"])
    assert len(kept(pytester, "findings").splitlines()) == 1
    assert "vm-started" in kept(pytester, "events") and kept(pytester, "console")


def test_a_machine_that_has_done_all_is_judged_by_what_it_told(run):
    ended = {**RED_ENDED, "end": "shutdown"}
    run(PASS, *events(ended, GONE), {"end": 0}).assert_outcomes(passed=1)
    result = run(PASS, *events(FAULT, ended, GONE), {"end": 0})
    result.assert_outcomes(passed=1, errors=1)


def test_a_machine_that_ends_in_its_boot_fails_with_its_console(run):
    result = run(PASS, {"say": "[cordon] PANIC on hart 0"}, {"end": 1}, guests=())
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the hypervisor has not started its guests*", "*PANIC on hart 0*"])
    result.stdout.no_fnmatch_line("*'faults'*")  # each question more would take its time


def test_a_failure_shows_and_keeps_consoles_faults_and_events(run, pytester):
    lines = [{"say": f"[red] line {number:03}"} for number in range(40)]
    lines += events(*({"event": "guest-report", "vm": "red", "text": ""} for _ in range(30)))
    result = run(MARK + """
def test_it(machine):
    machine.guests["red"].wait("line 039")
    assert machine is None
""", *lines, {"say": "[cordon] red: starts"}, faults=[events(FAULT, FAULTS)])
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cordon: faults*", "DMA DENIED*(red) iova 0x5000*", "*cordon: events*",
                                 '*"event": "fault"*', "*cordon: console of cordon*", "*red: starts*",
                                 "*cordon: console of red*", "*line 039*", "*kept in*",
                                 "*Captured cordon findings teardown*", "*unexpected fault: *"])
    result.stdout.no_fnmatch_line("*line 003*")
    result.stdout.no_fnmatch_line("*vm-started*")
    assert "[red] line 003" in kept(pytester, "console") and "line 039" in kept(pytester, "console-of-red")
    assert '"vm-started"' in kept(pytester, "events") and "is None" in kept(pytester, "failure")


def test_a_test_that_left_the_machine_standing_is_judged_all_the_same(run):
    body = MARK + "def test_it(machine): machine.guests; machine.stop()\n"
    result = run(body, faults=[events(FAULT, FAULTS)])
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unexpected fault: *"])


# ---- when it does not run ---------------------------------------------------------------------------


def test_a_machine_is_booted_only_where_its_backend_is_named(run):
    result = run(PASS, on="model,qemu")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*--cordon-backend=model,qemu does not name it: give --cordon-backend=machine*"])


def test_a_test_of_platforms_names_the_machines_fixture_where_it_is_skipped(run):
    result = run("def test_it(platform): pass\n")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*a test there takes the fixture `machine`*"])


def test_a_bundle_that_is_not_there_skips_with_the_reason(run):
    result = run(PASS.replace("guests.itb", "none.itb"))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*none.itb': there is no such file*"])


@pytest.mark.parametrize("setting, why", [
    ("hypervisor='/nowhere'", "machine: hypervisor='/nowhere': there is no such file; make hyp makes it*")])
def test_a_hypervisor_that_was_not_made_skips_with_the_reason(run, setting, why):
    result = run(PASS.replace("ram=", f"{setting}, ram="))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*SKIPPED*{why}"])


def test_a_qemu_that_is_not_installed_skips_with_the_reason(run, monkeypatch):
    monkeypatch.delenv("CORDON_QEMU")
    monkeypatch.setenv("PATH", "/nowhere")
    result = run(PASS)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*qemu-system-riscv64 is not installed*"])


@pytest.mark.parametrize("variable", ["CORDON_HYPERVISOR", "CORDON_QEMU"])
def test_what_somebody_names_and_is_not_there_fails(run, monkeypatch, variable):
    monkeypatch.setenv(variable, "/nowhere")
    result = run(PASS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{variable} names /nowhere, which does not exist*"])


@pytest.mark.parametrize("mark, told", [
    ("@pytest.mark.cordon(harts=2)", "machine: which guests? say @pytest.mark.cordon(bundle=FILE)*"),
    ("", "machine: which guests? say @pytest.mark.cordon(bundle=FILE)*"),
    ("@pytest.mark.cordon(Dma(2), bundle='guests.itb')", "machine: *Dma*is for `platform`*")])
def test_a_mark_that_says_no_machine_fails(run, mark, told):
    result = run(f"import pytest\nfrom cordon import Dma\n\n{mark}\ndef test_it(machine): pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([told])
