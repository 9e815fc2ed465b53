"""A machine's guests, devices, faults and audit, as the hypervisor's events tell of them. No hypervisor: a
play stands where it would."""
import json
from pathlib import Path

import pytest

from cordon import Cause, Corrupt, GpaEnd, GvaEnd, Perm, Rules
from cordon.expect import FaultMissing
from cordon.machine import (ChannelError, CommandRefused, ConsoleTimeout, Fences, GuestError, GuestMemory, GuestState, Machine,
                            NoSuchGuest, NoSuchVcpu)
from cordon.machine import machine as module
from cordon.qemu.qmp import QmpError

FAKE = Path(__file__).with_name("fake_machine.py")
RED = {"event": "vm-started", "vm": "red", "domain": 1, "vcpus": 2, "ram_base": "0x80000000",
       "ram_bytes": 1 << 24, "devices": ["0000:00:01.0", "0000:00:02.0"]}
BLUE = {"event": "vm-started", "vm": "blue", "domain": 2, "vcpus": 1, "ram_base": "0x0", "ram_bytes": 4096,
        "devices": []}
THIRD = {"event": "vm-refused", "vm": "third", "why": "8 vCPUs, 1 harts are left"}
EXITS = {"sbi": 1, "mmio": 2, "interrupt": 3, "virtual": 4, "absent": 5, "spurious": 6, "touch": 7, "logged": 8}
RED_ENDED = {"event": "vm-ended", "vm": "red", "end": "stuck", "why": "it trapped", "ms": 1500,
             "resident_bytes": 8192,
             **{f"exits_{name}": count + 10 for name, count in EXITS.items()}}
FAULT = {"event": "fault", "device_id": "0x8", "device": "0000:00:01.0", "domain": 1, "cause": 23,
         "cause_name": "write guest page fault", "access": 2, "iova": "0x5000", "span": 8, "count": 3}
FAULTS, GONE = {"event": "faults"}, {"event": "all-ended", "guests": 3, "failed": 2}


def events(*told):
    return [{"event": event} for event in told]


@pytest.fixture
def play(tmp_path, monkeypatch):
    """play(*STEPS, COMMAND=[[STEP, ...], ...]): a Machine whose hypervisor does that."""
    monkeypatch.setattr(module, "BINARY", str(FAKE))
    opened = []

    def play(*start, guests=(RED, BLUE, THIRD), **answers):
        bundle = tmp_path / "bundle.itb"
        bundle.write_text(json.dumps({"start": [*events(*guests), *start], "answers": {
            command.replace("_", " "): steps for command, steps in answers.items()}}))
        opened.append(Machine(bundle, hypervisor=FAKE, ram="1M", boot_timeout=20))
        opened[-1].patience = 0.3
        return opened[-1]
    yield play
    for machine in opened:
        machine.close()


# ---- guests -----------------------------------------------------------------------------------------


def test_guests_are_there_by_name_with_what_they_were_given(play):
    m = play()
    assert list(m.guests) == ["red", "blue", "third"] and len(m.guests) == 3
    red = m.guests["red"]
    assert (red.domain, red.vcpus, red.ram_base, red.ram_bytes) == (1, 2, 0x8000_0000, 1 << 24)
    assert [guest.state for guest in m.guests.values()] == [
        GuestState.RUNNING, GuestState.RUNNING, GuestState.REFUSED]
    assert m.guests["third"].refused == THIRD["why"] and red.refused is None
    assert repr(red) == "<MachineGuest red domain 1 running>"
    assert repr(m.guests["third"]) == f"<MachineGuest third domain 0 refused: {THIRD['why']}>"


def test_a_guest_that_is_not_there_is_named_with_those_that_are(play):
    m = play()
    with pytest.raises(NoSuchGuest, match="^there is no guest 'green'; there are: <MachineGuest red .* running>"):
        m.guests["green"]
    assert "green" not in m.guests and "red" in m.guests


