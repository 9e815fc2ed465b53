"""A network card with advanced descriptors: packets gathered from and scattered to pieces of memory."""
import pytest

from cordon.devices import IgbDriver
from cordon.devices.igb import BUFFER
from cordon.devices.intel import HIGH, LOW, TAIL
from cordon.qemu import Edu, Igb
from cordon.types import PAGE
from scene import (BIG, BLUE_BASE, BOTH_BASE, RED_BASE, Neighbours, faults_of,
                   loses_a_piece_that_goes_on_elsewhere, mark, only_changes)

pytestmark = pytest.mark.machine(Igb(4), Igb(6), Edu(2), Edu(3))
SMALL_BASE, RINGS = BLUE_BASE + BIG, BOTH_BASE
RED_SMALL = RED_BASE + BIG
HEADER = b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x88\xb5"
EVERY = pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)


@pytest.fixture
def wire(plat):
    """Blue sends, red receives. Red's buffers lie across borders of scattered frames."""
    scene = Neighbours(plat)
    plat.device("igb4").attach(scene.blue.domain)
    plat.device("igb6").attach(scene.red.domain)
    scene.buffers = [RED_SMALL + (2 * n + 1) * PAGE - 90 * (n + 1) for n in range(10)]
    scene.sender = IgbDriver(plat.function("igb4"), scene.blue, RINGS).start()
    scene.receiver = IgbDriver(plat.function("igb6"), scene.red, RINGS).start(scene.buffers)
    return scene


def lay_out(scene, payload):
    """A packet in pieces: a header, then PAYLOAD in stretches of 400 bytes up to borders of pages.
    (QEMU's card drops a packet with a piece across a border when the frames lie apart.)"""
    scene.blue.write(BLUE_BASE + 0x800, HEADER)
    pieces = [(BLUE_BASE + 0x800, len(HEADER))]
    for number, at in enumerate(range(0, len(payload), 400)):
        chunk = payload[at:at + 400]
        gpa = SMALL_BASE + (number + 1) * 2 * PAGE - 400
        scene.blue.write(gpa, chunk)
        pieces.append((gpa, len(chunk)))
    return pieces


def received(scene):
    lengths = scene.receiver.received()
    return b"".join(scene.red.read(gpa, n) for gpa, n in zip(scene.buffers, lengths))


def landing(scene, count):
    """Host pages that a packet of COUNT buffers may change: those of the buffers and of the rings."""
    pages = [gpa + at for gpa in scene.buffers[:count] for at in (0, BUFFER - 1)]
    return [*(scene.red.hpa(gpa) for gpa in pages), scene.red.hpa(RINGS), scene.blue.hpa(RINGS)]


@EVERY
def test_a_packet_is_gathered_and_scattered_byte_for_byte(wire, plat):
    payload = mark("packet", 0, 0, 3500)
    pieces = lay_out(wire, payload)
    assert len(pieces) == 10
    with only_changes(plat, *landing(wire, 4)):
        wire.sender.send(pieces)
    assert received(wire) == HEADER + payload


def test_a_piece_that_goes_on_in_another_frame_loses_its_packet_in_qemu(wire):
    loses_a_piece_that_goes_on_elsewhere(wire, HEADER, lambda: received(wire))


@EVERY
@pytest.mark.parametrize("where", ["red's guest address", "red's frame", "past the end"])
def test_a_packet_from_outside_carries_no_secret(wire, plat, where):
    secret = mark("secret of red", 0, 0, 128)
    wire.red.write(RED_BASE, secret)
    target = {"red's guest address": RED_BASE, "red's frame": wire.red.hpa(RED_BASE),
              "past the end": SMALL_BASE + 32 * PAGE}[where]
    wire.sender.send([*lay_out(wire, mark("packet", 1, 0, 200)), (target, 128)])
    assert received(wire).find(secret[:16]) < 0
    assert faults_of(plat, "igb4")


@EVERY
@pytest.mark.parametrize("where", ["blue's guest address", "blue's frame", "past the end"])
def test_a_receive_buffer_outside_is_not_written(wire, plat, where):
    target = {"blue's guest address": SMALL_BASE, "blue's frame": wire.blue.hpa(SMALL_BASE),
              "past the end": RED_SMALL + 32 * PAGE}[where]
    wire.receiver.start([wire.buffers[0], target, *wire.buffers[2:]])
    pieces = lay_out(wire, mark("packet", 2, 0, 2500))
    with only_changes(plat, *landing(wire, 4)):
        wire.sender.send(pieces)
    assert faults_of(plat, "igb6")


