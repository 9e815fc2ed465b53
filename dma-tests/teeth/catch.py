"""Runs the one test that a planted fault names, and says how that test fared."""
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

ONLY = "only.so"
UNIT_TIMEOUT = 30  # they take a second or two
PYTEST_TIMEOUT = {"qtest": 120, "boot": 240, "dpdk": 400, "dpdk/host": 120}
PYTEST_END = 20  # of these, for what must be taken down after a test that hangs
PYTEST_MORE = {"dpdk": ["--quick"]}  # one model of card
NEEDS = {"qtest": ["host"], "boot": ["host", "hyp"], "dpdk": ["host", "hyp"], "dpdk/host": ["dpdk-host"]}
RUN = re.compile(r"^\[ RUN      \] (\w+)$", re.M)
END = re.compile(r"\[ *(OK|FAILED|ERROR) *\] (\w+)$", re.M)
STOPPED = re.compile(r"Failed: Timeout \(?>")  # what pytest-timeout says of a test


class NoTest(Exception):
    """The catcher's test did not run at all."""


class Hung(Exception):
    """The catcher's test was stopped before its end, and so does not say what is wrong: that catches nothing. A
    test that can be kept waiting by a fault bounds its own wait, and fails."""


def prepare(folder):
    """Build what lets a cmocka program run one of its tests."""
    source = Path(__file__).with_name("only.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", folder / ONLY, source, "-lcmocka"], check=True)


def targets(catcher):
    """What make must build before the catcher can run."""
    return NEEDS.get(catcher.kind) or [f"out/asan/unit/{catcher.place}"]


def run(catcher, tree, scratch):
    """True if the test passed, False if it failed; and the whole output. NoTest, Hung."""
    return _run_unit(catcher, tree, scratch) if catcher.kind == "unit" else _run_pytest(catcher, tree, scratch)


def _output(command, tree, timeout, env=None):
    """(exit status, output); the status is None if it did not end in time."""
    try:
        done = subprocess.run(command, cwd=tree.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, env=env)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace") + f"\ndid not end within {timeout} s\n"


def _run_unit(catcher, tree, scratch):
    """A test fails when it says so, in its teardown too, or when the program dies in it."""
    env = {**os.environ, "LD_PRELOAD": str(scratch.parent / ONLY), "TEETH_ONLY": catcher.test,
           "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    status, text = _output([f"out/asan/unit/{catcher.place}"], tree, UNIT_TIMEOUT, env)
    if status is None:
        raise Hung(text)
    parts = RUN.split(text)  # what came before, then name and output by turns
    said = dict(zip(parts[1::2], parts[2::2])).get(catcher.test)
    if said is None:
        raise NoTest(f"{catcher.place} has no {catcher.test}, or does not reach it\n{text}")
    end = next((kind for kind, name in END.findall(said) if name == catcher.test), "DIED")
    if end == "ERROR" and "Test setup failed" in said:
        raise NoTest(f"{catcher.test} could not be set up\n{text}")
    return end == "OK", text


def _run_pytest(catcher, tree, scratch):
    """A test fails in its own body, or in the judgement of what it leaves; not where it is set up."""
    report = scratch.with_suffix(".xml")
    report.unlink(missing_ok=True)
    env = {**os.environ, "PYTHONPATH": str(tree.folder / "bindings/python"), "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("CORDON_LIB", None)
    status, text = _output(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", "junit_family=xunit2",
         f"--timeout={PYTEST_TIMEOUT[catcher.kind] - PYTEST_END}", f"--junitxml={report}",
         *PYTEST_MORE.get(catcher.kind, []), f"dma-tests/{catcher.kind}/{catcher.place}::{catcher.test}"],
        tree, PYTEST_TIMEOUT[catcher.kind], env)
    if status is None:
        raise Hung(text)
    if not report.exists():
        raise NoTest(text)
    cases = [case for case in xml.parse(report).iter("testcase") if case.get("name").partition("[")[0] == catcher.test]
    report.unlink()
    if any(STOPPED.search(part.get("message", "")) for case in cases for part in case):
        raise Hung(text)
    if any(_failed(case) for case in cases):
        return False, text
    if status or not any(len(case) == 0 or case.find("system-out") is not None for case in cases):
        raise NoTest(text)
    return True, text


def _failed(case):
    broken = [e for e in case.findall("error") if e.get("message", "").startswith("failed on teardown")]
    return case.find("failure") is not None or bool(broken)
