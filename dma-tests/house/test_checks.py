"""Each check of `make check` is fed a planted fault, and the same tree without it."""
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CROSS = "riscv64-unknown-elf-"
GUARDED = "#ifndef {0}\n#define {0}\n{1}#endif\n"


def run(tool, *arguments):
    return subprocess.run([TOOLS / tool, *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)


def plant(root, files):
    """Writes {path: text} under ROOT."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def header(name, body=""):
    return GUARDED.format(name, body)


ROOMS = {
    "iommu/include/cordon/map.h": header("CORDON_MAP_H", "#include <stdint.h>\n"),
    "iommu/pt/pt.h": header("PT_H", "#include <cordon/map.h>\n"),
    "iommu/pt/pt.c": '#include "pt/pt.h"\n#include <string.h>\n',
    "iommu/port/host/host.c": "#include <stdio.h>\n",
    "vdev/bus/bus.h": header("BUS_H", "#include <cordon/map.h>\n"),
    "vdev/model/model.c": '#include <cordon/map.h>\n#include "model/engine.h"\n',
    "vdev/model/engine.h": header("ENGINE_H"),
    "hyp/vm/vm.c": '#include "bus/bus.h"\n#include <cordon/map.h>\n',
    "dma-tests/unit/test_pt.c":
        '#include "pt/pt.h"\n#include "bus/bus.h"\n#include "model/engine.h"\n',
    "dma-tests/guest/rogue.c": "#include <cordon/map.h>\n#include <stdio.h>\n",
}


def test_arrows_passes_a_tree_that_keeps_them(tmp_path):
    done = run("check-arrows", "--root", plant(tmp_path, ROOMS))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path, line", [
    ("iommu/pt/pt.c", '#include "../../vdev/bus/bus.h"'),
    ("iommu/pt/pt.c", '#include "../../hyp/vm/vm.h"'),
    ("iommu/pt/pt.c", "#include <stdio.h>"),
    ("iommu/include/cordon/ctx.h", '#include "pt/pt.h"'),
    ("vdev/bus/bus.c", '#include "../../iommu/pt/pt.h"'),
    ("vdev/bus/bus.c", '#include "../../hyp/vm/vm.h"'),
    ("vdev/bus/bus.c", '#include "model/model.h"'),
    ("vdev/model/model.c", '#include "../bus/bus.h"'),
    ("hyp/vm/vm.c", '#include "../../iommu/pt/pt.h"'),
    ("hyp/vm/vm.c", "#include <pt/pt.h>"),
    ("hyp/vm/vm.c", '#include "model/model.h"'),
    ("dma-tests/guest/rogue.c", '#include "../../iommu/pt/pt.h"'),
    ("dma-tests/unit/test_pt.c", '#include "../../hyp/vm/vm.h"'),
    ("dma-tests/unit/test_pt.c", '#include "../../iommu/pt/pt.c"'),
    ("bindings/python/native.c", '#include "../../vdev/bus/bus.h"'),
    ("tools/probe.c", '#include "../iommu/pt/pt.h"'),
])
def test_arrows_names_file_and_line_of_an_include_against_them(tmp_path, path, line):
    extra = {"hyp/vm/vm.h": header("VM_H"), "vdev/model/model.h": header("MODEL_H")}
    plant(tmp_path, {**ROOMS, **extra, path: f"\n{line}\n"})
    done = run("check-arrows", "--root", tmp_path)
    assert done.returncode == 1
    assert f"{path}:2: error:" in done.stdout


def test_ifdef_passes_guards_compiler_h_and_port_headers(tmp_path):
    conditional = "#ifdef X\n#endif\n"
    plant(tmp_path, {"iommu/core/compiler.h": header("C_H", conditional),
                     "iommu/port/free/port_word.h": header("W_H", conditional),
                     "vdev/bus/bus.h": header("B_H", "#define BUS 1\n")})
    done = run("check-ifdef", "--root", tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path, text, line", [
    ("iommu/map/map.c", "int x;\n#ifdef FAST\n#endif\n", 2),
    ("hyp/boot/entry.S", "#if 1\n#endif\n", 1),
    ("vdev/bus/bus.h", header("B_H", "#if 0\n#endif\n"), 3),
    ("vdev/bus/bus.h", "#pragma once\nint x;\n", 1),
    ("vdev/bus/bus.h", "int without_guard;\n", 1),
])
def test_ifdef_names_file_and_line_of_a_condition(tmp_path, path, text, line):
    done = run("check-ifdef", "--root", plant(tmp_path, {path: text}))
    assert done.returncode == 1
    assert f"{path}:{line}: error:" in done.stdout


@pytest.mark.parametrize("text", [
    "see deb.deb" + "ian.org for it", "ftp.de.deb" + "ian.org", "pip from pypi" + ".org",
    "cd /wo" + "rk/main", "/ho" + "me/someone/x", "/* TO" + "DO: later */", "// FIX" + "ME",
    "/* XX" + "X */", 'return "not imple' + 'mented";',
])
def test_words_refuses(tmp_path, text):
    done = run("check-words", "--root", plant(tmp_path, {"docs/a.md": f"first\n{text}\n"}))
    assert done.returncode == 1
    assert "docs/a.md:2: error:" in done.stdout


def test_words_passes_what_only_looks_like_them(tmp_path):
    text = "mktemp cordon.XXXXXX; the work/queue folder; /frame" + "work/x\n"
    done = run("check-words", "--root", plant(tmp_path, {"tools/a": text}))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path, text, bad", [
    ("iommu/map/map.c", "int x;\n" * 400, False), ("iommu/map/map.c", "int x;\n" * 401, True),
    ("dma-tests/unit/a.c", "int x;\n" * 600, False), ("dma-tests/unit/a.c", "int x;\n" * 601, True),
    ("hyp/a.h", "/" * 100 + "\n", False), ("hyp/a.h", "/" * 101 + "\n", True),
])
def test_length_refuses_long_files_and_lines(tmp_path, path, text, bad):
    done = run("check-length", "--root", plant(tmp_path, {path: text}))
    assert done.returncode == int(bad), done.stdout


@pytest.mark.parametrize("text, bad", [
    ("int f(void)\n{\n    return 0;\n}\n", False), ("int f(void) { return 0; }\n", True)])
def test_format_refuses_another_layout(tmp_path, text, bad):
    rules = (TOOLS.parent / ".clang-format").read_text()
    plant(tmp_path, {".clang-format": rules, "iommu/map/map.c": text})
    done = run("check-format", "--root", tmp_path)
    if "left out" in done.stdout:
        pytest.skip(done.stdout)
    assert done.returncode == int(bad), done.stdout


def test_headers_names_one_that_needs_another_first(tmp_path):
    plant(tmp_path, {"iommu/pt/good.h": header("G_H", "#include <stdint.h>\nuint8_t f(void);\n"),
                     "iommu/pt/bad.h": header("B_H", "uint8_t f(void);\n")})
    done = run("check-headers", "--root", tmp_path)
    assert done.returncode == 1
    assert "iommu/pt/bad.h: error:" in done.stdout and "good.h" not in done.stdout


def cross_compile(tmp_path, name, text, march="rv64gc"):
    source = plant(tmp_path, {name: text}) / name
    target = tmp_path / "obj" / f"{name}.o"
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([CROSS + "gcc", f"-march={march}", "-mabi=lp64d", "-O1", "-c", source,
                    "-o", target], check=True)
    return target


FP_CODE = ".globl {0}\n{0}:\n fsd fa0, 0(a0)\n ret\n"
INTEGER_CODE = ".globl clean\nclean:\n fence rw, rw\n fence.i\n add a0, a0, a1\n ret\n"


@pytest.mark.parametrize("name, code, bad", [
    ("clean.S", INTEGER_CODE, False),
    ("fp.S", FP_CODE.format("fp_save"), False),
    ("trap.S", FP_CODE.format("trap_entry"), True),
    ("load.c", "double f(double *p) { return *p; }", True),
])
def test_fp_allows_floating_point_in_the_switch_file_only(tmp_path, name, code, bad):
    target = cross_compile(tmp_path, f"cpu/{name}", code)
    done = run("check-fp", target, "--objects", tmp_path / "obj")
    assert done.returncode == int(bad), done.stdout + done.stderr


def test_fp_sees_vector_instructions(tmp_path):
    code = ".option arch, +v\n.globl spill\nspill:\n vle8.v v0, (a0)\n ret\n"
    target = cross_compile(tmp_path, "spill.S", code, march="rv64gcv")
    done = run("check-fp", target)
    assert done.returncode == 1 and "vle8.v" in done.stdout


@pytest.mark.parametrize("callee, bad", [
    ("cordon_port_relax", False), ("memcpy", False), ("pt_walk", False), ("malloc", True)])
def test_symbols_allows_the_port_and_memcpy_only(tmp_path, callee, bad):
    cross_compile(tmp_path, "iommu/map/map.c", f"void {callee}(void); void f(void) {{ {callee}(); }}")
    cross_compile(tmp_path, "iommu/pt/pt.c", "void pt_walk(void) {}")
    plant(tmp_path, {"port.h": "void cordon_port_relax(void *cookie);\n"})
    done = run("check-symbols", tmp_path / "obj" / "iommu", "--port", tmp_path / "port.h")
    assert done.returncode == int(bad), done.stdout + done.stderr


@pytest.mark.parametrize("spare, bad", [(0, False), (-1, True)])
def test_size_refuses_one_byte_over_the_limit(tmp_path, spare, bad):
    target = cross_compile(tmp_path, "iommu/a.c", "const char text[1000] = {1};")
    size = subprocess.run([CROSS + "size", target], capture_output=True, text=True, check=True)
    text, data = size.stdout.splitlines()[1].split()[:2]
    done = run("check-size", target, int(text) + int(data) + spare)
    assert done.returncode == int(bad), done.stdout
