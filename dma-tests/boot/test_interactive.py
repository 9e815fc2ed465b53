"""`make run INTERACTIVE=1` on a terminal: the keys lead from guest to guest, to the hypervisor, and
out."""
import os
import pty
import re
import select
import time

import pytest

from machine import TREE

PYTHON = "/usr/bin/python3"


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.seen = b""

    def wait(self, pattern, timeout=100):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.seen):
            left = end - time.monotonic()
            tail = self.seen[-2000:].decode(errors="replace")
            assert left > 0, f"{pattern} did not come:\n{tail}"
            if select.select([self.fd], [], [], left)[0]:
                self.seen += os.read(self.fd, 4096)

    def type(self, data):
        os.write(self.fd, data)

    def end(self):
        """Its exit status, once it has let go of the terminal."""
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:  # the other side is closed
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.timeout(400)
def test_keys_lead_to_both_guests_to_the_hypervisor_and_out(tmp_path):
    terminal = Terminal(PYTHON, str(TREE / "tools/run"), "--interactive", "--folder", str(tmp_path))
    terminal.wait(rb"CORDON-GUEST-SHELL red")
    terminal.wait(rb"CORDON-GUEST-SHELL blue")
    terminal.type(b"echo red=$((6*7))\r")
    terminal.wait(rb"red=42")
    terminal.type(b"\x1d")
    terminal.wait(rb"the console is blue's")
    terminal.type(b"echo blue=$((6*8))\r")
    terminal.wait(rb"blue=48")
    terminal.type(b"\x1d")
    terminal.wait(rb"the hypervisor listens")
    terminal.type(b"audit\r")
    terminal.wait(rb'"event": "audit", "clean": true')
    terminal.type(b"\x1d")
    terminal.wait(rb"the console is red's")
    terminal.type(b"\x1c")
    assert terminal.end() == 0
