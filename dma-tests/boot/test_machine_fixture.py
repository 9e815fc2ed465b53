"""The Python package's view of a machine, on the real one: guests, devices and faults by name, and the
plugin's fixture `machine`, which passes a test or fails it."""
import pytest

import bundle
from cordon import Cause
from cordon.machine import GuestError, GuestState
from machine import TREE, bare
from pages import block
from test_bad_devices import EDU, edu

pytest_plugins = ["pytester"]
NOWHERE = 0x5500000000  # of dma-tests/guest/bare/stray.c


@pytest.fixture
def blob(payload):
    """A guest that strays when it is told to, one that waits for a word, and one that cannot be."""
    return bundle.make({"stray": payload("stray"), "echo": payload("echo")},
                       {"bad": bare("stray", devices=[edu()]), "good": bare("echo"),
                        "big": bare("echo", vcpus=8)})


def test_guests_devices_and_faults_of_a_machine_have_names(boots, blob):
    with boots.machine(blob, devices=EDU) as m:
        bad, good = m.guests["bad"], m.guests["good"]
        assert {name: g.state.value for name, g in m.guests.items()} == {
            "big": "refused", "bad": "running", "good": "running"}
        assert "8 vCPUs" in m.guests["big"].refused
        assert [(d.name, d.guest, d.device_id) for d in m.devices.values()] == [("0000:00:03.0", bad, 0x18)]
        bad.wait("ready")
        with m.expect_fault("00:03.0", Cause.READ_GUEST_PAGE, NOWHERE) as fault:
            bad.type("fetch")
        assert (fault.owner, fault.device_id, fault.iova.v) == ("bad", 0x18, NOWHERE)
        assert "cause 21" in m.evidence.walks()
        bad.wait("done")
        assert not m.unexpected_faults() and not m.left_out()
        m.audit()
        bad.pause()
        still = bad.exits()
        assert still == bad.exits() and still.mmio > 0 and bad.state is GuestState.PAUSED
        bad.resume()
        bad.type("quit")
        assert not bad.wait_end(30).failed and bad.exits().mmio > still.mmio
        with pytest.raises(GuestError, match=r"cannot type bad: it has ended \(shutdown"):
            bad.type("more")
        assert m.devices == {} and good.state is GuestState.RUNNING


TESTS = """
import pytest
from cordon.machine import Machine

pytestmark = pytest.mark.cordon(bundle="guests.itb", harts=4, ram="1G", devices=%r)


def order(machine: Machine, text: str) -> None:
    assert machine.guests["big"].refused
    bad = machine.guests["bad"]
    bad.wait("ready")
    bad.type(text)
    bad.wait("done")


def test_a_guest_that_keeps_to_its_memory(machine: Machine) -> None:
    order(machine, "nothing")


def test_a_rogue(machine: Machine) -> None:
    order(machine, "fetch")
"""


@pytest.fixture
def run_plugin(pytester, monkeypatch):
    """run_plugin(TESTS, BUNDLE): pytest with the plugin, on the machine."""
    monkeypatch.setenv("PYTHONPATH", str(TREE / "bindings/python"))

    def run(tests, blob):
        (pytester.path / "guests.itb").write_bytes(blob)
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess("-p", "cordon.pytest_plugin", "-p", "no:cacheprovider", "-v",
                                             "--cordon-backend=machine", "--cordon-keep=kept", timeout=100)
    return run


def test_rogue_fails_its_test_and_an_honest_guest_passes(run_plugin, pytester, blob):
    result = run_plugin(TESTS % (EDU,), blob)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_a_rogue*",
                                 "unexpected fault: DMA DENIED 00:03.0 0000:00:03.0 (bad) iova 0x5500000000 *",
                                 "*cause 21: nothing stands at level*"])
    (folder,) = (pytester.path / "kept").iterdir()
    assert "[bad] ready" in (folder / "console.txt").read_text()
    assert "vm-started" in (folder / "events.txt").read_text()


# ---- what the documents show ------------------------------------------------------------------------


@pytest.fixture
def guests(payload):
    """The guests of the documents' examples."""
    return bundle.make({"stray": payload("stray"), "echo": payload("echo")},
                       {"red": bare("echo"), "blue": bare("stray", devices=[edu()])})


def test_example_of_the_fixture_passes(run_plugin, guests):
    result = run_plugin(block("pytest.md", "## The booted machine", "python"), guests)
    result.assert_outcomes(passed=1)
