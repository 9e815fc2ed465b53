"""What docs/dpdk.md tells people to type, typed."""
import re
import shlex
import socket
import subprocess

import pytest

import guests
from cordon.machine import Console

PAGE = (guests.TREE / "docs/dpdk.md").read_text()


def block(section, number=0):
    """The commands of a section's shell block, each one line."""
    text = re.findall(r"```sh\n(.*?)```", PAGE.split(section)[1], re.S)[number]
    return [line.strip() for line in text.replace("\\\n", " ").splitlines()]


def type_at_shell(command, lines, until, folder):
    """Start a machine by COMMAND and type LINES at its guest's shell, until it says UNTIL."""
    ours, theirs = socket.socketpair()
    with open(folder / "console.log", "wb") as log, subprocess.Popen(
            shlex.split(command), cwd=guests.TREE, stdin=theirs, stdout=theirs, stderr=theirs) as qemu:
        theirs.close()
        console = Console(ours, log)
        try:
            console.wait("CORDON-DPDK red hugepages=112 asked=112 cards=0000:00:01.0,0000:00:02.0", guests.READY)
            console.wait("CORDON-GUEST-SHELL red", guests.READY)
            for line in lines:
                console.type(line + "\n")
            console.wait(until, guests.READY)
        finally:
            qemu.kill()


@pytest.fixture
def built():
    """What `make dpdk hyp` makes is there: these tests come after it."""
    first, *others = block("## From nothing")
    assert first == "make dpdk hyp"
    for line in others:
        subprocess.run(line, shell=True, cwd=guests.TREE, check=True, timeout=60)


def test_packets_flow_as_the_page_says(built, tmp_path):
    typed = re.findall(r"```\n(.*?)```", PAGE.split("at its shell:")[1], re.S)[0].split()
    assert typed[0] == "sg"
    type_at_shell(block("2. **Start**")[0], ["sg"], '"program": "sg", "passed": true', tmp_path)


@pytest.mark.whole
def test_a_program_of_ones_own_runs_as_the_page_says(built, tmp_path):
    for line in block("## Your own program"):
        subprocess.run(line, shell=True, cwd=guests.TREE, check=True, timeout=60)
    type_at_shell(block("2. **Start**")[0], ["first"], "port 1 has 64 bytes: hello from port 0", tmp_path)


def test_a_card_that_is_told_lies_is_reported_as_the_page_says(built, tmp_path):
    section = PAGE.split("## Cards that are told lies")[1]
    typed = re.findall(r"```\n(.*?)```", section, re.S)[0].split("\n")
    assert typed[:2] == ["rogue", "send middle 0x50000000"]
    said = re.search(r"`(device .* read at 0x50000000), ", section)[1]
    type_at_shell(block("2. **Start**")[0], typed[:2], re.escape(said), tmp_path)
