"""The plugin fails what a test leaves behind, keeps the evidence, and lets a clean test pass."""
import sys
from pathlib import Path

import pytest

import cordon
from cordon.hexdump import difference

pytest_plugins = ["pytester"]
HEAD = """
import pytest
from cordon import Cause, PAGE, Extent

@pytest.fixture
def dma(platform, guest):
    guest.grant(0x1_0000_0000, platform.context.alloc(4 * PAGE), "rw")
    device = platform.device("dma2")
    device.attach(guest.domain)
    return device.dma
"""
@pytest.fixture
def run(pytester, monkeypatch, backend):
    """Run a test of one's own with the plugin, in a process of its own."""
    monkeypatch.setenv("PYTHONPATH", str(Path(cordon.__file__).parents[1]))
    def run(body, *options, on=backend):
        pytester.makepyfile(HEAD + body)
        return pytester.runpytest_subprocess("-p", "cordon.pytest_plugin", "-p", "no:cacheprovider",
                                             "--cordon-keep=kept", *([f"--cordon-backend={on}"] if on else []),
                                             *options, timeout=60)
    return run


def test_a_clean_test_passes_and_its_expected_fault_is_no_failure(run):
    result = run("""
def test_it(platform, guest, dma):
    guest.write(0x1_0000_0000, b"A" * 64)
    dma.write(0x1_0000_1000, dma.read(0x1_0000_0000, 64))
    assert guest.read(0x1_0000_1000, 64) == b"A" * 64
    with platform.expect_fault("dma2", Cause.WRITE_GUEST_PAGE, 0x2_0000_0000) as fault:
        dma.write(0x2_0000_0000, b"A" * 64)
    assert fault.device == "dma2" and fault.owner == "guest" and len(platform.fault_log) >= 1
""")
    result.assert_outcomes(passed=1)


def test_a_planted_fault_fails_with_its_walk_and_log_kept(run, pytester):
    result = run("""
def test_it(platform, dma):
    dma.write(0x2_0000_0000, b"A" * 64)
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unexpected fault: DMA DENIED 00:02.0 dma2*", "*kept in kept*",
                                 "*second stage level 2*", "*cause 23: nothing stands at level 2*"])
    (folder,) = (pytester.path / "kept").iterdir()
    assert "cause 23" in (folder / "walks.txt").read_text()
    assert "DMA DENIED" in (folder / "faults.txt").read_text()


def test_the_walk_that_is_shown_is_the_faults_own_though_its_device_has_been_withdrawn(run, pytester):
    result = run("""
def test_it(platform, guest):
    nic = platform.device("dma2")
    with guest.assign(nic):
        guest.map(nic, iova=0x1_0000_0000, size="4K")
        nic.dma.write(0x1_0000_1000, b"A")
""")
    result.assert_outcomes(passed=1, errors=1)
    (folder,) = (pytester.path / "kept").iterdir()
    walks = (folder / "walks.txt").read_text()
    assert "cause 23: nothing stands at level 0" in walks and "258" not in walks


def test_the_contexts_that_are_shown_are_those_of_the_failure(run, pytester):
    result = run("""
def test_it(platform, guest):
    nic = platform.device("dma2")
    with guest.assign(nic):
        buf = guest.map(nic, iova=0x1_0000_0000, size="4K")
        assert buf.read(1) == b"A"
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["device 0x10 gscid *: 0x100000000+0x1000->0x* rw"])


