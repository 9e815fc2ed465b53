"""What docs/dpdk.md tells people to type, typed."""
import re
import shlex
import subprocess

import pytest

from machine import TREE
from pages import block, commands, run, type_at_guest

PAGE = "dpdk.md"


def type_at_shell(lines, steps, folder):
    """Type LINES at the shell of the guest that the page starts, then as STEPS say; how the machine ended, if it did."""
    return type_at_guest(commands(PAGE, "2. **Start**")[0], [
        ("CORDON-DPDK red hugepages=112 asked=112 cards=0000:00:01.0,0000:00:02.0", None),
        ("CORDON-GUEST-SHELL red", "\n".join(lines)), *steps], folder)


@pytest.fixture
def built():
    """What `make dpdk hyp` makes is there: these tests come after it."""
    first, *others = commands(PAGE, "## From nothing")
    assert first == "make dpdk hyp"
    run(*others)


def test_packets_flow_as_the_page_says(built, tmp_path):
    sg, jumbo, told, testpmd, start, show, quit_, poweroff = block(PAGE, "at its shell:", "").splitlines()
    assert type_at_shell([sg], [
        ('"program": "sg", "passed": true', jumbo), ('"passed": true.*"frame_max": 9014', told),
        ("Exit status: 0 all right", testpmd), (r"\] Done$", start), ("packet forwarding - ports=2", show),
        ("NIC statistics for port 1", quit_), ("Bye", poweroff)], tmp_path) == 0


@pytest.mark.whole
def test_a_program_of_ones_own_runs_as_the_page_says(built, tmp_path):
    run(*commands(PAGE, "## Your own program"))
    type_at_shell(["first"], [("port 1 has 64 bytes: hello from port 0", None)], tmp_path)


def test_a_program_of_ones_own_takes_no_header_of_this_machine(built):
    command, *_ = commands(PAGE, "## Your own program")
    read = subprocess.run(shlex.split(command) + ["-M", "-MF", "/dev/stdout"], cwd=TREE, capture_output=True, text=True,
                          check=True).stdout.split()
    assert any(name.endswith("/rte_ethdev.h") for name in read)
    assert [name for name in read if name.startswith("/usr/include/")] == []


def test_a_card_that_is_told_lies_is_reported_as_the_page_says(built, tmp_path):
    section = "## Cards that are told lies"
    typed = block(PAGE, section, "").splitlines()[:2]
    assert typed == ["rogue", "send middle 0x50000000"]
    said = re.search(rf"{section}.*`(device .* read at 0x50000000), ", (TREE / "docs" / PAGE).read_text(), re.S)[1]
    type_at_shell(typed, [(re.escape(said), None)], tmp_path)
