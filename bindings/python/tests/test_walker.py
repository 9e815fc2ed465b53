"""The walker follows tables made by hand, and stops where the specification says, with its cause."""
import pytest

from cordon.judge import Unsupported, Walker

CAPS = 56 << 32 | 0xe << 16 | 0xe << 8 | 0x10 | 1 << 22  # Sv39..57, x4, MSI_FLAT, 56-bit PAS
D2, D1, D0, G, G1, G0, S2, S1, S0, M = (n << 14 for n in range(1, 11))
DEVICE, DC = 0x12345, D0 + 64 * 5
GPA, HPA = 0x40_0000_3000, 0x8_0000_7000
LEAF = 0xdf
INDEX = GPA >> 30


def to(page, flags=1):
    return page >> 2 | flags


@pytest.fixture
def memory():
    """Three levels of directory, Sv39x4 from a root that has more than 512 words."""
    return {D2 + 8 * (DEVICE >> 15): to(D1), D1 + 8 * (DEVICE >> 6 & 511): to(D0),
            DC: 1, DC + 8: 8 << 60 | 9 << 44 | G >> 12,
            DC + 32: 1 << 60 | M >> 12, DC + 40: 0b101, DC + 48: 0x28000,
            M + 16 * 3: to(0x2800_5000, 7), M + 16 * 3 + 8: 0, M + 16: 0, M + 24: 0,
            G + 8 * INDEX: to(G1), G1: to(G0), G1 + 8: to(0x4020_0000, LEAF), G0 + 24: to(HPA, LEAF)}


def walk(memory, iova=GPA + 8, access="r", device=DEVICE, ddtp=None, caps=CAPS):
    registers = {0: caps, 8: 0, 0x10: to(D2, 4) if ddtp is None else ddtp}

    def read(at, length):
        if at >> 14 not in range(1, 11):
            raise IndexError(at)
        return memory.get(at, 0).to_bytes(length, "little")
    return Walker(read, lambda offset, width: registers[offset]).walk(device, iova, access)


def test_a_good_walk_tells_every_word(memory):
    trail = walk(memory)
    assert (trail.hpa, trail.cause) == (HPA + 8, 0)
    assert [(s.stage, s.level, s.index) for s in trail.steps if s.stage == "G"] == [
        ("G", 2, INDEX), ("G", 1, 0), ("G", 0, 3)]
    assert all(memory.get(s.address, 0) == s.word for s in trail.steps)
    assert [s.index for s in trail.steps[:3]] == [DEVICE >> 15, DEVICE >> 6 & 511, 5]
    assert trail.steps[-1].flags == "da-uxwrv" and f"leads to {HPA + 8:#x}" in str(trail)


def test_a_superpage_keeps_its_low_bits(memory):
    assert walk(memory, GPA - 0x3000 + 0x2a_bcde).hpa == 0x402a_bcde


def test_a_run_of_64_kib_keeps_sixteen_bits(memory):
    memory[G0 + 24] = to(0x8_0000_8000, LEAF) | 1 << 63
    assert walk(memory).hpa == 0x8_0000_3008


@pytest.mark.parametrize("ddtp, cause", [(0, 256), (1, 0)])
def test_off_stops_and_bare_passes(memory, ddtp, cause):
    trail = walk(memory, ddtp=ddtp)
    assert trail.cause == cause and trail.hpa == (None if cause else GPA + 8)


@pytest.mark.parametrize("levels, device, cause", [
    (1, 5, 0), (1, 64, 260), (2, 5 | 1 << 6, 0), (2, 1 << 15, 260), (3, 1 << 24, 260)])
def test_directories_of_fewer_levels_take_narrower_ids(memory, levels, device, cause):
    memory[D1 + 8] = to(D0)
    trail = walk(memory, device=device, ddtp=to({1: D0, 2: D1, 3: D2}[levels], levels + 1))
    assert trail.cause == cause


