"""The plugin fails what a test leaves behind, keeps the evidence, and lets a clean test pass."""
from pathlib import Path

import pytest

import cordon
from cordon.backends import BACKENDS
from cordon.hexdump import difference

pytest_plugins = ["pytester"]
HEAD = """
import pytest
from cordon import Cause, PAGE, Extent
from cordon.devices import EduDriver

@pytest.fixture
def edu(platform, guest):
    guest.grant(0x1_0000_0000, platform.context.alloc(4 * PAGE), "rw")
    platform.device("edu2").attach(guest.domain)
    return EduDriver(platform.function("edu2"))
"""
NEEDS_QEMU = pytest.mark.skipif(BACKENDS["qemu"].missing() is not None,
                                reason=f"qemu: {BACKENDS['qemu'].missing()}")


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test of one's own with the plugin, in a process of its own."""
    monkeypatch.setenv("PYTHONPATH", str(Path(cordon.__file__).parents[1]))
    def run(body, *options):
        pytester.makepyfile(HEAD + body)
        return pytester.runpytest_subprocess("-p", "cordon.pytest_plugin", "-p", "no:cacheprovider",
                                             "--cordon-keep=kept", *options, timeout=60)
    return run


@NEEDS_QEMU
def test_a_clean_test_passes_and_its_expected_fault_is_no_failure(run):
    result = run("""
def test_it(platform, guest, edu):
    guest.write(0x1_0000_0000, b"A" * 64)
    edu.load(0x1_0000_0000, 64)
    edu.store(0x1_0000_1000, 64)
    assert guest.read(0x1_0000_1000, 64) == b"A" * 64
    with platform.expect_fault("edu2", Cause.WRITE_GUEST_PAGE, 0x2_0000_0000) as fault:
        edu.store(0x2_0000_0000, 64)
    assert fault.device == "edu2" and len(platform.fault_log) >= 1
""")
    result.assert_outcomes(passed=1)


@NEEDS_QEMU
def test_a_planted_fault_fails_with_its_walk_and_log_kept(run, pytester):
    result = run("""
def test_it(platform, edu):
    edu.store(0x2_0000_0000, 64)
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unexpected fault: DMA DENIED 00:02.0 edu2*", "*kept in kept*",
                                 "*second stage level 2*", "*cause 23: nothing stands at level 2*"])
    (folder,) = (pytester.path / "kept").iterdir()
    assert "cause 23" in (folder / "walks.txt").read_text()
    assert "DMA DENIED" in (folder / "faults.txt").read_text()


@NEEDS_QEMU
def test_an_expected_fault_that_does_not_come_fails(run):
    result = run("""
def test_it(platform, edu):
    with platform.expect_fault("edu2"):
        edu.store(0x1_0000_0000, 64)
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FaultMissing: edu2 caused no fault: none came*"])


@NEEDS_QEMU
def test_a_fault_of_another_kind_stays_unexpected(run):
    result = run("""
def test_it(platform, edu):
    with platform.expect_fault("edu2", Cause.WRITE_GUEST_PAGE, 0x2_0000_0000):
        edu.store(0x2_0000_0000, 64)
        edu.store(0x3_0000_0000, 64)
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unexpected fault: *iova 0x300000000*"])


@NEEDS_QEMU
@pytest.mark.parametrize("leak, told", [
    ("platform.context.alloc(PAGE)", "*leak: 0x1000 bytes of frames*"),
    ("platform.context.domain()", "*leak: <Domain * was left open*"),
])
def test_a_planted_leak_fails(run, leak, told):
    result = run(f"""
def test_it(platform, edu):
    {leak}
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([told])


@NEEDS_QEMU
@pytest.mark.parametrize("change, told", [
    ("0x1000 >> 2", "*stale entry: device 0x10 reaches 0x8001?000 by 0x100000000, which is*"),
    ("8", "*stale entry: device 0x10 reaches * with rwx, the map says rw-*"),
    ("1", "*is not what device 0x10 reaches*"),
])
def test_a_planted_stale_entry_fails(run, change, told):
    """A word of the device's own table is changed behind the library's back."""
    result = run(f"""
from cordon.checks import stale_entries, walker_of

def test_it(platform, guest, edu):
    step = walker_of(platform).walk(platform.device("edu2").device_id, 0x1_0000_0000).steps[-1]
    assert not stale_entries(platform)
    platform.memory(step.address, 8)[:] = (step.word ^ {change}).to_bytes(8, "little")
    print(stale_entries(platform))
""", "-rA")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([told])


@NEEDS_QEMU
def test_bytes_that_differ_are_shown_and_the_failure_kept(run, pytester):
    result = run("""
def test_it(platform, guest, edu):
    assert guest.read(0x1_0000_0000, 32) == bytes(16) + b"A" * 16
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- 000010  00 00*", "*+ 000010  41 41*", "*cordon: kept in*"])
    (folder,) = (pytester.path / "kept").iterdir()
    assert "000010" in (folder / "failure.txt").read_text()


def test_a_backend_that_is_not_there_is_skipped_with_its_reason(run):
    result = run("""
def test_it(platform):
    pass
""", "--cordon-backend=machine", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*machine: on the booted machine guests drive the devices*"])


def test_an_unknown_backend_is_refused_by_name(run):
    result = run("def test_it(platform): pass", "--cordon-backend=qemu,vax")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no 'vax'; there are model, qemu, machine*"])


def test_a_difference_names_rows_and_lengths():
    assert difference(b"same", b"same") == []
    assert difference(bytes(17), bytes(16) + b"A")[0].startswith("- 000010  00")
    assert difference(b"", b"A")[0] == "0 and 1 bytes"
    assert difference(bytes(16 * 20), b"A" * 16 * 20)[-1] == "... and 4 more rows"
