"""Instructions, as valgrind's callgrind counts them: the same on a busy machine as on a quiet one."""
import re
import subprocess
import tempfile
from pathlib import Path

from emulator import BenchError


def _valgrind(folder, arguments):
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed: {done.stdout[-400:]}")
    return done.stdout


def per_call(program, function, op, calls):
    """Instructions of one call of FUNCTION, where PROGRAM makes about CALLS of them for --op OP."""
    with tempfile.TemporaryDirectory(prefix="cordon-bench-") as folder:
        said = _valgrind(folder, [f"--toggle-collect={function}", program, "--op", op, "--calls", calls,
                                  "--json"])
    counted = re.search(r"Collected : (\d+)", said)
    made = re.search(rf'"op": "{op}".*?"calls": (\d+)', said)
    if not counted or not made or int(counted[1]) == 0:
        raise BenchError(f"callgrind counted nothing in {function}: {said[-400:]}")
    return int(counted[1]) / int(made[1])


def dumps(program, arguments):
    """Instructions of one turn of each operation for which PROGRAM asks callgrind to write a dump."""
    totals = {}
    with tempfile.TemporaryDirectory(prefix="cordon-bench-") as folder:
        _valgrind(folder, ["--collect-atstart=no", program, *arguments])
        for dump in Path(folder).glob("out.*"):
            text = dump.read_text()
            name = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.M)
            if name:
                totals.setdefault(name[1], []).append(int(re.search(r"^summary: (\d+)", text, re.M)[1]))
    if not totals:
        raise BenchError(f"{program} asked callgrind for no dump")
    return {name: sum(counts) / len(counts) for name, counts in totals.items()}
