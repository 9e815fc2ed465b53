"""Scatter-gather by real drivers: every byte of every packet that sg sends arrives, and nothing else does."""


def passed(done):
    assert done.status == 0, done.text[-3000:]
    assert done.result["passed"]
    return done.result


def test_packets_of_all_sizes_in_1_to_40_segments_arrive_between_two_cards(pair):
    result = passed(pair.order("red", "sg"))
    for flow in result["flows"]:
        assert flow["received"] == flow["sent"] == flow["packets"] > 1000
        assert (flow["segments_most"], flow["size_least"], flow["alignments"]) == (40, 1, 64)
        assert flow["size_most"] == 1514 and flow["across_4k"] > 100 and flow["across_2m"] > 10


def test_rings_that_wrap_and_run_out_lose_nothing(pair):
    result = passed(pair.order("red", "sg --ring 64"))
    assert any("more than 31 segments" in why for why in result["skipped"])
    for flow in result["flows"]:
        assert flow["ring_wraps"] > 100 and flow["refused"] > 0


def test_packets_arrive_between_two_guests(apart):
    apart.begin("red", "sg")
    blue = passed(apart.order("blue", "sg --number 1"))
    red = passed(apart.end("red"))
    for (flow,) in (red["flows"], blue["flows"]):
        assert flow["received"] == flow["packets"] > 1000
