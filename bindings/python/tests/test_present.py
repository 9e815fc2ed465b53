"""Which pages of a guest are present over time: pieces joined, rows and pictures."""
import struct
from types import SimpleNamespace

import pytest

from cordon import PAGE, Gpa, Perm
from cordon.machine import History, Present
from cordon.machine.channel import Channel
from cordon.machine.present import STREAM, pieces

MIB = 1 << 20
RECORD = struct.Struct("<QIHH")


class Teller(Channel):
    """Says so many records an answer."""

    def __init__(self, records, a_time):
        self.records, self.a_time, self.said = records, a_time, b"left over from before"

    def ask(self, at):
        rest = [r for r in self.records if r[0] * PAGE >= at]
        self.said = b"".join(RECORD.pack(*r) for r in rest[:self.a_time])
        return {"next": hex(rest[self.a_time][0] * PAGE if len(rest) > self.a_time else 0)}

    def bytes(self, stream):
        assert stream == STREAM
        said, self.said = self.said, b""
        return said


@pytest.mark.parametrize("a_time", [1, 2, 10])
def test_answers_are_put_together_however_they_are_cut(a_time):
    records = [(1, 2, 12, 3), (3, 1, 12, 3), (4, 1, 12, 1), (16, 16, 16, 1), (512, 512, 21, 1), (1024, 512, 21, 1)]
    channel = Teller(records, a_time)
    assert pieces(channel.ask, channel) == [
        Present(Gpa(PAGE), 3 * PAGE, "4K", Perm.RW), Present(Gpa(4 * PAGE), PAGE, "4K", Perm.R),
        Present(Gpa(16 * PAGE), 16 * PAGE, "64K", Perm.R), Present(Gpa(2 * MIB), 4 * MIB, "2M", Perm.R)]


def guest(*samples):
    """A guest of 8 MiB at 16 MiB; each sample is a list of (MiB, MiB, size) in its RAM."""
    left = list(samples)
    return SimpleNamespace(name="red", ram_base=16 * MIB, ram_bytes=8 * MIB, is_logged=False, present=lambda: [
        Present(Gpa(first * MIB), count * MIB, size, Perm.RWX) for first, count, size in left.pop(0)])


def test_a_history_is_what_was_present_when():
    history = History(guest([(0, 1, "4K")], [(17, 1, "4K"), (18, 1, "64K"), (20, 2, "2M")], [(15, 2, "4K"), (22, 9, "1G")]))
    assert [history.sample() for _ in range(3)] == [0, 4 * MIB, 3 * MIB]
    assert list(history.rows(bins=8)) == [[0] * 8, [0, 1, 2, 0, 3, 3, 0, 0], [1, 0, 0, 0, 0, 0, 4, 4]]


def test_a_history_is_drawn(tmp_path):
    history = History(guest([(16, 1, "4K")], [(16, 8, "2M")]))
    with pytest.raises(ValueError, match="nothing was sampled"):
        history.picture(tmp_path / "none.svg")
    history.sample()
    history.sample()
    history.picture(tmp_path / "red.svg")
    drawn = (tmp_path / "red.svg").read_text()
    assert "red: what of its RAM is present" in drawn and "0x1000000" in drawn and "0x1800000" in drawn
