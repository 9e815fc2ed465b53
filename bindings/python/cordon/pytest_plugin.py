"""pytest plugin: the `platform` and `guest` fixtures, on each backend of --cordon-backend; `machine`, the
hypervisor booted with guests.

A test that leaves an unexpected fault, a leak or a stale table entry fails when it is torn down; one
that has failed already shows them. `@pytest.mark.cordon(Dma(2), ..., ram="16M")` says what the
platform has; without it, that is Dma(2) and Dma(3). `@pytest.mark.cordon(bundle=FILE, harts=4, ...)` says what
the machine boots. With --durations the median of a test on each
backend is printed, its platform's start and end included.
"""
import copy
import re
import statistics
import tempfile
from pathlib import Path

import pytest

from .backends import BACKENDS, default_parts, named_and_not_there
from .checks import findings
from .dump import capture, views_of
from .dump.oracle import OracleError, ask, differences, walker_verdicts, with_requests
from .hexdump import difference
from .machine import Machine, judged
from .machine.machine import HYPERVISOR
from .machine.machine import missing as machine_missing

_KEEP: pytest.StashKey = pytest.StashKey()
_PLATFORM: pytest.StashKey = pytest.StashKey()  # or its machine
_FAILED: pytest.StashKey = pytest.StashKey()
_OVER: pytest.StashKey = pytest.StashKey()  # the test came to an end: nobody pressed ctrl-C in it
_TIMES: pytest.StashKey = pytest.StashKey()
DEFAULT_BACKEND = "model"


def pytest_addoption(parser):
    group = parser.getgroup("cordon", "Cordon's isolation layer")
    group.addoption("--cordon-backend", default=DEFAULT_BACKEND, metavar="NAME,...",
                    help=f"platforms to run each test on, out of {', '.join(BACKENDS)} (default: "
                         f"{DEFAULT_BACKEND}, which needs nothing but the libraries; model,qemu has two "
                         "IOMMUs that share no code judge the same tests)")
    group.addoption("--cordon-oracle", metavar="CMD", action="append", default=[],
                    help="a judge of your own: after each test CMD FILE answers requests about a dump of the "
                         "platform, and has to say what the literal walker says (docs/dump.md)")
    group.addoption("--cordon-keep", metavar="FOLDER",
                    help="where a failed test's walks, faults and console go (default: a new folder)")


def pytest_configure(config):
    config.addinivalue_line("markers", "cordon(*parts, **settings): what the test's platform has")
    config.stash[_TIMES] = {}
    names = _backends(config)
    unknown = [name for name in names if name not in BACKENDS]
    if unknown:
        raise pytest.UsageError(f"--cordon-backend: there is no {', '.join(map(repr, unknown))}; "
                                f"there are {', '.join(BACKENDS)}")


def _backends(config):
    return [name.strip() for name in config.getoption("--cordon-backend").split(",")]


def pytest_generate_tests(metafunc):
    if "cordon_backend" in metafunc.fixturenames:
        metafunc.parametrize("cordon_backend", _backends(metafunc.config), scope="function")


@pytest.fixture
def platform(request, cordon_backend):
    """A fresh platform for this test, judged when the test is over."""
    backend, marker = BACKENDS[cordon_backend], request.node.get_closest_marker("cordon")
    parts, settings = _parts(marker), marker.kwargs if marker else {}
    if why := named_and_not_there():
        pytest.fail(why, pytrace=False)
    if why := backend.missing() or backend.lacks(parts, settings):
        pytest.skip(f"{cordon_backend}: {why}")
    with backend.open(parts, settings) as plat:
        held = plat.context.stats().held
        request.node.stash[_PLATFORM] = plat
        try:
            yield plat
            told = _judge(request.node, plat, held) if request.node.stash.get(_OVER, False) else []
        finally:
            del request.node.stash[_PLATFORM]
        if told:
            pytest.fail("\n".join(told), pytrace=False)


@pytest.fixture
def machine(request):
    """The hypervisor with the guests of the mark's bundle, judged when the test is over."""
    if "machine" not in (names := _backends(request.config)):
        pytest.skip(f"machine: a boot of the hypervisor, and --cordon-backend={','.join(names)} does not name it: "
                    "give --cordon-backend=machine")
    settings = _machine_settings(request.node)
    if why := named_and_not_there():
        pytest.fail(why, pytrace=False)
    if why := machine_missing(settings["bundle"], settings.get("hypervisor", HYPERVISOR)):
        pytest.skip(f"machine: {why}")
    with Machine(**settings) as booted:
        request.node.stash[_PLATFORM] = booted
        try:
            yield booted
            told = _judge(request.node, booted, 0) if request.node.stash.get(_OVER, False) else []
        finally:
            del request.node.stash[_PLATFORM]
        if told:
            pytest.fail("\n".join(told), pytrace=False)


def _machine_settings(item):
    """What Machine is given. A bundle that is no absolute path is beside the test's file."""
    marker = item.get_closest_marker("cordon")
    if marker is None or "bundle" not in marker.kwargs:
        pytest.fail("machine: which guests? say @pytest.mark.cordon(bundle=FILE)", pytrace=False)
    if marker.args:
        pytest.fail(f"machine: {marker.args[0]!r} is for `platform`; a machine is given QEMU's arguments: "
                    "devices=['-device', 'edu,addr=3']", pytrace=False)
    return {**marker.kwargs, "bundle": item.path.parent / marker.kwargs["bundle"]}


