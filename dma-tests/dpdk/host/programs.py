"""The programs of this folder, run as a user runs them."""
import json
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parents[3]
PROGRAMS = TREE / "out/dpdk-host/sanitized"
EAL = "--no-pci --no-huge -m 128 --no-shconf --no-telemetry".split()  # of the guests' own programs


def start(name, *arguments, **more):
    """A program to its end; sanitizers end it with a status of their own."""
    return subprocess.run([PROGRAMS / name, *arguments], capture_output=True, text=True, timeout=100, check=False,
                          **more)


def result(name, *arguments):
    """(exit status, its JSON), of a program that had nothing to complain of."""
    done = start(name, *arguments)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)
