"""make install: what it puts where, and that a program finds all of it by pkg-config."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["make", "--silent", "install", f"DESTDIR={folder}", "PREFIX=/usr"], cwd=ROOT, check=True,
                   timeout=300, stdout=subprocess.DEVNULL)
    return folder / "usr"


def pkg_config(installed, *options):
    env = {**os.environ, "PKG_CONFIG_LIBDIR": str(installed / "lib/pkgconfig"),
           "PKG_CONFIG_SYSROOT_DIR": str(installed.parent)}
    return subprocess.run(["pkg-config", *options, "cordon"], env=env, check=True, timeout=10,
                          stdout=subprocess.PIPE, text=True).stdout.split()


def test_the_c_program_of_the_docs_prints_what_they_show(installed, tmp_path):
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "docs/first.c", "-o", tmp_path / "first",
                    *pkg_config(installed, "--cflags", "--libs")], cwd=ROOT, check=True, timeout=60)
    ran = subprocess.run([tmp_path / "first"], env={"LD_LIBRARY_PATH": str(installed / "lib")}, check=True,
                         timeout=10, stdout=subprocess.PIPE, text=True)
    assert ran.stdout in (ROOT / "docs/library.md").read_text()
    assert ran.stdout.startswith("level 2")


def test_a_program_needs_the_library_by_its_soname(installed):
    told = subprocess.run(["readelf", "--dynamic", installed / "lib/libcordon.so"], check=True, timeout=10,
                          stdout=subprocess.PIPE, text=True).stdout
    assert "soname: [libcordon.so.0]" in told
    assert (installed / "lib/libcordon.so.0").resolve().name.startswith("libcordon.so.0.")


def test_only_functions_of_the_interface_are_offered_each_with_a_version(installed):
    told = subprocess.run(["nm", "--dynamic", "--defined-only", "--with-symbol-versions",
                           installed / "lib/libcordon.so"], check=True, timeout=10, stdout=subprocess.PIPE,
                          text=True).stdout
    names = [line.split()[-1] for line in told.splitlines() if " A " not in line]
    assert "cordon_change@@CORDON_0" in names
    assert [n for n in names if not re.fullmatch(r"cordon_\w+@@CORDON_\d+", n)] == []


def test_every_header_and_page_is_there(installed):
    headers = {h.name for h in (ROOT / "iommu/include/cordon").glob("*.h")}
    assert {h.name for h in (installed / "include/cordon").iterdir()} == headers
    assert (installed / "share/man/man3/cordon_change.3").exists()
    assert pkg_config(installed, "--modversion")[0].count(".") == 2


def test_a_program_finds_the_software_iommu_beside_the_library(installed, tmp_path):
    source = tmp_path / "sizes.c"
    source.write_text("#include <cordon_sg.h>\n#include <stdio.h>\nint main(void)\n{\n"
                      'printf("%u\\n", cordon_model_size_of("cordon_sg_descriptor"));\n}\n')
    subprocess.run(["gcc", "-std=c11", f"-I{installed / 'include'}", source, "-o", tmp_path / "sizes",
                    f"-L{installed / 'lib'}", "-lcordon-model"], check=True, timeout=60)
    ran = subprocess.run([tmp_path / "sizes"], env={"LD_LIBRARY_PATH": str(installed / "lib")}, check=True,
                         timeout=10, stdout=subprocess.PIPE, text=True)
    assert ran.stdout == "32\n"
    assert (installed / "lib/libcordon-model.so.0").resolve().name.startswith("libcordon-model.so.0.")


def test_a_prefix_that_depends_on_where_one_stands_is_refused(tmp_path):
    done = subprocess.run(["make", "--silent", "install", f"DESTDIR={tmp_path}/", "PREFIX=here"], cwd=ROOT, timeout=60,
                          check=False, capture_output=True, text=True)
    assert done.returncode and "PREFIX=here is no absolute path" in done.stderr
    assert not list(tmp_path.iterdir())
