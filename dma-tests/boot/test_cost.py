"""What an exit costs, in instructions that the guest sees (-icount: one instruction, one nanosecond)."""
import re

from machine import MIB, bare

GOALS = {"sbi-base-version": 120, "sbi-base-probe": 120, "sbi-set-timer": 120,
         "sbi-hsm-status": 160, "mmio-read": 180}


def first_touch(boots, payload, fill, cpu):
    run = boots.run({"guest": payload("touch_bench")},
                    {"solo": bare(memory=64 * MIB, fill=fill)}, icount=0, harts=1, cpu=cpu)
    return {name: int(cost) for name, cost in
            (re.match(r"bench (\S+) (\d+)", line).groups() for line in run.of("solo") if line.startswith("bench"))}


def test_first_touch_of_a_page_costs_no_more_than_1000_instructions_zeroes_included(boots, payload):
    cost = first_touch(boots, payload, "first-touch", "rv64,h=true")
    assert cost["touch-4k"] - cost["touched-4k"] <= 1000
    assert cost["touched-4k"] <= 5  # the scale: a loop of four instructions


def test_2_mib_cost_little_more_than_their_zeroes(boots, payload):
    zeroes = 512 * 136
    cost = first_touch(boots, payload, "first-touch-2M", "rv64,h=true")
    assert zeroes < cost["touch-2m"] <= 1.25 * zeroes


def test_without_cache_blocks_only_the_zeroes_cost_more(boots, payload):
    block, plain = (first_touch(boots, payload, "first-touch", f"rv64,h=true,zicboz={has}")["touch-4k"]
                    for has in ("true", "false"))
    assert plain - block <= 512 + 34 + 2 - 136 + 10


def test_exits_cost_no_more_instructions_than_promised(boots, payload):
    run = boots.run({"guest": payload("bench")}, {"solo": bare()}, icount=0, harts=1)
    found = dict(re.match(r"bench (\S+) (\d+)", line).groups()
                 for line in run.of("solo") if line.startswith("bench"))
    cost = {name: int(ticks) for name, ticks in found.items()}
    assert {name: cost[name] for name, goal in GOALS.items() if cost[name] > goal} == {}
    assert cost["empty"] <= 3  # the scale: a loop of two instructions
