"""tools/soak: all at once, and all counts agree."""
import json
import random
import subprocess
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import MagicMock

import guests
import pytest
import soak
from cordon.machine import ChannelError
from cordon.qemu.qmp import QmpError
from labours import METHODS, Broken, Worker

LABOURS = {"sg", "rogue", "contig", "reset", "die"}


class Idler(Worker):
    """Notes what it would have done."""

    def __init__(self, seed):
        self.name = self.model = "idler"
        self.soak, self.random = SimpleNamespace(say=str), random.Random(seed)
        self.labours, self.done, self.order = [self.sg, self.reset, self.die], {"sg": 0, "reset": 0, "die": 0}, []

    def sg(self):
        yield self.order.append("sg")

    def reset(self):
        yield self.order.append("reset")

    def die(self):
        yield self.order.append("die")


def idled(seed, rounds):
    idler = Idler(seed)
    list(idler.work(lambda: len(idler.order) > 3 * (rounds - 1)))
    return idler.order


def test_a_guest_does_everything_once_and_goes_on_until_the_time_is_over_as_its_seed_says():
    assert sorted(idled(7, 0)) == ["die", "reset", "sg"]
    many = idled(7, 20)
    assert len(many) == 3 * 19 + 1 and all(many.count(what) >= 19 for what in ("die", "reset", "sg"))
    assert many == idled(7, 20) != idled(8, 20)


def test_a_soak_whose_machine_has_gone_says_how_and_with_which_seed(monkeypatch, tmp_path):
    machine, at_work = MagicMock(), MagicMock()
    machine.machine.qmp.hmp.side_effect = QmpError("QEMU closed the QMP connection")
    at_work.doing.return_value, at_work.work.side_effect = "red sg", ChannelError("closed; QEMU has ended with status -6")
    monkeypatch.setattr(soak, "_machine", lambda folder: nullcontext(machine))
    monkeypatch.setattr(soak, "Soak", lambda *_: at_work)
    with pytest.raises(Broken, match="^seed 7, red sg: closed; QEMU has ended with status -6$"):
        soak.run(tmp_path, 1, 7, str)


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
