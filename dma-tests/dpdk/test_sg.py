"""Scatter-gather by real drivers: every byte of every packet that sg sends arrives, and nothing else does."""
from dataclasses import astuple

import pytest
from cordon.machine.machine import RAM_BASE
from reach import OWNED, PAGE, frames_of

HEAD = b"\xff" * 6 + b"\x02cord"  # dma-tests/dpdk/lib/packet.c
CHANGED = 40  # this byte of a packet



def passed(done):
    assert done.status == 0, done.text[-3000:]
    assert done.result["passed"]
    return done.result


def test_packets_of_all_sizes_in_1_to_40_segments_arrive_between_two_cards(pair):
    done = pair.order("red", "sg")
    result = passed(done)
    assert f"sg: traffic: {result['flows'][0]['packets']} packets each way" in done.text
    for flow in result["flows"]:
        assert flow["received"] == flow["sent"] == flow["packets"] > 1000
        assert (flow["segments_most"], flow["size_least"], flow["alignments"]) == (40, 1, 64)
        assert flow["size_most"] == 1514 and flow["across_4k"] > 100 and flow["across_2m"] > 10


def test_packets_of_one_size_arrive_in_even_segments(pair):
    result = passed(pair.order("red", "sg --size 1000 --segments 4"))
    assert result["packets_per_second"] > 0 and not result["skipped"]
    for flow in result["flows"]:
        assert flow["received"] == flow["packets"] == 256 and flow["bytes"] == 256 * 1000
        assert (flow["segments"], flow["size_least"], flow["size_most"]) == (256 // 4 * 10, 250, 1000)


def test_a_size_that_no_packet_of_the_card_can_have_is_refused(pair):
    done = pair.order("red", "sg --size 16384")
    assert done.status == 3 and "no packet can have 16384 bytes: " in done.text


def test_rings_that_wrap_and_run_out_lose_nothing(pair):
    result = passed(pair.order("red", "sg --ring 64"))
    assert any("more than 31 segments" in why for why in result["skipped"])
    for flow in result["flows"]:
        assert flow["ring_wraps"] > 100 and flow["refused"] > 0


@pytest.mark.parametrize("ring,frame,room,buffers", [(256, 1514, 2048, 1), (64, 9014, 2048, 5), (64, 1514, 512, 3)])
def test_what_is_under_way_fits_into_half_of_the_other_ends_ring(pair, ring, frame, room, buffers):
    """What does not, QEMU's wire keeps, and hands on behind what is sent later."""
    result = passed(pair.order("red", f"sg --ring {ring} --frame {frame} --room {room}"))
    for flow in result["flows"]:
        assert 0 < 2 * flow["ahead"] * buffers <= ring / 2


def test_packets_arrive_between_two_guests(apart):
    apart.begin("red", "sg")
    blue = passed(apart.order("blue", "sg --number 1"))
    red = passed(apart.end("red"))
    for (flow,) in (red["flows"], blue["flows"]):
        assert flow["received"] == flow["packets"] > 1000


@pytest.mark.whole
def test_a_byte_that_changes_on_its_way_is_told(pair):
    """By somebody outside, while packets wait for a slow receiver: sg does look at them."""
    machine, red = pair.machine, pair.machine.guests["red"]
    frames, ram, changed = frames_of(machine, OWNED, red.domain), machine.ram_file.map, 0
    start = len(red.said)
    pair.begin("red", "sg --flood 20000 --packets 2000")
    red.wait("traffic: 2000 packets each way", 60, start)
    machine.stop()
    for pages, first in frames:
        at, end = first * PAGE - RAM_BASE, (first + pages) * PAGE - RAM_BASE
        while (at := ram.find(HEAD, at, end - CHANGED)) >= 0:
            ram[at + CHANGED] ^= 1
            changed, at = changed + 1, at + CHANGED
    machine.resume()
    done = pair.end("red")
    assert changed and done.status == 1 and f"1 wrong bytes; the first at {CHANGED}: " in done.text
    assert 0 < sum(flow["wrong"] for flow in done.result["flows"]) <= changed


@pytest.mark.whole
def test_what_a_slow_receiver_does_not_get_is_counted_and_said(pair):
    """Its cards hold some, the wire some thousands; nothing that comes is wrong."""
    done = pair.order("red", "sg --flood 2000 --packets 20000", 100)
    assert done.status == 1 and "packets have not come; its card counts" in done.text
    for flow in done.result["flows"]:
        assert flow["sent"] == 20000 == flow["received"] + flow["lost"] and flow["lost"] > 0
        assert flow["wrong"] == flow["strange"] == 0
    assert passed(pair.order("red", "sg --flood 0"))  # the same, with a receiver that looks all the time


@pytest.mark.whole
def test_jumbo_frames_arrive_in_several_buffers(pair):
    result = passed(pair.order("red", "sg --frame 9014", 100))
    for flow in result["flows"]:
        assert flow["size_most"] == 9014 and flow["buffers"] > 1.5 * flow["received"]


@pytest.mark.whole
def test_every_size_up_to_the_longest_frame_of_a_card_arrives_and_what_is_skipped_is_said(pair):
    result = passed(pair.order("red", "sg --every-size --frame 16384", 110))
    (longest,) = {port["frame_max"] for port in result["ports"]}
    assert 9000 < longest < 16384
    assert result["skipped"] == [f"packets of more than {longest} bytes: the device takes no longer ones",
                                 f"{16384 - longest} sizes of segments, from {longest + 1} bytes on: "
                                 f"packets have {longest}"]
    for flow in result["flows"]:
        assert flow["received"] == flow["size_most"] == longest and flow["size_least"] == 1


@pytest.mark.whole
def test_packets_arrive_in_many_small_buffers(pair):
    for flow in passed(pair.order("red", "sg --room 512"))["flows"]:
        assert flow["buffers"] > 2 * flow["received"]


@pytest.mark.whole
def test_a_flow_of_many_packets_takes_no_exit_of_its_own(pair):
    """What a run costs beside its start: the data path is the guest's alone."""
    guest = pair.machine.guests["red"]

    def exits(packets):
        before = sum(astuple(guest.exits()))
        passed(pair.order("red", f"sg --packets {packets}"))
        return sum(astuple(guest.exits())) - before
    few, many = exits(40), exits(8040)
    assert many - few < 400  # not one in a burst of 8; starts differ by a hundred
