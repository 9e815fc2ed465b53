"""What the checks know about the tree: its files, its rooms, and which file is which."""
import re
import subprocess
from pathlib import Path

C_SUFFIXES = {".c", ".h", ".S"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def tracked_files(root):
    """Files that git tracks under ROOT; all files where there is no git."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True)
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
    else:
        names = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()]
    return [Path(n) for n in sorted(set(names)) if n and (root / n).is_file()]


def c_files(root, *folders):
    """C and assembler files under ROOT; only those in FOLDERS if any is given."""
    return [p for p in tracked_files(root) if p.suffix in C_SUFFIXES and p.parts[0] != "out"
            and (not folders or p.parts[0] in folders)]


def include_folders(path):
    """The folders in which the compiler looks for the includes of PATH, in order: as in
    tools/mk/flags.mk, with every port, for the build decides which of them it is."""
    room = path.parts[0]
    folders = ["iommu/include", "iommu", "iommu/port/host", "iommu/port/record",
               "iommu/port/free"]
    if room == "hyp":
        folders = ["hyp", "vdev", *folders]
    elif room == "vdev":
        folders = ["vdev", *folders]
    elif path.parts[:2] == ("dma-tests", "unit"):
        folders = ["dma-tests/unit/support", "dma-tests/unit", "vdev", "hyp", "dma-tests/dpdk", *folders]
    elif path.parts[:2] in (("dma-tests", "fuzz"), ("dma-tests", "config")):
        folders = ["hyp", "vdev", "iommu/include"]
    elif path.parts[:2] == ("dma-tests", "guest"):
        folders = ["dma-tests/guest", "iommu/include"]
    elif path.parts[:2] == ("dma-tests", "dpdk"):
        folders = ["dma-tests/dpdk", "dma-tests/guest", "vdev", "iommu/include"]
    elif path.parts[:2] == ("dma-tests", "bench"):
        folders = ["dma-tests/guest/bare", "vdev", *folders]
    return [Path(f) for f in folders]


def resolve_include(root, path, quote, name):
    """The file of the tree that an include in PATH means; None if it is not of the tree."""
    folders = include_folders(path)
    if quote == '"':
        folders = [path.parent, *folders]
    for folder in folders:
        candidate = (root / folder / name).resolve()
        if candidate.is_file() and candidate.is_relative_to(root.resolve()):
            return candidate.relative_to(root.resolve())
    return None


def includes(root, path):
    """Yields (line number, quote, name) of each include in PATH."""
    text = (root / path).read_text(errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found[1], found[2]
