"""What README and docs/ tell people to type works: Python examples run, commands, options and links
exist."""
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md"))]
PYTHON = "/usr/bin/python3"
# Programs that take options; what make would hand to them is handed to them, with --help behind.
ASKED = ("tools/run", "tools/bench", "tools/teeth", "tools/soak")
# Folders of Python tests, by target: T= is part of a test's name there.
PYTEST_FOLDERS = {"check-house": "dma-tests/house", "check-python": "bindings/python",
                  "test-dpdk-host": "dma-tests/dpdk/host", "check-qtest": "dma-tests/qtest", "check-boot": "dma-tests/boot",
                  "check-config": "dma-tests/config", "check-dpdk": "dma-tests/dpdk", "test-dpdk": "dma-tests/dpdk"}


def blocks(language):
    """(page, number, text) of each fenced block of a language, indented or not."""
    for page in PAGES:
        found = re.finditer(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S)
        for number, match in enumerate(found):
            lines = match[2].splitlines()
            yield page, number, "\n".join(line[len(match[1]):] for line in lines)


def commands():
    """Each line of a shell block, and each `make ...` or `tools/... --option` in running text."""
    for page, _, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            line = line.split(" # ")[0].strip()
            if line and not line.startswith("#"):
                yield pytest.param(line, id=f"{page.name}: {line[:60]}")
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
        for line in sorted(set(re.findall(r"`(make [^`\n]+|tools/[\w-]+ -[^`\n]+|cordon [a-z]+ [^`\n]+)`", prose))):
            yield pytest.param(line, id=f"{page.name}: {line[:60]}")


def examples():
    return [pytest.param(text, id=f"{page.name}-{number}")
            for page, number, text in blocks("python")]


def run_python(code, folder):
    return subprocess.run([PYTHON, "-c", code], cwd=folder, capture_output=True, timeout=120,
                          env={"PYTHONPATH": str(TREE / "bindings/python"),
                               "PATH": "/usr/bin:/bin"}, check=False)


@pytest.mark.parametrize("text", examples())
def test_python_example_runs(text, tmp_path):
    done = run_python(text, tmp_path)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("backend", ["model", "qemu"])
def test_pytest_example_passes_on_each_backend(backend, tmp_path):
    text = next(text for page, _, text in blocks("python") if page.name == "pytest.md")
    (tmp_path / "test_release.py").write_text(text)
    done = run_python(f"import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'cordon.pytest_plugin', "
                      f"'--cordon-backend={backend}', 'test_release.py']))", tmp_path)
    assert b"1 passed" in done.stdout, done.stdout.decode()


def test_readme_shows_what_its_example_prints(tmp_path):
    page = (TREE / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.S)[1]
    shown = re.search(r"```python\n.*?```\s+```\n(.*?)```", page, re.S)[1]
    assert run_python(code, tmp_path).stdout.decode() == shown


# ---- commands -----------------------------------------------------------------------------------

@cache
def make_variables():
    """Every variable that the makefiles look at."""
    text = "".join(p.read_text() for p in (TREE / "Makefile", *TREE.glob("tools/mk/*.mk")))
    return set(re.findall(r"\$[({](\w+)[)}]", text))


def why_not_named(target, name):
    """T=NAME of a target: the test, fuzz target or fault must be there. Unit tests and fuzz
    targets are files, of which make itself knows."""
    if target == "check-teeth":
        known = (TREE / f"dma-tests/teeth/{name}.fault").exists()
    elif target in PYTEST_FOLDERS:
        known = any(re.search(rf"(def |/)test_\w*{re.escape(name.removeprefix('test_'))}",
                              f"{path}\n{path.read_text()}")
                    for path in (TREE / PYTEST_FOLDERS[target]).rglob("test_*.py"))
    else:
        return None
    return None if known else f"{target} knows no {name}"