def test_an_expected_fault_that_does_not_come_fails(run):
    result = run("""
def test_it(platform, dma):
    with platform.expect_fault("dma2"):
        dma.write(0x1_0000_0000, b"A" * 64)
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FaultMissing: dma2 caused no fault: none came*"])


def test_a_fault_of_another_kind_stays_unexpected(run):
    result = run("""
def test_it(platform, dma):
    with platform.expect_fault("dma2", Cause.WRITE_GUEST_PAGE, 0x2_0000_0000):
        dma.write(0x2_0000_0000, b"A" * 64)
        dma.write(0x3_0000_0000, b"A" * 64)
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unexpected fault: *iova 0x300000000*"])


LEAKS = [("platform.context.alloc(PAGE)", "*leak: 0x1000 bytes of frames * (Context.free), the first at 0x8*"),
         ("platform.context.domain()", "*leak: <Domain * was left open*")]


@pytest.mark.parametrize("leak, told", LEAKS)
def test_a_planted_leak_fails(run, leak, told):
    result = run(f"""
def test_it(platform, dma):
    {leak}
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([told])


@pytest.mark.parametrize("leak, told", [*LEAKS, ("dma.write(0x2_0000_0000, b'A')", "*unexpected fault: *")])
def test_a_failed_test_fails_once_and_shows_what_it_left(run, leak, told):
    result = run(f"""
def test_it(platform, dma):
    {leak}
    assert platform is None
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert * is None*", "*Captured cordon findings teardown*", told])


def test_a_failed_test_that_left_nothing_shows_no_findings(run):
    result = run("def test_it(platform, dma): assert platform is None")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*cordon findings*")


@pytest.mark.parametrize("change, told", [
    ("0x1000 >> 2", "*stale entry: device 0x10 reaches 0x8*000 by 0x100000000, which is*"),
    ("8", "*stale entry: device 0x10 reaches * with rwx, the map says rw-*"),
    ("1", "*is not what device 0x10 reaches*"),
])
def test_a_planted_stale_entry_fails(run, change, told):
    """A word of the device's own table is changed behind the library's back."""
    result = run(f"""
from cordon.checks import stale_entries, walker_of

def test_it(platform, guest, dma):
    step = walker_of(platform).walk(platform.device("dma2").device_id, 0x1_0000_0000).steps[-1]
    assert not stale_entries(platform)
    platform.memory(step.address, 8)[:] = (step.word ^ {change}).to_bytes(8, "little")
    print(stale_entries(platform))
""", "-rA")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([told])


def test_bytes_that_differ_are_shown_and_the_failure_kept(run, pytester):
    result = run("""
def test_it(platform, guest, dma):
    assert guest.read(0x1_0000_0000, 32) == bytes(16) + b"A" * 16
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- 000010  00 00*", "*+ 000010  41 41*", "*cordon: kept in*"])
    (folder,) = (pytester.path / "kept").iterdir()
    assert "000010" in (folder / "failure.txt").read_text()


def test_the_median_of_a_test_is_printed_with_the_durations(run, backend):
    result = run("""
@pytest.mark.parametrize("n", range(3))
def test_it(n, platform, dma):
    dma.write(0x1_0000_0000, b"A")
""", "--durations=1")
    result.assert_outcomes(passed=3)
    result.stdout.re_match_lines([rf"cordon: {backend}: median \d+\.\d ms of 3 tests, slowest \d+\.\d ms"])


ONCE = pytest.mark.parametrize("backend", ["model"], indirect=True)


@ONCE
def test_the_model_is_what_tests_run_on_if_nothing_is_said(run):
    result = run("def test_it(platform): assert type(platform).__name__ == 'ModelPlatform'", "-v", on=None)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_it[[]model[]] PASSED*"])


@ONCE
@pytest.mark.parametrize("mark, why", [
    ("Edu(2)", "model: edu2 is a device of QEMU's alone"),
    ("globals_=['riscv-iommu.intremap=off']", "model: globals_ is a setting of QEMU's alone"),
])
def test_what_only_qemu_has_is_skipped_on_the_model_with_its_reason(run, mark, why):
    result = run(f"""
from cordon.qemu import Edu

@pytest.mark.cordon({mark})
def test_it(platform): pass
""", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*SKIPPED*{why}*"])


@ONCE
def test_a_test_runs_once_on_each_backend_that_is_named(run):
    result = run("def test_it(platform): pass", "-v", on="model,machine")
    result.assert_outcomes(passed=1, skipped=1)


IDEAL = """
from cordon import Perm

@pytest.mark.cordon(ram="64M", ddt_levels=2)
def test_release_closes_the_dma_window(platform):
    nic, red, blue = platform.device("00:02.0"), platform.domain("red", "4M"), platform.domain("blue", "4M")
    with red.assign(nic):
        buf = red.map(nic, iova=0x1000_0000, size=0x2000, perm=Perm.RW)
        nic.dma.write(buf.iova, b"A" * 64)
        assert buf.read(64) == b"A" * 64
    {released}
    assert buf.read(64) == b"A" * 64 and blue.untouched()
"""
ATTACK = "nic.dma.write(buf.iova, b'C' * 64)"


def test_the_ideal_test_runs_with_the_plugins_fixture(run):
    expected = f"with platform.expect_fault(nic, Cause.DDT_INVALID): {ATTACK}"
    run(IDEAL.replace("{released}", expected)).assert_outcomes(passed=1)


def test_the_ideal_test_fails_where_its_fault_is_not_expected(run):
    result = run(IDEAL.replace("{released}", ATTACK))
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*unexpected fault: DMA DENIED 00:02.0 dma2 (domain none)*"])


@ONCE
def test_a_test_that_was_interrupted_is_not_judged(run):
    result = run("""
def test_it(platform, dma):
    dma.write(0x2_0000_0000, b"A")
    raise KeyboardInterrupt
""")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "unexpected fault" not in result.stdout.str() and "Traceback" not in result.stderr.str()


@pytest.mark.parametrize("variable", ["CORDON_LIB", "CORDON_MODEL_LIB", "CORDON_QEMU"])
def test_what_somebody_names_and_is_not_there_fails_where_others_skip(run, monkeypatch, variable):
    monkeypatch.setenv(variable, "/nowhere")
    result = run("def test_it(platform): pass\n", on="model, qemu")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines([f"*{variable} names /nowhere, which does not exist*"])


def test_a_backend_that_is_not_there_is_skipped_with_its_reason(run):
    result = run("""
def test_it(platform):
    pass
""", "-rs", on="machine")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*machine: on the booted machine guests drive the devices*"])


@ONCE
def test_an_unknown_backend_is_refused_by_name(run):
    result = run("def test_it(platform): pass", on="qemu,vax")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no 'vax'; there are model, qemu, machine*"])


def test_a_difference_names_rows_and_lengths():
    assert difference(b"same", b"same") == []
    assert difference(bytes(17), bytes(16) + b"A")[0].startswith("- 000010  00")
    assert difference(b"", b"A")[0] == "0 and 1 bytes"
    assert difference(bytes(16 * 20), b"A" * 16 * 20)[-1] == "... and 4 more rows"


def test_an_oracle_of_the_users_judges_each_test(run, pytester):
    body = "\ndef test_it(platform, dma):\n    pass\n"
    agrees = f"{sys.executable} -m cordon.judge"
    run(body, f"--cordon-oracle={agrees}").assert_outcomes(passed=1)
    pytester.makefile(".sh", liar=f"{agrees} \"$1\" | sed '0,/hpa/s/\"0x[0-9a-f]*\"/\"0x1000\"/'")
    result = run(body, "--cordon-oracle=sh liar.sh")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*oracle 'sh liar.sh' differs: device 0x10 r*: walker says 0x*, oracle 0x1000*"])
    result = run(body, "--cordon-oracle=false")
    result.stdout.fnmatch_lines(["*oracle 'false': exit status 1*"])
