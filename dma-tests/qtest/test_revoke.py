"""Every downgrade closes the window that caches had open: they are warm before each."""
import pytest

from cordon import Grant, NotFound, Revoke
from cordon.qemu import Edu
from cordon.types import PAGE
from counters import assert_warm
from scene import (BIG, BLUE_BASE, BOTH_BASE, RED_BASE, Rogue, assert_read_lands, assert_read_refused,
                   assert_write_lands, assert_write_refused, faults_of, mark, only_changes)

EVERY = pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
SMALL_BASE = BLUE_BASE + BIG


def warm(scene, iova, length=64):
    """Fill every cache with the translation of IOVA for writes and reads."""
    assert_write_lands(scene.rogue, iova, length)
    assert_warm(scene.plat, lambda: (scene.rogue.edu.store(iova, length), scene.rogue.edu.load(iova, length)))


@EVERY
@pytest.mark.parametrize("iova, length", [
    (SMALL_BASE, PAGE), (SMALL_BASE + 5 * PAGE, 3 * PAGE), (BLUE_BASE, BIG), (BOTH_BASE, 4 * PAGE)])
def test_revoke_closes_the_window(scene, plat, iova, length):
    for at in (iova, iova + length - PAGE):
        warm(scene, at)
    frames = [scene.blue.hpa(iova), scene.blue.hpa(iova + length - PAGE)]
    scene.blue.revoke(iova, length)
    for at in (iova, iova + length - PAGE):
        assert_write_refused(scene.rogue, at)
        assert_write_refused(scene.rogue, at + PAGE - 8, 8)
    assert_write_lands(scene.rogue, BOTH_BASE + 8 * PAGE)
    assert all(plat.context.frame(hpa).state.name == "FREE" for hpa in frames)
    assert faults_of(plat, "edu2")


def test_a_revoked_frame_can_be_anothers_at_once(scene, plat):
    """Blue's frame becomes red's; blue's device, warm with it, neither writes nor reads it."""
    warm(scene, SMALL_BASE)
    frame = scene.blue.hpa(SMALL_BASE)
    scene.blue.domain.change([Revoke(SMALL_BASE, PAGE)])
    scene.blue.pages.pop(SMALL_BASE)
    taken = take_frame(plat, frame)
    scene.red.grant(0x2_0000_0000, [taken])
    assert plat.memory(frame, 64) == bytes(64), "the frame still holds what blue had in it"
    scene.red.write(0x2_0000_0000, mark("red's own", 0))
    assert_write_refused(scene.rogue, SMALL_BASE)
    assert_read_refused(scene.rogue, SMALL_BASE, mark("red's own", 0))
    assert_write_lands(scene.friend, 0x2_0000_0000)
    assert faults_of(plat, "edu2")


def take_frame(plat, frame):
    """Allocate frames until FRAME is among them; the others are given back."""
    held = []
    while not held or int(held[-1].hpa) != frame:
        held.append(plat.context.alloc(PAGE))
    for extent in held[:-1]:
        plat.context.free(extent)
    return held[-1]


@EVERY
def test_detach_closes_the_window(scene, plat):
    warm(scene, BLUE_BASE)
    warm(scene, SMALL_BASE)
    scene.rogue.arm(mark("after detach", 0))
    plat.devices["edu2"].detach()
    with only_changes(plat):
        for iova in (BLUE_BASE, SMALL_BASE, BOTH_BASE):
            scene.rogue.edu.store(iova, 64)
    assert {f.cause for f in faults_of(plat, "edu2")} == {258}


def test_a_device_that_changes_guests_reaches_only_the_new_one(scene, plat):
    """The same addresses mean the old guest's pages in warm caches, and the new guest's in tables."""
    warm(scene, BOTH_BASE)
    plat.devices["edu2"].detach()
    plat.devices["edu2"].attach(scene.red.domain)
    rogue = Rogue(scene.red, "edu2", work=BOTH_BASE + 4 * PAGE)
    assert_write_lands(rogue, BOTH_BASE)
    assert_read_lands(rogue, BOTH_BASE + PAGE)
    assert_write_refused(rogue, SMALL_BASE)
    assert faults_of(plat, "edu2")


def test_a_new_guest_does_not_inherit_the_old_ones_translations(scene, plat):
    """Destroy blue; its GSCID may be used again, but nothing of what it reached."""
    warm(scene, BOTH_BASE)
    warm(scene, BLUE_BASE)
    plat.devices["edu2"].detach()
    scene.blue.domain.close()
    plat.guests.remove(scene.blue)
    green = plat.guest("green")
    green.grant(BOTH_BASE + PAGE, plat.context.alloc(4 * PAGE))
    plat.devices["edu2"].attach(green.domain)
    rogue = Rogue(green, "edu2", work=BOTH_BASE + PAGE)
    for iova in (BOTH_BASE, BLUE_BASE, BOTH_BASE + 15 * PAGE):
        assert_write_refused(rogue, iova)
    assert_write_lands(rogue, BOTH_BASE + 2 * PAGE)
    assert faults_of(plat, "edu2")


@EVERY
@pytest.mark.parametrize("iova, length", [
    (SMALL_BASE + PAGE, PAGE), (BLUE_BASE, BIG), (BLUE_BASE + 7 * PAGE, 2 * PAGE)])
def test_protect_to_read_only_closes_writes(scene, plat, iova, length):
    warm(scene, iova)
    warm(scene, iova + length - PAGE)
    scene.blue.protect(iova, length, "r")
    for at in (iova, iova + length - PAGE):
        assert_write_refused(scene.rogue, at)
        assert_read_lands(scene.rogue, at)
    scene.blue.protect(iova, length, "rw")
    assert_write_lands(scene.rogue, iova)
    plat.iommu.faults()  # a cached entry refuses without a record in this QEMU


