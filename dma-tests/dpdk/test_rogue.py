"""Network cards that real drivers send to the wrong addresses reach nothing; without Cordon they reach it all.

Each claim has its control: the same program, kernel, root and cards on the same emulator without a hypervisor must
show what must not be seen, or the test could not see it either.
"""
import struct

import pytest
import rogues
from cordon import Perm
from rogues import PAGE, PIECE, RECEIVER, SECRET, SENDER, WHERES, mark

pytestmark = pytest.mark.timeout(300)  # with the start of a machine
BACKED = ["guest", "hypervisor", "table", "free", "registers", "own registers"]
KINDS = [*BACKED, "past the end", "too wide"]
LEAKS = KINDS[:-1]  # all that a bus reaches
RINGS = ["guest", "hypervisor", "table", "free", "past the end"]  # that a card can have; nobody can put one into registers
INTEL = ["e1000e", "igb"]


@pytest.fixture(scope="module")
def confined(model, tmp_path_factory):
    with rogues.confined(tmp_path_factory.mktemp(f"confined-{model}"), model) as scene:
        yield scene


@pytest.fixture(scope="module")
def loose(model, tmp_path_factory):
    with rogues.loose(tmp_path_factory.mktemp(f"loose-{model}"), model) as scene:
        yield scene


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_descriptor_may_not_fetch_is_not_on_the_wire(confined, kind, where):
    place = confined.place(kind)
    secret = confined.look(place)
    assert any(secret) or kind not in BACKED
    with confined.refused(SENDER, place) as faults:
        piece = confined.send(place, where)
    assert not any(piece)
    assert {fault.access for fault in faults.faults} == {Perm.R}


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("kind", LEAKS)
def test_without_cordon_it_is(loose, kind, where):
    place = loose.place(kind)
    secret = loose.look(place)
    assert any(secret)
    assert loose.send(place, where).startswith(secret)


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("kind", KINDS)
def test_where_a_descriptor_may_not_store_nothing_lands(confined, kind, where):
    place = confined.place(kind, write=True)
    before = confined.look(place)
    with confined.refused(RECEIVER, place) as faults:
        confined.order(f"receive {where} {place.iova:#x}")
    assert confined.look(place) == before
    assert {fault.access for fault in faults.faults} == {Perm.W}


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("kind", LEAKS)
def test_without_cordon_it_lands(loose, kind, where):
    place = loose.place(kind, write=True)
    assert mark(where) not in loose.look(place)
    loose.order(f"receive {where} {place.iova:#x}")
    assert mark(where) in loose.look(place)


def test_without_cordon_the_bus_itself_refuses_what_is_too_wide(loose):
    place = loose.place("too wide")
    assert any(loose.look(place))
    assert not any(loose.send(place, "middle"))


def descriptors(model, at):
    """What a ring of a card may hold: descriptors that point at AT."""
    sends = {"e1000e": struct.pack("<QHBBBBH", at, PIECE, 0, 0x9, 0, 0, 0),  # end of packet, report status
             "igb": struct.pack("<QII", at, 0x2B300000 | PIECE, PIECE << 14)}[model]
    return sends, struct.pack("<QQ", at, 0) * 8


@pytest.mark.parametrize("model", INTEL, indirect=True)
@pytest.mark.parametrize("kind", [*RINGS, "registers", "own registers", "too wide"])
def test_a_ring_that_is_not_the_guests_is_neither_read_nor_written(confined, model, kind):
    page = confined.place(kind).page
    for order, slot, wanted in (("send", SENDER, Perm.R), ("receive", RECEIVER, Perm.RW)):
        if kind in ("guest", "free"):
            confined.plant(page)
            confined.put(page, descriptors(model, page.iova + PIECE)[order == "receive"])
        before = confined.look(page, PAGE)
        with confined.refused(slot, page) as faults:
            _, packets = confined.order(f"ring {order} {page.iova:#x}")
        assert confined.look(page, PAGE) == before
        assert not any(SECRET in packet for packet in packets)
        rights = {fault.access for fault in faults.faults}
        assert rights == ({Perm.R, Perm.W} if wanted == Perm.RW else {wanted})
    assert confined.order("send none")[0]["rest"]


@pytest.mark.parametrize("model", INTEL, indirect=True)
@pytest.mark.parametrize("kind", RINGS)
def test_without_cordon_it_is_both(loose, model, kind):
    ring, target = loose.ring(kind), loose.place("guest")
    sends, receives = descriptors(model, target.iova)
    loose.plant(target)
    loose.put(ring, sends)
    _, packets = loose.order(f"ring send {ring.iova:#x}")
    assert any(packet.startswith(loose.look(target)) for packet in packets)
    assert loose.look(ring, 16) != sends  # it is told there that the packet was sent
    loose.put(ring, receives)
    loose.order(f"ring receive {ring.iova:#x}")
    assert mark("last") in loose.look(target)  # all its descriptors point to one place
    assert loose.look(ring, 16) != receives[:16]
    loose.put(ring, bytes(len(receives)))


@pytest.mark.parametrize("model", ["igb"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_where_a_card_may_not_report_how_far_it_has_sent_nothing_lands(confined, kind):
    place = confined.place(kind, write=True)
    before = confined.look(place)
    with confined.refused(SENDER, place) as faults:
        assert confined.order(f"ring report {place.iova:#x}")[0]["rest"]
    assert confined.look(place) == before
    assert {fault.access for fault in faults.faults} == {Perm.W}


@pytest.mark.parametrize("model", ["igb"], indirect=True)
@pytest.mark.parametrize("kind", LEAKS)
def test_without_cordon_it_reports(loose, kind):
    place = loose.place(kind, write=True)
    answer, _ = loose.order(f"ring report {place.iova:#x}")
    assert loose.look(place).startswith(answer["head"].to_bytes(4, "little"))
