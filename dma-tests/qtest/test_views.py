"""Views are filters over one map: shared by devices, or a device's own; what only the hart may see
stays out of them."""
import pytest

from cordon import LimitReached, TranslationFault
from cordon.qemu import Edu
from cordon.types import PAGE
from counters import assert_warm
from scene import (BIG, BLUE_BASE, BOTH_BASE, RED_BASE, Rogue, assert_read_refused, assert_write_lands,
                   assert_write_refused, faults_of, mark)

MANY = [Edu(slot) for slot in range(2, 11)]
NEW = 0x4_0000_0000


def rogue_of(guest, plat, name, page, own_view):
    plat.device(name).attach(guest.domain, own_view=own_view)
    return Rogue(guest, name, work=BOTH_BASE + page * PAGE)


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
@pytest.mark.parametrize("own_view", [False, True])
@pytest.mark.parametrize("plat", ["sys", "base"], indirect=True)
def test_two_devices_of_a_guest_reach_the_same(scene, plat, own_view):
    second = rogue_of(scene.blue, plat, "edu4", 3, own_view)
    for rogue in (scene.rogue, second):
        assert_write_lands(rogue, BLUE_BASE + 0x1000)
        assert_write_lands(rogue, BLUE_BASE + BIG - 8, 16)
        assert_write_refused(rogue, RED_BASE)
        assert faults_of(plat, rogue.name)


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
@pytest.mark.parametrize("own_view", [False, True])
def test_detaching_one_leaves_the_other(scene, plat, own_view):
    second = rogue_of(scene.blue, plat, "edu4", 3, own_view)
    assert_write_lands(second, BLUE_BASE)
    assert_write_lands(scene.rogue, BLUE_BASE)
    plat.devices["edu2"].detach()
    assert_write_lands(second, BLUE_BASE)
    assert_write_lands(second, BOTH_BASE + PAGE)


@pytest.mark.parametrize("plat", ["sys", "base"], indirect=True)
def test_memory_without_dma_is_for_harts_only(scene, plat):
    scene.blue.grant(NEW, plat.context.alloc(BIG, align=BIG), dma=False)
    secret = mark("hart only", 0)
    scene.blue.write(NEW, secret)
    assert scene.blue.domain.translate(NEW).hpa.v == scene.blue.hpa(NEW)
    with pytest.raises(TranslationFault):
        scene.blue.domain.translate(NEW, view=1)
    assert_write_refused(scene.rogue, NEW)
    assert_read_refused(scene.rogue, NEW, secret)
    assert faults_of(plat, "edu2")


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
def test_registers_reach_devices_only_when_peers_were_asked_for(scene, plat):
    bar = plat.function("edu4").bars[0]
    plat.context.resource_add(bar.address, bar.size)
    bar.write(0x04, 0)
    scene.blue.grant(NEW, [(bar.address, bar.size)], "rw", mmio=True)
    assert scene.blue.domain.translate(NEW).hpa.v == bar.address
    assert_write_refused(scene.rogue, NEW + 4, 4)
    assert bar.read(0x04) == 0xffffffff
    scene.blue.revoke(NEW, bar.size)
    scene.blue.grant(NEW, [(bar.address, bar.size)], "rw", mmio=True, peer=True)
    scene.rogue.write(NEW + 4, b"\x78\x56\x34\x12")
    assert bar.read(0x04) == ~0x12345678 & 0xffffffff
    scene.blue.revoke(NEW, bar.size)
    assert_write_refused(scene.rogue, NEW + 4, 4)
    assert bar.read(0x04) == ~0x12345678 & 0xffffffff
    plat.context.resource_remove(bar.address)
    assert faults_of(plat, "edu2")


@pytest.mark.machine(*MANY)
def test_views_have_a_limit_and_come_back(scene, plat):
    """Seven device views a guest; the eighth is refused, and nothing has changed for the others."""
    own = [rogue_of(scene.blue, plat, f"edu{slot}", slot - 4, True) for slot in range(4, 10)]
    before = plat.context.stats().free
    with pytest.raises(LimitReached):
        plat.device("edu10").attach(scene.blue.domain, own_view=True)
    assert plat.context.stats().free == before
    plat.context.audit()
    for rogue in own:
        assert_write_lands(rogue, BLUE_BASE)
    plat.devices["edu9"].detach()
    plat.devices["edu10"].attach(scene.blue.domain, own_view=True)
    assert_write_lands(Rogue(scene.blue, "edu10", work=BOTH_BASE + 8 * PAGE), BLUE_BASE)


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
def test_a_view_made_late_holds_what_came_before_and_after(scene, plat):
    scene.blue.protect(BLUE_BASE + PAGE, PAGE, "r")
    scene.blue.revoke(BLUE_BASE + 5 * PAGE, PAGE)
    late = rogue_of(scene.blue, plat, "edu4", 3, True)
    assert_write_refused(late, BLUE_BASE + PAGE)
    assert_write_refused(late, BLUE_BASE + 5 * PAGE)
    scene.blue.grant(NEW, plat.context.scatter(4 * PAGE))
    for rogue in (late, scene.rogue):
        assert_write_lands(rogue, NEW + PAGE - 32)
        assert_write_lands(rogue, BLUE_BASE)
    assert_warm(plat, lambda: late.edu.store(BLUE_BASE, 64))
    assert faults_of(plat, "edu4")


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
@pytest.mark.parametrize("change", ["revoke", "protect"])
def test_a_table_that_views_cannot_share_is_changed_in_each(scene, plat, change):
    """Pages that only harts may see stand among pages of DMA, in the reach of one leaf table."""
    frames = plat.context.scatter(8 * PAGE, seed=4)
    scene.blue.grant(NEW, frames[:6])
    scene.blue.grant(NEW + 6 * PAGE, frames[6:], dma=False)
    rogues = scene.rogue, rogue_of(scene.blue, plat, "edu4", 3, True)
    for rogue in rogues:
        for page in range(6):
            assert_write_lands(rogue, NEW + page * PAGE)
        assert_write_refused(rogue, NEW + 6 * PAGE)
    gone = [NEW + 2 * PAGE, NEW + 3 * PAGE]
    if change == "revoke":
        scene.blue.revoke(gone[0], 2 * PAGE)
    else:
        scene.blue.protect(gone[0], 2 * PAGE, "r")
    for iova in gone:
        with pytest.raises(TranslationFault):
            scene.blue.domain.translate(iova, "w")
        for rogue in rogues:
            assert_write_refused(rogue, iova)
    for rogue in rogues:
        assert_write_lands(rogue, NEW + PAGE)
        assert_write_lands(rogue, NEW + 4 * PAGE)
    plat.iommu.faults()


@pytest.mark.machine(Edu(2), Edu(3), Edu(4))
def test_a_view_leaves_while_tables_are_shared(scene, plat):
    """What one view gives up, the others keep: shared tables live on, its own go."""
    own = rogue_of(scene.blue, plat, "edu4", 3, True)
    assert_write_lands(own, BLUE_BASE + BIG)
    before = plat.context.stats().table
    plat.devices["edu4"].detach()
    assert plat.context.stats().table < before
    scene.blue.revoke(BLUE_BASE + BIG, PAGE)
    plat.devices["edu4"].attach(scene.blue.domain, own_view=True)
    assert_write_refused(own, BLUE_BASE + BIG)
    for rogue in (own, scene.rogue):
        assert_write_lands(rogue, BLUE_BASE + BIG + PAGE)
    plat.iommu.faults()
