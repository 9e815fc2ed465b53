"""The host channel: frames of JSON and bytes between this program and the hypervisor.

The frame format is that of hyp/channel/channel.h: "CRDN", type, stream, two zero bytes, length,
data.
"""
import json
import struct
import threading
import time

_HEADER = struct.Struct("<4sBBHI")
_MAGIC = b"CRDN"
FRAME_MAX = 65536


class ChannelError(Exception):
    """The other side broke the format, is gone, or did not answer in time."""


class Channel:
    """Reads SOCK in a thread of its own: events are kept in order, bytes are joined by stream."""

    def __init__(self, sock):
        self._sock = sock
        self._changed = threading.Condition()
        self.events = []
        self.streams = {}
        self._gone = None
        self._thread = threading.Thread(target=self._run, name="channel", daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while True:
                self._take(*self._frame())
        except (OSError, ChannelError, ValueError) as why:
            with self._changed:
                self._gone = str(why) or type(why).__name__
                self._changed.notify_all()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self._sock.recv(count - len(data))
            if not more:
                raise ChannelError("the hypervisor's end is closed")
            data += more
        return data

    def _frame(self):
        magic, kind, stream, zero, length = _HEADER.unpack(self._exactly(_HEADER.size))
        if magic != _MAGIC or zero or length > FRAME_MAX:
            raise ChannelError(f"a frame begins with {magic!r}, length {length}: not the channel's "
                               "format")
        return chr(kind), stream, self._exactly(length)

    def _take(self, kind, stream, data):
        with self._changed:
            if kind == "J":
                self.events.append(json.loads(data))
            elif kind == "B":
                self.streams[stream] = self.streams.get(stream, b"") + data
            else:
                raise ChannelError(f"a frame of unknown type {kind!r}")
            self._changed.notify_all()

    def command(self, text):
        """Send a command; it answers with events."""
        data = text.encode()
        self._sock.sendall(_HEADER.pack(_MAGIC, ord("C"), 0, 0, len(data)) + data)

    def wait(self, event, timeout=30.0, start=0, **fields):
        """The first event of this name, from number START on, whose fields are as given."""
        deadline = time.monotonic() + timeout
        at = start
        with self._changed:
            while True:
                for number in range(at, len(self.events)):
                    e = self.events[number]
                    if e.get("event") == event and all(e.get(k) == v for k, v in fields.items()):
                        return e
                at = len(self.events)
                left = deadline - time.monotonic()
                if self._gone or left <= 0:
                    raise ChannelError(f"no event {event!r} {fields or ''}: "
                                       + (self._gone or f"{timeout:.0f} s have passed"))
                self._changed.wait(left)

    def ask(self, text, event, timeout=30.0, **fields):
        """Send a command and wait for the event that answers it, among those that come after."""
        with self._changed:
            start = len(self.events)
        self.command(text)
        return self.wait(event, timeout, start, **fields)

    def bytes(self, stream):
        """What has come on a byte stream, and forget it."""
        with self._changed:
            return self.streams.pop(stream, b"")