def test_guests_wait_for_the_boot_and_say_where_it_stopped(play):
    m = play({"hang_up": 0.2}, {"say": "[cordon] PANIC on hart 0"}, {"end": 1}, guests=())
    with pytest.raises(ChannelError, match="has not started its guests(.|\n)*PANIC on hart 0"):
        m.guests["red"]


@pytest.mark.parametrize("status, told", [
    (3, "status 3"), (-9, r"status -9 \(SIGKILL\)"), ("net.c: it broke", "status 1, and said: net.c: it broke")])
def test_whoever_waits_for_a_machine_that_has_gone_is_told_how_it_ended(play, status, told):
    m = play(audit=[[{"say": "[cordon] PANIC on hart 1"}, {"end": status}]])
    told = f"; QEMU has ended with {told}"
    with pytest.raises(ChannelError, match=f"no event 'audit' : the hypervisor's end is closed{told}\nthe console ends with:"
                                           r"\n(.*\n)*    \[cordon\] PANIC on hart 1"):
        m.audit()
    with pytest.raises(ChannelError, match=f"'faults' cannot be sent: Broken pipe{told}\n"):
        m.faults()
    with pytest.raises(ConsoleTimeout, match=f"the console closed{told}; it ends with:\n"):
        m.console.wait("more", 3000)
    with pytest.raises(QmpError, match=told):
        m.resume()


def test_whoever_waits_for_a_machine_that_has_hung_up_is_told_that_it_runs(play, monkeypatch):
    monkeypatch.setattr(module, "ENDING", 0.1)
    m = play({"hang_up": 30})
    with pytest.raises(ChannelError, match="closed; QEMU still runs\n"):
        m.channel.wait("more", 3000)


def test_guests_of_a_machine_that_has_done_all_are_there_still(play):
    m = play(*events(RED_ENDED, GONE), {"end": 1})
    assert m.guests["red"].ended.how == "stuck"
    assert m.guests["red"].exits().sbi == 11


def test_how_a_guest_ended_is_told(play):
    exits, counts = {"event": "exits"}, {"event": "vm-exits", "vm": "red", **EXITS}
    m = play(exits=[events(exits), events(counts, exits), events(RED_ENDED, exits)])
    red = m.guests["red"]
    assert red.ended is None and not red.looked_at and red.state is GuestState.RUNNING
    assert red.exits().interrupt == 3
    assert red.exits().interrupt == 13  # it ends while it is asked
    assert red.wait_end(5).failed and red.looked_at and red.state is GuestState.ENDED
    assert str(red.ended) == "stuck after 1.500 s: it trapped"
    with pytest.raises(ChannelError, match="vm-ended"):
        m.guests["blue"].wait_end(0.1)


def test_words_are_awaited_behind_those_that_were(play):
    m = play({"say": "[blue] ready no"}, {"say": "[red] ready one"}, {"say": "[red] ready two"})
    red = m.guests["red"]
    assert red.wait(r"ready (\w\w\w)", 5)[1] == "one"
    assert red.wait(r"ready (\w\w\w)", 5)[1] == "two"
    assert red.wait(r"ready (\w\w\w)", 5, start=0)[1] == "one"
    assert red.lines == ["ready one", "ready two"] and red.said == "ready oneready two"
    with pytest.raises(ConsoleTimeout) as told:
        red.wait("ready", 0.1)
    assert "ready two" in str(told.value) and "no" not in str(told.value).split("it ends with")[1]


def test_words_of_a_guest_that_has_ended_are_not_awaited_for_long(play):
    m = play({"say": "[red] last"}, {"say": "[cordon] red: ENDED (stuck) after 1.500 s"})
    assert m.guests["red"].wait("last", 30)
    with pytest.raises(ConsoleTimeout, match=r"no line matches 'more', and red has ended \(stuck\)"):
        m.guests["red"].wait("more", 3000)


def test_a_guest_stands_still_between_pause_and_resume(play):
    m = play()
    red = m.guests["red"]
    red.pause()
    assert red.state is GuestState.PAUSED and m.guests["blue"].state is GuestState.RUNNING
    red.resume()
    assert red.state is GuestState.RUNNING
    assert m.channel.seen("paused", vm="red") and m.channel.seen("resumed", vm="red")


