"""QMP: QEMU's machine protocol, JSON lines over a socket."""
import json


class QmpError(Exception):
    """QEMU answered a command with an error, or is gone."""


class Qmp:
    """A connection to a QEMU's QMP monitor, capabilities negotiated."""

    def __init__(self, sock, timeout=10.0):
        self._sock = sock
        self._sock.settimeout(timeout)
        self._file = sock.makefile("rwb")
        self.events = []
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def _read(self):
        line = self._file.readline()
        if not line:
            raise QmpError("QEMU closed the QMP connection")
        return json.loads(line)

    def command(self, name, **arguments):
        """Run a command; its result."""
        message = {"execute": name, "arguments": arguments}
        try:
            self._file.write(json.dumps(message).encode() + b"\n")
            self._file.flush()
            while True:
                answer = self._read()
                if "event" not in answer:
                    break
                self.events.append(answer)
        except OSError as why:
            raise QmpError(f"QMP {name}: {why}") from None
        if "error" in answer:
            raise QmpError(f"QMP {name}: {answer['error']['desc']}")
        return answer["return"]

    def hmp(self, line):
        """A line for the human monitor; what it prints."""
        return self.command("human-monitor-command", **{"command-line": line})

    def close(self):
        self._file.close()
        self._sock.close()
