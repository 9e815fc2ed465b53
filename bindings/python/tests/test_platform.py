"""One interface over two backends: what is the same on both, and what is refused by name."""
import mmap

import pytest

from cordon import (PAGE, AlreadyExists, Cause, Dma, Drain, HardwareError, LibraryError, Misaligned,
                    Mode, NotOwner, Pending, Platform, UseAfterClose)
from cordon import backends
from cordon.backends import BACKENDS
from cordon.canary import Canary
from cordon.checks import directory_of, findings
from cordon.model import CAPABILITIES, Engine, ModelError, ModelIommu, ModelPlatform
from cordon.qemu import Edu, Nvme, QemuPlatform
from cordon.snapshot import Snapshot

@pytest.fixture
def plat(backend):
    with Platform(backend) as p:
        yield p
        assert findings(p) == []


def test_a_platform_is_one_of_its_backends_and_says_what_it_has(plat, backend):
    assert isinstance(plat, Platform)
    assert type(plat) is {"model": ModelPlatform, "qemu": QemuPlatform}[backend]
    assert plat.iommu.info.found_mode == 0, "nothing of ours was left on"
    plat.guest("red")
    assert repr(plat) == f"<{type(plat).__name__} dma2, dma3; red>"


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_directory_is_as_deep_as_asked(backend, levels):
    with Platform(backend, ddt_levels=levels) as plat:
        assert plat.iommu.info.directory_levels == levels
        assert plat.register(0x10, 8) & 0xf == levels + 1  # ddtp.iommu_mode
        nic, red = plat.device("dma2"), plat.guest("red")
        with red.assign(nic):
            buf = red.map(nic, size=PAGE)
            nic.dma.write(buf.iova, b"there")
            assert buf.read(5) == b"there"
        assert findings(plat) == []


@pytest.mark.parametrize("mode", [Mode.SV39X4, Mode.SV48X4, Mode.SV57X4])
def test_a_guest_has_the_format_that_it_asks_for(plat, mode):
    nic, red = plat.device("dma2"), plat.guest("red", modes=mode)
    with red.assign(nic):
        buf = red.map(nic, size=2 * PAGE)
        nic.dma.write(buf.iova, b"there")
        assert buf.read(5) == b"there"
        found = directory_of(plat).judge()
        assert [judgement.iohgatp >> 60 for judgement in found] == [{1: 8, 2: 9, 4: 10}[mode]]
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, buf.end):
            nic.dma.write(buf.end, b"past")


BASE_CONTEXTS = {"model": {"capabilities": CAPABILITIES & ~(1 << 22)},
                 "qemu": {"globals_": ["riscv-iommu.intremap=off"]}}


def test_contexts_without_msi_tables_are_half_as_long(backend):
    with Platform(backend, **BASE_CONTEXTS[backend]) as plat:
        assert not plat.iommu.info.extended
        for name in ("dma2", "dma3"):
            nic, guest = plat.device(name), plat.guest(name)
            with guest.assign(nic):
                buf = guest.map(nic, size=PAGE)
                nic.dma.write(buf.iova, b"there")
                assert buf.read(5) == b"there"
        assert findings(plat) == []


def test_what_stood_open_before_the_library_came_is_closed_by_it(backend):
    def left_bare(plat):
        assert plat.context is None
        plat.set_register(0x10, 1, 8)  # ddtp: Bare
        plat.memory(0x8020_0000, 4)[:] = b"left"

    with Platform(backend, before=left_bare) as plat:
        assert plat.iommu.info.found_mode == 1 and plat.register(0x10, 8) & 0xf > 1
        nic = plat.device("dma2")
        before = Snapshot(plat)
        with plat.expect_fault(nic, Cause.DDT_INVALID):
            nic.dma.write(0x8020_0000, b"bare")
        assert 0x8020_0000 not in before.changed()
        assert findings(plat) == []


def test_a_device_is_found_by_name_and_by_place(plat):
    assert plat.device("dma3") is plat.device("00:03.0") and plat.device("dma3").device_id == 0x18
    with pytest.raises(LookupError, match="no device '00:04.0' here; there are: 00:02.0 dma2, 00:03.0 dma3"):
        plat.device("00:04.0")


