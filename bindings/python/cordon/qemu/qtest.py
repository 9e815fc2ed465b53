"""The qtest protocol: QEMU's memory, registers and device registers over a socket, no guest code.

One line a command, one line an answer. Commands that need no answer at once are queued by post()
and go out together with the next flush(): a batch costs one round trip.
"""
import socket

from ..types import Bytes

BATCH = 512  # commands in one send: their answers must fit in the socket's buffer


class QTestError(Exception):
    """QEMU refused a command, or is gone."""


class QTest:
    """A connection to a QEMU's -qtest chardev."""

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        self._sock = sock
        self._sock.settimeout(timeout)
        self._pending: list[str] = []
        self._buffer = b""
        self._awaited: str | None = None  # a command whose answer has not come yet

    # ---- the protocol ---------------------------------------------------------------------------

    def post(self, line: str) -> None:
        """Queue a command whose answer is not awaited here."""
        self._pending.append(line)
        if len(self._pending) >= BATCH:
            self.flush()

    def ask(self, line: str) -> list[str]:
        """Send what is queued and LINE; the words of LINE's answer, after OK."""
        self._pending.append(line)
        return self.flush()

    def flush(self) -> list[str]:
        """Send what is queued; the words of the last answer, after OK."""
        if self._awaited is not None:
            raise QTestError(f"qtest {self._awaited!r} was given up before its answer came: answers are out of step, "
                             "close the machine")
        if not self._pending:
            return []
        lines, self._pending = self._pending, []
        self._awaited = lines[-1]
        try:
            self._sock.sendall(("\n".join(lines) + "\n").encode())
            answers = [self._answer() for _ in lines]
        except (OSError, EOFError) as why:
            raise QTestError(f"qtest {lines[-1]!r}: {why or type(why).__name__}") from None
        self._awaited = None
        for line, answer in zip(lines, answers):
            if answer[:1] != ["OK"]:
                raise QTestError(f"qtest {line!r}: answered {' '.join(answer)!r}")
        return answers[-1][1:]

    def _answer(self) -> list[str]:
        while True:
            while b"\n" not in self._buffer:
                data = self._sock.recv(65536)
                if not data:
                    raise EOFError("QEMU closed the connection")
                self._buffer += data
            line, self._buffer = self._buffer.split(b"\n", 1)
            words = line.decode().split()
            if words[:1] != ["IRQ"]:  # a report of an interrupt line, not an answer
                return words

    # ---- registers and memory -------------------------------------------------------------------

    def read(self, width: int, addr: int) -> int:
        """One access of WIDTH bytes (1, 2, 4, 8)."""
        return int(self.ask(f"read{_LETTER[width]} {addr:#x}")[0], 0)

    def write(self, width: int, addr: int, value: int) -> None:
        self.ask(f"write{_LETTER[width]} {addr:#x} {value:#x}")

    def post_write(self, width: int, addr: int, value: int) -> None:
        self.post(f"write{_LETTER[width]} {addr:#x} {value:#x}")

    def read_bytes(self, addr: int, length: int) -> bytes:
        return bytes.fromhex(self.ask(f"read {addr:#x} {length:#x}")[0][2:])

    def write_bytes(self, addr: int, data: Bytes) -> None:
        self.ask(f"write {addr:#x} {len(data):#x} 0x{bytes(data).hex()}")

    def close(self) -> None:
        self._sock.close()


_LETTER = {1: "b", 2: "w", 4: "l", 8: "q"}


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: ours, and the one that QEMU inherits."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
