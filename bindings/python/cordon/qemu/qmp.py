"""QMP: QEMU's machine protocol, JSON lines over a socket."""
import json
import socket
import time
from collections.abc import Callable
from typing import Any

LINE_MAX = 1 << 24  # of an answer; the longest seen are the registers of all harts


class QmpError(Exception):
    """QEMU answered a command with an error, or is gone."""


class Qmp:
    """A connection to a QEMU's QMP monitor, capabilities negotiated. `last_words`, which may be set at any time, says
    more of one that is broken."""

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        self._sock, self._timeout = sock, timeout
        self._sock.settimeout(timeout)
        self._file = sock.makefile("rwb")
        self.last_words: Callable[[], str] = str
        self.events: list[dict[str, Any]] = []
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def _read(self) -> dict[str, Any]:
        line = self._file.readline(LINE_MAX)
        if not line:
            raise QmpError(f"QEMU closed the QMP connection{self.last_words()}")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise QmpError(f"this is no QMP of a QEMU: it says {line!r:.60}")
        return answer

    def command(self, name: str, **arguments: Any) -> Any:
        """Run a command; its result."""
        message = {"execute": name, "arguments": arguments}
        deadline = time.monotonic() + self._timeout
        try:
            self._file.write(json.dumps(message).encode() + b"\n")
            self._file.flush()
            while "event" in (answer := self._read()):
                self.events.append(answer)
                if time.monotonic() > deadline:
                    raise QmpError(f"QMP {name}: events, and no answer")
        except OSError as why:
            raise QmpError(f"QMP {name}: {why}{self.last_words()}") from None
        if "error" in answer:
            said = answer["error"]
            raise QmpError(f"QMP {name}: {said.get('desc') if isinstance(said, dict) else said!r}")
        if "return" not in answer:
            raise QmpError(f"QMP {name}: neither a result nor an error, but {answer!r:.60}")
        return answer["return"]

    def hmp(self, line: str) -> str:
        """A line for the human monitor; what it prints."""
        printed: str = self.command("human-monitor-command", **{"command-line": line})
        return printed

    def close(self) -> None:
        self._file.close()
        self._sock.close()
