"""Shape: tables counted, beside what somebody finds who walks to each leaf."""
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon import PAGE, Context, Domain, InvalidArgument

MIB = 1 << 20


@pytest.fixture
def domain(context):
    with context.domain(1 << 41) as domain:
        yield domain


def counted(domain: Domain):
    """(leaves by level, words that a walk to each byte reads on average), the long way."""
    found, words, total = [0] * 3, 0, 0
    for leaf in domain.leaves():
        found[leaf.level] += 1
        words += leaf.len * len(domain.walk(leaf.gpa).steps)
        total += leaf.len
    return tuple(found), words / total if total else 0.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([PAGE, 3 * PAGE, 2 * MIB])), max_size=8))
def test_counts_are_those_of_the_leaves(grants):
    with Context(32 * MIB) as context, context.domain(1 << 41) as domain:
        for place, size in grants:
            if not any(r.gpa.v < place * 4 * MIB + size and place * 4 * MIB < r.gpa.v + r.len for r in domain.regions()):
                domain.grant(place * 4 * MIB, context.alloc(size, align=size & -size), "rw")
        shape = domain.shape()
        leaves, mean = counted(domain)
        assert shape.leaves == leaves
        assert shape.mean_walk == pytest.approx(mean)
        assert shape.mapped == sum(leaf.len for leaf in domain.leaves())
        end = max((r.gpa.v + r.len for r in domain.regions()), default=0)
        assert shape.flat_bytes == end // PAGE * 8


def test_a_fill_reads_as_many_words_as_the_specification_says(context, domain):
    domain.grant(0, context.alloc(PAGE), "rw")
    assert domain.shape().fill_reads("Sv39") == (15, 15)
    assert domain.shape().fill_reads("Sv57") == (23, 23)
    assert domain.shape().fill_reads("bare") == (3, 3)
    assert domain.shape().fill_reads("Sv39", guest_level=1) == (11, 11)
    domain.grant(2 * MIB, context.alloc(2 * MIB, align=2 * MIB), "rw")
    assert domain.shape().fill_reads("Sv39") == (11, 15)


def test_it_is_told_in_words_and_as_data(context, domain):
    assert domain.shape().fill_reads() == (0, 0) and domain.shape().mean_walk == 0
    domain.grant(1 << 40, context.alloc(PAGE), "rw")
    text = str(domain.shape())
    assert "Sv39x4: 24,576 bytes of tables for 4,096 bytes" in text and "level 0: 1 tables; 1 leaves of 4K" in text
    assert json.loads(json.dumps(domain.shape().to_json()))["flat_bytes"] == ((1 << 40) + PAGE) // PAGE * 8


def test_nonsense_is_refused(domain):
    with pytest.raises(InvalidArgument):
        domain.shape(view=3)
    with pytest.raises(ValueError, match="no mode of satp; there are: bare, Sv39"):
        domain.shape().fill_reads("Sv64")
