"""The package installs with pip into a fresh venv, without a network, and finds the libraries there."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cordon import LibraryError
from cordon._lib import find

PACKAGE = Path(__file__).resolve().parents[1]
TRY = ("import cordon, cordon._lib, cordon.judge, cordon.qemu, cordon.devices; "
       "c = cordon.Context('16M'); c.audit(); c.close(); "
       "print(cordon.__file__, cordon._lib.library().path)")
TRY_MODEL = """
import cordon, cordon.model._lib
with cordon.Platform("model") as plat:
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        buf = red.map(nic, size="4K")
        nic.dma.write(buf.iova, b"moved")
        print(buf.read(5).decode(), cordon.model._lib.library().path)
"""


def run(*command, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CORDON"))}
    return subprocess.run([str(part) for part in command], env=clean | environment, text=True, cwd=os.sep,
                          capture_output=True, timeout=100)


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """A venv that sees Debian's pip, setuptools and pytest; the tree itself is not on its path."""
    for tool in ("setuptools", "wheel", "pip"):
        pytest.importorskip(tool)
    folder = tmp_path_factory.mktemp("install")
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build"))
    made = run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", folder / "venv")
    assert made.returncode == 0, made.stderr
    done = run(folder / "venv/bin/python", "-m", "pip", "install", "--no-index", "--no-build-isolation",
               "--no-deps", "--quiet", "--disable-pip-version-check", folder / "source")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "venv"


@pytest.fixture(scope="module")
def built():
    try:
        return find()
    except LibraryError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def built_model():
    try:
        return find("cordon-model", "CORDON_MODEL_LIB")
    except LibraryError as why:
        pytest.skip(str(why))


def test_the_installed_package_uses_the_library_that_cordon_lib_names(venv, built):
    done = run(venv / "bin/python", "-c", TRY, CORDON_LIB=built)
    assert done.returncode == 0, done.stderr
    package, library = done.stdout.split()
    assert package.startswith(str(venv)) and library == built


def test_the_installed_package_finds_the_library_in_its_prefix(venv, built):
    placed = venv / "lib/libcordon.so"
    shutil.copy(built, placed)
    try:
        done = run(venv / "bin/python", "-c", TRY)
    finally:
        placed.unlink()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == str(placed)


def test_the_installed_model_uses_the_library_that_cordon_model_lib_names(venv, built, built_model):
    done = run(venv / "bin/python", "-c", TRY_MODEL, CORDON_LIB=built, CORDON_MODEL_LIB=built_model)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["moved", built_model]


def test_the_installed_model_finds_both_libraries_in_its_prefix(venv, built, built_model):
    placed = venv / "lib/libcordon.so", venv / "lib/libcordon-model.so"
    shutil.copy(built, placed[0])
    shutil.copy(built_model, placed[1])
    try:
        done = run(venv / "bin/python", "-c", TRY_MODEL)
    finally:
        for file in placed:
            file.unlink()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["moved", str(placed[1])]


def test_without_its_library_the_model_is_missing_and_says_why(venv, built):
    told = ("import ctypes.util; ctypes.util.find_library = lambda name: None\n"  # whatever this system has
            "from cordon.backends import BACKENDS; print(BACKENDS['model'].missing())")
    done = run(venv / "bin/python", "-c", told, CORDON_LIB=built)
    assert re.fullmatch(r"libcordon-model.so is not in /\S+/out/host \(make host\), not in /\S+/lib, not installed, "
                        "and CORDON_MODEL_LIB is not set\n", done.stdout), done.stdout + done.stderr


def test_a_library_that_was_installed_without_ldconfig_says_the_way_out(venv, tmp_path):
    made = run("gcc", "-shared", "-Wl,-soname,libcordon-far.so.0", "-o", tmp_path / "libcordon-far.so", "-x", "c", os.devnull)
    assert made.returncode == 0, made.stderr
    done = run(venv / "bin/python", "-c", "from cordon._lib import find; find('cordon-far', 'CORDON_FAR_LIB')",
               LIBRARY_PATH=str(tmp_path))  # where a linker looks, as it does into PREFIX/lib, and the loader does not
    assert re.search(r"LibraryError: libcordon-far.so is installed, but the loader does not find it "
                     r"\(libcordon-far.so.0: cannot open shared object file: No such file or directory\): run ldconfig, "
                     "or set CORDON_FAR_LIB to the path of libcordon-far.so", done.stderr), done.stderr


def test_a_library_that_does_not_exist_is_named(venv):
    done = run(venv / "bin/python", "-c", TRY, CORDON_LIB="/nowhere/libcordon.so")
    assert done.returncode != 0
    assert "LibraryError: CORDON_LIB names /nowhere/libcordon.so, which does not exist" in done.stderr


def test_the_installed_plugin_is_there_asked_for_or_not(venv):
    for asked in ((), ("-p", "cordon.pytest_plugin")):
        done = run(venv / "bin/python", "-m", "pytest", *asked, "--help")
        assert done.returncode == 0 and "--cordon-backend" in done.stdout, done.stderr


def test_the_installed_package_is_typed(venv):
    assert list(venv.glob("lib/python3*/site-packages/cordon/py.typed"))
