"""The host channel's reader: frames in any pieces, and noise between them that costs no frame."""
import json
import socket
import struct

import pytest
from hypothesis import given, settings, strategies

from cordon.machine.channel import FRAME_MAX, Channel, ChannelError, Frames


def frame(kind, data, stream=0, magic=b"CRDN", number=0, length=None):
    return struct.pack("<4sBBHI", magic, ord(kind), stream, number,
                       len(data) if length is None else length) + data


def event(number):
    return frame("J", json.dumps({"event": "e", "number": number}).encode())


def all_of(frames, data, piece):
    """What FRAMES makes of DATA, fed PIECE bytes at a time."""
    found = []
    for at in range(0, len(data), piece):
        frames.feed(data[at:at + piece])
        while (one := frames.take()) is not None:
            found.append(one)
    return found


NOISE = {
    "other magic": b"CRDX" + bytes(8),
    "type nobody knows": frame("Q", b"abc"),
    "length beyond the limit": frame("J", b"", length=FRAME_MAX + 1),
    "no JSON": frame("J", b"{not json"),
    "JSON that is no object": frame("J", b"[1]"),
    "part of a beginning": b"CRDCRCCRD",
    "nothing like a frame": bytes(range(256)),
}


@pytest.mark.parametrize("piece", [1, 3, 12, 4096])
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_noise_between_frames_is_skipped_and_counted(noise, piece):
    frames = Frames()
    found = all_of(frames, event(1) + noise + event(2) + frame("B", b"CRDN", stream=3), piece)
    assert [content["number"] for kind, _, content in found if kind == "J"] == [1, 2]
    assert found[-1] == ("B", 3, b"CRDN")
    assert frames.skipped == len(noise)
    assert frames.saw == noise[:16]


def test_clean_stream_skips_nothing():
    frames = Frames()
    assert len(all_of(frames, b"".join(map(event, range(20))), 7)) == 20
    assert frames.skipped == 0 and frames.saw == b""


@pytest.mark.parametrize("numbers, lost", [
    ([0, 1, 2], 0), ([0, 2], 1), ([3], 3), ([65534, 65535, 0], 65534), ([0, 1, 5, 6], 3)])
def test_gaps_in_the_numbers_are_frames_that_were_lost(numbers, lost):
    frames = Frames()
    all_of(frames, b"".join(frame("J", b"{}", number=n) for n in numbers), 5)
    assert frames.lost == lost


@settings(max_examples=300)
@given(parts=strategies.lists(strategies.one_of(strategies.binary(max_size=40), strategies.none()),
                              max_size=8), piece=strategies.integers(1, 50))
def test_no_noise_without_a_beginning_costs_a_frame(parts, piece):
    """None stands for a frame."""
    noise = [part.replace(b"C", b"c") for part in parts if part is not None]
    data = b"".join(event(0) if part is None else part.replace(b"C", b"c") for part in parts)
    frames = Frames()
    assert len(all_of(frames, data, piece)) == parts.count(None)
    assert frames.skipped == sum(map(len, noise))


@pytest.fixture
def line():
    """(the hypervisor's end, a channel)."""
    theirs, ours = socket.socketpair()
    yield theirs, Channel(ours)
    theirs.close()
    ours.close()


def test_channel_goes_on_behind_noise(line):
    theirs, channel = line
    theirs.sendall(event(1) + b"noise" + event(2))
    assert channel.wait("e", timeout=5, number=2)["number"] == 2
    assert channel.skipped == 5


def test_event_that_does_not_come_says_what_was_skipped(line):
    theirs, channel = line
    theirs.sendall(b"noise" + event(1))
    channel.wait("e", timeout=5)
    theirs.close()
    said = "closed; 5 bytes were skipped that are no frame, from b'noise' on"
    with pytest.raises(ChannelError, match=said):
        channel.wait("other", timeout=5)


def test_command_to_a_side_that_has_gone_fails_when_its_last_words_are_read(line):
    theirs, channel = line
    theirs.sendall(b"".join(map(event, range(3000))))
    theirs.close()
    with pytest.raises(ChannelError, match="'exits' cannot be sent"):
        channel.command("exits")
    assert len(channel.seen("e")) == 3000 and channel.gone == "the hypervisor's end is closed"
    assert channel.seen("e", start=2999) == channel.seen("e", number=2999)
