"""What docs/passthrough.md tells people to type, typed; and the script of docs/scripting.md over the same machine."""
import hashlib
import re

import pytest

from machine import TREE
from pages import block, commands, run, type_at_guest

PAGE = "passthrough.md"


@pytest.fixture
def start():
    """The command that starts the machine, after all that comes before it but `make hyp guest`."""
    (TREE / "out/my.toml").write_text(block(PAGE, "**Name it", "toml"))
    make, *others = commands(PAGE, "**Make the bundle**")
    *disk, command = commands(PAGE, "**Start the machine**")
    assert make == "make hyp guest"
    run(*others, *disk)
    return command


def test_a_device_is_given_used_and_confined_as_the_page_says(start, tmp_path):
    read_disk, rogue, own, read, go, end, poweroff = block(PAGE, "**Use it**", "").splitlines()
    address = re.search(r" (\w+) \w+$", read)[1]
    assert type_at_guest(start, [
        (r"blue: device 0000:00:02\.0: given; reset FLR", None),
        (r"blue: device 0000:00:03\.0: given; reset NONE \(allowed by the bundle\)", None),
        ("CORDON-GUEST-SHELL blue", "while [ ! -b /dev/nvme0n1 ]; do :; done; " + read_disk),
        (hashlib.sha256(bytes(1 << 20)).hexdigest(), rogue),
        ("CORDON-ROGUE ready edus=1", "\n".join([own, read, go])),
        ("CORDON-ROGUE own honest by=0 good", None),
        (rf"CORDON-ROGUE read elsewhere 0x{address} by=0 leaked=0 ", None),
        (rf"device 0000:00:03\.0 \(0x18\), domain 1: read at 0x{address}, \d+ bytes: load guest-page fault",
         f"{end}\n{poweroff}")], tmp_path) == 0


def test_example_of_a_script_runs(start, monkeypatch, capsys):
    monkeypatch.chdir(TREE)
    names = {}
    exec(block("scripting.md", "## With the whole machine", "python"), names)  # pylint: disable=exec-used
    assert len(names["attack"]("out/my.itb")) == 16
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("blue ") and told[0].endswith("Iova(0x5500000000)")
    assert re.match(r"[1-9]\d* requests, [1-9]\d* IOTLB misses; ", told[1])
    assert told[2].startswith("Exits(sbi=") and told[3].startswith("shutdown after ")
