"""Fixtures of the DPDK tests: machines that all tests of a module share, for each model of network card."""
import sys
from pathlib import Path

import pytest

for folder in ("boot", "bench", "dpdk"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / folder))
import guests  # noqa: E402

collect_ignore = ["host"]  # needs no machine: make test-dpdk-host
SLOTS = [1, 4]
SHARED = ["pair", "apart", "confined", "loose", "odd", "odd_cards", "contig", "beside"]  # machines
QUICK = {"pair": "e1000e", "apart": "igb", "confined": "e1000e", "loose": "e1000e", "traffic": "igb"}  # the one model of each machine in the short run


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="each machine with one model of card, no test marked whole")
    parser.addoption("--iommu-trace", action="store_true", help="what is kept of a failure has a line for each DMA, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "whole: left out of the short run")
    guests.trace(everything=config.getoption("--iommu-trace"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    report = (yield).get_result()
    if report.failed:
        report.sections += [("console and trace are kept in", str(folder)) for folder in guests.something_failed()]


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the marks
def pytest_collection_modifyitems(config, items):
    for item in items:  # side by side (-n 2 --dist loadgroup): what shares a machine stays together
        if machine := _machine_of(item):
            item.add_marker(pytest.mark.xdist_group(machine))
    if hasattr(config, "workerinput"):  # and what may take long comes first; xdist from 3.5 on has an order of its own
        items.sort(key=_longest, reverse=True)
    if config.getoption("--quick"):
        left_out = [item for item in items if item.get_closest_marker("whole") or _is_doubled(item)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def _params_of(item):
    return item.callspec.params if hasattr(item, "callspec") else {}


def _model_of(item):
    return _params_of(item).get("model")


def _machine_of(item):
    """The machine that a test shares with others, by its fixture and its model of card; or None."""
    for shared in SHARED:
        if shared in item.fixturenames:
            return f"{shared} {_model_of(item) or _params_of(item).get(shared, '')}"
    return None


def _longest(item):
    """Seconds that a test may take at most."""
    timeout = item.get_closest_marker("timeout")
    return timeout.args[0] if timeout else 0


def _is_doubled(item):
    """Whether the short run has this test with another model."""
    return any(name in item.fixturenames and _model_of(item) != only for name, only in QUICK.items())


@pytest.fixture(scope="session", params=guests.MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="session")
def pair_machine(model, tmp_path_factory):
    with guests.cordon(tmp_path_factory.mktemp(f"pair-{model}"), {"red": guests.vm("red", SLOTS)},
                       guests.wire(model, SLOTS), ram="1G") as machine:
        yield machine


@pytest.fixture
def pair(pair_machine):
    """One guest, "red", with two cards on one wire."""
    yield pair_machine
    pair_machine.quiet()


@pytest.fixture(scope="session")
def apart_machine(model, tmp_path_factory):
    vms = {name: guests.vm(name, [slot]) for name, slot in zip(("red", "blue"), SLOTS)}
    with guests.cordon(tmp_path_factory.mktemp(f"apart-{model}"), vms, guests.wire(model, SLOTS)) as machine:
        yield machine


@pytest.fixture
def apart(apart_machine):
    """Two guests, "red" and "blue", with a card each, on one wire."""
    yield apart_machine
    apart_machine.quiet()
