"""QEMU's known differences from the specification are what the table says, row by row; and each probe
can say no: on the strict software IOMMU it sees what the specification says."""
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from cordon import model
from cordon.model import Engine, ModelIommu
from cordon.qemu import differences, process
from cordon.qemu.differences import Bench, Finding, document, run
from cordon.qemu.differences.__main__ import main
from cordon.qemu.differences.bench import PATTERN
from cordon.qemu.machine import RAM_BASE

ROOT = Path(__file__).resolve().parents[2]
PROBED = [row for row in differences.ROWS if row.probe]
by_row = pytest.mark.parametrize("row", PROBED, ids=lambda row: row.id)


@pytest.fixture(scope="module")
def version():
    return differences.version_of()


@by_row
def test_qemu_differs_as_the_table_says(row, version):
    expected = row.expected(version)
    if expected is None:
        pytest.skip(f"QEMU {'.'.join(map(str, version))}: the table knows of {row.versions}")
    finding = differences.look(row, version)
    assert finding.seen is expected, finding.reason or row.sentence


# ---- the probes on what has no differences --------------------------------------------------------


class ModelBench(Bench):
    """The bench over the software IOMMU."""

    def __init__(self):
        self._map = bytearray(16 << 20)
        self.ram = memoryview(self._map)
        self.model = ModelIommu(self.ram, RAM_BASE)
        self.engine = Engine(self.model, self.device_id)
        self.lay_out()

    def get(self, offset, width=4):
        return self.model.read(offset, width)

    def set(self, offset, value, width=4):
        self.model.write(offset, value, width)

    def store(self, iova, length, at):
        self.engine.write(iova, PATTERN[at:at + length])

    def read(self, iova, length=64):
        self.engine.read(iova, length)

    def signal(self, address, data):
        self.engine.write(address, data.to_bytes(4, "little"))

    def reset(self):
        self.model.reset()

    def close(self):
        self.model.close()


@pytest.mark.skipif(model.missing() is not None, reason=str(model.missing()))
@by_row
def test_a_probe_sees_what_the_specification_says_on_the_model(row):
    if row.id in ("pdt-host-address", "bridge-device-id"):
        pytest.skip("the model has no process directories, and no bridges")
    with ModelBench() as bench:
        slow = bench.model.late(2) if row.id == "never-busy" else nullcontext()
        with slow:
            assert row.probe(bench) is False


# ---- what is told ---------------------------------------------------------------------------------


def test_the_document_is_the_table():
    assert (ROOT / "docs/qemu-differences.md").read_text() == document.rendered()


def test_each_row_has_a_name_of_its_own_and_a_probe_or_a_reason():
    assert len({row.id for row in differences.ROWS}) == len(differences.ROWS)
    assert all(bool(row.probe) != bool(row.why) for row in differences.ROWS)


def test_a_judge_may_ask_the_table():
    assert differences.known("napot") and differences.known("napot", (10, 0, 2))
    assert not differences.known("napot", (10, 0, 13)) and not differences.known("napot", (9, 2, 0))
    with pytest.raises(KeyError):
        differences.known("no such row")


@pytest.mark.parametrize("version, seen, state", [
    ((10, 0, 2), True, "SAME"), ((10, 0, 2), False, "CHANGED"), ((10, 0, 2), None, "CHANGED"),
    ((10, 0, 13), False, "SAME"), ((10, 0, 13), True, "CHANGED"),
    ((10, 0, 14), True, "CHANGED"), ((9, 2, 0), True, "SAME"), ((12, 0, 0), False, "SAME"), ((12, 0, 0), True, "CHANGED")])
def test_a_row_that_has_changed_is_told(version, seen, state):
    assert Finding(differences.row("napot"), version, seen).state == state


def test_another_version_is_news_and_no_failure(monkeypatch, version):
    """The installed QEMU, taken for another: what it does is not what the table says of that one."""
    if version != (10, 0, 2):
        pytest.skip("needs a QEMU that has every difference")
    monkeypatch.setattr(run, "version_of", lambda binary: (12, 3, 4))
    done = CliRunner().invoke(main, ["--json"])
    assert done.exit_code == 0
    told = json.loads(done.output)
    assert (told["qemu"], told["version_known"]) == ("12.3.4", False)
    rows = {row["id"]: row for row in told["rows"]}
    assert (rows["napot"]["seen"], rows["napot"]["state"]) == ("differs", "CHANGED")
    assert rows["gvma-superpage"]["state"] == "SAME" and rows["fence-order"]["state"] == "UNPROBED"


def test_the_command_prints_a_line_for_each_row():
    command = [sys.executable, "-m", "cordon.qemu.differences", "--qemu", process.BINARY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100,
                          env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert all(f" {row.id} " in done.stdout for row in differences.ROWS)
    assert f"{len(differences.ROWS)} rows, " in done.stdout


@pytest.mark.parametrize("script, words", [
    (None, "cannot start"), ("exit 3", "did not start"),
    ('exec "$REAL" "${@/iommu-sys=on/no-such-iommu=on}"', "no-such-iommu")])
def test_a_qemu_that_will_not_do_is_one_clear_error(tmp_path, monkeypatch, script, words):
    """Missing, broken, or without an IOMMU."""
    binary = tmp_path / "qemu"
    if script:
        binary.write_text(f"#!/bin/bash\n{script}\n")
        binary.chmod(0o755)
    monkeypatch.setenv("REAL", process.BINARY)
    done = CliRunner().invoke(main, ["--qemu", str(binary)])
    assert isinstance(done.exception, SystemExit) and done.exit_code == 1
    assert done.output.startswith("error: ") and words in done.output and str(binary) in done.output
