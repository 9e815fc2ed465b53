"""Dirty logging of a running guest: exactly the pages that were written, whoever sets D."""
from contextlib import contextmanager

import pytest

import bundle
from cordon import PAGE
from cordon.machine import GuestError, History
from machine import bare

# [Priv 12.3.1] Hardware sets D; the store faults; neither extension is named, and either may be so.
CPUS = {"svadu": "svadu=on", "svade": "svadu=off,svade=on", "neither": "svadu=off"}
SVADE = f"rv64,h=true,{CPUS['svade']}"
PAGES = 2048
MIB = 1 << 20
A = set(range(1, PAGES, 7))
B = set(range(1500, 1601))
GIVEN = 1000


@pytest.fixture(params=CPUS)
def written(request, boots, payload):
    """A machine whose guest waits for orders, and where its window is."""
    blob = bundle.make({"writes": payload("writes")}, {"red": bare("writes", memory=32 << 20)})
    with boots.machine(blob, cpu=f"rv64,h=true,{CPUS[request.param]}") as machine:
        red = machine.guests["red"]
        window = int(red.wait(r"window at (-?\d+)")[1]) & (1 << 64) - 1
        yield machine, red, window, request.param == "svade"


@contextmanager
def still(red):
    """QEMU's harts that set D themselves lose their way where others change the same word just then: the guest stands
    still while its marks are changed (docs/qemu-differences.md)."""
    red.pause()
    yield
    red.resume()


def dirty(red):
    with still(red):
        return red.dirty()


def order(machine, red, letter, answer):
    machine.console.type(letter)
    red.wait(answer)


