"""A guest's own tables, walked by the library and by the literal judge; four kinds of address in one answer."""
import json
import random

import pytest
from hypothesis import given, settings, strategies

from cordon import PAGE, Context, GpaEnd, GvaEnd, InvalidArgument, Rules
from cordon.judge import HartRules, HartWalker

RAM, REGISTERS, READ_ONLY, EXEC_ONLY, HOLE = (0x4000_0000 * n for n in range(1, 6))
TABLES = 6
INDEXES = (0, 1, 256, 511)
PLACES = [(table, index) for table in range(TABLES) for index in INDEXES]
TARGETS = [*(RAM + n * PAGE for n in range(16)), *(RAM + n * PAGE for n in range(TABLES)), REGISTERS, READ_ONLY,
           EXEC_ONLY, HOLE, RAM - PAGE, 1 << 41, (1 << 56) - PAGE, 0]
V, R, W, X, U, A, D = (1 << n for n in (0, 1, 2, 3, 4, 6, 7))


class Guest:
    """A guest of 16 pages in pieces, registers, a page that it can only read and one it can only execute."""

    def __init__(self):
        self.context = Context("8M")
        self.context.resource_add(0x1000_0000, PAGE)
        self.domain = self.context.domain(1 << 41)
        for n in range(16):
            self.domain.grant(RAM + (15 - n) * PAGE, self.context.alloc(PAGE), "rwx")
        self.domain.grant(REGISTERS, [(0x1000_0000, PAGE)], "rw", mmio=True)
        self.domain.grant(READ_ONLY, self.context.alloc(PAGE), "r")
        self.domain.grant(EXEC_ONLY, self.context.alloc(PAGE), "x")
        self.frames = [self.domain.translate(RAM + n * PAGE).hpa for n in range(16)]
        self.judge = HartWalker(self.context.read)

    def fill(self, words):
        for (table, index), word in zip(PLACES, words):
            self.context.write(self.frames[table] + 8 * index, word.to_bytes(8, "little"))

    def both(self, gva, satp, access, rules):
        """The library's answer, after the judge has said the same."""
        walk = self.domain.walk_guest(gva, satp, access, rules)
        said = self.judge.gva(satp, self.domain.hgatp, gva, access, HartRules(**vars(rules)))
        ours = walk.cause, walk.hpa and walk.hpa.v, [(s.hpa.v, s.value) for s in walk.steps]
        theirs = said.cause, said.hpa, [(s.address, s.word) for s in said.steps if s.stage == "S"]
        assert ours == theirs, f"{walk}\n{said}"
        assert said.gpa is None or walk.gpa.v == said.gpa
        return walk


@pytest.fixture(scope="module")
def guest():
    made = Guest()
    with made.context:
        yield made


def canonical(mode, indexes, offset):
    width = {8: 39, 9: 48, 10: 57}[mode]
    address = sum(index << 12 + 9 * level for level, index in enumerate(indexes[:mode - 5])) | offset
    return address | (-(address >> width - 1) << width & (1 << 64) - 1)


def word_of(pick, chance):
    """A word: mostly one that leads on, or a leaf; any bit may be another."""
    target = pick(TARGETS) >> 2
    kind = pick(("table", "table", "leaf", "leaf", "user", "fixed", "clean", "fresh", "none"))
    word = {"table": V, "leaf": V | R | W | X | A | D, "user": V | R | X | U | A,
            "fixed": V | R | A | 1 << 63 | 8 << 10,
            "clean": V | R | W | A, "fresh": V | R | W | X, "none": 0}[kind] | target
    for bit in range(64):
        word ^= chance(bit) << bit
    return word


FLAGS = strategies.builds(Rules, *[strategies.booleans()] * 6)
WORDS = strategies.lists(strategies.builds(
    lambda target, kind, noise: target >> 2 | kind ^ noise, strategies.sampled_from(TARGETS),
    strategies.sampled_from([V, V, V | R | W | X | A | D, V | R | X | U | A, V | R | A | 1 << 63 | 8 << 10, 0]),
    strategies.sampled_from([0, 0, 0, 0, *(1 << n for n in range(64))])), min_size=len(PLACES), max_size=len(PLACES))


@given(words=WORDS, mode=strategies.sampled_from([8, 9, 10]), root=strategies.sampled_from(TARGETS),
       indexes=strategies.lists(strategies.sampled_from(INDEXES), min_size=5, max_size=5),
       offset=strategies.integers(0, PAGE - 1), access=strategies.sampled_from("rwx"), rules=FLAGS)
@settings(max_examples=150, deadline=None)
def test_library_and_judge_agree_on_any_tables(guest, words, mode, root, indexes, offset, access, rules):
    guest.fill(words)
    guest.both(canonical(mode, indexes, offset), mode << 60 | root >> 12, access, rules)


@given(gva=strategies.integers(0, (1 << 64) - 1), satp=strategies.integers(0, (1 << 64) - 1),
       access=strategies.sampled_from("rwx"), rules=FLAGS)
