"""Hardware that does not answer, or answers with an error: nothing is reused before it is proven
quiet, every wait ends, and once it answers again everything comes right."""
from contextlib import suppress

import pytest

from cordon import Corrupt, FrameState, HardwareTimeout, NotSupported, Pending
from cordon.qemu import Edu
from cordon.types import PAGE
from scene import (BIG, BLUE_BASE, BOTH_BASE, assert_write_lands, assert_write_refused, faults_of)

CQT, CQCSR, FQCSR, DDTP = 0x24, 0x48, 0x4c, 0x10
SMALL_BASE = BLUE_BASE + BIG
pytestmark = pytest.mark.machine(Edu(2), Edu(3), timeout_us=20000)


def deaf(plat, *offsets):
    """From now on, writes to these registers do not arrive."""
    lost = {plat.iommu_base + offset for offset in offsets}
    plat.port.on_write = lambda hpa, width, value: hpa not in lost


def hears_again(plat):
    plat.port.on_write = plat.port.on_read = None


def assert_withheld(plat, frame, audit=True):
    assert plat.context.frame(frame).state is FrameState.REVOKING
    runs = plat.context.scatter(plat.context.stats().free // 2 // PAGE * PAGE, seed=5)
    assert not any(int(run.hpa) <= frame < int(run.hpa) + run.len for run in runs)
    for run in runs:
        plat.context.free(run)
    if audit:
        plat.context.audit()


def test_a_revoke_that_is_not_confirmed_withholds_the_frame(scene, plat):
    assert_write_lands(scene.rogue, SMALL_BASE)
    frame = scene.blue.hpa(SMALL_BASE)
    deaf(plat, CQT)
    with pytest.raises(Pending):
        scene.blue.revoke(SMALL_BASE, PAGE)
    assert_withheld(plat, frame)
    with pytest.raises(Pending):
        scene.blue.domain.retire()
    assert_withheld(plat, frame)
    hears_again(plat)
    scene.blue.domain.retire()
    assert plat.context.frame(frame).state is FrameState.FREE
    assert_write_refused(scene.rogue, SMALL_BASE)
    assert_write_lands(scene.rogue, SMALL_BASE + PAGE)
    assert faults_of(plat, "edu2")


def test_rights_that_were_taken_and_not_confirmed_are_pending(scene, plat):
    assert_write_lands(scene.rogue, SMALL_BASE)
    deaf(plat, CQT)
    with pytest.raises(Pending):
        scene.blue.protect(SMALL_BASE, PAGE, "r")
    with pytest.raises(Pending):
        scene.blue.domain.retire()
    hears_again(plat)
    scene.blue.domain.retire()
    assert_write_refused(scene.rogue, SMALL_BASE)
    plat.iommu.faults()


def test_rights_that_come_need_no_answer(scene, plat):
    scene.blue.protect(SMALL_BASE, PAGE, "r")
    deaf(plat, CQT)
    scene.blue.grant(0x6_0000_0000, plat.context.alloc(PAGE))
    assert_write_lands(scene.rogue, 0x6_0000_0000)
    hears_again(plat)


def test_a_split_that_is_not_confirmed_keeps_the_old_tables_too(scene, plat):
    """Of a 2 MiB leaf one page goes: the rest works on, and nothing is freed before the fence."""
    assert_write_lands(scene.rogue, BLUE_BASE)
    frame = scene.blue.hpa(BLUE_BASE + PAGE)
    deaf(plat, CQT)
    with pytest.raises(Pending):
        scene.blue.revoke(BLUE_BASE + PAGE, PAGE)
    assert_withheld(plat, frame)
    assert_write_lands(scene.rogue, BLUE_BASE, 64, 1)
    hears_again(plat)
    scene.blue.domain.retire()
    assert_write_refused(scene.rogue, BLUE_BASE + PAGE)
    assert_write_lands(scene.rogue, BLUE_BASE + 2 * PAGE)
    assert plat.context.frame(frame).state is FrameState.FREE
    assert faults_of(plat, "edu2")


def test_a_detach_that_is_not_confirmed_withholds_everything(scene, plat):
    assert_write_lands(scene.rogue, SMALL_BASE)
    frame = scene.blue.hpa(SMALL_BASE)
    deaf(plat, CQT)
    with pytest.raises(Pending):
        plat.devices["edu2"].detach()
    with pytest.raises(Pending):
        scene.blue.revoke(SMALL_BASE, PAGE)
    assert_withheld(plat, frame)
    hears_again(plat)
    scene.blue.domain.retire()
    assert plat.context.frame(frame).state is FrameState.FREE
    plat.devices["edu2"].attach(scene.red.domain)
    plat.devices["edu2"].detach()


def test_an_attach_that_is_not_answered_leaves_nothing(scene, plat):
    plat.devices["edu2"].detach()
    before = bytes(plat.context.stats())
    deaf(plat, CQT)
    with pytest.raises(HardwareTimeout):
        plat.devices["edu2"].attach(scene.blue.domain)
    hears_again(plat)
    assert bytes(plat.context.stats()) == before
    plat.devices["edu2"].attach(scene.blue.domain)
    assert_write_lands(scene.rogue, SMALL_BASE)


@pytest.mark.machine(Edu(2), Edu(3), timeout_us=20000, take_over=False)
@pytest.mark.parametrize("offset, error", [
    (CQT, HardwareTimeout), (CQCSR, HardwareTimeout), (FQCSR, HardwareTimeout), (DDTP, NotSupported)])
def test_a_take_over_that_is_not_answered_is_undone(plat, offset, error):
    before = bytes(plat.context.stats())
    deaf(plat, offset)
    with pytest.raises(error):
        plat.take_over()
    hears_again(plat)
    assert plat.register(DDTP, 8) & 0xf == 0
    assert not plat.register(CQCSR) >> 16 & 1 and not plat.register(FQCSR) >> 16 & 1
    assert bytes(plat.context.stats()) == before
    plat.take_over()


# ---- errors of the command queue ------------------------------------------------------------------


def spoil_commands(plat, times):
    """Overwrite the last command before each of the next TIMES doorbells with one that is illegal.
    Calling what is returned takes them out of the ring again."""
    spoilt = []
    base = plat.register(0x18, 8)
    ring, entries = (base >> 10 & (1 << 44) - 1) * PAGE, 2 << (base & 0x1f)

    def on_write(hpa, width, value):
        if hpa == plat.iommu_base + CQT and value != plat.register(CQT) and len(spoilt) < times:
            spoilt.append(plat.memory(ring + (value - 1) % entries * 16, 16))
            spoilt[-1][0] = 0x7f

    def mend():
        hears_again(plat)
        assert spoilt, "no command was ever sent"
        for command in spoilt:
            if command[0] == 0x7f:
                command[:] = bytes(16)
    plat.port.on_write = on_write
    return mend


def test_an_illegal_command_is_recovered_from(scene, plat):
    assert_write_lands(scene.rogue, SMALL_BASE)
    frame = scene.blue.hpa(SMALL_BASE)
    mend = spoil_commands(plat, 1)
    scene.blue.revoke(SMALL_BASE, PAGE)
    mend()
    assert plat.context.frame(frame).state is FrameState.FREE
    assert plat.register(CQCSR) & 0x700 == 0 and plat.register(CQCSR) >> 16 & 1
    assert_write_refused(scene.rogue, SMALL_BASE)
    assert_write_lands(scene.rogue, BOTH_BASE)
    assert faults_of(plat, "edu2")


def test_commands_that_stay_illegal_withhold_the_frame(scene, plat):
    assert_write_lands(scene.rogue, SMALL_BASE)
    frame = scene.blue.hpa(SMALL_BASE)
    mend = spoil_commands(plat, 1000)
    with pytest.raises(Pending):
        scene.blue.revoke(SMALL_BASE, PAGE)
    assert_withheld(plat, frame)
    mend()
    scene.blue.domain.retire()
    assert plat.context.frame(frame).state is FrameState.FREE
    assert_write_refused(scene.rogue, SMALL_BASE)
    assert faults_of(plat, "edu2")


def test_registers_that_are_gone_withhold_the_frame(scene, plat):
    """An IOMMU that has left the bus reads as all ones."""
    frame = scene.blue.hpa(SMALL_BASE)
    plat.port.on_read = lambda hpa, width, value: (1 << 8 * width) - 1
    plat.port.on_write = lambda hpa, width, value: False
    with pytest.raises(Pending):
        scene.blue.revoke(SMALL_BASE, PAGE)
    assert_withheld(plat, frame, audit=False)
    with pytest.raises(Corrupt):
        plat.context.audit()
    plat.iommu.poll_faults()
    hears_again(plat)
    scene.blue.domain.retire()
    assert plat.context.frame(frame).state is FrameState.FREE


def test_a_head_beyond_the_ring_is_not_believed(scene, plat):
    plat.port.on_read = lambda hpa, width, value: 0x12345 if hpa == plat.iommu_base + 0x20 else value
    with suppress(Pending):
        scene.blue.revoke(SMALL_BASE, PAGE)
    hears_again(plat)
    scene.blue.domain.retire()
    assert_write_refused(scene.rogue, SMALL_BASE)
    assert_write_lands(scene.rogue, BOTH_BASE)
    assert faults_of(plat, "edu2")
