"""A network card on a wire: packets gathered from and scattered to pieces of memory."""
import pytest

from cordon.devices import E1000eDriver
from cordon.qemu import E1000e, Edu
from cordon.types import PAGE
from scene import (BIG, BLUE_BASE, BOTH_BASE, RED_BASE, Neighbours, faults_of,
                   loses_a_piece_that_goes_on_elsewhere, mark, only_changes)

pytestmark = pytest.mark.machine(E1000e(4), E1000e(5), Edu(2), Edu(3))
SMALL_BASE, RINGS = BLUE_BASE + BIG, BOTH_BASE
RED_SMALL = RED_BASE + BIG
HEADER = b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x88\xb5"


@pytest.fixture
def wire(plat):
    """Blue sends, red receives: each card in its own guest. Red's buffers lie in scattered frames."""
    scene = Neighbours(plat)
    plat.device("e1000e4").attach(scene.blue.domain)
    plat.device("e1000e5").attach(scene.red.domain)
    scene.buffers = [RED_SMALL + (2 * n + 1) * PAGE - 20 * n for n in range(12)]  # across borders of pages
    scene.sender = E1000eDriver(plat.function("e1000e4"), scene.blue, RINGS).start()
    scene.receiver = E1000eDriver(plat.function("e1000e5"), scene.red, RINGS).start(scene.buffers)
    return scene


def lay_out(scene, payload):
    """A packet in pieces: a header, then PAYLOAD in stretches of 100 bytes up to borders of pages.
    (QEMU's card drops a packet with a piece across a border when the frames lie apart.)"""
    scene.blue.write(BLUE_BASE + 0x800, HEADER)
    pieces = [(BLUE_BASE + 0x800, len(HEADER))]
    for number, at in enumerate(range(0, len(payload), 100)):
        chunk = payload[at:at + 100]
        gpa = SMALL_BASE + (number + 1) * 2 * PAGE - 100
        scene.blue.write(gpa, chunk)
        pieces.append((gpa, len(chunk)))
    return pieces


def received(scene, start=0):
    lengths = scene.receiver.received()
    return b"".join(scene.red.read(gpa, n) for gpa, n in zip(scene.buffers[start:], lengths))


def landing(scene, count):
    """Host pages that a packet of COUNT buffers may change: those of the buffers and of the rings."""
    pages = [gpa + at for gpa in scene.buffers[:count] for at in (0, 255)]
    return [*(scene.red.hpa(gpa) for gpa in pages), scene.red.hpa(RINGS), scene.blue.hpa(RINGS)]


@pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
def test_a_packet_is_gathered_and_scattered_byte_for_byte(wire, plat):
    payload = mark("packet", 0, 0, 900)
    pieces = lay_out(wire, payload)
    with only_changes(plat, *landing(wire, 4)):
        wire.sender.send(pieces)
    assert received(wire) == HEADER + payload


def test_a_piece_that_goes_on_in_another_frame_loses_its_packet_in_qemu(wire):
    loses_a_piece_that_goes_on_elsewhere(wire, HEADER, lambda: received(wire))


@pytest.mark.parametrize("where", ["red's guest address", "red's frame", "past the end"])
def test_a_packet_from_outside_carries_no_secret(wire, plat, where):
    secret = mark("secret of red", 0, 0, 128)
    wire.red.write(RED_BASE, secret)
    target = {"red's guest address": RED_BASE, "red's frame": wire.red.hpa(RED_BASE),
              "past the end": SMALL_BASE + 32 * PAGE}[where]
    pieces = lay_out(wire, mark("packet", 1, 0, 200))
    wire.sender.send([*pieces, (target, 128)])
    assert received(wire).find(secret[:16]) < 0
    assert faults_of(plat, "e1000e4")


@pytest.mark.parametrize("where", ["blue's guest address", "blue's frame", "past the end"])
def test_a_receive_buffer_outside_is_not_written(wire, plat, where):
    target = {"blue's guest address": SMALL_BASE, "blue's frame": wire.blue.hpa(SMALL_BASE),
              "past the end": RED_SMALL + 32 * PAGE}[where]
    wire.receiver.start([wire.buffers[0], target, *wire.buffers[2:]])
    pieces = lay_out(wire, mark("packet", 2, 0, 600))
    with only_changes(plat, *landing(wire, 4)):
        wire.sender.send(pieces)
    assert faults_of(plat, "e1000e5")


def test_a_revoked_buffer_is_not_written(wire, plat):
    """The card has used the buffer before: its translation is cached."""
    wire.sender.send(lay_out(wire, mark("packet", 3, 0, 200)))
    assert received(wire)
    wire.receiver.start(wire.buffers)
    wire.sender.start()
    page = wire.buffers[0] & ~(PAGE - 1)
    frame = wire.red.hpa(page)
    wire.red.revoke(page, PAGE)
    before = bytes(plat.memory(frame, PAGE))
    wire.sender.send(lay_out(wire, mark("packet", 4, 0, 200)))
    assert bytes(plat.memory(frame, PAGE)) == before
    assert faults_of(plat, "e1000e5")


def test_a_revoked_source_sends_nothing(wire, plat):
    payload = mark("packet", 5, 0, 90)
    wire.sender.send(lay_out(wire, payload))
    assert received(wire) == HEADER + payload
    wire.blue.revoke(SMALL_BASE + PAGE, 2 * PAGE)
    wire.receiver.start(wire.buffers)
    wire.sender.send([(BLUE_BASE + 0x800, len(HEADER)), (SMALL_BASE + 2 * PAGE - 100, 90)])
    assert received(wire).find(payload[:16]) < 0
    assert faults_of(plat, "e1000e4")


def test_detach_stops_a_card_that_is_receiving(wire, plat):
    wire.sender.send(lay_out(wire, mark("packet", 6, 0, 100)))
    assert received(wire)
    plat.devices["e1000e5"].detach()
    pieces = lay_out(wire, mark("packet", 7, 0, 100))
    with only_changes(plat, wire.blue.hpa(RINGS)):
        wire.sender.send(pieces)
    assert faults_of(plat, "e1000e5")