TRANSLATED = {
    "event": "translated", "vm": "red", "vcpu": 1, "state": "running", "gva": "0x5008", "access": 1, "flags": 9,
    "vsatp": "0x8000000000080000", "end": 14, "end_name": "no page", "cause": 13, "marks": 0, "perms": 3,
    "span": "0xff8", "steps": [{"level": 2, "index": 0, "gpa": "0x80000000", "hpa": "0x90000000",
                                "hva": "0xffffffc090000000", "value": "0x20000001"}],
    "gpa": "0x10000008", "map": 3, "map_name": "hole", "emulated": True,
    "gstage": {"mode": 8, "root": "0xa0000000", "end": 1, "steps": [
        {"level": 2, "index": 0, "word": "0xa0000000", "value": "0x0"}]}}


def test_a_vcpu_tells_where_an_address_leads(play):
    wrong = {"event": "error", "why": "that vCPU has not answered the question before", "command": "red"}
    m = play(**{"translate_red_1_0x5008_r_user": [events(TRANSLATED), events(wrong)]})
    cpu = m.guests["red"].vcpu(1)
    walk = cpu.translate("0x5008", "r", "user")
    assert (walk.end, walk.map, walk.hpa, walk.state) == (GvaEnd.NO_PAGE, GpaEnd.HOLE, None, "running")
    assert walk.rules == Rules(user=True, adue=True) and walk.mode == "Sv39" and walk.gstage.mode == "Sv39x4"
    assert walk.reason.endswith("a device that is emulated stands there") and "HVA 0xffffffc090000000" in str(walk)
    assert walk.chain() == "GVA 0x5008 -> GPA 0x10000008 -> nowhere"
    with pytest.raises(GuestError, match="cannot translate red: .*has not answered"):
        cpu.translate(0x5008, "r", "user")
    with pytest.raises(ValueError, match="one access at a time"):
        cpu.translate(0, "rw")
    with pytest.raises(NoSuchVcpu, match="red has 2 vCPUs"):
        m.guests["red"].vcpu(2)
    with pytest.raises(GuestError, match="third: it was refused"):
        m.guests["third"].vcpu(0)


def test_what_a_guest_refuses_is_said_with_its_state(play):
    refusal = {"event": "error", "why": "that VM does not run", "command": "red"}
    m = play(pause_red=[events(refusal), events(RED_ENDED, refusal)])
    with pytest.raises(GuestError, match="cannot pause red: .* that VM does not run: 'red'"):
        m.guests["red"].pause()
    with pytest.raises(GuestError, match=r"cannot pause red: it has ended \(stuck after"):
        m.guests["red"].pause()
    with pytest.raises(GuestError, match="cannot pause third: it was refused"):
        m.guests["third"].pause()
    with pytest.raises(GuestError, match="cannot count exits of third"):
        m.guests["third"].exits()


def test_a_machine_that_was_cut_off_is_no_refusal_of_a_guest(play):
    m = play(pause_red=[[{"end": 1}]])
    with pytest.raises(ChannelError):
        m.guests["red"].pause()


def test_exits_of_a_guest_that_was_the_last_are_those_of_its_end(play):
    m = play(exits=[events({"event": "exits"}), [*events(RED_ENDED, GONE), {"end": 0}]])
    assert m.guests["red"].exits().sbi == 11


def test_exits_are_those_of_this_guest_at_this_moment(play):
    answer = [{"event": "vm-exits", "vm": "blue", **EXITS}, {"event": "vm-exits", "vm": "red", **EXITS}]
    more = [{**answer[0], "sbi": 7}, {"event": "exits"}]
    m = play(exits=[events({"event": "exits"}), events(*answer, {"event": "exits"}), events(*more)])
    blue = m.guests["blue"].exits()
    assert (blue.sbi, blue.mmio, blue.interrupt, blue.virtual, blue.absent, blue.spurious,
            blue.touch, blue.logged) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert m.guests["blue"].exits().sbi == 7