def in_window(pages, window):
    return {(int(gpa) - window) // PAGE for gpa in pages if 0 <= int(gpa) - window < PAGES * PAGE}


def sizes(red):
    """Of the leaves of its RAM."""
    return {run.size for run in red.present() if run.gpa.v >= red.ram_base}


def test_harvest_of_a_guest_has_exactly_the_pages_that_were_written(written):
    machine, red, window, faults = written
    order(machine, red, "a", "wrote a")
    red.coalescing(False)
    with still(red):
        red.log()
    assert sizes(red) == {"4K"}
    assert in_window(dirty(red).dirty, window) == set()
    before = red.exits().logged
    order(machine, red, "a", "wrote a")
    assert (red.exits().logged - before >= len(A)) == faults  # a fault for each page, or none
    first = dirty(red)
    assert in_window(first.dirty, window) == A | {0}  # and the page that the hypervisor wrote to
    assert first.unknown == 0 and first.logged == red.ram_bytes // PAGE
    order(machine, red, "b", "wrote b")
    order(machine, red, "b", "wrote b")
    assert in_window(dirty(red).dirty, window) == B | {0}
    assert in_window(dirty(red).dirty, window) == set()
    order(machine, red, "v", "ok each page holds what was written")
    with still(red):
        red.log(False)
        with pytest.raises(GuestError, match="not logged"):
            red.dirty()
    assert red.coalesce().mega == red.ram_bytes >> 21
    assert sizes(red) == {"2M"}
    order(machine, red, "a", "wrote a")
    order(machine, red, "v", "ok each page holds what was written")
    assert machine.channel.ask("audit", "audit")["clean"]
    order(machine, red, "q", "PASSED")


def test_dirty_rate_is_told_beside_the_harvest_and_drawn_over_time(boots, payload, tmp_path):
    blob = bundle.make({"writes": payload("writes")}, {"red": bare("writes", memory=32 << 20)})
    with boots.machine(blob, cpu=SVADE) as machine:
        red = machine.guests["red"]
        red.wait("window at")
        history = History(red)
        history.sample()
        assert history.rates == []  # it is not logged
        red.log()
        order(machine, red, "a", "wrote a")
        first = red.dirty_rate()
        assert first.pages >= len(A) and first.seconds > 0
        history.sample()
        order(machine, red, "b", "wrote b")
        history.sample()
        again = red.dirty_rate()
        assert again.pages >= len(A | B) and again.seconds > first.seconds
        assert len(red.dirty().dirty) >= again.pages  # nothing was taken from it
        after = red.dirty_rate()
        assert after.pages < 8
        assert [rate > 0 for _, rate in history.rates] == [True, True]
        history.rate_picture(tmp_path / "rate.svg")
        assert "pages written a second" in (tmp_path / "rate.svg").read_text()
        with pytest.raises(ValueError, match="nothing was logged"):
            History(red).rate_picture(tmp_path / "rate.svg")


def free_bytes(machine):
    return machine.channel.order("memory", "memory")["free_bytes"]


def flags(red):
    return [(r.gpa, r.len, r.flags) for r in red.map().regions]


def almost_full(boots, payload, spare):
    """A machine on which all but about SPARE bytes are taken: RED has 640 MiB, OTHER touches what it has."""
    def machine(other, pad):
        vms = {"red": bare("writes", memory=640 * MIB),
               "other": bare("full", memory=other, fill="first-touch", overcommit=True)}
        images = {"writes": payload("writes"), "full": payload("full"), "pad": bytes(pad)}
        return boots.machine(bundle.make(images, vms), cpu=SVADE, ram="768M", harts=2)

    def left(other, pad):
        with machine(other, pad) as probe:
            probe.guests["other"].wait("full", 120)
            return free_bytes(probe)

    other = 8 * MIB
    other += left(other, MIB) // (2 * MIB) * 2 * MIB - 2 * MIB  # its tables take some, too
    return machine(other, MIB + left(other, MIB) - spare)


def test_logging_that_finds_no_memory_for_all_of_its_tables_changes_nothing(boots, payload):
    """Its first pieces find some, and are undone."""
    with almost_full(boots, payload, 500 << 10) as m:
        red = m.guests["red"]
        m.guests["other"].wait("full", 120)
        assert 128 << 10 < free_bytes(m) < 1200 << 10  # 16 MiB take 32 KiB of tables, all of it 1,280
        before, regions = red.tables(), flags(red)
        since = len(m.channel.events)
        with pytest.raises(GuestError, match="memory"):
            red.log()
        assert flags(red) == regions and not m.channel.seen("vm-log", since)
        with pytest.raises(GuestError, match="not logged"):
            red.dirty()
        m.channel.wait("vm-merged", 30, since, vm="red")  # some leaves were small for a moment
        assert red.tables() == before
        order(m, red, "a", "wrote a")
        order(m, red, "v", "ok each page holds what was written")
        m.audit()


@pytest.mark.parametrize("fill", ["start", "first-touch"])
def test_a_guest_that_takes_pages_again_does_not_leave_the_log(boots, payload, fill):
    blob = bundle.make({"writes": payload("writes")}, {"red": bare("writes", memory=32 << 20, fill=fill)})
    with boots.machine(blob, cpu=SVADE) as machine:
        red = machine.guests["red"]
        window = int(red.wait(r"window at (-?\d+)")[1]) & (1 << 64) - 1
        red.log()
        order(machine, red, "b", "wrote b")
        order(machine, red, "g", "wrote g")
        assert in_window(red.dirty().dirty, window) == B | {0, GIVEN}
        order(machine, red, "v", "ok each page holds what was written")
        red.log(False)
        order(machine, red, "g", "wrote g")
        with pytest.raises(GuestError, match="not logged"):
            red.dirty()
        order(machine, red, "q", "PASSED")


def test_pages_that_come_at_first_touch_are_dirty_when_they_do(boots, payload):
    blob = bundle.make({"writes": payload("writes")}, {"red": bare("writes", memory=32 << 20, fill="first-touch")})
    with boots.machine(blob, cpu=SVADE) as machine:
        red = machine.guests["red"]
        window = int(red.wait(r"window at (-?\d+)")[1]) & (1 << 64) - 1
        red.log()
        assert in_window(red.dirty().dirty, window) <= {0}
        order(machine, red, "b", "wrote b")
        assert in_window(red.dirty().dirty, window) == B | {0}
        order(machine, red, "b", "wrote b")
        assert in_window(red.dirty().dirty, window) == B | {0}
        order(machine, red, "q", "PASSED")
