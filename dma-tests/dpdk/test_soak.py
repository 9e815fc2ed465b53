"""tools/soak: all at once, and all counts agree."""
import json
import subprocess

import guests
import pytest
from labours import METHODS

LABOURS = {"sg", "rogue", "contig", "reset", "die"}


@pytest.mark.whole
@pytest.mark.timeout(900)  # each step in it is bounded
def test_guests_attack_are_reset_and_die_while_others_work_and_all_counts_agree(tmp_path):
    """For as short as it can be: everything once."""
    report = tmp_path / "soak.json"
    done = subprocess.run(["tools/soak", "--seconds", "1", "--json", report, "--folder", tmp_path], cwd=guests.TREE,
                          stdout=subprocess.PIPE)  # where it stands is for whoever watches
    told = json.loads(report.read_text())
    assert done.returncode == 0 and told == json.loads(done.stdout), told
    assert {guest["model"] for guest in told["guests"].values()} == METHODS.keys()
    for guest in told["guests"].values():
        assert guest["done"].keys() >= LABOURS and all(guest["done"].values())
        assert guest["lives"] == 1 + guest["done"]["die"] and guest["packets"] > 2000
        assert guest["cards_reset"] == 2 * (guest["done"]["reset"] + guest["done"]["die"])
        assert guest["attacks"] == 6 * guest["done"]["rogue"]
    assert told["faults"]["reported"] >= sum(guest["attacks"] for guest in told["guests"].values())
    assert sum(told["beside"].values()) > 10 and not told["frames"]["revoking"]
