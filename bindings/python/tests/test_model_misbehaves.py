"""Devices and an IOMMU that misbehave on demand: each misbehaviour reaches memory or is refused as the
specification says, and the library hands no frame on while DMA to it may still come."""
import pytest

from cordon import PAGE, Cause, Dma, Drain, Extent, FrameState, HardwareError, HardwareTimeout, Pending, Platform
from cordon.backends import BACKENDS
from cordon.checks import findings
from cordon.model import Cache, SgDescriptor

pytestmark = pytest.mark.skipif(BACKENDS["model"].missing() is not None,
                                reason=f"model: {BACKENDS['model'].missing()}")


@pytest.fixture
def plat(request):
    parts = [Dma(2), Dma(3), Dma(4, drain=Drain.RESET)]
    with Platform("model", parts, **getattr(request, "param", {})) as p:
        yield p
        assert findings(p) == []


@pytest.fixture
def red(plat):
    return plat.guest("red")


def lone_buffer(guest, device):
    """A page of GUEST that DEVICE has written, so that every cache knows it; and its frame."""
    buf = guest.map(device, size=PAGE)
    device.dma.write(buf.iova, b"warm")
    assert buf.read(4) == b"warm"
    return buf, buf.extents[0].hpa


def take(plat, frame):
    """Ask for all memory there is, and keep only FRAME; whether it was to be had."""
    runs = plat.context.scatter(plat.context.stats().free // PAGE * PAGE, pieces=())
    found = False
    for run in runs:
        if run.hpa <= frame < run.end:
            found = True
            pages = (run.hpa + at for at in range(0, run.len, PAGE))
            runs = [Extent(hpa, PAGE) for hpa in pages if hpa != frame]
        else:
            runs = [run]
        for part in runs:
            plat.context.free(part)
    return found


def is_handed_out(plat, frame):
    found = take(plat, frame)
    if found:
        plat.context.free(frame, PAGE)
    return found


def assert_kept(plat, frame):
    assert plat.context.frame(frame).state is FrameState.REVOKING
    assert not is_handed_out(plat, frame)
    plat.context.audit()


# ---- devices ------------------------------------------------------------------------------------------


def test_a_request_that_nobody_asked_for_is_judged_like_any_other(plat, red):
    nic = plat.device("dma2")
    with plat.expect_fault(nic, Cause.DDT_INVALID, 0x1000):
        nic.dma.write(0x1000, b"spurious")
    with red.assign(nic):
        buf = red.map(nic, size=2 * PAGE)
        nic.dma.write(buf.iova + (PAGE - 4), b"spurious")
        assert buf.read(8, at=PAGE - 4) == b"spurious"
        assert nic.dma.read(buf.iova + (PAGE - 4), 8) == b"spurious"


def test_a_list_of_descriptors_is_fetched_and_done_up_to_the_first_that_is_refused(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        ring, buf = red.map(nic, size=PAGE), red.map(nic, size=PAGE)
        nic.dma.buffer[:8] = b"from it!"
        wanted = [SgDescriptor(iova=int(buf.iova) + at, len=8, write=1) for at in (0, 64)]
        wanted += [SgDescriptor(iova=int(buf.end), len=8, write=1), wanted[0]]
        ring.write(b"".join(map(bytes, wanted)))
        assert nic.dma.run(ring.iova, 2) == 2
        assert (buf.read(8), buf.read(8, at=64)) == (b"from it!",) * 2
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, buf.end):
            assert nic.dma.run(ring.iova, 4) == 2


def test_a_late_request_is_judged_when_it_comes(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        (gone, frame), (there, _) = lone_buffer(red, nic), lone_buffer(red, nic)
        with nic.dma.late():
            nic.dma.write(gone.iova, b"late")
            nic.dma.write(there.iova, b"late")
        gone.revoke()
        after = gone.read()
        assert there.read(4) == b"warm"
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, gone.iova):
            assert nic.dma.step() == (2, 1)
        assert gone.read() == after and there.read(4) == b"late"
        assert is_handed_out(plat, frame)


@pytest.mark.parametrize("how", ["held", "rogue", "late"])
def test_requests_that_wait_keep_their_own_bytes_and_go_in_order(plat, red, how):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, _ = lone_buffer(red, nic)
        with getattr(nic.dma, how)():
            nic.dma.write(buf.iova, b"first")
            nic.dma.write(buf.iova + 8, b"second")
            nic.dma.write(buf.iova, b"third")
        nic.dma.write(buf.iova + 16, b"at once")
        assert buf.read(24) == b"warm".ljust(16, b"\0") + b"at once\0"
        assert nic.dma.step(2) == (2, 0)
        assert buf.read(14) == b"first\0\0\0second"
        assert nic.dma.step() == (1, 0) and buf.read(5) == b"third"


def test_an_engine_that_holds_all_it_can_refuses_more(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf = red.map(nic, size="128K")
        with nic.dma.late():
            nic.dma.write(buf.iova, b"f" * (64 << 10))
            with pytest.raises(ValueError, match="holds 0x10000 bytes at most: step"):
                nic.dma.write(buf.iova, b"x")
            assert nic.dma.step() == (16, 0)
            nic.dma.write(buf.iova + (64 << 10), b"more")
            assert nic.dma.step() == (1, 0)
        assert buf.read((64 << 10) + 4) == b"f" * (64 << 10) + b"more"


def test_an_address_outside_ram_that_nothing_stands_at_is_an_access_fault(plat, red):
    window = plat.context.resource_add(0x4000_0000, PAGE)
    red.grant(0x3000_0000, window, "rw", mmio=True, peer=True)
    nic = plat.device("dma2")
    with red.assign(nic):
        with plat.expect_fault(nic, Cause.WRITE_ACCESS, 0x3000_0000):
            nic.dma.write(0x3000_0000, b"past RAM")
        with plat.expect_fault(nic, Cause.READ_ACCESS, 0x3000_0000):
            assert nic.dma.read(0x3000_0000, 8) == bytes(8)
    assert plat.messages == []


def test_a_write_in_flight_lands_before_its_frame_is_anybody_elses(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.held():
            nic.dma.write(buf.iova, b"in flight")
        assert buf.read(9) == b"warm" + bytes(5)
        buf.revoke()
        assert plat.context.frame(frame).state is FrameState.FREE
        assert take(plat, frame)
        plat.guest("blue").grant(0, Extent(frame, PAGE), "rw")
        assert buf.read() == bytes(PAGE), "blue's now, and scrubbed"
        assert nic.dma.step() == (0, 0), "the revoke has not waited for it"
        assert buf.read() == bytes(PAGE)


def test_a_read_in_flight_brings_nothing_of_the_next_owner(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.held():
            assert nic.dma.read(buf.iova, 6) == bytes(6)
        buf.revoke()
        assert nic.dma.buffer[:6] == b"warm" + bytes(2), "the fence lets it read what was red's"
        assert take(plat, frame)
        blue = plat.guest("blue")
        blue.grant(0, Extent(frame, PAGE), "rw")
        blue.write(0, b"secret")
        assert nic.dma.step() == (0, 0)
        assert nic.dma.buffer[:6] == b"warm" + bytes(2)


def test_a_frame_with_a_write_in_flight_is_kept_while_the_fence_is_not_done(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.held():
            nic.dma.write(buf.iova, b"in flight")
        with plat.model.hold(commands=True):
            with pytest.raises(Pending):
                buf.revoke()
            assert_kept(plat, frame)
            while plat.model.step():
                assert_kept(plat, frame)
            assert buf.read(9) == b"in flight", "the fence has waited for it"
        red.domain.retire()
        assert plat.context.frame(frame).state is FrameState.FREE
        assert nic.dma.step() == (0, 0)


def test_what_no_fence_ends_is_kept_until_the_device_was_reset(plat, red):
    nic = plat.device("dma4")  # drained by reset
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.rogue():
            nic.dma.write(buf.iova, b"held")
        with pytest.raises(Pending):
            buf.revoke()
        fences = plat.model.stats.fences
        assert fences and buf.read(4) == b"warm", "a rogue waits for no fence"
        assert_kept(plat, frame)
    assert plat.context.frame(frame).state is FrameState.FREE
    assert nic.dma.step() == (0, 0)
    assert is_handed_out(plat, frame)


def test_a_device_whose_withdrawal_is_not_confirmed_is_drained_all_the_same(plat, red):
    nic = plat.device("dma4")
    buf, frame = None, None
    with pytest.raises(Pending):
        with red.assign(nic):
            buf, frame = lone_buffer(red, nic)
            with nic.dma.rogue():
                nic.dma.write(buf.iova, b"held")
            with pytest.raises(Pending):
                buf.revoke()
            plat.model.fail_fences(1000)
    assert nic.domain is None and nic.dma.step() == (0, 0), "it was reset"
    assert_kept(plat, frame)
    plat.model.fail_fences(0)
    red.domain.retire()
    assert is_handed_out(plat, frame)


def test_a_release_that_is_not_confirmed_can_be_finished_later(plat, red):
    nic = plat.device("dma2")
    nic.attach(red.domain)
    plat.model.fail_fences(1000)
    with pytest.raises(Pending):
        plat.release("dma2")
    assert plat.device("dma2") is nic and nic.domain is None
    plat.model.fail_fences(0)
    red.domain.retire()
    plat.release("dma2")
    assert plat.device("dma2") is not nic and not nic.is_open


def test_a_device_that_ignores_fences_and_is_said_to_heed_them_breaks_isolation(plat, red):
    """The same device, wrongly described: what drain methods are for."""
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.rogue():
            nic.dma.write(buf.iova, b"held")
        buf.revoke()
        assert plat.context.frame(frame).state is FrameState.FREE
        assert take(plat, frame)
        blue = plat.guest("blue")
        blue.grant(0, Extent(frame, PAGE), "rw")
        blue.write(0, b"blue")
        assert nic.dma.step() == (1, 0)
        assert blue.read(0, 4) == b"held"


def test_what_a_reset_leaves_in_flight_lands_after_it(plat, red):
    nic = plat.device("dma4")
    with red.assign(nic):
        buf, _ = lone_buffer(red, nic)
        with nic.dma.rogue():
            nic.dma.write(buf.iova, b"dead")
        nic.dma.reset()
        assert nic.dma.step() == (0, 0) and buf.read(4) == b"warm"
        with nic.dma.rogue():
            nic.dma.write(buf.iova, b"undead")
        nic.dma.survives_reset = True
    assert buf.read(6) == b"warm\0\0"
    assert nic.dma.step() == (1, 0)
    assert buf.read(6) == b"undead"


def test_a_forged_id_is_looked_up_as_it_is(plat, red):
    nic, disk, blue = plat.device("dma2"), plat.device("dma3"), plat.guest("blue", "64K")
    with red.assign(nic):
        buf = red.map(nic, iova=0x1000_0000, size=PAGE)
        with nic.dma.forged(disk.device_id):
            with plat.expect_fault(disk, Cause.DDT_INVALID, buf.iova):
                nic.dma.write(buf.iova, b"forged")  # nobody has dma3
            with blue.assign(disk):
                theirs = blue.map(disk, iova=0x1000_0000, size=PAGE)
                nic.dma.write(buf.iova, b"forged")
                assert theirs.read(6) == b"forged", "only the bus can tell who it was"
                with plat.expect_fault(disk, Cause.WRITE_GUEST_PAGE, theirs.end) as fault:
                    nic.dma.write(theirs.end, b"forged")
                assert fault.owner == "blue"
        nic.dma.write(buf.iova, b"honest")
        assert (buf.read(6), theirs.read(6)) == (b"honest", b"forged")
    assert blue.untouched()


def test_a_message_reaches_the_guests_own_file_and_no_other_address_outside_ram_takes_one(plat, red):
    window, own, other = 0x2_8000_0000, 0x2800_1000, 0x2800_2000
    plat.context.resource_add(own, PAGE)
    red.domain.msi_window(window, 1)
    red.msi_set(0, own)
    nic = plat.device("dma2")
    with red.assign(nic):
        nic.dma.write(window, (5).to_bytes(4, "little"))
        assert plat.messages == [(own, 5)]
        with plat.expect_fault(nic, Cause.MSI_INVALID, window + PAGE):
            nic.dma.write(window + PAGE, (5).to_bytes(4, "little"))
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, other):
            nic.dma.write(other, (5).to_bytes(4, "little"))
        assert plat.messages == [(own, 5)]


# ---- the IOMMU ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plat, stale", [({}, True), ({"without": Cache.STAGES}, False)], indirect=["plat"])
def test_what_was_cached_is_used_until_it_is_invalidated(plat, red, stale):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, _ = lone_buffer(red, nic)
        leaf = plat.memory(red.domain.walk(buf.gpa).steps[-1].word, 8)
        word = bytes(leaf)
        leaf[:] = bytes(8)
        if stale:
            nic.dma.write(buf.iova, b"stale")
        else:
            with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, buf.iova):
                nic.dma.write(buf.iova, b"stale")
        assert (buf.read(5) == b"stale") is stale
        leaf[:] = word


def test_an_iommu_that_answers_late_is_waited_for(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic), plat.model.late(reads=50):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.held():
            nic.dma.write(buf.iova, b"in flight")
        buf.revoke()
        assert plat.context.frame(frame).state is FrameState.FREE
        assert nic.dma.step() == (0, 0)


@pytest.mark.parametrize("plat", [{"timeout_us": 20000}], indirect=True)
def test_an_iommu_that_answers_too_late_costs_no_frame(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with plat.model.late(reads=10000):
            with pytest.raises(Pending):
                buf.revoke()
            assert_kept(plat, frame)
        red.domain.retire()
        assert is_handed_out(plat, frame)


@pytest.mark.parametrize("fault", ["fail_fences", "fail_fetches"])
def test_a_command_that_fails_frees_no_frame_too_early(plat, red, fault):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with nic.dma.held():
            nic.dma.write(buf.iova, b"in flight")
        fences = plat.model.stats.fences
        getattr(plat.model, fault)(1)
        try:
            buf.revoke()
        except Pending:
            assert_kept(plat, frame)
            red.domain.retire()
        assert plat.model.stats.fences > fences
        assert plat.context.frame(frame).state is FrameState.FREE
        assert nic.dma.step() == (0, 0), "a fence that failed proves nothing"


@pytest.mark.parametrize("fault", ["fail_fences", "fail_fetches"])
def test_commands_that_always_fail_keep_the_frame_until_one_does_not(plat, red, fault):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        getattr(plat.model, fault)(1000)
        with pytest.raises(Pending):
            buf.revoke()
        assert_kept(plat, frame)
        getattr(plat.model, fault)(0)
        red.domain.retire()
        assert is_handed_out(plat, frame)


def test_registers_that_stay_busy_stop_the_take_over_which_can_be_tried_again():
    with Platform("model", take_over=False) as plat:
        with plat.model.hold(registers=True):
            with pytest.raises((HardwareTimeout, HardwareError)):
                plat.take_over()
            assert plat.iommu is None
        plat.take_over()
        nic, red = plat.device("dma2"), plat.guest("red")
        with red.assign(nic):
            buf, _ = lone_buffer(red, nic)
            buf.revoke()
        plat.context.audit()


def test_debug_registers_that_stay_busy_answer_once_they_are_let_go(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        with plat.model.hold(debug=True):
            plat.set_register(0x258, int(buf.iova), 8)
            plat.set_register(0x260, nic.device_id << 40 | 1, 8)
            assert plat.register(0x260, 8) & 1
        assert not plat.register(0x260, 8) & 1
        assert plat.register(0x268, 8) >> 10 == int(frame) // PAGE


def test_the_model_answers_without_moving_data(plat, red):
    nic = plat.device("dma2")
    with red.assign(nic):
        buf, frame = lone_buffer(red, nic)
        answer = plat.model.translate(nic.device_id, int(buf.iova) + 8, "w")
        assert (answer.cause, answer.hpa, answer.page_size) == (0, frame + 8, PAGE)
        with plat.expect_fault(nic, Cause.READ_GUEST_PAGE, buf.end):
            assert plat.model.translate(nic.device_id, int(buf.end)).cause == Cause.READ_GUEST_PAGE
        assert buf.read(4) == b"warm"


def test_what_software_must_not_do_is_found_when_the_test_is_over():
    with Platform("model") as plat:
        plat.set_register(0x11, 0, 4)
        assert findings(plat) == ["1 accesses that the specification leaves UNSPECIFIED, the last: "
                                  "access of a wrong width or alignment"]
