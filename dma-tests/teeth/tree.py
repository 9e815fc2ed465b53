"""Private copies of the sources, each with what was built already, so that little is built again.

Files are hard links where nobody writes into them: compilers, linkers and `ar` here put a new file in the
old one's place. What is written in place (dependency files, stamps) is copied.
"""
import os
import shutil
import subprocess
from pathlib import Path

SOURCES = ("Makefile", "hyp", "iommu", "vdev", "dma-tests", "bindings", "tools")
BUILT = ("setup.stamp", "riscv64.stamp", "riscv64-sysroot", "asan", "host", "hyp", "setup-dpdk.stamp",
         "sanitized", "dpdk-host")
SHARED = ("guest", "dpdk")  # what runs in guests: none of it is built again
LINKED = {".o", ".a", ".so", ".elf", ".bin", ".map"}
BUILD_TIMEOUT = 600


class BuildError(Exception):
    """What was to be tested could not be built; the text is the build's output."""


def _copy(source, target, link):
    """Copy a file or folder with its times; with LINK, files that are only replaced are linked."""
    def one(src, dst):
        if link and Path(src).suffix in LINKED or link == "all":
            os.link(src, dst)
        else:
            shutil.copy2(src, dst)
        return dst

    if source.is_dir():
        shutil.copytree(source, target, copy_function=one, symlinks=True,
                        ignore=lambda folder, names: [n for n in names if _left_out(Path(folder), n)])
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        one(source, target)


def _left_out(folder, name):
    """Caches, and linked unit tests: each run links the one that it needs."""
    return name == "__pycache__" or (folder.name == "unit" and folder.parent.name == "asan" and name != "flags")


def _own():
    """The environment without what a make around us says to its own kind: a fault may come with a warning."""
    makes = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "WERROR")
    return {name: value for name, value in os.environ.items() if name not in makes}


class Tree:
    """A folder with sources and an out/ of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)

    @classmethod
    def snapshot(cls, folder, origin):
        """The sources of ORIGIN as they are now, and what ORIGIN has built."""
        return cls(folder)._fill(Path(origin), "")

    def copy(self, folder):
        """Another one with the same files; sources are to be replaced there, not written into."""
        return Tree(folder)._fill(self.folder, "all")

    def _fill(self, origin, link_sources):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in SOURCES:
            _copy(origin / name, self.folder / name, link_sources)
        for name in BUILT:
            _copy(origin / "out" / name, self.folder / "out" / name, "built")
        for shared in (origin / "out" / name for name in SHARED):
            if shared.exists():
                (self.folder / "out" / shared.name).symlink_to(shared.resolve())
        return self

    def make(self, *targets):
        """Build; BuildError with the output if that fails."""
        try:
            done = subprocess.run(["make", "-j1", *targets], cwd=self.folder, stdin=subprocess.DEVNULL, env=_own(),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BUILD_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise BuildError(f"make {' '.join(targets)} did not end within {BUILD_TIMEOUT} s") from None
        if done.returncode:
            raise BuildError(done.stdout.decode(errors="replace"))

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