MEMORY = {"event": "vm-memory", "vm": "red", "ram_bytes": 1 << 24, "resident_bytes": 4096, "first_touch": True,
          "overcommit": False, "touches": 5, "touches_2m": 1, "spurious": 2, "moved": 3, "longest_us": 40}


def test_memory_is_that_of_this_guest_at_this_moment(play):
    told = {"event": "memory", "free_bytes": 0}
    m = play(memory=[events({**MEMORY, "vm": "blue"}, MEMORY, told), events({**MEMORY, "touches": 6}, told),
                     events(RED_ENDED, told)])
    red = m.guests["red"]
    assert red.memory() == GuestMemory(1 << 24, 4096, True, False, 5, 1, 2, 3, 40)
    assert red.memory().touches == 6
    with pytest.raises(GuestError, match="red has no memory: it has ended .stuck after 1.500 s"):
        red.memory()


def test_fences_are_those_of_this_guests_map(play):
    mine = {"event": "vm-fences", "vm": "red", "asked": 5, "nobody": 1, "ranges": 3, "whole": 1, "harts": 7}
    told = {"event": "fences", "generation": 1}
    m = play(fences=[events({**mine, "vm": "blue", "asked": 9}, mine, told), events(RED_ENDED, told)])
    assert m.guests["red"].fences() == Fences(5, 1, 3, 1, 7)
    with pytest.raises(GuestError, match="red has no map: it has ended"):
        m.guests["red"].fences()


def test_guest_that_has_ended_lives_again_once_it_is_started(play):
    again = {**RED, "domain": 3, "devices": []}
    m = play({"event": RED_ENDED}, {"say": "[red] first"}, {"say": "[cordon] red: ENDED (stuck) after 1 s"},
             start_red=[[*events(again), {"say": "[red] second"}]])
    red = m.guests["red"]
    assert red.wait_end(5).how == "stuck" and red.ended.resident_bytes == 8192
    red.start()
    assert (red.state, red.ended, red.domain, red.given) == (GuestState.RUNNING, None, 3, ())
    assert red.wait("first|second")[0] == "second"
    with pytest.raises(GuestError, match="cannot start red: it has not ended"):
        red.start()


def test_guest_that_cannot_be_started_again_says_why(play):
    m = play({"event": RED_ENDED}, {"say": "[cordon] red: ENDED (stuck) after 1 s"},
             start_red=[events({"event": "error", "why": "no frames", "command": "red"})])
    with pytest.raises(GuestError, match="cannot start red: .*no frames"):
        m.guests["red"].start()
    assert m.guests["red"].state == GuestState.ENDED


def test_text_that_is_typed_is_taken_whole_or_refused(play):
    m = play(type_red_long=[events({"event": "typed", "taken": 3})])
    red = m.guests["red"]
    red.type("hello")
    with pytest.raises(GuestError, match="red took 3 of 5 bytes: its UART holds 1024"):
        red.type("long")
    with pytest.raises(ValueError, match="red: 504 bytes to type, one command takes 503"):
        red.type("x" * 504)
    with pytest.raises(ValueError, match="NUL"):
        red.type("a\0b")


# ---- devices and faults -----------------------------------------------------------------------------


def test_devices_are_those_that_running_guests_hold(play):
    m = play(faults=[events(RED_ENDED, FAULTS)])
    assert {name: device.guest.name for name, device in m.devices.items()} == {
        "0000:00:01.0": "red", "0000:00:02.0": "red"}
    assert m.devices["0000:00:02.0"].device_id == 0x10
    m.faults()
    assert m.devices == {} and m.guests["red"].given == ("0000:00:01.0", "0000:00:02.0")


