"""A serial console: every line kept, any line awaited, what people type sent on.

Each line says in brackets who said it. What one author says may be broken into several lines, when
it halts in the middle and another one speaks; so it is kept by author too, without line ends.
"""
import re
import threading
import time
from collections.abc import Callable
from typing import Any

Tap = Callable[[bytes], object]

_AUTHOR = re.compile(r"\[(\w[\w-]*)\] (.*)")


class ConsoleTimeout(Exception):
    """The awaited line did not come. The text ends with the console's last lines."""


class Console:
    """Reads SOCK in a thread of its own. LOG (a binary file or None) gets every byte as it comes;
    so does TAP, a function that may be set at any time. LAST_WORDS, too: it says more of one that has closed."""

    def __init__(self, sock: Any, log: Any = None) -> None:
        self._sock, self._log = sock, log
        self._changed = threading.Condition()
        self._rest = b""
        self.lines: list[str] = []
        self.said: dict[str, str] = {}  # author: all that it has said, joined
        self.tap: Tap | None = None
        self.last_words: Callable[[], str] = str
        self.closed = False
        self._why = "the console closed"
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                data = self._sock.recv(65536)
            except OSError:
                data = b""
            data = self._logged(data)
            if data and self.tap:
                self.tap(data)
            with self._changed:
                if not data:
                    self._take_rest()
                    self.closed = True
                    self._changed.notify_all()
                    return
                *whole, self._rest = (self._rest + data).split(b"\n")
                for line in whole:
                    self._add(line.decode(errors="replace").rstrip("\r"))
                self._changed.notify_all()

    def _logged(self, data: bytes) -> bytes:
        """DATA once it is in the log; a log that cannot be written ends the console."""
        try:
            if data and self._log:
                self._log.write(data)
                self._log.flush()
            return data
        except OSError as why:
            self._why = f"its log {getattr(self._log, 'name', '')} cannot be written: {why.strerror}"
            return b""

    def _take_rest(self) -> None:
        if self._rest:
            self._add(self._rest.decode(errors="replace"))
            self._rest = b""

    def _add(self, line: str) -> None:
        self.lines.append(line)
        if match := _AUTHOR.match(line):
            self.said[match[1]] = self.said.get(match[1], "") + match[2]

    def _wait(self, look: Any, pattern: str, timeout: float, author: str = "",
              hopeless: Callable[[], str] = str) -> Any:
        """What LOOK finds, which is called again whenever something was said. HOPELESS may say why that is of
        no use any more."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while (found := look()) is None:
                left = deadline - time.monotonic()
                why = hopeless() or (self._why + self.last_words() if self.closed else "")
                if why or left <= 0:
                    why = why or f"{timeout:.0f} s have passed"
                    raise ConsoleTimeout(f"no line matches {pattern!r}, and {why}; it ends with:\n"
                                         + self.tail(author=author))
                self._changed.wait(left)
            return found

    def wait_said(self, author: str, pattern: str, timeout: float = 60.0, start: int = 0,
                  hopeless: Callable[[], str] = str) -> Any:
        """The first match of PATTERN in what AUTHOR has said, from character START on. HOPELESS says why that
        cannot come any more, or ""."""
        wanted = re.compile(pattern)
        return self._wait(lambda: wanted.search(self.said.get(author, ""), start), pattern, timeout, author,
                          hopeless)

    def said_by(self, author: str, start: int = 0) -> str:
        """What AUTHOR has said so far, from character START on."""
        with self._changed:
            return self.said.get(author, "")[start:]

    def wait(self, pattern: str, timeout: float = 60.0, start: int = 0) -> Any:
        """The first match of PATTERN in lines from number START on: (line number, match)."""
        wanted = re.compile(pattern)
        at = start

        def look() -> Any:
            nonlocal at
            for number in range(at, len(self.lines)):
                if found := wanted.search(self.lines[number]):
                    return number, found
            at = len(self.lines)
            return None
        return self._wait(look, pattern, timeout)

    def find(self, pattern: str, start: int = 0) -> Any:
        """Every match of PATTERN so far, in lines from START on."""
        wanted = re.compile(pattern)
        with self._changed:
            return [m for line in self.lines[start:] if (m := wanted.search(line))]

    def lines_of(self, author: str) -> list[str]:
        """The lines of one author, without the name."""
        with self._changed:
            return [match[2] for line in self.lines if (match := _AUTHOR.match(line)) and match[1] == author]

    def tail(self, count: int = 25, author: str = "") -> str:
        """The last lines, of one author or of all, as text."""
        lines = self.lines_of(author) if author else self.lines + [self._rest.decode(errors="replace")]
        return "\n".join("    " + line for line in lines[-count:])

    def wait_closed(self, timeout: float) -> bool:
        """Wait until all has been read that there will ever be; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closed, timeout)

    def type(self, text: str) -> None:
        """Send TEXT as if typed."""
        self._sock.sendall(text.encode())
