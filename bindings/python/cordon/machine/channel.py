"""The host channel: frames of JSON and bytes between this program and the hypervisor.

The frame format is that of hyp/channel/channel.h: "CRDN", type, stream, number, length, data.
"""
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_HEADER = struct.Struct("<4sBBHI")
_MAGIC = b"CRDN"
FRAME_MAX = 65536
_SHOWN = 16  # bytes of what was skipped
_LAST_WORDS = 5.0  # seconds to read what stands in a socket
Event = dict[str, Any]
Piece = tuple[Event, bytes]  # an answer, and what came on a byte stream before it
Frame = tuple[str, int, Any]  # type, stream, content


class ChannelError(Exception):
    """The other side is gone, or did not answer in time."""


class CommandRefused(ChannelError):
    """The hypervisor answered a command with an error; `why` is its reason."""

    def __init__(self, command: str, why: str) -> None:
        self.command, self.why = command, why
        super().__init__(f"{command!r} was refused: {why}")


class Frames:
    """Cuts a stream of bytes into frames. Bytes that belong to none are skipped up to the next
    beginning of one, and counted."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.skipped = 0  # bytes
        self.saw = b""    # the first of them
        self.lost = 0     # frames that the other side could not send, by their numbers
        self._number = 0  # of the next frame

    def feed(self, data: bytes) -> None:
        self._data += data

    def take(self) -> Frame | None:
        """(type, stream, content) of the next frame, or None until more bytes are fed. The content
        is what JSON says, or bytes."""
        while True:
            at = self._data.find(_MAGIC)
            if at < 0:
                self._skip(len(self._data) - self._begun())
                return None
            self._skip(at)
            if len(self._data) < _HEADER.size:
                return None
            _, kind, stream, number, length = _HEADER.unpack_from(self._data)
            end = _HEADER.size + length
            if chr(kind) not in "JB" or length > FRAME_MAX:
                self._skip(1)
            elif len(self._data) < end:
                return None
            else:
                frame = self._content(chr(kind), bytes(self._data[_HEADER.size:end]))
                if frame is not None:
                    del self._data[:end]
                    self.lost += (number - self._number) % 65536
                    self._number = number + 1
                    return chr(kind), stream, frame
                self._skip(1)

    def _begun(self) -> int:
        """How many bytes at the end may be the beginning of a frame."""
        return next(n for n in (3, 2, 1, 0) if self._data.endswith(_MAGIC[:n]))

    @staticmethod
    def _content(kind: str, data: bytes) -> Any:
        if kind == "B":
            return data
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def _skip(self, count: int) -> None:
        self.saw += bytes(self._data[:min(count, _SHOWN - len(self.saw))])
        self.skipped += count
        del self._data[:count]


class Channel:
    """Reads SOCK in a thread of its own: events are kept in order, bytes are joined by stream. What
    is no frame is skipped: SKIPPED says how many bytes, and an awaited event that does not come
    says so. `last_words`, which may be set at any time, says more of a side that has gone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._changed = threading.Condition()
        self._frames = Frames()
        self.events: list[Event] = []
        self.streams: dict[int, bytes] = {}
        self._gone: str | None = None
        self.last_words: Callable[[], str] = str
        self._thread = threading.Thread(target=self._run, name="channel", daemon=True)
        self._thread.start()

    @property
    def skipped(self) -> int:
        return self._frames.skipped

    @property
    def lost(self) -> int:
        """How many frames the hypervisor could not send, as far as later ones tell."""
        return self._frames.lost

    @property
    def gone(self) -> str | None:
        """Why nothing comes any more, or None."""
        return self._gone

    def _run(self) -> None:
        try:
            while True:
                data = self._sock.recv(FRAME_MAX)
                if not data:
                    raise ChannelError("the hypervisor's end is closed")
                self._read(data)
        except (OSError, ChannelError) as why:
            with self._changed:
                self._gone = str(why) or type(why).__name__
                self._changed.notify_all()

    def _read(self, data: bytes) -> None:
        with self._changed:
            self._frames.feed(data)
            while (frame := self._frames.take()) is not None:
                self._take(*frame)
            self._changed.notify_all()

    def _take(self, kind: str, stream: int, content: Any) -> None:
        if kind == "J":
            self.events.append(content)
        else:
            self.streams[stream] = self.streams.get(stream, b"") + content

    def _noise(self) -> str:
        """What else to say of an event that did not come."""
        noise = (f"; {self.skipped} bytes were skipped that are no frame, "
                 f"from {self._frames.saw!r} on") if self.skipped else ""
        return noise + (self.last_words() if self._gone else "")

    def command(self, text: str) -> None:
        """Send a command; it answers with events."""
        data = text.encode()
        try:
            self._sock.sendall(_HEADER.pack(_MAGIC, ord("C"), 0, 0, len(data)) + data)
        except OSError as why:
            with self._changed:  # what the other side said before it went is read first
                self._changed.wait_for(lambda: self._gone, _LAST_WORDS)
            raise ChannelError(f"{text!r} cannot be sent: {why.strerror or why}{self.last_words()}") from None

    def wait(self, event: str, timeout: float = 30.0, start: int = 0, **fields: Any) -> Event:
        """The first event of this name, from number START on, whose fields are as given."""
        return self._wait({event: fields}, timeout, start)

    def _wait(self, wanted: dict[str, Event], timeout: float, start: int) -> Event:
        deadline = time.monotonic() + timeout
        at = start
        with self._changed:
            while True:
                for number in range(at, len(self.events)):
                    if any(_fits(self.events[number], *one) for one in wanted.items()):
                        return self.events[number]
                at = len(self.events)
                left = deadline - time.monotonic()
                if self._gone or left <= 0:
                    event, fields = next(iter(wanted.items()))
                    raise ChannelError(f"no event {event!r} {fields or ''}: "
                                       + (self._gone or f"{timeout:.0f} s have passed")
                                       + self._noise())
                self._changed.wait(left)

    def seen(self, event: str, start: int = 0, **fields: Any) -> list[Event]:
        """Every event of this name that has come, from number START on, whose fields are as given."""
        with self._changed:
            return [e for e in self.events[start:] if _fits(e, event, fields)]

    def ask(self, text: str, event: str, timeout: float = 30.0, **fields: Any) -> Event:
        """Send a command and wait for the event that answers it, among those that come after."""
        return self._ask(text, {event: fields}, timeout)

    def order(self, text: str, event: str, timeout: float = 30.0, **fields: Any) -> Event:
        """As ask; CommandRefused where the hypervisor answers with an error."""
        answer = self._ask(text, {event: fields, "error": {}}, timeout)
        if answer["event"] == "error":
            raise CommandRefused(text, f"{answer.get('why')}: {answer.get('command')!r}")
        return answer

    def _ask(self, text: str, wanted: dict[str, Event], timeout: float) -> Event:
        with self._changed:
            start = len(self.events)
        self.command(text)
        return self._wait(wanted, timeout, start)

    def bytes(self, stream: int) -> bytes:
        """What has come on a byte stream, and forget it."""
        with self._changed:
            return self.streams.pop(stream, b"")

    def pieces(self, ask: Callable[[int], Event], stream: int, at: int = 0) -> Iterator[Piece]:
        """What is told piece by piece on STREAM: the first is asked for from AT on, each more from where
        the answer before says, until that is 0."""
        self.bytes(stream)  # of an answer that nobody has waited for
        more = True
        while more:
            answer = ask(at)
            yield answer, self.bytes(stream)
            at = int(answer["next"], 0)
            more = at != 0


def _fits(event: Event, name: str, fields: Event) -> bool:
    return event.get("event") == name and all(event.get(k) == v for k, v in fields.items())
