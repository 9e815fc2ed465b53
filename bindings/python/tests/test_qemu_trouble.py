"""A QEMU that is missing, too old, or dies: one clear error, and nothing is left running."""
import gc
import os
import threading
import time

import pytest

from cordon import Dma, Platform
from cordon.qemu.machine import QemuMachine
from cordon.qemu.process import BINARY, QemuError
from cordon.qemu.qtest import QTest, QTestError, pair


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_missing_qemu_is_named():
    with pytest.raises(QemuError, match="cannot start /nonexistent/qemu: .*No such file"):
        QemuMachine(binary="/nonexistent/qemu")


def test_old_qemu_is_told_apart(tmp_path):
    old = script(tmp_path / "qemu", "echo \"qemu: Property 'virt-machine.iommu-sys' not found\" >&2; exit 1")
    with pytest.raises(QemuError, match="iommu-sys' not found\n\nQEMU 10.0 or newer") as error:
        QemuMachine(binary=old)
    assert str(tmp_path) in str(error.value)


def test_real_qemus_own_words_are_in_the_error(tmp_path):
    strange = script(tmp_path / "qemu", f'exec {BINARY} "$@" -machine no-such-machine')
    with pytest.raises(QemuError, match="no-such-machine|unsupported machine") as error:
        QemuMachine(binary=strange)
    assert "10.0 or newer" not in str(error.value)


def test_silent_qemu_is_given_up(tmp_path):
    with pytest.raises(QemuError, match="did not start"):
        QemuMachine(binary=script(tmp_path / "qemu", "exit 0"))


def test_a_qemu_that_nobody_can_close_any_more_is_ended_and_told_of():
    platform = Platform("qemu")
    pid = platform.machine.process.pid
    with pytest.warns(ResourceWarning, match=f"QEMU {pid} was left running: close"):
        del platform
        gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_qemu_outlives_the_thread_that_started_it():
    """The kernel sends the death signal at the end of the thread that forked."""
    started = []
    thread = threading.Thread(target=lambda: started.append(Platform("qemu")))
    thread.start()
    thread.join()
    with started.pop() as platform:
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < deadline:
            os.sched_yield()
        for _ in range(100):
            assert platform.register(0, 8)
        assert platform.machine.process.returncode is None


def test_qemu_that_dies_in_the_middle_is_an_error_and_closes():
    with Platform("qemu", [Dma(2)]) as platform:
        device = platform.device("00:02.0")
        pid = platform.machine.process.pid
        os.kill(pid, 9)
        platform.machine.process._process.wait(10)
        with pytest.raises(QTestError, match="qtest"):
            device.dma.write(0, b"x")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_answers_that_were_not_awaited_are_not_taken_for_others():
    """A time-out or ctrl-C leaves an answer on its way; the next question must not get it."""
    ours, theirs = pair()
    with theirs:
        qtest = QTest(ours, timeout=0.05)
        with pytest.raises(QTestError, match="readl 0x10': timed out"):
            qtest.read(4, 0x10)
        theirs.sendall(b"OK 0x1\nOK 0x2\n")
        with pytest.raises(QTestError, match="'readl 0x10' was given up before its answer came: answers are out of step"):
            qtest.read(4, 0x20)
        qtest.close()
