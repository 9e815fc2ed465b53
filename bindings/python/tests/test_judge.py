"""The judge refuses what the specification does: each rule is broken once, alone."""
import pytest

from cordon.judge import Directory, judge_commands
from cordon.judge.tables import Leaf

ROOT, MIDDLE, LEAF, TOP, MSI = 0x1000, 0x2000, 0x3000, 0x4000, 0xc000
NEXT, LAST = 0x8000, 0x9000  # second-stage tables below the 16 KiB root at TOP
DEVICE = 3
DC = LEAF + DEVICE * 64
GOOD_LEAF = (0x80001000 >> 2) | 0xd7


@pytest.fixture
def memory():
    """A directory of three levels, one device, one 4 KiB and one 2 MiB leaf, an MSI table."""
    return {
        ROOT: MIDDLE >> 2 | 1, MIDDLE: LEAF >> 2 | 1,
        DC: 1, DC + 8: 8 << 60 | 7 << 44 | TOP >> 12,
        DC + 32: 1 << 60 | MSI >> 12, DC + 40: 3, DC + 48: 0x70000,
        TOP: NEXT >> 2 | 1, NEXT: LAST >> 2 | 1, LAST + 8: GOOD_LEAF,
        NEXT + 8: (0x80200000 >> 2) | 0xdf,
        MSI + 16: 0x28001000 >> 2 | 7,
    }


def verdicts(memory, ddtp=ROOT >> 2 | 4, extended=True):
    directory = Directory(lambda at: memory.get(at, 0), ddtp, extended)
    return directory, directory.judge()


def test_good_tables_are_read_as_they_stand(memory):
    directory, (judgement,) = verdicts(memory)
    assert not directory.broken and not judgement.broken
    assert (judgement.device_id, judgement.gscid) == (DEVICE, 7)
    assert set(judgement.leaves) == {Leaf(0x1000, 0x80001000, 0x1000, "rw"),
                                     Leaf(0x200000, 0x80200000, 0x200000, "rwx")}
    assert judgement.msis == {1: 0x28001000}
    assert judgement.pages == {TOP, TOP + 0x1000, TOP + 0x2000, TOP + 0x3000, NEXT, LAST, MSI}
    assert directory.pages == {ROOT, MIDDLE, LEAF}


@pytest.mark.parametrize("at, value", [
    (DC, 1 | 1 << 32), (DC, 1 | 1 << 7), (DC, 1 | 1 << 5),      # reserved, GADE, PDTV
    (DC + 8, TOP >> 12), (DC + 8, 8 << 60 | (TOP + 0x1000) >> 12),  # Bare; root not at 16 KiB
    (DC + 16, 1 << 12), (DC + 24, 8 << 60), (DC + 56, 1),
    (DC + 32, 2 << 60), (DC + 32, 1 << 60 | 1 << 44), (DC + 40, 1 << 52 | 3),
    (LAST + 8, GOOD_LEAF & ~0x10), (LAST + 8, GOOD_LEAF & ~0x40), (LAST + 8, GOOD_LEAF & ~0x80),
    (LAST + 8, GOOD_LEAF & ~2), (LAST + 8, GOOD_LEAF | 1 << 54), (LAST + 8, GOOD_LEAF | 1 << 63),
    (LAST + 8, 0x80001000 >> 2 | 1), (NEXT, LAST >> 2 | 1 | 0x40), (NEXT + 8, (0x80201000 >> 2) | 0xd7),
    (MSI + 16, 0x28001000 >> 2 | 3), (MSI + 16, 0x28001000 >> 2 | 7 | 1 << 60)])
def test_a_word_that_breaks_a_rule_is_named(memory, at, value):
    memory[at] = value
    _, (judgement,) = verdicts(memory)
    assert judgement.broken, f"{value:#x} at {at:#x} was accepted"


def test_reserved_bits_of_the_directory_are_named(memory):
    memory[MIDDLE] |= 1 << 60
    directory, _ = verdicts(memory)
    assert directory.broken


def test_base_contexts_are_read_in_their_own_format(memory):
    memory[LEAF + DEVICE * 32], memory[LEAF + DEVICE * 32 + 8] = memory.pop(DC), memory.pop(DC + 8)
    for at in (DC + 32, DC + 40, DC + 48):
        del memory[at]
    _, (judgement,) = verdicts(memory, extended=False)
    assert judgement.device_id == DEVICE and not judgement.broken and len(judgement.leaves) == 2


def test_an_off_or_bare_directory_holds_nothing(memory):
    assert verdicts(memory, ddtp=0)[1] == [] and verdicts(memory, ddtp=1)[1] == []


GOOD = [
    (0x81, 0), (0x81 | 1 << 33 | 5 << 44, 0), (0x81 | 1 << 33 | 1 << 10 | 5 << 44, 0x1234 << 10),
    (0x1, 0), (0x1 | 1 << 33 | 5 << 44, 0), (0x3, 0), (0x3 | 1 << 33 | 16 << 40, 0), (0x3002, 0),
    (0x3402 | 7 << 32, 0x8000_0000 >> 2)]
BAD = [
    (0x81 | 1 << 11, 0), (0x81 | 1 << 12, 0), (0x81 | 5 << 44, 0), (0x81 | 1 << 34, 0),
    (0x81 | 1 << 33 | 5 << 44, 0x1234 << 10), (0x81 | 1 << 33 | 1 << 10, 0x1234),
    (0x101, 0), (0x3 | 16 << 40, 0), (0x3 | 1 << 10, 0), (0x3, 1), (0x3 | 1 << 12, 0), (0x83, 0),
    (0x3802, 0), (0x3082, 0), (0x4, 0), (0x0, 0)]


@pytest.mark.parametrize("command", GOOD)
def test_commands_of_the_specification_pass(command):
    assert judge_commands([command]) == []


@pytest.mark.parametrize("command", BAD)
def test_commands_that_break_a_rule_are_named(command):
    assert len(judge_commands([command])) == 1
