"""The story's parts alone: the judge sees what was planted, the attacks aim where they should, the
verdict counts what was said."""
import mmap
import os
import random
import resource
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tools/story"))
import attacks  # noqa: E402
import canaries  # noqa: E402
import counts  # noqa: E402
import judge  # noqa: E402
import report  # noqa: E402
import verdict  # noqa: E402
from cordon.machine import Console, ConsoleTimeout  # noqa: E402

PAGE = judge.PAGE
BASE = 0x80000000


class Ram:
    """A RAM file as the emulator shares it."""

    def __init__(self, pages):
        self.fd = os.memfd_create("ram")
        os.ftruncate(self.fd, pages * PAGE)
        self.map = mmap.mmap(self.fd, pages * PAGE)


@pytest.fixture
def ram():
    return Ram(64)


def run(first, pages, domain=1, state="owned"):
    return judge.Run(BASE // PAGE + first, pages, domain, state)


def test_a_planted_change_of_one_byte_is_seen_and_named(ram):
    ram.map[10 * PAGE:11 * PAGE] = b"a" * PAGE
    before = judge.Snapshot(ram, BASE, [run(0, 64)])
    ram.map[10 * PAGE + 4095] = ord("b")
    assert before.changed(judge.Snapshot(ram, BASE, [run(0, 64)])) == [BASE // PAGE + 10]


def test_a_change_of_a_frame_that_was_never_written_is_seen(ram):
    before = judge.Snapshot(ram, BASE, [run(0, 64)])
    ram.map[33 * PAGE] = 1
    assert before.changed(judge.Snapshot(ram, BASE, [run(0, 64)])) == [BASE // PAGE + 33]


def test_a_frame_that_becomes_zeros_is_seen(ram):
    ram.map[5 * PAGE] = 1
    before = judge.Snapshot(ram, BASE, [run(0, 64)])
    ram.map[5 * PAGE] = 0
    assert before.changed(judge.Snapshot(ram, BASE, [run(0, 64)])) == [BASE // PAGE + 5]


def test_frames_outside_of_the_runs_are_not_looked_at(ram):
    runs = judge.without([run(0, 64)], [(BASE // PAGE + 8, 4)])
    assert [(r.first - BASE // PAGE, r.pages) for r in runs] == [(0, 8), (12, 52)]
    before = judge.Snapshot(ram, BASE, runs)
    ram.map[9 * PAGE] = 1
    assert before.frames == 60
    assert before.changed(judge.Snapshot(ram, BASE, runs)) == []


def test_owners_list_is_read_whole_or_not_at_all():
    data = struct.pack("<QIHH", 5, 7, 2, 5) + struct.pack("<QIHH", 12, 1, 2, 6)
    owned, revoking = judge.read_owners(data)
    assert (owned.first, owned.pages, owned.domain, owned.state) == (5, 7, 2, "owned")
    assert revoking.state == "revoking"
    assert judge.frames([owned, revoking], lambda r: r.state == "owned") == set(range(5, 12))
    assert judge.who([owned, revoking], 12) is revoking and judge.who([owned], 13) is None
    with pytest.raises(ValueError):
        judge.read_owners(data[:-1])


def test_a_marker_is_found_wherever_it_stands(ram):
    assert judge.search(ram, BASE, [run(0, 64)], verdict.MARKER) == []
    ram.map[20 * PAGE + 100:20 * PAGE + 116] = verdict.MARKER
    assert judge.search(ram, BASE, [run(0, 64)], verdict.MARKER) == [BASE + 20 * PAGE + 100]
    assert judge.search(ram, BASE, [run(0, 20)], verdict.MARKER) == []


def test_marked_pages_are_found_by_host_address(ram):
    ram.map[7 * PAGE:7 * PAGE + 32] = b"CORDON-PAGE-00-F" * 2
    ram.map[9 * PAGE + 8:9 * PAGE + 24] = b"CORDON-PAGE-00-F"
    assert judge.find_pages(ram, BASE, [run(0, 64)], [b"CORDON-PAGE-00-F"]) == \
        {b"CORDON-PAGE-00-F": BASE + 7 * PAGE}


def test_edges_are_one_byte_and_one_page_past_ram_and_below_it():
    found = attacks.edges(0x40000000, 0x1000000)
    assert {(a.verb, a.iova, a.length) for a in found} >= \
        {("read", 0x41000000, 1), ("write", 0x41000000, 1), ("write", 0x41000000, PAGE),
         ("read", 0x3fffffc0, 64)}
    assert all(a.iova == 0x1000000 for a in attacks.edges(0, 0x1000000))


def test_frames_of_a_class_are_hit_at_both_ends_and_spread():
    runs = [run(n, 1, domain=1 + n % 2) for n in range(40)]
    hit = {a.iova for a in attacks.frames(runs, "x", lambda r: r.domain == 2)}
    assert {BASE + PAGE, BASE + 2 * PAGE - 64, BASE + 39 * PAGE} <= hit
    assert len(hit) == 2 * attacks.SAMPLES
    assert all((iova - BASE) // PAGE % 2 == 1 for iova in hit)


def test_attacks_come_once_and_kinds_together():
    listed = [*attacks.both("a", 1), *attacks.messages([2], 3 * PAGE, 1), *attacks.both("a", 1)]
    verbs = [a.verb for a in attacks.ordered(listed)]
    assert verbs == ["read", "write"] + ["message"] * 5


SAID = ("CORDON-ROGUE own before by=0 goodCORDON-ROGUE read red's-RAM 0x8000 by=3 leaked=64 "
        "first=41424344"
        "CORDON-ROGUE read 2^39 0x10 by=1 leaked=0 first=0000CORDON-ROGUE read x 0x20 by=2 "
        "leaked=64 idle first=45"
        "CORDON-ROGUE write y 0x30 by=0 sentCORDON-ROGUE message f 0x28000000 by=5 sent[  1.0] "
        "kernel"
        "CORDON-ROGUE done orders=6.")


def test_answers_are_read_though_lines_were_broken():
    found = verdict.answers(SAID)
    assert [(a["verb"], a["name"], a["by"]) for a in found] == [
        ("own", "before", 0), ("read", "red's-RAM", 3), ("read", "2^39", 1), ("read", "x", 2),
        ("write", "y", 0),
        ("message", "f", 5)]
    assert found[0]["good"] and found[1]["first"] == b"ABCD" and found[1]["leaked"] == 64
    assert found[3]["idle"] and not found[2]["leaked"]


def test_words_and_values_of_an_answer():
    said = ("CORDON-ROGUE giveback late 0x5000 gone honest=yes error=14 pending=0xff edus=8."
            "CORDON-ROGUE x")
    words, values = verdict.fields(said, "giveback")
    assert words == ["late", "0x5000", "gone"]
    assert values["pending"] == "0xff" and values["error"] == "14"
    assert verdict.fields(said, "take") is None


def test_any_escape_decides_and_trouble_leaves_open():
    v = verdict.Verdict()
    assert v.word == "CONFINED"
    v.trouble("late")
    assert v.word == "UNDECIDED"
    v.escape("frame")
    assert v.word == "ESCAPED" and v.as_dict()["escapes"] == ["frame"]


FAULT = {"device_id": "0x18", "device": "edu", "cause_name": "store guest-page fault", "access": 2,
         "iova": "0x28000ff0", "span": 4096, "count": 3}


def test_a_fault_record_belongs_to_its_device_and_page():
    answer = {"iova": 0x28001008}
    assert verdict.recorded(answer, 0x18, [FAULT])
    assert not verdict.recorded(answer, 0x20, [FAULT])
    assert not verdict.recorded({"iova": 0x28002000}, 0x18, [FAULT])


class FakeStory:
    def __init__(self, answers):
        self.answers, self.verdict = answers, verdict.Verdict()


def test_a_message_without_a_record_is_an_escape_unless_records_were_lost():
    sent = [{"verb": "message", "iova": 0x29000000, "by": 0}]
    story = FakeStory(sent)
    assert counts.judge_messages(story, [FAULT], False)["recorded"] == 0
    assert story.verdict.word == "ESCAPED"
    story = FakeStory(sent)
    assert counts.judge_messages(story, [FAULT], True) == {"forged": 1, "recorded": 0,
                                                           "counted_only": 1}
    assert story.verdict.word == "CONFINED"


def test_equal_faults_become_one_line():
    lines = verdict.fault_lines([FAULT, FAULT])
    assert lines == ["DMA DENIED  edu (0x18)  write  store guest-page fault  x6, first at "
                     "0x28000ff0"]


def test_canaries_stand_in_zeros_and_are_no_page_table_entries(ram):
    ram.map[0:PAGE] = b"\xff" * PAGE
    ram.map[200:600] = bytes(400)
    at = canaries.zeros(ram.map[0:PAGE])
    assert 200 <= at and at + canaries.LENGTH <= 600 and at % canaries.LENGTH == 0
    assert canaries.zeros(b"\xff" * PAGE) is None
    for number in range(6):
        assert all(canaries.make(number)[n] & 1 == 0 for n in range(0, canaries.LENGTH, 8))
    assert verdict.MARKER[0] & 1 == 0 and verdict.MARKER[8] & 1 == 0


def test_a_canary_that_came_back_and_one_that_was_overwritten_are_seen(ram):
    places = [{"name": n, "hpa": hex(BASE + at * PAGE), "len": hex(PAGE)}
              for n, at in (("hypervisor code", 1), ("firmware", 2), ("bundle", 3))]
    runs = [run(8, 4, 1), run(12, 4, 0, "free"), run(16, 1, 0, "table")]
    planted, without = canaries.plant(ram.map, BASE, runs, places, 1)
    assert [c.name for c in planted] == ["red's-RAM", "free-frame", "page-table", "hypervisor",
                                         "firmware", "bundle"]
    assert without == []
    one = planted[0]
    answer = {"first": one.data[:16]}
    assert canaries.landed(one, ram.map, BASE, answer, verdict.MARKER) == (True, False)
    ram.map[one.hpa - BASE:one.hpa - BASE + 64] = verdict.MARKER * 4
    assert canaries.landed(one, ram.map, BASE, {"first": bytes(16)}, verdict.MARKER) == (False,
                                                                                         True)
    assert canaries.landed(one, ram.map, BASE, None, verdict.MARKER) == (False, True)


def test_a_class_without_zeros_is_named(ram):
    ram.map[:] = b"\xff" * len(ram.map)
    planted, without = canaries.plant(ram.map, BASE, [run(8, 4, 1)], [], 1)
    assert planted == [] and "firmware" in without and "red's-RAM" in without


def test_many_holes_are_cut_out_as_a_loop_over_pages_would():
    dice = random.Random(5)
    runs = [judge.Run(n * 16, dice.randrange(1, 16), 1, "owned") for n in range(40)]
    holes = [(dice.randrange(640), dice.randrange(0, 9)) for _ in range(60)]
    gone = {first + n for first, pages in holes for n in range(pages)}
    kept = judge.without(reversed(runs), holes)
    assert judge.frames(kept, lambda r: True) == judge.frames(runs, lambda r: True) - gone
    assert sum(r.pages for r in kept) == len(judge.frames(kept, lambda r: True))


def test_a_file_that_cannot_be_written_is_refused_before_anything_starts(tmp_path):
    done = subprocess.run([sys.executable, TREE / "tools/run", "--json", tmp_path / "absent/x.json"],
                          stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "absent/x.json cannot be written: No such file or directory" in done.stderr


def test_a_file_of_results_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    report.try_json(path)
    assert list(tmp_path.iterdir()) == []
    report.write_json(path, {"verdict": "CONFINED"})
    before = path.read_text()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))  # as a full disk would
    try:
        with pytest.raises(OSError):
            report.write_json(path, {"much": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_text() == before and list(tmp_path.iterdir()) == [path]


def test_a_disk_without_room_is_refused_before_a_guest_writes_to_it(tmp_path):
    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20))
    done = subprocess.run([sys.executable, TREE / "tools/story/make-disk", tmp_path / "red.img"], preexec_fn=no_room,
                          stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "red.img (128 MiB) cannot be made" in done.stderr and "Traceback" not in done.stderr


def test_a_console_whose_log_cannot_be_written_says_so_at_once():
    ours, theirs = socket.socketpair()
    with open("/dev/full", "wb", buffering=0) as log, ours, theirs:
        console = Console(ours, log)
        theirs.sendall(b"[cordon] guests: 2\n")
        with pytest.raises(ConsoleTimeout, match="its log /dev/full cannot be written: No space left"):
            console.wait("guests", 60)
