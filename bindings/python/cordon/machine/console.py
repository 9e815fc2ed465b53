"""A serial console: every line kept, any line awaited, what people type sent on."""
import re
import threading
import time


class ConsoleTimeout(Exception):
    """The awaited line did not come. The text ends with the console's last lines."""


class Console:
    """Reads SOCK in a thread of its own. LOG (a binary file or None) gets every byte as it comes."""

    def __init__(self, sock, log=None):
        self._sock, self._log = sock, log
        self._changed = threading.Condition()
        self._rest = b""
        self.lines = []
        self.closed = False
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                data = self._sock.recv(65536)
            except OSError:
                data = b""
            if data and self._log:
                self._log.write(data)
                self._log.flush()
            with self._changed:
                if not data:
                    self._take_rest()
                    self.closed = True
                    self._changed.notify_all()
                    return
                *whole, self._rest = (self._rest + data).split(b"\n")
                self.lines += [line.decode(errors="replace").rstrip("\r") for line in whole]
                self._changed.notify_all()

    def _take_rest(self):
        if self._rest:
            self.lines.append(self._rest.decode(errors="replace"))
            self._rest = b""

    def wait(self, pattern, timeout=60.0, start=0):
        """The first match of PATTERN in lines from number START on: (line number, match)."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        at = start
        with self._changed:
            while True:
                for number in range(at, len(self.lines)):
                    found = wanted.search(self.lines[number])
                    if found:
                        return number, found
                at = len(self.lines)
                left = deadline - time.monotonic()
                if self.closed or left <= 0:
                    why = "the console closed" if self.closed else f"{timeout:.0f} s have passed"
                    raise ConsoleTimeout(f"no line matches {pattern!r}, and {why}; it ends with:\n"
                                         + self.tail())
                self._changed.wait(left)

    def find(self, pattern, start=0):
        """Every match of PATTERN so far, in lines from START on."""
        wanted = re.compile(pattern)
        with self._changed:
            return [m for line in self.lines[start:] if (m := wanted.search(line))]

    def tail(self, count=25):
        """The last lines, as text."""
        return "\n".join("    " + line for line in (self.lines + [self._rest.decode(errors="replace")])[-count:])

    def type(self, text):
        """Send TEXT as if typed."""
        self._sock.sendall(text.encode())
