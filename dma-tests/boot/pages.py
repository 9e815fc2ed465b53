"""What a page of docs/ tells people to type: the lines, and a machine at whose guest they are typed."""
import re
import shlex
import socket
import subprocess
import textwrap

from cordon.machine import Console
from machine import TREE

READY = 90  # seconds for each step


def block(page, section, language="sh", number=0):
    """A block of a language below the words SECTION of docs/PAGE."""
    text = (TREE / "docs" / page).read_text().split(section, 1)[1]
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.M | re.S)
    return textwrap.dedent(found[number])


def commands(page, section, number=0):
    """The commands of a shell block, each one line."""
    return [line.strip() for line in block(page, section, "sh", number).replace("\\\n", " ").splitlines()]


def run(*lines):
    """Carry out commands in the tree."""
    for line in lines:
        subprocess.run(line, shell=True, cwd=TREE, check=True, timeout=READY)


def type_at_guest(command, steps, folder):
    """Start a machine by COMMAND. STEPS: what to wait for on its console, and a line to type then, or None.
    How the machine ended, if the last one ended it."""
    ours, theirs = socket.socketpair()
    with open(folder / "console.log", "wb") as log, subprocess.Popen(
            shlex.split(command), cwd=TREE, stdin=theirs, stdout=theirs, stderr=theirs) as qemu:
        theirs.close()
        console = Console(ours, log)
        try:
            for pattern, line in steps:
                console.wait(pattern, READY)
                if line is not None:
                    console.type(line + "\n")
            return qemu.wait(READY) if steps[-1][1] is not None else None
        finally:
            qemu.kill()