@EVERY
@pytest.mark.parametrize("page", [0, 1, 255, 511])
def test_a_2_mib_leaf_is_split_while_it_is_in_use(scene, plat, page):
    """One page out of the leaf goes; its neighbours keep working without a moment's gap."""
    hole = BLUE_BASE + page * PAGE
    others = [BLUE_BASE + n * PAGE for n in (0, 1, 2, 254, 256, 510, 511) if n != page]
    for iova in [hole, *others]:
        warm(scene, iova)
    scene.blue.revoke(hole, PAGE)
    assert scene.blue.domain.translate(others[0]).level == 0
    assert_write_refused(scene.rogue, hole)
    for seed, iova in enumerate(others):
        assert_write_lands(scene.rogue, iova, 64, seed)
        assert_read_lands(scene.rogue, iova + PAGE - 64)
    with pytest.raises(NotFound):
        scene.blue.domain.region_at(hole)
    assert faults_of(plat, "edu2")


def test_a_page_replaced_under_the_same_address_is_the_new_one(scene, plat):
    warm(scene, SMALL_BASE)
    old = scene.blue.hpa(SMALL_BASE)
    fresh = plat.context.alloc(PAGE)
    scene.blue.revoke(SMALL_BASE, PAGE)
    scene.blue.grant(SMALL_BASE, [fresh])
    before = bytes(plat.memory(old, PAGE))
    assert_write_lands(scene.rogue, SMALL_BASE)
    assert bytes(plat.memory(old, PAGE)) == before and scene.blue.hpa(SMALL_BASE) != old


def test_one_transaction_moves_many_windows(scene, plat):
    """Pages go and others come in one change, whole blocks and single pages together."""
    gone = [(BLUE_BASE, BIG), (SMALL_BASE + 3 * PAGE, PAGE), (BOTH_BASE, 2 * PAGE)]
    for iova, _ in gone:
        warm(scene, iova)
    fresh = plat.context.alloc(2 * PAGE)
    new = 0x3_0000_0000
    scene.blue.domain.change([*(Revoke(*range_) for range_ in gone), Grant(new, (fresh,), "rw")])
    for iova, length in gone:
        for at in range(iova, iova + length, PAGE):
            del scene.blue.pages[at]
    scene.blue.pages.update(pages_of(new, fresh))
    for iova, _ in gone:
        assert_write_refused(scene.rogue, iova)
    assert_write_lands(scene.rogue, new + PAGE - 32)
    assert faults_of(plat, "edu2")


def pages_of(gpa, extent):
    from cordon.guest import Page
    from cordon.types import Perm
    return {gpa + at: Page(int(extent.hpa) + at, Perm.RW, True) for at in range(0, extent.len, PAGE)}


def test_what_is_granted_is_reached_at_once(scene, plat):
    """An address that was refused before is reached after the grant: no entry that is invalid stays."""
    new = 0x2000_0000
    assert_write_refused(scene.rogue, new)
    assert_write_refused(scene.rogue, new)
    scene.blue.grant(new, plat.context.scatter(8 * PAGE, seed=3))
    for page in range(7):
        assert_write_lands(scene.rogue, new + page * PAGE + 0x800, PAGE)
    assert faults_of(plat, "edu2")


@EVERY
@pytest.mark.parametrize("close", ["revoke", "detach", "protect"])
def test_dma_under_way_does_not_land_after_the_window_closed(scene, plat, close):
    """The transfer is started, time stands still, the window closes, and time goes on."""
    warm(scene, SMALL_BASE)
    scene.rogue.arm(mark("late", 0))
    plat.machine.qmp.command("stop")
    scene.rogue.edu.start_store(SMALL_BASE, 64)
    assert scene.rogue.edu.busy()
    if close == "revoke":
        scene.blue.revoke(SMALL_BASE, PAGE)
    elif close == "protect":
        scene.blue.protect(SMALL_BASE, PAGE, "r")
    else:
        plat.devices["edu2"].detach()
    assert scene.rogue.edu.busy()
    with only_changes(plat):
        plat.machine.qmp.command("cont")
        scene.rogue.edu.wait()
    plat.iommu.faults()


@pytest.mark.machine(Edu(2), Edu(3), Edu(4), Edu(5))
def test_revoke_closes_for_every_device_of_the_guest(scene, plat):
    rogues = [scene.rogue]
    for name, page in (("edu4", 1), ("edu5", 2)):
        plat.device(name).attach(scene.blue.domain, own_view=name == "edu5")
        rogues.append(Rogue(scene.blue, name, work=BOTH_BASE + (15 - page) * PAGE))
    for rogue in rogues:
        assert_write_lands(rogue, SMALL_BASE)
        assert_write_lands(rogue, BLUE_BASE)
    scene.blue.revoke(SMALL_BASE, PAGE)
    scene.blue.revoke(BLUE_BASE, BIG)
    for rogue in rogues:
        assert_write_refused(rogue, SMALL_BASE)
        assert_write_refused(rogue, BLUE_BASE)
        assert faults_of(plat, rogue.name)


def test_the_neighbours_windows_stay_open(scene, plat):
    """What blue loses costs red nothing: its translations are not even walked again."""
    warm_red = (lambda: scene.friend.edu.store(RED_BASE, 64))
    assert_write_lands(scene.friend, RED_BASE)
    warm(scene, SMALL_BASE)
    scene.blue.revoke(SMALL_BASE, PAGE)
    assert_warm(plat, warm_red)
    assert_read_lands(scene.friend, RED_BASE)