@settings(max_examples=200, deadline=None)
def test_any_satp_and_any_address_have_an_answer(guest, gva, satp, access, rules):
    walk = guest.domain.walk_guest(gva, satp, access, rules)
    assert walk.leads == (walk.cause == 0) and walk.reason and json.dumps(walk.to_json())
    assert (walk.end is GvaEnd.MODE) == (satp >> 60 not in (0, 8, 9, 10))


def test_every_end_is_met_and_judged_alike(guest):
    """Many small worlds from one seed: none of the reasons is left out."""
    rng = random.Random(4)
    ends, maps, modes = set(), set(), (8, 9, 10)
    for _ in range(1500):
        guest.fill([word_of(rng.choice, lambda bit: rng.random() < 0.004) for _ in PLACES])
        mode = rng.choice(modes)
        gva = canonical(mode, [rng.choice(INDEXES) for _ in range(5)], rng.randrange(PAGE))
        gva ^= (rng.random() < 0.05) << 63
        for access in "rwx":
            rules = Rules(*(rng.random() < 0.5 for _ in range(6)))
            walk = guest.both(gva, mode << 60 | RAM >> 12, access, rules)
            ends.add(walk.end)
            maps.add(walk.map)
            assert len(walk.steps) <= mode - 5 and walk.reason and walk.chain()
    assert ends == set(GvaEnd) - {GvaEnd.MODE}
    assert maps >= set(GpaEnd) - {GpaEnd.ABSENT, GpaEnd.CORRUPT}


def test_an_answer_tells_all_four_addresses(guest):
    guest.fill([0] * len(PLACES))
    for table, word in ((0, V | RAM + PAGE >> 2), (1, V | RAM + 2 * PAGE >> 2), (2, V | R | A | RAM + 9 * PAGE >> 2)):
        guest.context.write(guest.frames[table] + 8, word.to_bytes(8, "little"))
    guest.context.write(guest.frames[9], b"here")
    walk = guest.domain.walk_guest(0x4020_1000, 8 << 60 | RAM >> 12, "r")
    assert (walk.gpa.v, walk.hpa) == (RAM + 9 * PAGE, guest.frames[9])
    offset = walk.steps[0].hva - walk.steps[0].hpa.v
    assert walk.hva == walk.hpa.v + offset and guest.context.read(walk.hpa, 4) == b"here"
    assert walk.chain() == f"GVA 0x40201000 -> GPA {walk.gpa.v:#x} -> HVA {walk.hva:#x} -> HPA {walk.hpa.v:#x}"
    text = str(walk)
    assert "supervisor, Sv39, root GPA 0x40000000" in text and "-a----rv" in text and "view 0, Sv39x4" in text
    plain = json.loads(json.dumps(walk.to_json()))
    assert [s["gpa"] for s in plain["steps"]] == [RAM + n * PAGE + 8 for n in range(3)]
    assert (plain["hpa"], plain["gstage"]["hpa"], plain["region"]["gpa"]) == (walk.hpa.v, walk.hpa.v, RAM)
    walk = guest.domain.walk_guest(0x4020_1000, 8 << 60 | RAM >> 12, "w", Rules(adue=True))
    assert walk.reason == "cause 15: the leaf allows r--, not -w-" and walk.hpa is None
    assert walk.chain() == "GVA 0x40201000 -> nowhere"


def test_a_gpa_is_its_own_way(guest):
    walk = guest.domain.walk_guest(RAM + 8)
    assert walk.mode == "Bare" and walk.hpa == guest.frames[0] + 8 and walk.steps == ()
    walk = guest.domain.walk_guest(REGISTERS)
    assert walk.hva is None and walk.reason == "leads to registers at HPA 0x10000000"
    assert guest.domain.walk_guest(HOLE).reason == f"cause 21: the page at GPA {HOLE:#x}: the map has nothing there"


def test_a_page_that_was_not_touched_yet_is_told_and_not_brought():
    with Context("8M") as context, context.domain(1 << 41) as domain:
        domain.demand(RAM, "64K")
        walk = domain.walk_guest(RAM + 8, 0, "w")
        assert (walk.end, walk.map, walk.hva) == (GvaEnd.NO_PAGE, GpaEnd.ABSENT, None)
        assert walk.reason == (f"cause 23: the page at GPA {RAM + 8:#x}: the map has it, and no frame stands there yet: "
                               "not touched")
        domain.touch(RAM + 8, "w")
        assert domain.walk_guest(RAM + 8, 0, "w").leads


def test_two_kinds_of_access_at_once_are_refused(guest):
    with pytest.raises(InvalidArgument):
        guest.domain.walk_guest(0, 0, "rw")


def test_rules_are_the_librarys_flags():
    for bit, name in enumerate(("user", "sum", "mxr", "adue", "pbmt", "napot")):
        assert Rules(**{name: True}).flags == 1 << bit and Rules.of(1 << bit) == Rules(**{name: True})