def test_base_contexts_are_32_bytes_and_have_no_msi_table(memory):
    memory[D0 + 32 * 5], memory[D0 + 32 * 5 + 8] = memory[DC], memory[DC + 8]
    assert walk(memory, device=5, ddtp=to(D0, 2), caps=CAPS & ~(1 << 22)).hpa == HPA + 8
    assert walk(memory, device=128, ddtp=to(D0, 2), caps=CAPS & ~(1 << 22)).cause == 260


@pytest.mark.parametrize("at, value, cause", [
    (D2 + 8 * (DEVICE >> 15), 0, 258), (D2 + 8 * (DEVICE >> 15), to(D1, 3), 259),
    (D2 + 8 * (DEVICE >> 15), to(1 << 40), 257), (DC, 0, 258),
    (DC, 1 | 1 << 12, 259), (DC, 1 | 1 << 32, 259), (DC, 3, 259), (DC, 1 | 1 << 7, 259),
    (DC, 1 | 1 << 9, 259), (DC, 1 | 1 << 10, 259), (DC + 8, 7 << 60 | G >> 12, 259),
    (DC + 8, 8 << 60 | (G >> 12) + 1, 259), (DC + 8, 0, 259), (DC + 16, 1, 259),
    (DC + 16, 1 << 40, 259), (DC + 24, 1 << 44, 259), (DC + 24, 5 << 60, 259),
    (DC + 32, 2 << 60, 259), (DC + 40, 1 << 52, 259), (DC + 40, 1 << 47, 259), (DC + 56, 1, 259),
    (G + 8 * INDEX, 0, 21), (G + 8 * INDEX, to(G1, 0x41), 21), (G + 8 * INDEX, to(1 << 40), 5),
    (G1, to(G0, 0x11), 21), (G0 + 24, to(HPA, 0xdd), 21), (G0 + 24, to(HPA, 0xcf), 21),
    (G0 + 24, to(HPA, 0x9f), 21), (G0 + 24, to(HPA, LEAF) | 1 << 60, 21),
    (G0 + 24, to(HPA, LEAF) | 1 << 61, 21), (G0 + 24, to(HPA, LEAF) | 1 << 63, 21),
    (G0 + 24, to(HPA), 21), (G1, to(HPA, LEAF), 21)])
def test_a_word_that_breaks_a_rule_stops_the_walk(memory, at, value, cause):
    memory[at] = value
    trail = walk(memory)
    assert trail.cause == cause and trail.hpa is None, trail


@pytest.mark.parametrize("access, clear, cause", [
    ("r", 2, 21), ("w", 4, 23), ("x", 8, 20), ("w", 0x80, 23), ("r", 0x80, 0), ("x", 2, 0)])
def test_rights_are_those_of_the_access(memory, access, clear, cause):
    memory[G0 + 24] &= ~(clear | (4 if clear == 2 else 0))
    assert walk(memory, access=access).cause == cause


@pytest.mark.parametrize("mode, levels, width", [(8, 3, 41), (9, 4, 50), (10, 5, 59)])
def test_each_second_stage_has_its_depth_and_width(memory, mode, levels, width):
    memory[DC + 8], memory[DC + 32] = mode << 60 | G >> 12, 0
    top, inner = 12 + 9 * (levels - 1), [G1, G0, S2, S1][:levels - 1]
    address = 2047 << top | 0x3008
    memory[G + 8 * 2047] = to(inner[0])
    for table, following in zip(inner, inner[1:]):
        memory[table] = to(following)
    memory[inner[-1] + 24] = to(HPA, LEAF)
    assert walk(memory, address).hpa == HPA + 8
    assert walk(memory, 1 << width).cause == 21 and not [
        s for s in walk(memory, 1 << width).steps if s.stage == "G"]


