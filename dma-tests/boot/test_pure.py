"""Pure functions of the hypervisor, on this machine: hashing, and decoding of guests' instructions."""
import ctypes
import hashlib
import subprocess

import pytest
from hypothesis import given, settings, strategies

from machine import CROSS, TREE


@pytest.fixture(scope="module")
def pure(tmp_path_factory):
    path = tmp_path_factory.mktemp("pure") / "pure.so"
    subprocess.run(["gcc", "-std=c11", "-O1", "-shared", "-fPIC", "-fsanitize=undefined",
                    "-fno-sanitize-recover=all", f"-I{TREE / 'hyp'}", f"-I{TREE / 'iommu/include'}",
                    "-o", path, TREE / "hyp/core/sha256.c", TREE / "hyp/vcpu/decode.c"], check=True)
    return ctypes.CDLL(str(path))


def digest(pure, data):
    out = ctypes.create_string_buffer(32)
    pure.sha256(data, ctypes.c_size_t(len(data)), out)
    return out.raw


def test_sha256_of_every_length_around_blocks(pure):
    for length in range(0, 200):
        data = bytes(range(256))[:length]
        assert digest(pure, data) == hashlib.sha256(data).digest(), length


@settings(max_examples=200)
@given(data=strategies.binary(max_size=5000))
def test_sha256_of_anything(pure, data):
    assert digest(pure, data) == hashlib.sha256(data).digest()


class Access(ctypes.Structure):
    _fields_ = [("store", ctypes.c_bool), ("sign", ctypes.c_bool), ("width", ctypes.c_uint8),
                ("reg", ctypes.c_uint8), ("length", ctypes.c_uint8)]


def decode(pure, word, function="decode_access"):
    """(store, sign, width, reg, length), or None."""
    out = Access()
    call = getattr(pure, function)
    call.restype = ctypes.c_bool
    argument = ctypes.c_uint32 if function == "decode_access" else ctypes.c_uint64
    return (out.store, bool(out.sign), out.width, out.reg, out.length) \
        if call(argument(word), ctypes.byref(out)) else None


def assemble(lines, folder):
    """The encodings of assembler LINES, one each, by the assembler."""
    source, obj, raw = folder / "a.s", folder / "a.o", folder / "a.bin"
    source.write_text("\n".join(f"    {line}\n    .balign 8" for line in lines) + "\n")
    subprocess.run([CROSS + "gcc", "-march=rv64gc", "-c", "-x", "assembler", source, "-o", obj], check=True)
    subprocess.run([CROSS + "objcopy", "-O", "binary", obj, raw], check=True)
    words = []
    for at in range(0, len(lines) * 8, 8):
        word = int.from_bytes(raw.read_bytes()[at:at + 4], "little")
        words.append(word if word & 3 == 3 else word & 0xffff)
    return words


ADDRESS_OFFSET = 0x1f << 15  # in a transformed instruction, where rs1 was
WIDE = [("lb", 1, True), ("lh", 2, True), ("lw", 4, True), ("ld", 8, True),
        ("lbu", 1, False), ("lhu", 2, False), ("lwu", 4, False)]


def test_loads_and_stores_of_all_widths_and_registers(pure, tmp_path):
    loads = [(f".option norvc; {op} x{reg}, -8(x{31 - reg})", (False, sign, width, reg, 4))
             for op, width, sign in WIDE for reg in (0, 5, 9, 31)]
    stores = [(f".option norvc; {op} x{reg}, 16(x{31 - reg})", (True, False, width, reg, 4))
              for op, width in (("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)) for reg in (0, 6, 18, 30)]
    cases = loads + stores
    for word, (line, want) in zip(assemble([line for line, _ in cases], tmp_path), cases):
        assert decode(pure, word) == want, line
        plain = word & ~ADDRESS_OFFSET
        assert decode(pure, plain, "decode_transformed") == want, line
        short = (*want[:4], 2)
        assert decode(pure, plain & ~2, "decode_transformed") == short, line
        crossing = plain | 5 << 15  # it began five bytes before, on another page
        assert decode(pure, crossing, "decode_transformed") is None, line


def test_compressed_loads_and_stores(pure, tmp_path):
    cases = [("c.lw x9, 4(x10)", (False, True, 4, 9, 2)), ("c.ld x15, 8(x8)", (False, True, 8, 15, 2)),
             ("c.sw x8, 64(x15)", (True, False, 4, 8, 2)), ("c.sd x12, 120(x9)", (True, False, 8, 12, 2)),
             ("c.lwsp x31, 12(sp)", (False, True, 4, 31, 2)),
             ("c.ldsp x1, 16(sp)", (False, True, 8, 1, 2)),
             ("c.swsp x30, 20(sp)", (True, False, 4, 30, 2)),
             ("c.sdsp x0, 24(sp)", (True, False, 8, 0, 2))]
    for word, (line, want) in zip(assemble([line for line, _ in cases], tmp_path), cases):
        assert decode(pure, word) == want, line


@pytest.mark.parametrize("word, want", [
    (0x8000 | 1 << 2 | 2 << 7, (False, False, 1, 9, 2)),           # c.lbu x9, 0(x10)
    (0x8400 | 7 << 2, (False, False, 2, 15, 2)),                   # c.lhu x15, 0(x8)
    (0x8440 | 0 << 2, (False, True, 2, 8, 2)),                     # c.lh x8, 0(x8)
    (0x8800 | 3 << 2, (True, False, 1, 11, 2)),                    # c.sb x11, 0(x8)
    (0x8c00 | 4 << 2, (True, False, 2, 12, 2)),                    # c.sh x12, 0(x8)
    (0x8c40 | 4 << 2, None), (0x9000, None)])
def test_compressed_narrow_accesses_of_zcb(pure, word, want):
    assert decode(pure, word) == want


def test_what_is_no_plain_access_is_refused(pure, tmp_path):
    lines = ["flw f1, 0(x1)", "fld f9, 0(x9)", "fsd f9, 8(x9)", "c.fldsp f1, 0(sp)", "c.fsd f8, 0(x8)",
             "amoadd.w x5, x6, (x7)", "lr.d x5, (x6)", "sc.w x5, x6, (x7)", "addi x5, x6, 1", "ecall",
             "c.nop", "jal x1, .", "fence"]
    for word, line in zip(assemble(lines, tmp_path), lines):
        assert decode(pure, word) is None, line


def test_pseudoinstructions_of_the_page_walk_are_no_accesses(pure):
    for word in (0, 0x2000, 0x2020, 0x3000, 0x3020):
        assert decode(pure, word, "decode_transformed") is None
