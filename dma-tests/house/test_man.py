"""The manual pages: one for each public function, which mandoc reads without a warning."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ROOT / "iommu/include/cordon"


def make(folder, *options):
    return subprocess.run([ROOT / "tools/man-pages", "--output", folder, *options],
                          capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{name: path} of all pages."""
    folder = tmp_path_factory.mktemp("man")
    done = make(folder)
    assert done.returncode == 0, done.stderr
    return {path.name: path for path in folder.glob("man?/*")}


def public():
    """Every function that a header marks for others, found without the generator."""
    text = "".join(path.read_text() for path in HEADERS.glob("*.h"))
    return set(re.findall(r"^CORDON_API[^;(]*?\b(cordon_\w+)\(", text, re.M))


def test_every_public_function_has_a_page_and_nothing_else_has(pages):
    assert len(public()) > 30
    assert pages.keys() == {f"{name}.3" for name in public()} | {"cordon.7", "cordon.1"}


def test_mandoc_finds_nothing_to_complain_about(pages):
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages.values()], capture_output=True,
                          text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_shows_prototype_types_and_errors(pages):
    done = subprocess.run(["mandoc", "-Tascii", "-Owidth=200", pages["cordon_run_alloc.3"]],
                          capture_output=True, text=True, timeout=60, check=True)
    text = re.sub(r".\x08", "", done.stdout)
    assert "#include <cordon/ctx.h>" in text
    assert "cordon_run_alloc(cordon_ctx *ctx, const struct cordon_run_want *want, cordon_hpa *out)"\
        in text
    assert "uint64_t boundary; /* power of two" in text
    assert re.search(r"^ *ENOMEM +the pool of frames is empty", text, re.M)


def test_the_overview_tells_of_every_function(pages):
    text = pages["cordon.7"].read_text()
    assert all(f".It Xr {name} 3\n" in text for name in public())


@pytest.mark.parametrize("old, new, why", [
    ("/* Forget a device. Errors: ", "/* Errors: ", "cordon_device_remove"),
    ("/* Forget a device. Errors: EBUSY", "/* Forget a device. Errors: EBUSSY", "EBUSSY")])
def test_a_header_that_does_not_say_enough_is_refused(tmp_path, old, new, why):
    shutil.copytree(HEADERS, tmp_path / "include/cordon")
    header = tmp_path / "include/cordon/device.h"
    assert header.read_text().count(old) == 1
    header.write_text(header.read_text().replace(old, new))
    done = make(tmp_path / "man", "--headers", tmp_path / "include/cordon")
    assert done.returncode != 0 and why in done.stderr
    assert not (tmp_path / "man").exists()


def test_page_of_the_command_names_each_of_its_commands_and_options(pages):
    page = pages["cordon.1"].read_text()
    commands = re.findall(r"^\.Cm (\w+)$", page.split(".Sh DESCRIPTION")[0], re.M)
    assert set(commands) == {"dump", "walk", "judge"}
    for command in commands:
        said = subprocess.run([sys.executable, "-m", "cordon", command, "--help"], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(ROOT / "bindings/python")}, timeout=60,
                              check=True).stdout
        options = set(re.findall(r"--([a-z]+)", said)) - {"help"}
        assert options and [o for o in sorted(options) if f"Fl -{o}" not in page] == []
