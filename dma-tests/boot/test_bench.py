"""The benchmarks run, and say what they have to say; how good the figures are is not judged here."""
import json
import subprocess
import sys

import pytest

from machine import TREE

sys.path.insert(0, str(TREE / "dma-tests/bench"))
from figures import Figure  # noqa: E402

BENCH = TREE / "tools/bench"
JUDGED = {  # benchmark: figures that have a goal, figures that are told only
    "exits": ({"sbi-base-version", "sbi-base-probe", "sbi-hsm-status", "sbi-set-timer", "mmio-read"}, set()),
    "boot": ({"instructions", "uptime"}, {"uptime-plain"}),
    "disk": ({"sequential-1M", "random-4K", "exits"}, {"sequential-1M-plain", "random-4K-plain"}),
    "views": ({"leaf-words", "grant-4K", "grant-2M"}, {"tables", "ownership"}),
    "nested": ({f"{work}{how}-4K" for work in ("boot", "storm", "walk", "mmap") for how in ("", "-time")}, set()),
    "split": (set(), {"split", "split-stop", "coalesce", "coalesce-stop"}),
    "touch": ({"in-a-row", "in-a-row-unzeroed", "anywhere", "promised", "promised-unzeroed"},
              {"anywhere-unzeroed", "huge", "again", "populate", "discard"}),
    "moves": ({"8 MiB runs made"},
              {"8 MiB run, time", "8 MiB runs, kinds apart", "a page", "16 pages", "a large leaf",
               "longest stop, 1 page", "longest stop, 16 pages", "longest stop, 512 pages"}),
    "vmids": (set(), {f"{n} harts{where}" for n in (1, 2, 3, 4) for where in ("", ", machine")}
              | {"revoke, 4 harts", "entry", "entry, VMIDs run out", "turns, machine"}),
    "first_touch": ({"4 KiB"}, {"4 KiB beside Xvisor", "4 KiB without Zicboz", "4 KiB, a table each", "2 MiB"}),
    "start": ({"image", "one-guest", "two-guests"}, {"one-guest-hashing", "two-guests-hashing"}),
}


def run_quick(name, folder):
    """The JSON and the lines of one benchmark, run small."""
    path = folder / "bench.json"
    done = subprocess.run([sys.executable, BENCH, "--quick", "--json", path, name], stdout=subprocess.PIPE,
                          text=True, check=True)
    return json.loads(path.read_text()), done.stdout.splitlines()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", JUDGED)
def test_each_benchmark_tells_its_figures_in_both_ways(name, tmp_path):
    document, lines = run_quick(name, tmp_path)
    figures = {figure["name"]: figure for figure in document["figures"]}
    judged, told = JUDGED[name]
    assert set(figures) == judged | told
    for number, figure in enumerate(document["figures"]):
        assert figure["ours"] is not None and figure["ours"] >= 0
        assert not figure["missing"]
        assert (figure["met"] is not None) == (figure["name"] in judged)
        assert lines[number].startswith(f"{name}/{figure['name']} ")
        assert ("GOAL " in lines[number]) == (figure["name"] in judged)
        if figure["beside"]:
            assert figure["ratio"] == pytest.approx(figure["ours"] / figure["beside"])
    assert lines[-1].split(";")[0].endswith(f"of {len(judged)} goals met")


@pytest.mark.parametrize("settings, met", [
    ({"ours": 105, "beside": 100, "limit": 1.05}, True),
    ({"ours": 106, "beside": 100, "limit": 1.05}, False),
    ({"ours": 90, "beside": 100, "limit": 0.9, "least": True}, True),
    ({"ours": 89, "beside": 100, "limit": 0.9, "least": True}, False),
    ({"ours": 120, "beside": 244, "limit": 120, "of": "ours"}, True),
    ({"ours": 121, "beside": 244, "limit": 120, "of": "ours"}, False),
    ({"ours": 1, "beside": 100}, None),
    ({"ours": None, "limit": 1.0}, False),
    ({"ours": 1, "limit": 1.0}, False),  # nothing to put it beside
    ({"ours": None, "missing": "it broke off"}, False)])
def test_a_figure_is_judged_by_its_own_goal(settings, met):
    assert Figure("bench", "name", "unit", **settings).met is met


def test_an_unknown_benchmark_is_refused():
    done = subprocess.run([sys.executable, BENCH, "speed"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "no benchmark is called speed" in done.stderr


def statuses(change):
    """Exit statuses of `bench views` without and with --strict after CHANGE to its module, and what it said."""
    script = (f"import sys, runpy; sys.path.insert(0, {str(TREE / 'dma-tests/bench')!r});"
              f"sys.path.insert(0, {str(TREE / 'dma-tests/boot')!r});"
              f"sys.path.insert(0, {str(TREE / 'bindings/python')!r});"
              f"import emulator, figures, views; {change};"
              f"sys.argv = ['bench', 'views', *sys.argv[1:]]; runpy.run_path({str(BENCH)!r}, run_name='__main__')")
    results = [subprocess.run([sys.executable, "-c", script, *flags], stdout=subprocess.PIPE, text=True,
                              check=False, timeout=60) for flags in ([], ["--strict"])]
    return [done.returncode for done in results], results[0].stdout


def test_a_miss_fails_only_if_strict():
    found, said = statuses("views.run = lambda env: [figures.Figure('views', 'x', 's', 2, 1, limit=1)]")
    assert found == [0, 1] and "GOAL missed" in said


def test_a_benchmark_that_breaks_off_fails():
    """Without what it runs."""
    found, said = statuses("views.TREE = emulator.Path('/nonexistent')")
    assert found == [1, 1] and "GOAL missed  missing: it broke off" in said
