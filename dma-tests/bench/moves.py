"""Contiguous memory under pressure (bench_move.c): runs that are made, what a move costs, and, with a live
guest, for how long it is stopped."""
import json
import subprocess
from statistics import median

import bundle
import callgrind
import machine
from emulator import TREE, BenchError
from figures import Figure

PROGRAM = TREE / "out/bench/bench_move"
CPUS = 2
HASH = ("dd if=/dev/urandom of=/x bs=64k count=16 2>/dev/null; for i in 0 1; do (while :; do sha256sum /x >/dev/null; "
        "done) & done; echo hash''ing\n")


def run(env):
    env.say("moves: a page, 16 pages and a large leaf, under callgrind")
    counted = callgrind.dumps(PROGRAM, ["--seeds", 0])
    env.say("moves: 8 MiB runs in memory that is 90 % full")
    rows = _rows(3 if env.quick else 30)
    runs = rows["run"]
    made = sum(row["made"] for row in runs)
    apart, mixed, could = (sum(row[key] for row in rows[op]) for op, key in
                           (("apart", "runs"), ("mixed", "runs"), ("apart", "free")))
    return [
        Figure("moves", "8 MiB runs made", "of 100", 100 * made / len(runs), limit=100, of="ours", least=True,
               note=f"{len(runs)} seeds, 256 MiB 90 % full, random 4 KiB holes"),
        Figure("moves", "8 MiB run, time", "us", median(row["ns"] for row in runs) / 1e3,
               note=f"{median(row['moved'] for row in runs):.0f} frames moved in "
                    f"{median(row['stops'] for row in runs):.0f} stops; without zeroing the run"),
        Figure("moves", "8 MiB runs, kinds apart", "runs", apart, mixed or None, "mixed",
               note=f"of {could} that free memory is enough for, after the same random load; mixed: {mixed}"),
        Figure("moves", "a page", "instructions", counted["one"], note="alone, fences of harts not included"),
        Figure("moves", "16 pages", "instructions a page", counted["sixteen"] / 16),
        Figure("moves", "a large leaf", "instructions a page", counted["large"] / 512),
        *_live(env)]


def _rows(seeds):
    done = subprocess.run([PROGRAM, "--seeds", str(seeds), "--json"], check=True, text=True, stdout=subprocess.PIPE)
    rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows.setdefault(row["op"], []).append(row)
    return rows


def _live(env):
    """How long a Linux that hashes on each vCPU is stopped, by the emulated machine's clock."""
    shell = machine.linux("red", vcpus=CPUS, memory=128 << 20)
    shell["bootargs"] = shell["bootargs"].replace("poweroff", "shell")
    blob = bundle.make(machine.linux_images(), {"red": shell})
    env.say("moves: under a Linux that hashes on each vCPU")
    with machine.Boots(env.parts.folder).machine(blob, harts=CPUS + 1) as live:
        live.console.wait(r"\[red\] CORDON-GUEST-SHELL red", timeout=120)
        live.console.type(HASH)
        live.console.wait(r"\[red\] hashing", timeout=60)
        told = {pages: [_stop(live.guests["red"], seed, pages) for seed in range(env.turns(15))]
                for pages in (1, 16, 512)}
    return [Figure("moves", f"longest stop, {pages} page{'s' if pages > 1 else ''}", "us", max(stops),
                   note=f"in the middle {median(stops):.0f}; {CPUS} vCPUs, on the emulator: it waits for the threads "
                        "of other harts")
            for pages, stops in told.items()]


def _stop(guest, seed, pages):
    moves, refused = guest.move(1, seed, pages * 4096)
    if refused:
        raise BenchError("a move was refused")
    return moves.longest_us
