"""From the take-over on, a device reaches nothing before it is told to, whatever firmware had left."""
import struct

import pytest

from cordon import Cause, NotSupported, OutOfRange
from cordon.devices import EduDriver
from cordon.qemu import Edu, QemuPlatform
from cordon.types import PAGE, Mode
from conftest import VARIANTS, judge
from scene import (BLUE_BASE, BOTH_BASE, WORK, Neighbours, Rogue, assert_read_lands, assert_write_lands,
                   assert_write_refused, faults_of, mark, only_changes)

DDTP, BARE, THREE_LEVELS = 0x10, 1, 4
EVERY = pytest.mark.parametrize("plat", ["sys", "pci", "base"], indirect=True)
LOW = 0x80400000  # RAM that firmware's device used


def fire_everywhere(plat, name):
    """DMA both ways at host pages, by a device that is on the bus; all RAM must stay as it is."""
    edu = EduDriver(plat.function(name))
    run = plat.context.alloc(4 * PAGE)
    iovas = [int(run.hpa) + at for at in range(0, run.len, PAGE)]
    for iova in iovas:
        plat.memory(iova, 64)[:] = mark("victim", 0)
    with only_changes(plat):
        for iova in iovas:
            edu.store(iova, 64)
            edu.load(iova, 64)
    plat.context.free(run)
    return edu


@EVERY
def test_a_device_without_context_reaches_nothing(plat):
    device = plat.device("edu2")
    edu = fire_everywhere(plat, "edu2")
    faults = plat.iommu.faults()
    assert {(f.device_id, f.cause) for f in faults} == {(device.device_id, Cause.DDT_INVALID)}
    assert all(f.device == "edu2" and f.domain == 0 for f in faults)
    blue = Neighbours(plat).blue
    device.attach(blue.domain)
    edu.store(WORK, 64)  # what the refused reads brought in
    assert blue.read(WORK, 64) != mark("victim", 0)


@EVERY
def test_a_device_that_the_library_does_not_know_reaches_nothing(plat):
    plat.function("edu3").command(master=True)
    fire_everywhere(plat, "edu3")
    assert {f.device for f in faults_of(plat, "edu3")} == {""}  # QEMU 10.0.13 tells reads from writes


@EVERY
def test_the_hardware_is_told_as_it_is(plat, request):
    info = plat.iommu.info
    assert info.capabilities == plat.register(0, 8)
    assert info.extended == (0 if "base" in request.node.callspec.id else 1)
    levels = 3 if info.extended else 2  # what 16 bits of device id need
    assert info.directory_levels == levels and plat.register(DDTP, 8) & 0xf == levels + 1
    assert info.modes == Mode.ANY and info.found_mode == 0


def leave_bare(machine, base):
    machine.qtest.write(8, base + DDTP, BARE)


def leave_contexts(machine, base):
    """A directory of three levels with a pass-through context for edu2 (device id 16)."""
    extended = machine.qtest.read(8, base) >> 22 & 1
    root, middle, leaf = 0x80800000, 0x80801000, 0x80802000
    for page, entry in ((root, middle >> 2 | 1), (middle, leaf >> 2 | 1)):
        machine.ram[page - 0x80000000:][:8] = struct.pack("<Q", entry)
    machine.ram[leaf - 0x80000000 + 16 * (64 if extended else 32):][:8] = struct.pack("<Q", 1)
    machine.qtest.write(8, base + DDTP, root >> 2 | THREE_LEVELS)


def leave_queues(machine, base):
    """The same, with both queues on, records in one and an error latched in the other."""
    commands, faults = 0x80804000, 0x80806000
    for register, queue in ((0x18, commands), (0x28, faults)):
        machine.qtest.write(8, base + register, queue >> 2 | 4)
    for register in (0x48, 0x4c):
        machine.qtest.write(4, base + register, 1)
    leave_contexts(machine, base)
    machine.ram[commands - 0x80000000] = 0x7f
    machine.qtest.write(4, base + 0x24, 1)
    assert machine.qtest.read(4, base + 0x48) & 0x400, "the illegal command was taken"


def use_what_is_open(machine):
    """Firmware's device works: DMA goes through, and the IOMMU's caches are warm with it."""
    machine.function("edu2").command(master=True)
    edu = EduDriver(machine.function("edu2"))
    at = LOW - 0x80000000
    machine.ram[at:at + 64] = mark("firmware", 0)
    edu.load(LOW, 64)
    edu.store(LOW + PAGE, 64)
    assert machine.ram[at + PAGE:at + PAGE + 64] == mark("firmware", 0)


@pytest.mark.parametrize("variant", ["sys", "pci", "base"])
@pytest.mark.parametrize("leave, mode", [(leave_bare, BARE), (leave_contexts, THREE_LEVELS),
                                         (leave_queues, THREE_LEVELS)])
def test_what_firmware_left_open_is_closed(variant, leave, mode):
    def firmware(machine, base):
        leave(machine, base)
        use_what_is_open(machine)
    with QemuPlatform([Edu(2), Edu(3)], ram="16M", firmware=firmware, take_over=False,
                      **VARIANTS[variant]) as plat:
        found, modes = plat.register(DDTP, 8), []
        plat.port.on_write = lambda hpa, width, value: (
            modes.append(value) if hpa == plat.iommu_base + DDTP else None)
        plat.take_over()
        assert plat.iommu.info.found_mode == mode
        # from one directory to another through Off, whose write keeps the PPN; Bare never [IOMMU ddtp]
        assert modes[0] == found & ~0xf and [value & 0xf for value in modes[1:]] in ([3], [4])
        fire_everywhere(plat, "edu2")
        assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.DDT_INVALID}
        judge(plat)


