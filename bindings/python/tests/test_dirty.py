"""Harvests of a running guest, piece by piece: one that ends half-way forgets nothing that it was told."""
import json
import socket

import pytest
from test_channel import frame

from cordon import PAGE
from cordon.machine import ChannelError, GuestError, HarvestStopped
from cordon.machine.channel import Channel
from cordon.machine.dirty import BITMAP, PIECE, STREAM, harvested

BASE = 0x8000_0000
LENGTH = 2 * PIECE + 40 * PAGE
PIECES = 3


class Hypervisor:
    """Of each piece, the page with the piece's number was written. Piece WRONG is answered by what TROUBLE does."""

    def __init__(self, wrong=None, trouble=None):
        self._theirs, ours = socket.socketpair()
        self.channel = Channel(ours)
        self._wrong, self._trouble, self._number = wrong, trouble, 0

    def send(self, kind, data, stream=0):
        self._theirs.sendall(frame(kind, data, stream, number=self._number))
        self._number += 1

    def ask(self, at):
        piece = (at - BASE) // PIECE
        start = len(self.channel.events)
        if piece == self._wrong:
            return self._trouble(self, piece)
        self.send("B", (1 << piece).to_bytes(BITMAP, "little"), STREAM)
        self.told(piece)
        return self.channel.wait("vm-harvest", 5, start)

    def told(self, piece):
        after = BASE + (piece + 1) * PIECE if piece + 1 < PIECES else 0
        self.send("J", json.dumps({"event": "vm-harvest", "logged": 40, "unknown": 0, "words": 40, "us": 5,
                                   "next": hex(after)}).encode())

    def all(self, takes=True):
        return harvested(self.ask, self.channel, BASE, LENGTH, takes)

    def close(self):
        self._theirs.close()


def refuses(_hypervisor, _piece):
    raise GuestError("part of its RAM is not logged")


def goes(hypervisor, _piece):
    hypervisor.close()
    return hypervisor.channel.wait("vm-harvest", 5, len(hypervisor.channel.events))


def loses_the_bitmap(hypervisor, piece):
    start = len(hypervisor.channel.events)
    hypervisor.told(piece)
    return hypervisor.channel.wait("vm-harvest", 5, start)


def told_by(trouble, piece):
    hypervisor = Hypervisor(piece, trouble)
    with pytest.raises(HarvestStopped) as why:
        hypervisor.all()
    return why.value


def page_numbers(pages):
    return [(int(gpa) - BASE) // PAGE for gpa in pages]


def written(pieces):
    return [piece * PIECE // PAGE + piece for piece in range(pieces)]


def test_all_pieces_are_one_harvest():
    found, rate = Hypervisor().all()
    assert page_numbers(found.dirty) == written(PIECES) and rate.pages == PIECES
    assert len(found.dirty.bitmap) == LENGTH // PAGE // 8


def test_a_harvest_that_is_refused_half_way_has_what_was_told():
    why = told_by(refuses, 2)
    assert page_numbers(why.harvest.dirty) == written(2) and why.harvest.logged == 80
    assert why.reached.v == BASE + 2 * PIECE  # from there on nothing was taken
    assert "not logged" in str(why) and f"{BASE + 2 * PIECE:#x}" in str(why)


@pytest.mark.parametrize("trouble", [goes, loses_the_bitmap])
@pytest.mark.parametrize("piece", range(PIECES))
def test_pages_whose_answer_was_lost_are_dirty(trouble, piece):
    why = told_by(trouble, piece)
    reached = min((piece + 1) * PIECE, LENGTH)
    assert why.reached.v == BASE + reached
    assert page_numbers(why.harvest.dirty) == written(piece) + list(range(piece * PIECE // PAGE, reached // PAGE))
    assert why.harvest.unknown == (reached - piece * PIECE) // PAGE


def test_a_harvest_that_took_nothing_is_refused_as_it_is():
    with pytest.raises(GuestError, match="not logged") as why:
        Hypervisor(0, refuses).all()
    assert not isinstance(why.value, HarvestStopped)
    with pytest.raises(ChannelError) as gone:  # a look takes nothing
        Hypervisor(1, goes).all(takes=False)
    assert not isinstance(gone.value, HarvestStopped)
