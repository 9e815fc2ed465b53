"""Guests come and go while cards send."""
import pytest

import guests


@pytest.mark.whole
def test_a_guest_that_dies_amid_traffic_stops_nobody_and_comes_again(tmp_path):
    """Its frames are the next life's, with the other guest's cards sending all the time."""
    cards = [word for slot, hub in ((1, 0), (2, 0), (3, 1), (4, 1)) for word in guests.card("e1000e", slot, hub)]
    vms = {"red": guests.vm("red", [1, 2]), "blue": guests.vm("blue", [3, 4])}
    with guests.cordon(tmp_path, vms, cards) as m:
        m.begin("red", "sg --packets 20000")
        m.order("blue", "sg --packets 1000000 &")
        blue = m.machine.guests["blue"]
        blue.wait("sg: 1000000 packets each way")
        m.begin("blue", "reboot -f")
        assert blue.wait_end().how == "reboot"
        m.restart("blue")
        assert m.order("blue", "sg").result["passed"]
        red = m.end("red", 110).result
        assert red["passed"] and all(flow["received"] == 20000 for flow in red["flows"])
        m.quiet()
