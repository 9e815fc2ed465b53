"""Memory that is reused while a port still has descriptors for it: they reach nothing of the next guest."""
import pytest

WAYS = ["stale", "late", "held", "kept"]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_next_guest_is_written_or_read(once, way):
    found = once("churn")[1]["ways"][way]
    assert found["rounds"] == 100 and found["segments"] > 1000
    assert (found["landed"], found["leaked"]) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_each_segment_that_comes_too_late_has_a_fault_that_names_the_port(once, way):
    assert once("churn")[1]["ways"][way]["untold"] == 0


def test_frames_wait_for_a_port_that_only_a_reset_stops(once):
    assert once("churn")[1]["ways"]["kept"]["early"] == 0


def test_all_is_well_says_the_status(once):
    status, found = once("churn")
    assert (status, found["passed"]) == (0, True)


@pytest.mark.parametrize("way", ["stale", "late"])
def test_without_isolation_the_same_is_seen_to_land_and_leak(once, way):
    status, found = once("churn", "--control", "--rounds", "80")
    assert status == 1
    assert found["ways"][way]["landed"] > 0 and found["ways"][way]["leaked"] > 0