def why_not_make(words):
    """Why `make WORDS` would not work, or None. Nothing is made."""
    given = dict(w.split("=", 1) for w in words if re.match(r"[A-Z_]+=", w))
    targets = [w for w in words if not re.match(r"[A-Z_]+=", w)]
    if unknown := given.keys() - make_variables():
        return f"no makefile looks at {', '.join(sorted(unknown))}"
    for target in targets if "T" in given else ():
        if why := why_not_named(target, given["T"]):
            return why
    done = subprocess.run(["make", "-n", *words], cwd=TREE, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        return done.stderr
    for line in done.stdout.splitlines():
        program = next((p for p in ASKED if f" {p}" in f" {line}"), None)
        if program and "--build" not in line:
            if why := why_not_taken(shlex.split(line[line.index(program):])):
                return why
    return None


def why_not_taken(words):
    """Why a program of the tree does not take these options, or None: --help tells of each, and the
    values of those before it are read first."""
    if not (TREE / words[0]).exists():
        return f"there is no {words[0]}"
    done = subprocess.run([TREE / words[0], *words[1:], "--help"], cwd=TREE, capture_output=True,
                          text=True, timeout=60, check=False)
    unknown = [w for w in words if w.startswith("--") and w.split("=")[0] not in done.stdout]
    return done.stderr if done.returncode else ", ".join(unknown) or None


def why_not_cordon(words):
    """The same for a line of the command `cordon`."""
    done = subprocess.run([PYTHON, "-m", "cordon", words[1], "--help"], capture_output=True, text=True, timeout=60,
                          env={"PYTHONPATH": str(TREE / "bindings/python"), "PATH": "/usr/bin:/bin"}, check=False)
    unknown = [w for w in words if w.startswith("--") and w.split("=")[0] not in done.stdout]
    return done.stderr if done.returncode else ", ".join(unknown) or None


def why_not(line):
    """Why a line cannot be typed, or None. What it does then has tests of its own."""
    words = shlex.split(line)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    if words[0] == "make":
        return why_not_make(words[1:])
    if words[0].startswith("tools/"):
        return why_not_taken(words)
    if words[0] == "cordon":
        return why_not_cordon(words)
    if words[0].startswith("out/"):
        return None  # run by the tests of what builds it
    if words[0] in ("git", "cd", "d=/sys/bus/pci/devices/0000:00:00.0", "cat", "echo"):
        return None
    found = subprocess.run(["which", words[0]], capture_output=True, check=False)
    return None if found.returncode == 0 else f"there is no {words[0]}"


@pytest.mark.parametrize("line", commands())
def test_command_exists(line):
    assert why_not(line) is None


@pytest.mark.parametrize("line", [
    "make no-such-target", "make run CONTROL=no-such", "make run NO_SUCH=1",
    "make run CONTROL=no-iommu INTERACTIVE=1", "make check-unit T=test_no_such",
    "make check-teeth T=no-such", "make check-boot T=no_such", "make bench BENCH=--no-such",
    "tools/no-such --help", "tools/run --no-such", "no-such-program",
    "cordon dump x --no-such", "cordon no-such x"])
def test_what_does_not_exist_is_seen(line):
    assert why_not(line)


@pytest.mark.parametrize("name", ["CORDON_SETUP", "CORDON_CACHE", "CORDON_QEMU"])
def test_what_tools_take_from_the_environment_may_stand_behind_make(name):
    done = subprocess.run(["make", "-n", f"{name}=x", "help"], cwd=TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", ["bench", "bench-library", "bench-memory", "bench-dpdk", "run"])
def test_figures_are_written_to_a_file_where_one_is_named(target):
    said = subprocess.run(["make", "-n", "V=1", target, "JSON=a b.json", "QUICK=1"], cwd=TREE, capture_output=True,
                          text=True, check=True).stdout
    assert re.search(r"tools/(bench|run) .*--json 'a b.json' --quick", said)


# ---- links and names ----------------------------------------------------------------------------

@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target
    rooms = r"`((?:tools|hyp|vdev|iommu|dma-tests|docs|bindings)/[\w./-]+)`"
    for target in re.findall(rooms, page.read_text()):
        assert list(TREE.glob(target.rstrip("/"))) or not re.search(r"\.\w+$", target), target


def test_the_keys_of_the_storys_json_are_written_somewhere():
    section = (TREE / "docs/story.md").read_text().split("## JSON")[1]
    keys = set(re.findall(r"`([a-z][a-z_]+)`", section))
    writers = [*(TREE / "tools/story").glob("*.py"), *(TREE / "hyp/manage").glob("*.c"),
               *(TREE / "dma-tests/guest/lib").glob("*.c"), TREE / "tools/run"]
    text = "".join(path.read_text() for path in writers)
    assert len(keys) > 50
    assert [key for key in sorted(keys) if f'"{key}"' not in text] == []


def test_what_shows_an_invariant_is_a_test_or_a_planted_fault():
    """The last column of the table in docs/architecture.md."""
    rows = re.findall(r"^\| (\d) \|.*\| (.+) \|$", (TREE / "docs/architecture.md").read_text(),
                      re.M)
    known = {p.stem for kind in ("teeth/*.fault", "unit/*.c", "fuzz/*.c")
             for p in (TREE / "dma-tests").glob(kind)} | {"cordon_audit"}
    assert [number for number, _ in rows] == list("123456789")
    named = [set(re.findall(r"`([\w-]+)`", shown)) for _, shown in rows]
    assert set().union(*named) <= known
    assert all(named[:8])


def test_every_command_of_the_host_channel_is_told_of_and_no_other():
    source = (TREE / "hyp/manage/manage.c").read_text()
    known = set(re.findall(r'{"(\w+)", \w+}', source))
    page = (TREE / "docs/scripting.md").read_text().split("| command over")[1]
    cells = re.findall(r"^\| (`[a-z].*?) \|", page, re.M)
    assert known and {w for cell in cells for w in re.findall(r"`(\w+)", cell)} == known


def test_refusals_of_devices_are_quoted_as_they_are_said():
    table = (TREE / "docs/passthrough.md").read_text().split("| it says |")[1].split("##")[0]
    quoted = re.findall(r"^\| (\w[^|]+) \|", table, re.M)
    said = (TREE / "vdev/pci/why.c").read_text()
    assert len(quoted) > 5
    assert [text for text in quoted if f'"{text}"' not in said] == []
