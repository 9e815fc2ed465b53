"""Dumps: what a file keeps, what is seen in it, and what is refused."""
import json
import random

import pytest
from click.testing import CliRunner

from cordon.cli import WRONG, cli
from cordon.dump import DumpError, capture, load, save, views_of
from cordon.dump.format import Dump, HartState
from cordon.dump.machine import IMAGE, _domains
from cordon.dump.oracle import sample, walker_verdicts
from cordon.dump.picture import shared_bytes
from cordon.judge import Walker
from cordon.qemu import Edu, QemuPlatform

RED, BLUE = 0x8000_0000, 0
PAGE = 0x1000


@pytest.fixture
def plat():
    """Two guests with a device each; red has a superpage, blue has pages that may not be written."""
    with QemuPlatform([Edu(2), Edu(3)], ram="16M") as platform:
        red, blue = platform.guest("red"), platform.guest("blue")
        red.grant(RED, platform.context.scatter("4M", pieces=[0, 9], seed=3))
        blue.grant(BLUE, platform.context.scatter("64K", pieces=[0], seed=4), "r")
        platform.device("edu2").attach(red.domain)
        platform.device("edu3").attach(blue.domain)
        yield platform


@pytest.fixture
def dump_file(plat, tmp_path):
    save(capture(plat), tmp_path / "two.dump")
    return tmp_path / "two.dump"


