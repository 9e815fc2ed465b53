"""The generated interface is the headers' own: text, layouts, values and symbols."""
import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cordon import _abi
from cordon._lib import Library, find
from cordon.errors import BY_CODE, LibraryError
from cordon.model import _abi as model_abi
from cordon.model import _lib as model_lib

ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = {
    "cordon": (_abi, ROOT / "iommu/include", "cordon/cordon.h", "cordon/*.h", "CORDON_API"),
    "cordon-model": (model_abi, ROOT / "vdev/model", "cordon_sg.h", "cordon_*.h", "CORDON_MODEL_API"),
}

VARIABLES = {"cordon": "CORDON_LIB", "cordon-model": "CORDON_MODEL_LIB"}


@pytest.fixture(params=LIBRARIES)
def library(request):
    """(name, generated module, headers' folder, header, headers, mark)"""
    return request.param, *LIBRARIES[request.param]


def compiled(program, folder, include, header):
    """What a C program prints that includes the public header."""
    source = folder / "probe.c"
    head = f"#include <{header}>\n#include <stdio.h>\nint main(void)\n{{\n"
    source.write_text(head + program + "}\n")
    subprocess.run(["gcc", "-std=c11", f"-I{include}", "-o", folder / "probe", source], check=True)
    return subprocess.run([folder / "probe"], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()


def test_generated_file_is_what_the_headers_say():
    made = subprocess.run([sys.executable, ROOT / "tools/gen-abi", "--check"], text=True,
                          stdout=subprocess.PIPE)
    assert made.returncode == 0, "run tools/gen-abi:\n" + made.stdout


def test_structs_have_the_compilers_layout(library, tmp_path):
    _, abi, include, header, *_ = library
    expected, program = [], []
    for name, struct in abi.STRUCTS.items():
        kind = name if issubclass(struct, _abi.Address) else f"struct {name}"
        program.append(f'printf("{name} %zu\\n", sizeof({kind}));\n')
        expected.append(f"{name} {ctypes.sizeof(struct)}")
        for field, *_ in struct._fields_:
            place = getattr(struct, field)
            program.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({kind}, {field}), '
                           f'sizeof((({kind} *)0)->{field}));\n')
            expected.append(f"{name}.{field} {place.offset} {place.size}")
    assert expected and compiled("".join(program), tmp_path, include, header) == expected


def test_constants_have_the_compilers_values(library, tmp_path):
    _, abi, include, header, *_ = library
    names = [name for name in vars(abi) if name.startswith("CORDON_")]
    program = "".join(f'printf("%lld\\n", (long long){name});\n' for name in names)
    found = compiled(program, tmp_path, include, header)
    assert [int(value) % (1 << 64) for value in found] == [getattr(abi, name) % (1 << 64) for name in names]


def test_every_public_function_has_a_prototype_and_a_symbol(library):
    name, abi, include, _, headers, mark = library
    marked = set()
    for path in include.glob(headers):
        marked |= set(re.findall(rf"^{mark}[^;]*?\b(cordon_\w+)\s*\(", path.read_text(), re.M))
    assert marked == {name for name, *_ in abi.PROTOTYPES}
    try:
        symbols = subprocess.run(["nm", "-D", "--defined-only", find(name, VARIABLES[name])], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout
    except LibraryError as why:
        pytest.skip(str(why))
    exported = {line.split()[2].partition("@")[0] for line in symbols.splitlines() if line.split()[1] == "T"}
    assert exported == marked


def test_the_model_says_itself_how_large_its_structs_are():
    model_lib.check_layout(model_lib.library())


def test_another_layout_than_the_packages_is_refused(monkeypatch):
    lib = model_lib.library()
    monkeypatch.setitem(model_abi.STRUCTS, "cordon_model_request", model_abi.ModelTarget)
    with pytest.raises(LibraryError, match="cordon_model_request has 32 bytes.* for 24"):
        model_lib.check_layout(lib)
    monkeypatch.setitem(model_abi.STRUCTS, "cordon_model_request", model_abi.ModelRequest)
    monkeypatch.setitem(model_abi.STRUCTS, "cordon_nothing", model_abi.ModelTarget)
    with pytest.raises(LibraryError, match="cordon_nothing has 0 bytes"):
        model_lib.check_layout(lib)


def test_every_error_code_has_an_exception():
    codes = {value for name, value in vars(_abi).items()
             if name.startswith("CORDON_E") and name not in ("CORDON_EXEC", "CORDON_ERROR_LAST")}
    assert codes == set(BY_CODE)


def test_a_library_without_what_the_package_calls_is_refused_with_the_way_out():
    with pytest.raises(LibraryError, match=r"lacks .*cordon_change.*\(in the tree: make host\)"):
        Library(find("cordon-model", "CORDON_MODEL_LIB"))
