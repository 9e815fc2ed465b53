"""Walks told word by word, leaves and regions in order."""
import json

import pytest

from cordon import PAGE, Gpa, InvalidArgument, Perm, WalkEnd

GPA = 0x1_0020_1000


@pytest.fixture
def domain(context):
    with context.domain(1 << 41) as domain:
        yield domain


def word_at(context, hpa):
    return int.from_bytes(context.read(hpa, 8), "little")


def test_a_walk_tells_the_words_that_memory_holds(context, domain):
    frame = context.alloc(PAGE)
    domain.grant(GPA, frame, "rw")
    walk = domain.walk(GPA + 8, "w")
    assert (walk.end, walk.mode, walk.hpa) == (WalkEnd.LEADS, "Sv39x4", frame.hpa + 8)
    assert [s.index for s in walk.steps] == [4, 1, 1]
    assert [s.value for s in walk.steps] == [word_at(context, s.word) for s in walk.steps]
    assert str(walk).count("\n") == 4 and f"leads to {frame.hpa.v + 8:#x}, rw-" in str(walk)


@pytest.mark.parametrize("gpa, access, end, words, told", [
    (GPA, "w", WalkEnd.RIGHTS, 3, "allows r--, not -w-"),
    (GPA + PAGE, "r", WalkEnd.EMPTY, 3, "nothing stands here at level 0"),
    (0, "r", WalkEnd.EMPTY, 1, "nothing stands here at level 2"),
    (1 << 41, "r", WalkEnd.WIDTH, 0, "beyond what Sv39x4 can address"),
])
def test_a_fault_is_an_answer_with_its_reason(context, domain, gpa, access, end, words, told):
    domain.grant(GPA, context.alloc(PAGE), "r")
    walk = domain.walk(gpa, access)
    assert walk.end is end and len(walk.steps) == words and told in walk.reason


def test_a_walk_as_json_has_plain_numbers(context, domain):
    frame = context.alloc(PAGE)
    domain.grant(GPA, frame, "rw")
    plain = json.loads(json.dumps(domain.walk(GPA, "r").to_json()))
    assert (plain["gpa"], plain["hpa"], plain["end"], plain["perms"]) == (GPA, frame.hpa.v, "LEADS", "rw-")
    assert plain["steps"][2]["word"] == domain.walk(GPA).steps[2].word.v


def test_leaves_and_regions_come_in_order(context, domain):
    low, high = context.alloc("8K"), context.alloc("2M", align="2M")
    domain.grant(0x4000_0000, high, "rw")
    domain.grant(0x1000, low, "rx")
    assert [(r.gpa.v, r.len) for r in domain.regions()] == [(0x1000, 0x2000), (0x4000_0000, 0x20_0000)]
    assert [(leaf.gpa, leaf.hpa, leaf.len, leaf.perms) for leaf in domain.leaves()] == [
        (Gpa(0x1000), low.hpa, PAGE, Perm.of("rx")), (Gpa(0x2000), low.hpa + PAGE, PAGE, Perm.of("rx")),
        (Gpa(0x4000_0000), high.hpa, 0x20_0000, Perm.RW)]


def test_an_unknown_view_is_refused(domain):
    with pytest.raises(InvalidArgument):
        domain.walk(0, view=7)
    with pytest.raises(InvalidArgument):
        list(domain.leaves(view=7))