def run(*arguments):
    """The command line in this process: its exit status and what it printed."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(done.exception, WRONG):
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


# ---- what a file keeps -----------------------------------------------------------------------------


def test_file_answers_each_request_as_the_live_machine_does(plat, dump_file):
    dump = load(dump_file)
    assert dump.digest() == capture(plat).digest()
    dump.requests = sample(views_of(dump), dump.devices)
    live = Walker(lambda hpa, n: bytes(plat.memory(hpa, n)), plat.register)
    walked = [live.walk(r["device"], r["iova"], r["access"]) for r in dump.requests]
    assert [(t.hpa, t.cause) for t in walked] == [(v.hpa, v.cause) for v in walker_verdicts(dump)]
    assert {bool(t.cause) for t in walked} == {True, False}


def test_whole_dump_has_all_of_the_memory(plat, tmp_path):
    plat.memory(RED + 0x234, 6)[:] = b"canary"
    save(capture(plat, whole=True), tmp_path / "whole.dump")
    whole = load(tmp_path / "whole.dump")
    assert whole.read(RED + 0x234, 6) == b"canary"
    assert len(whole.pages) * PAGE == 16 << 20


# ---- what is seen in it ----------------------------------------------------------------------------


def test_every_page_is_told_with_its_size_and_who_else_reaches_it(dump_file):
    status, said = run("dump", dump_file, "--json")
    told = json.loads(said)
    assert status == 0
    views = {view["agent"]: view for view in told["views"]}
    assert views.keys() == {"harts of red", "harts of blue", "device 0x10 edu2", "device 0x18 edu3"}
    assert [(int(r["gpa"], 0), r["len"], r["size"], r["perms"]) for r in views["device 0x10 edu2"]["runs"]] == [
        (RED, 2 << 20, "4K", "rwx"), (RED + (2 << 20), 2 << 20, "2M", "rwx")]
    assert views["device 0x18 edu3"]["runs"][0]["others"] == [{"agent": "harts of blue", "entitled": "same"}]
    status, said = run("dump", dump_file)
    assert status == 0 and "0x80200000-0x803fffff" in said and "device 0x18 edu3" in said


def test_json_has_no_number_of_more_than_53_bits(dump_file):
    for ask in (("dump",), ("walk", "--iova", hex(RED), "--device", "00:02.0"), ("walk", "--gpa", hex(RED), "--domain", "red"),
                ("walk", "--iova", hex((1 << 64) - 1), "--device", "00:02.0")):
        _, said = run(ask[0], dump_file, *ask[1:], "--json")
        json.loads(said, parse_int=lambda text: _few_bits(int(text)))


def _few_bits(number):
    assert abs(number) < 1 << 53
    return number


def _leak(plat):
    """Have a leaf of blue's device lead to a frame of red, behind the library's back."""
    walk = plat.guests[1].domain.walk(BLUE, view=1)
    stolen = plat.guests[0].hpa(RED + 8 * PAGE)
    plat.memory(walk.steps[-1].word, 8)[:] = (stolen >> 2 | 0xdf).to_bytes(8, "little")


def test_memory_that_two_domains_reach_is_shown_and_fails(plat, tmp_path):
    _leak(plat)
    save(capture(plat), tmp_path / "leak.dump")
    status, said = run("dump", tmp_path / "leak.dump", "--json")
    views = {view["agent"]: view for view in json.loads(said)["views"]}
    assert status == 1
    assert {"agent": "device 0x10 edu2", "entitled": ""} in views["device 0x18 edu3"]["runs"][0]["others"]
    assert shared_bytes(views_of(load(tmp_path / "leak.dump"))) == PAGE


def test_memory_that_was_lent_is_told_apart(plat, tmp_path):
    red, blue = plat.guests
    red.domain.share(blue.domain, RED, 0x100_0000, 4 * PAGE, "r")
    save(capture(plat), tmp_path / "lent.dump")
    status, said = run("dump", tmp_path / "lent.dump", "--json")
    views = {view["agent"]: view for view in json.loads(said)["views"]}
    assert status == 0
    assert {"agent": "harts of red", "entitled": "loan"} in views["device 0x18 edu3"]["runs"][-1]["others"]
    assert "device 0x18 edu3 (loan)" in run("dump", tmp_path / "lent.dump")[1]
    _leak(plat)  # and one page that was not
    save(capture(plat), tmp_path / "both.dump")
    assert run("dump", tmp_path / "both.dump")[0] == 1


def test_picture_names_agents_and_addresses_and_leaks(plat, tmp_path):
    save(capture(plat), tmp_path / "good.dump")
    _leak(plat)
    save(capture(plat), tmp_path / "leak.dump")
    for name, sentence in (("good", "no byte is reached by two domains"),
                           ("leak", "0x1000 bytes are reached by more than one domain")):
        run("dump", tmp_path / f"{name}.dump", "--picture", tmp_path / f"{name}.svg")
        drawn = (tmp_path / f"{name}.svg").read_text()
        assert all(text in drawn for text in ("harts of red", "device 0x18 edu3", "0x80200000", sentence))


def test_walk_tells_each_word_and_all_addresses(plat, dump_file):
    status, said = run("walk", dump_file, "--iova", hex(RED + 0x1234), "--device", "00:02.0", "--access", "w")
    hpa = plat.guests[0].hpa(RED + 0x1234)
    assert status == 0
    assert said.count("second stage level") == 3 and f"GPA {RED + 0x1234:#x}" in said
    assert said.rstrip().endswith(f"HPA {hpa:#x}")
    status, said = run("walk", dump_file, "--gpa", RED + (3 << 20), "--domain", "red", "--json")
    assert status == 0 and int(json.loads(said)["hpa"], 0) == plat.guests[0].hpa(RED + (3 << 20))
    hva = int(json.loads(said)["hva"], 0)
    import ctypes
    plat.memory(int(json.loads(said)["hpa"], 0), 4)[:] = b"here"
    assert ctypes.string_at(hva, 4) == b"here"


def test_walk_says_why_it_stops(dump_file):
    status, said = run("walk", dump_file, "--iova", "0x3000", "--device", "edu3", "--access", "w")
    assert status == 1 and "cause 23: the leaf does not allow w" in said and said.rstrip().endswith("nowhere")
    status, said = run("walk", dump_file, "--iova", "0x3000", "--device", "0x11")
    assert status == 1 and "cause 258: the device context is not valid" in said


@pytest.mark.parametrize("arguments, sentence", [
    (["--iova", "1"], "--iova needs --device"), (["--gpa", "1", "--iova", "1"], "give one of"), ([], "give one of"),
    (["--gpa", "1", "--domain", "green"], "no domain is 'green'; there are 1 (red), 2 (blue)"),
    (["--iova", "1", "--device", "nic"], "no device is 'nic'; there are 0x10 (edu2), 0x18 (edu3)"),
    (["--gva", "1", "--hart", "0"], "no hart 0"), (["--iova", "x", "--device", "edu2"], "'x' is not a number"),
    (["--gpa", "0x1_0000_0000_0000_0000", "--domain", "red"], "does not fit in 64 bits")])
def test_wrong_question_is_refused_by_name(dump_file, arguments, sentence):
    status, said = run("walk", dump_file, *arguments)
    assert status == 2 and sentence in " ".join(said.split())


# ---- oracles ---------------------------------------------------------------------------------------

LIAR = """import json, subprocess, sys
for line in subprocess.run([sys.executable, "-m", "cordon.judge", sys.argv[1]], capture_output=True, text=True,
                           check=True).stdout.splitlines():
    verdict = json.loads(line)
    {change}
    print(json.dumps(verdict))
