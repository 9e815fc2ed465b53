"""The guests' sg on this machine, over ports that need no hardware: shared memory between two processes (memif).

Judged by their results, which are said before ports are closed, and ended there: the memif of Debian 12's DPDK falls
over now and then where both ends close at once (its thread for interrupts adds file 0 to those it waits for), and with
a sanitizer it may then never end.
"""
import json
import select
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import EAL, TREE

PROGRAM = TREE / "out/dpdk-host/ports/sg"


@contextmanager
def end_of_wire(folder, role, *arguments):
    """One end at work: (its process, the file that has what it says)."""
    port = f"net_memif0,role={role},socket={folder}/wire,socket-abstract=no"
    command = [PROGRAM, *arguments, "--", *EAL, f"--file-prefix={folder.name}-{role}", f"--vdev={port}"]
    told = Path(folder, role)
    with told.open("w") as say, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=say, text=True) as process:
        try:
            yield process, told
        finally:
            process.kill()


def result(process, told, seconds=60):
    """(The line of JSON that an end says of its work, or {} where it ends without; what else it said.)"""
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, f"no result within {seconds} s: {told.read_text()}"
    return json.loads(process.stdout.readline() or "{}"), told.read_text()


def both(folder, first=(), second=()):
    """What both ends say at their end."""
    with end_of_wire(folder, "server", *first) as one:
        until = time.monotonic() + 60
        while not Path(folder, "wire").exists():
            assert one[0].poll() is None and time.monotonic() < until, one[1].read_text()
        with end_of_wire(folder, "client", "--number", "1", *second) as other:
            return [result(*one), result(*other)]


@pytest.mark.parametrize("more", [(), ("--ring", "64", "--room", "512"), ("--size", "60", "--segments", "4")])
def test_packets_of_many_segments_cross_both_ways(tmp_path, more):
    for found, said in both(tmp_path, more, more):
        assert found.get("passed"), said
        (flow,) = found["flows"]
        assert flow["received"] == flow["packets"] > 0 and flow["segments"] > flow["packets"]


def test_ends_that_were_told_of_other_packets_find_them_wrong(tmp_path):
    for found, said in both(tmp_path, ("--packets", "100"), ("--packets", "100", "--frame", "400")):
        assert found.get("passed") is False and "bytes long, it was sent with" in said
