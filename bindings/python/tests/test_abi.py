"""The generated interface is the headers' own: text, layouts, values and symbols."""
import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cordon import _abi
from cordon._lib import find
from cordon.errors import BY_CODE, LibraryError

ROOT = Path(__file__).resolve().parents[3]
INCLUDE = ROOT / "iommu/include"


def compiled(program, folder):
    """What a C program prints that includes the public header."""
    source = folder / "probe.c"
    head = "#include <cordon/cordon.h>\n#include <stdio.h>\nint main(void)\n{\n"
    source.write_text(head + program + "}\n")
    subprocess.run(["gcc", "-std=c11", f"-I{INCLUDE}", "-o", folder / "probe", source], check=True)
    return subprocess.run([folder / "probe"], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()


def test_generated_file_is_what_the_headers_say():
    made = subprocess.run([sys.executable, ROOT / "tools/gen-abi", "--check"], text=True,
                          stdout=subprocess.PIPE)
    assert made.returncode == 0, "run tools/gen-abi:\n" + made.stdout


def test_structs_have_the_compilers_layout(tmp_path):
    expected, program = [], []
    for name, struct in _abi.STRUCTS.items():
        kind = name if issubclass(struct, _abi.Address) else f"struct {name}"
        program.append(f'printf("{name} %zu\\n", sizeof({kind}));\n')
        expected.append(f"{name} {ctypes.sizeof(struct)}")
        for field, *_ in struct._fields_:
            place = getattr(struct, field)
            program.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({kind}, {field}), '
                           f'sizeof((({kind} *)0)->{field}));\n')
            expected.append(f"{name}.{field} {place.offset} {place.size}")
    assert compiled("".join(program), tmp_path) == expected


def test_constants_have_the_compilers_values(tmp_path):
    names = [name for name in vars(_abi) if name.startswith("CORDON_")]
    program = "".join(f'printf("%llu\\n", (unsigned long long){name});\n' for name in names)
    assert compiled(program, tmp_path) == [str(getattr(_abi, name)) for name in names]


def test_every_public_function_has_a_prototype_and_a_symbol():
    marked = set()
    for header in (INCLUDE / "cordon").glob("*.h"):
        marked |= set(re.findall(r"^CORDON_API[^;]*?\b(cordon_\w+)\s*\(", header.read_text(), re.M))
    assert marked == {name for name, *_ in _abi.PROTOTYPES}
    try:
        symbols = subprocess.run(["nm", "-D", "--defined-only", find()], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
    except LibraryError as why:
        pytest.skip(str(why))
    exported = {line.split()[2].partition("@")[0] for line in symbols.splitlines() if line.split()[1] == "T"}
    assert exported == marked


def test_every_error_code_has_an_exception():
    codes = {value for name, value in vars(_abi).items()
             if name.startswith("CORDON_E") and name not in ("CORDON_EXEC", "CORDON_ERROR_LAST")}
    assert codes == set(BY_CODE)
