"""One segment with a wrong IOVA: all of RAM is as before, and the fault names device and address."""
import pytest

KINDS = ["hole", "width", "other-guest-gpa", "other-guest", "own-frame", "table", "firmware", "iommu-registers",
         "no-dma", "read-only"]
SEGMENTS = ["only", "first", "middle", "last", "second"]
LOAD, STORE = 21, 23  # guest-page faults


@pytest.fixture(params=KINDS)
def cases(once, request):
    return [case for case in once("rogue")[1]["cases"] if case["kind"] == request.param]


def test_each_kind_is_tried_in_each_segment_and_direction(cases):
    ways = ["write"] if cases[0]["kind"] == "read-only" else ["read", "write"]
    assert [(case["segment"], case["access"]) for case in cases] == [(s, w) for s in SEGMENTS for w in ways]


def test_nothing_lands_and_nothing_leaks(cases):
    assert all(case["stopped"] and case["landed"] == 0 for case in cases)
    assert all(case["leaked"] == 0 for case in cases)


def test_the_fault_names_device_address_and_access(cases):
    assert all(case["named"] and case["device"] == "red.0" for case in cases)
    assert [case["cause"] for case in cases] == [STORE if case["access"] == "write" else LOAD for case in cases]


def test_the_other_segments_arrive(cases):
    assert [case["wrong_bytes"] for case in cases] == [0] * len(cases)


def test_all_is_well_says_the_status(once):
    status, found = once("rogue")
    assert (status, found["passed"], found["good"]) == (0, True, len(found["cases"]))


@pytest.mark.parametrize("kind", ["other-guest", "own-frame", "table", "firmware", "no-dma"])
def test_without_isolation_the_same_is_seen_to_leak(once, kind):
    status, found = once("rogue", "--control")
    cases = [case for case in found["cases"] if case["kind"] == kind]
    assert status == 1 and len(cases) == 2 * len(SEGMENTS)
    assert not any(case["stopped"] for case in cases)
    assert all(case["landed" if case["access"] == "write" else "leaked"] > 0 for case in cases)