"""


@pytest.fixture
def oracle(tmp_path, monkeypatch):
    """Write an oracle that changes the walker's verdicts; its command line."""
    import sys
    from pathlib import Path
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))

    def make(change):
        (tmp_path / "oracle.py").write_text(LIAR.format(change=change))
        return f"{sys.executable} {tmp_path / 'oracle.py'}"
    return make


def test_oracle_that_agrees_passes_and_one_that_differs_fails(dump_file, oracle):
    status, said = run("judge", dump_file, "--oracle", oracle("pass"))
    assert status == 0 and "0 differ" in said
    status, said = run("judge", dump_file, "--json", "--oracle",
                       oracle("if verdict['request'] == 7: verdict = {'request': 7, 'hpa': '0x1000'}"))
    told = json.loads(said)
    assert status == 1 and told["requests"] > 20
    assert [row["oracle"] for rows in told["oracles"].values() for row in rows] == ["0x1000"]


@pytest.mark.parametrize("change, sentence", [
    ("print('no JSON')", "line 1 is no verdict"), ("verdict['request'] = 0", "request 0 is none of"),
    ("verdict.pop('hpa', 0); verdict['cause'] = 'x'", "is no number"),
    ("if verdict['request'] == 3: continue", "1 of "), ("sys.exit('broken')", "exit status 1: broken"),
    ("import time; time.sleep(60)", "no answer within 2 s")])
def test_oracle_that_does_not_answer_as_it_has_to_is_an_error(dump_file, oracle, change, sentence):
    status, said = run("judge", dump_file, "--timeout", "2", "--oracle", oracle(change))
    assert status == 2 and sentence in said


# ---- files that are none ---------------------------------------------------------------------------


def _rewritten(path, change):
    """The file with a changed header."""
    first, line, blob = path.read_bytes().split(b"\n", 2)
    header = json.loads(line)
    change(header)
    path.write_bytes(b"\n".join([first, json.dumps(header).encode(), blob]))


@pytest.mark.parametrize("change, part, sentence", [
    (lambda h: h.update(sha256="0"), "header", "are not those whose SHA-256"),
    (lambda h: h["memory"][0].update(len=PAGE + 1), "memory[0]", "not whole pages"),
    (lambda h: h["memory"][0].update(hpa="0x123"), "memory[0]", "not whole pages"),
    (lambda h: h["memory"][-1].update(at=1 << 40), "go over the end", "go over the end"),
    (lambda h: h["memory"].append(h["memory"][0]), "memory[", "is there twice"),
    (lambda h: h["memory"][0].update(hpa=-1), "memory[0]", "hpa is -1"),
    (lambda h: h.update(memory={}), "header", "memory is dict, not a list"),
    (lambda h: h["iommus"][0]["registers"].pop(0), "iommus[0]", "have to be there"),
    (lambda h: h["iommus"][0]["registers"][0].update(width=3), "registers[0]", "4 or 8 bytes wide"),
    (lambda h: h["devices"][0].update(iommu=9), "devices[0]", "iommu 9 is none of the 1"),
    (lambda h: h["devices"][0].update(name=7), "devices[0]", "not a short text"),
    (lambda h: h["domains"].append(3), "domains[2]", "is no object"),
    (lambda h: h["domains"][0].update(hgatp=True), "domains[0]", "hgatp is True"),
    (lambda h: h.update(loans=[{"hpa": 1, "len": 4096, "owner": 1, "borrower": 2}]), "loans[0]", "whole pages"),
    (lambda h: h.update(requests=[{"access": "q"}]), "requests[0]", "not r, w or x")])