def test_faults_are_decoded_and_handed_out_once(play):
    near = {"nearest": "0x4000", "nearest_len": "0x1000", "nearest_gap": "0x0", "nearest_after": False}
    stray = {**FAULT, "device_id": "0x18", "device": "", "domain": 0, "access": 1}
    m = play(faults=[events({**FAULT, **near}, stray, FAULTS), events(FAULTS)])
    first, second = m.faults()
    assert (first.device, first.owner, first.cause, first.access) == (
        "0000:00:01.0", "red", Cause.WRITE_GUEST_PAGE, Perm.W)
    assert (first.iova.v, first.span, first.count) == (0x5000, 8, 3)
    assert (first.nearest.gpa.v, first.nearest.len, first.nearest.gap, first.nearest.after) == (0x4000, 0x1000, 0, False)
    assert (second.device, second.owner, second.nearest) == ("0000:00:03.0", None, None)
    assert m.faults() == [] and m.unexpected_faults() == [] and m.fault_log == [first, second]


def test_a_fault_that_was_told_of_before_anybody_asked_is_handed_out(play):
    m = play(*events(FAULT))
    assert [fault.iova.v for fault in m.faults()] == [0x5000]


def test_an_expected_fault_is_awaited_and_others_stay_unexpected(play):
    other = {**FAULT, "iova": "0x9000"}
    m = play(faults=[events(FAULTS), [*events(other, FAULTS), {"rest": 0.2}, *events(other, FAULT)]],
             pause_red=[events({"event": "paused", "vm": "red"})])
    m.patience = 20
    with m.expect_fault("00:01.0", Cause.WRITE_GUEST_PAGE, 0x5000) as fault:
        m.guests["red"].pause()
    assert fault.owner == "red" and fault.count == 3
    assert [f.iova.v for f in m.unexpected_faults()] == [0x9000, 0x9000]


def test_an_expected_fault_that_does_not_come_is_missed(play):
    m = play(faults=[events(FAULTS), events(FAULT, FAULTS)])
    with pytest.raises(FaultMissing, match=r"0001:00:01.0 caused no fault: what came: .* \(red\) iova 0x5000"):
        with m.expect_fault("0001:00:01.0"):
            pass
    assert len(m.channel.seen("faults")) == 2  # before and after; then it waits
    m = play()
    with pytest.raises(FaultMissing, match="0000:00:02.0 caused no fault: none came"):
        with m.expect_fault(m.devices["0000:00:02.0"]):
            pass
    with pytest.raises(LookupError, match="named like 0000:00:01.0, not 'nic'"):
        with m.expect_fault("nic"):
            pass


def test_faults_that_were_only_counted_are_handed_out_as_counts(play):
    left = {"event": "faults-left-out", "device_id": "0x8", "domain": 1, "count": 500}
    m = play(faults=[events(left, {"event": "faults-left-out", "count": 7}, FAULTS)])
    assert list(map(str, m.left_out())) == [
        "0000:00:01.0 (red): 500 more faults, which were only counted",
        "other devices: 7 more faults, which were only counted"]
    assert m.left_out() == []


def test_faults_of_a_machine_that_has_ended_are_those_that_it_told_of(play):
    m = play(faults=[events(FAULT, GONE) + [{"end": 0}]])
    assert len(m.faults()) == 1 and m.faults() == []


def test_faults_of_a_machine_that_was_cut_off_cannot_be_asked_for(play):
    m = play(faults=[[{"end": 0}]])
    with pytest.raises(ChannelError):
        m.faults()


def test_a_machine_that_stands_still_is_not_asked(play):
    m = play(*events(FAULT), faults=[[{"end": 1}]])
    assert m.guests
    m.stop()
    assert len(m.faults()) == 1
    m.resume()
    with pytest.raises(ChannelError):
        m.faults()


# ---- the audit --------------------------------------------------------------------------------------


def test_an_audit_that_is_not_clean_raises_with_what_was_found(play):
    bad = {"event": "audit", "clean": False, "invariant": 5, "domain": 1, "word": "0x1000", "text": "two owners"}
    m = play(audit=[events(bad)])
    with pytest.raises(Corrupt, match="two owners") as told:
        m.audit()
    assert (told.value.invariant, told.value.domain, told.value.word) == (5, 1, "0x1000")
    m.audit()


def test_a_command_that_is_refused_says_why(play):
    m = play(audit=[events({"event": "error", "why": "not now", "command": "audit"})])
    with pytest.raises(CommandRefused, match="'audit' was refused: not now"):
        m.audit()