def _parts(marker):
    return [copy.copy(part) for part in (marker.args if marker and marker.args else default_parts())]


def _judge(item, plat, held):
    """What the test fails for now. One that has failed is not failed again: it shows what was found."""
    if not item.stash.get(_FAILED, False):
        return _evidence_and_findings(item, plat, held)
    try:
        told = _findings(plat, held)
    except Exception as error:  # a broken machine must not hide why the test failed
        told = [f"(what it left cannot be judged: {error})"]
    if told:
        item.add_report_section("teardown", "cordon findings", "\n".join(told))
    return []


def _findings(plat, held):
    return judged.findings(plat) if isinstance(plat, Machine) else findings(plat, held)


def _evidence_and_findings(item, plat, held):
    """What is wrong after the test; the evidence is taken before the platform is taken down."""
    if isinstance(plat, Machine):
        told = judged.findings(plat)
        evidence = _evidence(plat)
    else:
        plat.unexpected_faults()
        evidence = _evidence(plat)
        told = [sentence for command in item.config.getoption("--cordon-oracle")
                for sentence in _oracle_differs(plat, command)]
        told += findings(plat, held)
    if told:
        kept = {**evidence, **_whole(plat), "findings": "\n".join(told)}
        told.append(f"kept in {_keep(item, kept)}")
        told += [f"---- {name}\n{text}" for name, text in evidence.items() if text]
    return told


def _oracle_differs(plat, command):
    """Sentences where an oracle and the walker do not say the same of the platform's tables."""
    dump = capture(plat)
    dump = with_requests(dump, views_of(dump))
    try:
        apart = differences(dump, walker_verdicts(dump), ask(command, dump))
    except OracleError as why:
        return [str(why)]
    return [f"oracle {command!r} differs: device {request['device']:#x} {request['access']} {request['iova']:#x}: "
            f"walker says {ours}, oracle {theirs}" for request, ours, theirs in apart[:8]]


@pytest.fixture
def guest(platform):
    """A guest of the platform, with nothing in it yet."""
    return platform.guest("guest")


# ---- what is shown and kept ----------------------------------------------------------------------


def _evidence(plat):
    """Texts by name: the fault log, a walk of each fault, the contexts, and the console."""
    if isinstance(plat, Machine):
        return judged.shown(plat)

    def tried(what):
        try:
            return what()
        except Exception as error:  # a broken machine must not hide why the test failed
            return f"(cannot be read: {error})"
    return {"faults": "\n".join(map(str, plat.fault_log)), "walks": tried(plat.evidence.walks),
            "contexts": tried(plat.evidence.contexts),
            "console": tried(plat.machine.stderr) if hasattr(plat, "machine") else ""}


def _whole(plat):
    """What is kept in more words than it is shown."""
    return judged.kept(plat) if isinstance(plat, Machine) else {}


def _keep(item, texts):
    """Write TEXTS into this test's own folder; its path."""
    stash = item.config.stash
    if _KEEP not in stash:
        named = item.config.getoption("--cordon-keep")
        stash[_KEEP] = Path(named) if named else Path(tempfile.mkdtemp(prefix="cordon-"))
    folder = stash[_KEEP] / re.sub(r"[^\w.=-]+", "-", item.nodeid)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name.replace(' ', '-')}.txt").write_text(text + "\n")
    return folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    _note_time(item, report)
    item.stash[_OVER] = item.stash.get(_OVER, False) or call.when == "call" or not report.passed
    if call.when != "call" or not report.failed:
        return
    item.stash[_FAILED] = True
    plat = item.stash.get(_PLATFORM, None)
    if plat is None:
        return
    try:
        plat.unexpected_faults()
    except Exception as error:
        report.sections.append(("cordon: faults", f"cannot be read: {error}"))
    evidence = _evidence(plat)
    folder = _keep(item, {**evidence, **_whole(plat), "failure": report.longreprtext})
    report.sections += [(f"cordon: {name}", text) for name, text in evidence.items() if text]
    report.sections.append(("cordon: kept in", str(folder)))


def pytest_assertrepr_compare(op, left, right):
    if op == "==" and all(isinstance(side, (bytes, bytearray, memoryview)) for side in (left, right)):
        return ["the bytes differ (- left, + right)", *difference(left, right)]
    return None


# ---- how long a test takes -----------------------------------------------------------------------


def _note_time(item, report):
    """Add the phase to the test's time, by its backend."""
    backend = getattr(item, "callspec", None) and item.callspec.params.get("cordon_backend")
    if backend is None:
        return
    times = item.config.stash[_TIMES].setdefault(backend, {})
    if report.when == "setup" and report.skipped:
        return
    times[item.nodeid] = times.get(item.nodeid, 0.0) + report.duration
    if report.when == "teardown" and report.duration == times[item.nodeid]:
        del times[item.nodeid]  # nothing of it has run


def pytest_terminal_summary(terminalreporter, config):
    if config.option.durations is None:
        return
    for backend, times in config.stash[_TIMES].items():
        if times:
            terminalreporter.write_line(
                f"cordon: {backend}: median {1e3 * statistics.median(times.values()):.1f} ms of "
                f"{len(times)} tests, slowest {1e3 * max(times.values()):.1f} ms")