@pytest.mark.parametrize("mode, levels", [(8, 3), (9, 4), (10, 5)])
def test_each_first_stage_has_its_depth_and_is_sign_extended(memory, mode, levels):
    tables = [S2, S1, S0, G1, G0][:levels]
    memory.clear()
    memory.update({D0 + 64 * 5: 1, D0 + 64 * 5 + 24: mode << 60 | tables[0] >> 12})
    for table, following in zip(tables, tables[1:]):
        memory[table + 8 * 511] = to(following)
    memory[tables[-1] + 8 * 511] = to(HPA, LEAF)
    top = (1 << 64) - 0x1000 | 8
    assert walk(memory, top, device=5, ddtp=to(D0, 2)).hpa == HPA + 8
    for access, cause in (("r", 13), ("w", 15), ("x", 12)):
        assert walk(memory, top & ~(1 << 63), access, device=5, ddtp=to(D0, 2)).cause == cause
        assert walk(memory, 8, access, device=5, ddtp=to(D0, 2)).cause == cause


@pytest.fixture
def nested(memory):
    """First-stage tables at guest addresses: guest 2 MiB + n stands at n."""
    memory[DC + 24] = 8 << 60 | (0x20_0000 + S2) >> 12
    memory[DC + 32] = 0
    memory[G] = to(G1)
    memory[G1 + 8] = to(0, LEAF)
    memory[S2] = to(0x20_0000 + S1)
    memory[S1] = to(0x20_0000 + S0)
    memory[S0 + 8] = to(GPA, LEAF)
    return memory


def test_a_nested_walk_reads_each_first_stage_word_through_the_second(nested):
    trail = walk(nested, 0x1008)
    assert (trail.gpa, trail.hpa) == (GPA + 8, HPA + 8), trail
    assert [s.stage for s in trail.steps if s.stage != "D"] == (["S.G", "S.G", "S"] * 3 + ["G"] * 3)


def test_a_nested_walk_stops_at_either_stage_with_its_own_cause(nested):
    nested[S0 + 8] &= ~4
    assert walk(nested, 0x1008, "w").cause == 15
    nested[S0 + 8], nested[G0 + 24] = to(GPA, LEAF), 0
    assert walk(nested, 0x1008, "w").cause == 23
    nested[G1 + 8] = to(0, LEAF & ~2 & ~4)  # the tables themselves can only be executed
    assert walk(nested, 0x1008, "x").cause == 20


@pytest.mark.parametrize("file, entry, access, cause", [
    (3, None, "w", 0), (3, None, "x", 1), (1, None, "w", 262), (3, to(0x2800_5000, 1), "w", 263),
    (3, to(0x2800_5000, 15), "w", 263), (3, to(0x2800_5000, 7) | 1 << 63, "w", 263)])
def test_msis_go_by_their_own_table(memory, file, entry, access, cause):
    if entry is not None:
        memory[M + 16 * file] = entry
    iova = (0x28000 | (file & 1) | (file & 2) << 1) << 12 | 4
    trail = walk(memory, iova, access)
    assert trail.cause == cause and trail.hpa == (None if cause else 0x2800_5004), trail


def test_a_table_of_msis_outside_memory_is_told(memory):
    memory[DC + 32] = 1 << 60 | 1 << 30
    assert walk(memory, 0x2800_0000, "w").cause == 261


def test_silenced_faults_are_those_of_the_specification(memory):
    memory[DC] = 1 | 1 << 4
    assert not walk(memory, 0).reported and walk(memory, 0).cause == 21
    memory[DC + 56] = 1
    assert walk(memory, 0).cause == 259


@pytest.mark.parametrize("at, value", [(DC, 1 | 1 << 5 | 1 << 9), (M + 48, 3)])
def test_what_is_not_judged_is_refused_by_name(memory, at, value):
    memory[at] = value
    with pytest.raises(Unsupported):
        walk(memory, 0x2800_5000 if at != DC else GPA, "w")


def test_an_unknown_access_is_refused(memory):
    with pytest.raises(ValueError, match="access"):
        walk(memory, access="rw")