def test_only_the_pages_that_were_written_change(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        buf = red.map(nic, size=3 * PAGE)
        before = Snapshot(plat)
        nic.dma.write(buf.iova + (PAGE - 2), b"four")
        first, second, _ = (int(buf.extents[n].hpa) for n in range(3))
        assert before.changed() == {first, second}
        assert buf.read(4, at=PAGE - 2) == b"four"


@pytest.mark.parametrize("length", [1, 64, 3000, 2 * PAGE + 5])
def test_dma_moves_any_number_of_bytes(plat, length):
    nic, red = plat.device("dma2"), plat.guest("red")
    data = bytes(n * 7 & 0xff for n in range(length))
    with red.assign(nic):
        buf = red.map(nic, size=4 * PAGE)
        nic.dma.write(buf.iova + 9, data)
        assert buf.read() == bytes(9) + data + bytes(4 * PAGE - 9 - length)
        assert nic.dma.read(buf.iova + 9, length) == data


@pytest.mark.parametrize("data", [b"A" * 100, bytes(range(256)) * 2, b"B"])
def test_a_device_that_has_no_honest_page_writes_what_it_is_told(plat, monkeypatch, data):
    nic, red = plat.device("dma3"), plat.guest("red")
    with plat.expect_fault(nic, Cause.DDT_INVALID):
        nic.dma.write(0x5000, data)
    if hasattr(nic.dma, "_borrowed"):  # edu, which would fetch the bytes from memory
        monkeypatch.setattr(nic.dma, "_borrowed", lambda access: None)
    with red.assign(nic):
        buf = red.map(nic, size=PAGE)
        nic.dma.write(buf.iova + 1, data)
    assert buf.read(len(data) + 2) == b"\0" + data + b"\0"


@pytest.mark.skipif(BACKENDS["qemu"].missing() is not None, reason=f"qemu: {BACKENDS['qemu'].missing()}")
def test_a_read_that_should_have_been_refused_shows_what_it_brought(monkeypatch):
    """QEMU keeps a context that it was not told to forget: the device still reads."""
    with Platform("qemu", timeout_us=20000) as plat:
        nic, red = plat.device("dma2"), plat.guest("red")
        with pytest.raises(Pending):
            with red.assign(nic):
                buf = red.map(nic, size=PAGE)
                buf.write(b"secret")
                nic.dma.write(buf.iova + 64, b"warm")
                plat.port.on_write = lambda hpa, width, value: hpa != plat.iommu_base + 0x24  # cqt
        load = nic.dma._edu.load

        def load_and_hear_again(*args):
            load(*args)
            plat.port.on_write = None
            red.domain.retire()
        monkeypatch.setattr(nic.dma._edu, "load", load_and_hear_again)
        assert nic.dma.read(buf.iova, 6) == b"secret"


def test_a_guests_own_memory_has_a_canary_in_every_byte(plat):
    nic, red = plat.device("dma2"), plat.guest("red", "4M")
    assert red.ram.size == 4 << 20 and red.untouched() is True
    assert {e.len for e in red.ram.extents} == {2 << 20, PAGE}
    assert not any(int(e.hpa) == int(red.ram.gpa) for e in red.ram.extents)
    assert len(set(red.ram.read(256))) > 100
    with red.assign(nic):
        last = red.ram.end - 1
        (old,) = red.ram.read(1, at=red.ram.size - 1)
        nic.dma.write(last, bytes([old ^ 1]))
        touched = red.untouched()
        assert not touched and [gpa for gpa, _ in touched.pages] == [int(last) & ~(PAGE - 1)]
        assert repr(touched) == (f"<memory of red has changed at {int(last) & ~(PAGE - 1):#x} "
                                 f"(host {int(red.hpa(last)) & ~(PAGE - 1):#x}); first byte {int(last):#x}>")
        nic.dma.write(last, bytes([old]))
        assert red.untouched() is True


def test_what_a_body_raises_comes_out_of_assign_and_the_device_is_closed_off(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with pytest.raises(ZeroDivisionError):
        with red.assign(nic):
            buf = red.map(nic, size=PAGE)
            1 // 0
    assert nic.domain is None
    with plat.expect_fault(nic, Cause.DDT_INVALID):
        nic.dma.write(buf.iova, b"C")
    assert buf.read(1) == b"\0"


def test_a_fault_names_the_nearest_buffer_before_and_after(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        low = red.map(nic, iova=0x1000_0000, size=PAGE, name="ring")
        high = red.map(nic, iova=0x1000_8000, size=PAGE, name="frames")
        for iova, name, gap, after in ((low.end + PAGE, "ring", PAGE, False),
                                       (high.iova - PAGE, "frames", PAGE - 1, True)):
            with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, iova) as fault:
                nic.dma.write(iova, b"?")
            near = fault.nearest
            assert (near.name, near.after, fault.owner) == (name, after, "red")
            assert abs(near.gap - gap) <= 1
            assert f"nearest {name} " in str(fault.faults[0]) and "(red)" in str(fault.faults[0])


def test_no_page_of_a_buffer_has_the_host_address_that_its_guest_knows_it_by(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        (next_one,) = plat.context.scatter(PAGE, seed=1)
        plat.context.free(next_one)
        buf = red.map(nic, iova=int(next_one.hpa), size=PAGE)
        assert int(buf.extents[0].hpa) != int(buf.iova)
        nic.dma.write(buf.iova, b"elsewhere")
        assert buf.read(9) == b"elsewhere" != bytes(plat.memory(next_one.hpa, 9))


def test_buffers_that_ask_for_no_place_get_one_each(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        first, second = red.map(nic, size="8K"), red.map(nic, size=PAGE)
        assert (first.name, second.name) == ("red-buffer0", "red-buffer1")
        assert second.iova >= first.end + PAGE
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, first.end):
            nic.dma.write(first.end - 1, b"ab")
        assert first.read(1, at=first.size - 1) == b"a" and not any(second.read())


# ---- what is refused ----------------------------------------------------------------------------------


def state(plat):
    s = plat.context.stats()
    return {name: getattr(s, name) for name in ("free", "held", "owned", "revoking")}


def test_a_buffer_is_only_for_a_device_that_the_guest_has(plat):
    nic, red, blue = plat.device("dma2"), plat.guest("red"), plat.guest("blue")
    before = state(plat)
    with blue.assign(nic):
        with pytest.raises(NotOwner, match="dma2 is not assigned to red"):
            red.map(nic, size=PAGE)
    assert state(plat) == before


@pytest.mark.parametrize("given, error", [
    ({"iova": 0x1000_0800, "size": PAGE}, Misaligned), ({"iova": 0x1000_0000, "size": 100}, Misaligned),
    ({"iova": 0x2000_0000, "size": 2 * PAGE}, AlreadyExists), ({"iova": 0, "size": "1G"}, Exception),
])
def test_a_buffer_that_cannot_be_costs_nothing(plat, given, error):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        there = red.map(nic, iova=0x2000_1000, size=PAGE)
        before, regions = state(plat), list(map(repr, red.domain.regions()))
        with pytest.raises(error):
            red.map(nic, **given)
        assert state(plat) == before and list(map(repr, red.domain.regions())) == regions
        assert red.buffers == [there]


def test_a_guest_whose_memory_cannot_be_had_is_not_there(plat):
    before = state(plat)
    with pytest.raises(Exception):
        plat.guest("greedy", "1G")
    assert plat.guests == [] and state(plat) == before
    with pytest.raises(ValueError, match='guest red has no memory of its own: guest.name, "16M". gives'):
        plat.guest("red").untouched()


def test_bytes_outside_a_buffer_are_refused(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        buf = red.map(nic, size=PAGE)
        for act in (lambda: buf.read(2, at=PAGE - 1), lambda: buf.write(b"ab", at=PAGE - 1),
                    lambda: buf.read(1, at=-1), lambda: buf.read(-1)):
            with pytest.raises(IndexError, match="are not inside <Buffer red-buffer0"):
                act()
        assert not any(buf.read())


def test_ill_described_platforms_are_refused_by_name(backend):
    with pytest.raises(HardwareError, match="the directory has 3 levels, not 1"):
        Platform(backend, ddt_levels=1, max_device_id=0xffff)
    with pytest.raises(ValueError, match="two parts have the same name: nic"):
        Platform(backend, [Dma(2, name="nic"), Dma(3, name="nic")])
    with pytest.raises(ValueError, match="two parts have the same place: 00:02.0"):
        Platform(backend, [Dma(2), Dma(2, name="nic")])
    with pytest.raises(TypeError, match=r"parts are a list: \[Dma\(slot=2"):
        Platform(backend, Dma(2))
    with pytest.raises(TypeError, match="'dma2' is not a part, such as Dma"):
        Platform(backend, ["dma2"])
    with pytest.raises(ValueError, match="1, 2 or 3 levels, not 4"):
        Platform(backend, ddt_levels=4)


def test_platforms_that_are_not_there_are_refused_by_name(monkeypatch):
    with pytest.raises(ValueError, match="no platform 'vax'; there are model, qemu, machine"):
        Platform("vax")
    with pytest.raises(LibraryError, match="machine: on the booted machine guests drive the devices"):
        Platform("machine")
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    with pytest.raises(LibraryError, match="qemu: qemu-system-riscv64 is not installed"):
        Platform("qemu")


def test_names_that_are_none_are_refused(plat):
    with pytest.raises(TypeError, match="a guest's name is text, not 5"):
        plat.guest(5)
    with pytest.raises(LookupError, match="no device 'dma9' here; there are: 00:02.0 dma2"):
        with plat.expect_fault("dma9"):
            pass


def test_an_expected_fault_may_name_its_device_by_its_place_and_says_what_came_instead(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        with plat.expect_fault("00:02.0"):
            nic.dma.write(0x5000, b"x")
        with pytest.raises(AssertionError, match=r"with cause 21 \(READ_GUEST_PAGE\): what came: DMA DENIED"):
            with plat.expect_fault(nic, Cause.READ_GUEST_PAGE):
                nic.dma.write(0x5000, b"x")
    plat.unexpected.clear()


def test_a_snapshot_ends_where_ram_does():
    with Platform("model", ram="4100K") as plat:
        before = Snapshot(plat)
        assert before.changed() == set()
        plat.ram[-1] ^= 1
        assert before.changed() == {plat.ram_base + len(plat.ram) - PAGE}


def test_faults_are_noted_at_a_withdrawal_and_stay_to_be_taken(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, iova=0x5000):
        with red.assign(nic):
            nic.dma.write(0x5000, b"x")
    with red.assign(nic):
        nic.dma.write(0x6000, b"x")
        assert [f.iova.v for f in plat.iommu.peek_faults()] == [0x6000]
        assert [f.iova.v for f in plat.iommu.take_faults(1)] == [0x6000]
        assert plat.iommu.faults() == []
    walk = plat.evidence.walks()
    assert "cause 23" in walk and "cause 258" not in walk


def test_each_backend_refuses_what_only_the_other_has():
    with pytest.raises(ValueError, match="edu2: the model has no edu: use Dma.2."):
        Platform("model", [Edu(2)])
    with pytest.raises(ValueError, match="dma2: QEMU's edu device has no reset"):
        QemuPlatform([Dma(2, drain=Drain.RESET)])
    assert BACKENDS["model"].lacks([Nvme(4)], {}) == "nvme4 is a device of QEMU's alone"
    assert BACKENDS["qemu"].lacks([Nvme(4)], {}) is None
    assert BACKENDS["qemu"].lacks([Dma(2), Dma(3, drain=Drain.RESET)], {}) == (
        "dma3: QEMU's edu device has no reset: it is drained by the IOMMU")
    with pytest.raises(ValueError, match="model: iommu is a setting of QEMU's alone"):
        Platform("model", iommu="pci")
    assert BACKENDS["qemu"].lacks([], {"without": 1}) == "without is a setting of the model's alone"


def test_a_missing_model_library_is_named(monkeypatch):
    from cordon.model import _lib, missing
    monkeypatch.setenv("CORDON_MODEL_LIB", "/nowhere/libcordon-model.so")
    _lib.library.cache_clear()
    try:
        assert missing() == "CORDON_MODEL_LIB names /nowhere/libcordon-model.so, which does not exist"
    finally:
        monkeypatch.undo()
        _lib.library.cache_clear()


def test_the_models_own_refusals_carry_what_was_given():
    ram = mmap.mmap(-1, 1 << 20)
    with pytest.raises(ModelError, match="a capability that the model does not have: .*capabilities"):
        ModelIommu(ram, 0x8000_0000, capabilities=1 << 60)
    with pytest.raises(ModelError, match="a bad argument: base=.*") as refused:
        ModelIommu(ram, 0x8000_0800)
    assert refused.value.given["base"] == 0x8000_0800 and refused.value.code == -1
    model = ModelIommu(ram, 0x8000_0000)
    with pytest.raises(ModelError, match="cordon_sg_create"):
        Engine(model, 1 << 24)
    with pytest.raises(OverflowError):
        model.read(1 << 32)
    model.close()


def test_nothing_of_the_model_is_used_after_its_end():
    with Platform("model") as plat:
        nic = plat.device("dma2")
    for act in (lambda: plat.register(0), lambda: nic.dma.write(0x1000, b"x"), lambda: plat.model.stats,
                lambda: nic.dma.step(), lambda: plat.model.reset()):
        with pytest.raises(UseAfterClose):
            act()
    plat.close()
    assert "closed" in repr(plat.model) and "closed" in repr(nic.dma)


def test_a_canary_tells_one_guests_memory_from_anothers():
    memory = memoryview(bytearray(128 << 10))
    red = Canary("red", [(0, memory, 0)])
    assert red.untouched() is True
    Canary("blue", [(0, memory, 0)])
    assert not red.untouched() and len(red.untouched().pages) == 32


def test_two_guests_of_one_name_are_refused_while_both_live():
    with Platform("model", ram="8M") as plat:
        first = plat.guest("red")
        with pytest.raises(ValueError, match="guest 'red': there is one already"):
            plat.guest("red")
        first.domain.close()
        assert plat.guest("red").domain.is_open


@pytest.mark.parametrize("backend", ["model", "qemu"])
@pytest.mark.parametrize("size", [0, 100])
def test_ram_that_is_not_whole_pages_is_refused(backend, size):
    with pytest.raises(ValueError, match="ram: 0x[0-9a-f]+ bytes are not whole pages"):
        Platform(backend, ram=size)
