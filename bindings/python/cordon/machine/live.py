"""The host channel of a machine that somebody else has started, at a socket of its own."""
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from .channel import Channel, ChannelError

CONNECT_S = 5.0


@contextmanager
def channel_at(path: str) -> Iterator[Channel]:
    """The channel whose socket is PATH; QEMU serves one program at a time. ChannelError where there is none."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(CONNECT_S)
        try:
            sock.connect(path)
        except OSError as why:
            raise ChannelError(f"channel:{path}: {why.strerror or why}") from None
        sock.settimeout(None)
        try:
            yield Channel(sock)
        finally:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # its reader ends
            except OSError:
                pass


__all__ = ["channel_at"]