def test_a_ring_that_stands_outside_is_not_followed(wire, plat):
    """Red's frame holds descriptors that name blue's own memory; blue's card is led there."""
    lair, payload = wire.red.hpa(RED_BASE + 0x4000), mark("packet", 3, 0, 90)
    pieces = lay_out(wire, payload)
    liar = IgbDriver(plat.function("igb4"), wire.blue, RINGS)
    plat.memory(lair, 32)[:] = descriptors(liar, wire, pieces)
    wire.sender.start()
    wire.sender.function.bars[0].write(IgbDriver.TX + LOW, lair & 0xffffffff)
    wire.sender.function.bars[0].write(IgbDriver.TX + HIGH, lair >> 32)
    with only_changes(plat):
        wire.sender.function.bars[0].write(IgbDriver.TX + TAIL, 2)
    assert received(wire) == b""
    assert faults_of(plat, "igb4")


def descriptors(driver, scene, pieces):
    """What the driver writes for a packet of two PIECES, which is sent and received on the way."""
    driver.start()
    driver.memory = Recorder(scene.blue)
    driver.send(pieces)
    assert received(scene), "these descriptors send a packet"
    scene.receiver.start(scene.buffers)
    return b"".join(driver.memory.written)


class Recorder:
    """A guest's memory, and what was written to it."""

    def __init__(self, guest):
        self._guest, self.written = guest, []

    def write(self, gpa, data):
        self.written.append(bytes(data))
        self._guest.write(gpa, data)


def test_a_revoked_buffer_is_not_written(wire, plat):
    """The card has used the buffer before: its translation is cached."""
    wire.sender.send(lay_out(wire, mark("packet", 4, 0, 200)))
    assert received(wire)
    wire.receiver.start(wire.buffers)
    page = wire.buffers[0] & ~(PAGE - 1)
    frame = wire.red.hpa(page)
    wire.red.revoke(page, PAGE)
    before = bytes(plat.memory(frame, PAGE))
    wire.sender.send(lay_out(wire, mark("packet", 5, 0, 200)))
    assert bytes(plat.memory(frame, PAGE)) == before
    assert faults_of(plat, "igb6")


def test_a_revoked_source_sends_nothing(wire, plat):
    payload = mark("packet", 6, 0, 90)
    pieces = lay_out(wire, payload)
    wire.sender.send(pieces)
    assert received(wire) == HEADER + payload
    wire.blue.revoke(SMALL_BASE + PAGE, PAGE)
    wire.receiver.start(wire.buffers)
    wire.sender.send(pieces)
    assert received(wire).find(payload[:16]) < 0
    assert faults_of(plat, "igb4")


def test_detach_stops_a_card_that_is_receiving(wire, plat):
    wire.sender.send(lay_out(wire, mark("packet", 7, 0, 100)))
    assert received(wire)
    plat.devices["igb6"].detach()
    pieces = lay_out(wire, mark("packet", 8, 0, 100))
    with only_changes(plat, wire.blue.hpa(RINGS)):
        wire.sender.send(pieces)
    assert faults_of(plat, "igb6")


def test_a_card_that_was_reset_serves_its_next_guest(wire, plat):
    """After a function level reset it does no DMA of the last guest's; then it is blue's."""
    wire.sender.send(lay_out(wire, mark("packet", 9, 0, 100)))
    assert received(wire)
    card = plat.devices["igb6"]
    plat.withdraw(card)
    plat.function("igb6").flr()
    plat.function("igb6").command(master=True)
    pieces = lay_out(wire, mark("packet", 10, 0, 100))
    with only_changes(plat, wire.blue.hpa(RINGS)):
        wire.sender.send(pieces)
    assert not plat.iommu.faults(), "a card that was reset asks for nothing"
    plat.assign(wire.blue, card)
    buffer = BLUE_BASE + 0x10000
    second = IgbDriver(plat.function("igb6"), wire.blue, RINGS + PAGE).start([buffer])
    wire.sender.send(pieces)
    assert second.received() == [114]
    assert wire.blue.read(buffer, 114) == HEADER + mark("packet", 10, 0, 100)