@pytest.mark.machine(Edu(2), Edu(3), take_over=False)
def test_caches_are_flushed_before_and_after_the_directory_is_set(plat):
    """QEMU caches nothing while it is Off, other IOMMUs may: so the commands are looked at."""
    batches = {"before": [], "after": []}
    state = {"when": "before", "head": 0}

    def on_write(hpa, width, value):
        if hpa == plat.iommu_base + DDTP and value & 0xf >= 2:
            state["when"] = "after"
        if hpa == plat.iommu_base + 0x24:
            base = plat.register(0x18, 8)
            ring = (base >> 10 & (1 << 44) - 1) * PAGE
            batches[state["when"]] += [struct.unpack("<2Q", plat.memory(ring + 16 * n, 16))
                                       for n in range(state["head"], value)]
            state["head"] = value
    plat.port.on_write = on_write
    plat.take_over()
    for commands in batches.values():
        low_words = [low for low, _ in commands]
        assert {0x3, 0x1, 0x81} <= set(low_words)  # every context, every stage, every guest
        assert low_words[-1] & 0x7f == 2, "no IOFENCE at the end"


@pytest.mark.parametrize("variant", ["sys", "pci", "base"])
def test_dma_under_way_at_the_take_over_does_not_land(variant):
    def firmware(machine, base):
        leave_bare(machine, base)
        use_what_is_open(machine)
        machine.qmp.command("stop")
        EduDriver(machine.function("edu2")).start_store(LOW + 2 * PAGE, 64)
    with QemuPlatform([Edu(2), Edu(3)], ram="16M", firmware=firmware, **VARIANTS[variant]) as plat:
        edu = EduDriver(plat.function("edu2"))
        assert edu.busy()
        with only_changes(plat):
            plat.machine.qmp.command("cont")
            edu.wait()
        assert {f.cause for f in faults_of(plat, "edu2")} == {Cause.DDT_INVALID}
        judge(plat)


@pytest.mark.parametrize("setting", ["riscv-iommu.g-stage=off", "riscv-iommu.version=32"])
def test_hardware_that_cannot_isolate_is_refused_and_left_off(setting):
    with QemuPlatform([Edu(2)], ram="16M", globals_=[setting], take_over=False) as plat:
        before = plat.context.stats().free
        with pytest.raises(NotSupported):
            plat.take_over()
        assert plat.register(DDTP, 8) & 0xf == 0
        assert plat.context.stats().free == before
        plat.context.audit()


def test_an_address_without_an_iommu_is_refused(plat):
    for empty in (0x3020000, 0x10000000):
        with pytest.raises(NotSupported):
            plat.context.iommu(empty)


# ---- device ids -----------------------------------------------------------------------------------


@EVERY
@pytest.mark.machine(Edu(2), Edu(8), Edu(9, more="multifunction=on"), Edu(9, 3, name="edu9.3"), Edu(10),
                     Edu(31, more="multifunction=on"), Edu(31, 7, name="edu31.7"))
@pytest.mark.parametrize("name", ["edu8", "edu9.3", "edu10", "edu31.7"])
def test_high_slots_and_functions_have_contexts_of_their_own(plat, name):
    scene = Neighbours(plat)
    plat.device(name).attach(scene.blue.domain)
    rogue = Rogue(scene.blue, name)
    assert_write_lands(rogue, BLUE_BASE + 0x1000)
    assert_read_lands(rogue, BOTH_BASE)
    others = [part.name for part in plat.machine.parts.values() if part.kind == "edu" and part.name != name]
    for other in others:  # among them ids that are equal modulo 64 or 128
        plat.function(other).command(master=True)
        fire_blind(plat, other, BLUE_BASE + 0x1000)
        assert {f.cause for f in faults_of(plat, other)} == {Cause.DDT_INVALID}
    assert_write_refused(rogue, scene.red.hpa(BOTH_BASE))
    assert faults_of(plat, name)


def fire_blind(plat, name, iova):
    """DMA to an address by a device whose buffer cannot be filled: zeros, or nothing."""
    with only_changes(plat):
        EduDriver(plat.function(name)).store(iova, 64)


@pytest.mark.parametrize("highest, levels, extended", [
    (63, 1, True), (64, 2, True), (0x7fff, 2, True), (0x8000, 3, True), (0xffff, 3, True),
    (127, 1, False), (128, 2, False), (0xffff, 2, False)])
def test_the_directory_is_as_deep_as_the_ids_need(highest, levels, extended):
    variant = VARIANTS["sys" if extended else "base"]
    with QemuPlatform([Edu(2)], ram="16M", max_device_id=highest, **variant) as plat:
        assert plat.iommu.info.directory_levels == levels
        scene = Neighbours(plat)
        plat.device("edu2").attach(scene.blue.domain)
        assert_write_lands(Rogue(scene.blue, "edu2"), BLUE_BASE)
        judge(plat)


@pytest.mark.machine(Edu(2), Edu(31), max_device_id=63)
def test_an_id_that_the_directory_does_not_hold_is_refused_twice(plat):
    with pytest.raises(OutOfRange):
        plat.iommu.device(31 << 3, "edu31")
    plat.function("edu31").command(master=True)
    fire_everywhere(plat, "edu31")
    assert {f.cause for f in faults_of(plat, "edu31")} == {Cause.TYPE_DISALLOWED}
