"""What README and docs/ tell people to type works: Python examples run, commands and links exist."""
import re
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md"))]


def blocks(language):
    """(page, number, text) of each fenced block of a language, indented or not."""
    for page in PAGES:
        for number, match in enumerate(re.finditer(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S)):
            lines = match[2].splitlines()
            yield page, number, "\n".join(line[len(match[1]):] for line in lines)


def commands():
    for page, _, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            line = line.split(" # ")[0].strip()
            if line and not line.startswith("#"):
                yield pytest.param(line, id=f"{page.name}: {line[:50]}")


def examples():
    return [pytest.param(text, id=f"{page.name}-{number}") for page, number, text in blocks("python")]


@pytest.mark.parametrize("text", examples())
def test_python_example_runs(text, tmp_path):
    done = subprocess.run(["/usr/bin/python3", "-c", text], cwd=tmp_path, capture_output=True, timeout=120,
                          env={"PYTHONPATH": str(TREE / "bindings/python"), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr.decode()


def test_readme_shows_what_its_example_prints(tmp_path):
    page = (TREE / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.S)[1]
    shown = re.search(r"```python\n.*?```\s+```\n(.*?)```", page, re.S)[1]
    done = subprocess.run(["/usr/bin/python3", "-c", code], cwd=tmp_path, capture_output=True, timeout=120,
                          env={"PYTHONPATH": str(TREE / "bindings/python"), "PATH": "/usr/bin:/bin"})
    assert done.stdout.decode() == shown


@pytest.mark.parametrize("line", commands())
def test_command_exists(line):
    """make targets, programs of the tree, and installed programs; what they do has tests of its own."""
    words = [w for w in line.split() if not re.match(r"[A-Z_]+=", w)]
    if words[0] == "make":
        for target in words[1:]:
            done = subprocess.run(["make", "-n", target], cwd=TREE, capture_output=True)
            assert done.returncode == 0, done.stderr.decode()
    elif words[0].startswith("tools/"):
        done = subprocess.run([TREE / words[0], "--help"], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
    elif words[0] not in ("git", "cd", "d=/sys/bus/pci/devices/0000:00:00.0", "cat", "echo"):
        assert subprocess.run(["which", words[0]], capture_output=True).returncode == 0, words[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target
    for target in re.findall(r"`((?:tools|hyp|vdev|iommu|dma-tests|docs|bindings)/[\w./-]+)`", page.read_text()):
        assert list(TREE.glob(target.rstrip("/"))) or not re.search(r"\.\w+$", target), target