def test_header_that_does_not_fit_is_refused_by_its_part(dump_file, change, part, sentence):
    _rewritten(dump_file, change)
    with pytest.raises(DumpError) as error:
        load(dump_file)
    assert part in str(error.value) and sentence in str(error.value)


def test_file_cut_or_changed_anywhere_is_refused_or_the_same(dump_file):
    good, whole, rng = load(dump_file).digest(), dump_file.read_bytes(), random.Random(5)
    for turn in range(300):
        at, data = rng.randrange(len(whole)), bytearray(whole)
        if turn % 2:
            data[at] ^= 1 << rng.randrange(8)
        else:
            del data[at:]
        dump_file.write_bytes(data)
        try:
            dump = load(dump_file)
        except DumpError:
            continue
        assert dump.digest() != good and b"\n" in data[:at]  # a number or a name of the header is another


@pytest.mark.parametrize("path, sentence", [("/nonexistent/x.dump", "No such file"), ("/etc/passwd", "first line")])
def test_what_is_no_dump_is_refused(path, sentence):
    status, said = run("dump", path)
    assert status == 2 and sentence in said


def test_tables_that_lead_in_circles_are_an_error(plat, tmp_path):
    dump = capture(plat)
    root = views_of(dump)[0].root
    dump.pages[root] = (root >> 2 | 1).to_bytes(8, "little") * 512
    save(dump, tmp_path / "circle.dump")
    status, said = run("dump", tmp_path / "circle.dump")
    assert status == 2 and "circles" in said


def test_table_that_the_dump_lacks_is_an_error(plat, tmp_path):
    dump = capture(plat)
    del dump.pages[views_of(dump)[0].root]
    save(dump, tmp_path / "hole.dump")
    status, said = run("dump", tmp_path / "hole.dump")
    assert status == 2 and "a table is not in the dump" in said


TOLD = 0x80280000


def told_in_memory(*guests, magic=b"CRDNVMS\0"):
    """A dump of a machine whose kernel's header leads to what hyp/vm/told.c has there."""
    table = magic + len(guests).to_bytes(8, "little") + b"".join(
        number.to_bytes(8, "little") + hgatp.to_bytes(8, "little") + name.encode().ljust(32, b"\0")
        for number, hgatp, name in guests)
    head = bytes(40) + (TOLD - IMAGE).to_bytes(8, "little")
    return Dump("", {IMAGE: head.ljust(PAGE, b"\0"), TOLD: table.ljust(PAGE, b"\0")})


@pytest.mark.parametrize("spoil", [None, "magic", "place", "header"])
def test_domains_of_a_machine_are_those_that_it_tells_and_those_that_harts_have(spoil):
    root, other, vmid = 8 << 60 | 0x80300, 8 << 60 | 0x80400, 7 << 44
    dump = told_in_memory((3, root, "red"), (0, root, "gone"), (5, 9 << 60 | 1, "blue"),
                          magic=b"SOMEBODY" if spoil == "magic" else b"CRDNVMS\0")
    if spoil in ("place", "header"):
        del dump.pages[TOLD if spoil == "place" else IMAGE]
    dump.harts = [HartState(n, 0, 0, hgatp, hgatp != 0) for n, hgatp in enumerate((root | vmid, other | vmid, 0))]
    found = [(d.number, d.name, d.hgatp) for d in _domains(dump)]
    told = [] if spoil else [(3, "red", root), (5, "blue", 9 << 60 | 1)]
    assert found == told + ([(1, "untold 1", root), (2, "untold 2", other)] if spoil else [(6, "untold 6", other)])


def test_a_host_channel_has_no_tables_to_dump():
    done = CliRunner().invoke(cli, ["dump", "channel:/tmp/channel.sock"])
    assert done.exit_code == 2 and "only `cordon walk` asks a host channel" in done.output
