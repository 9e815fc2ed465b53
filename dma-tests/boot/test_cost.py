"""What an exit costs, in instructions that the guest sees (-icount: one instruction, one nanosecond)."""
import re

from machine import bare

GOALS = {"sbi-base-version": 120, "sbi-base-probe": 120, "sbi-set-timer": 120,
         "sbi-hsm-status": 160, "mmio-read": 180}


def test_exits_cost_no_more_instructions_than_promised(boots, payload):
    run = boots.run({"guest": payload("bench")}, {"solo": bare()}, icount=0, harts=1)
    found = dict(re.match(r"bench (\S+) (\d+)", line).groups()
                 for line in run.of("solo") if line.startswith("bench"))
    cost = {name: int(ticks) for name, ticks in found.items()}
    assert {name: cost[name] for name, goal in GOALS.items() if cost[name] > goal} == {}
    assert cost["empty"] <= 3  # the scale: a loop of two instructions
