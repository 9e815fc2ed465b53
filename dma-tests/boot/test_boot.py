"""From firmware to our own tables, and what is refused on the way there."""
import pytest

import bundle
from machine import bare


def test_boots_on_every_hart_and_holds_its_own_rights(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, harts=3)
    assert run.status == 0
    assert run.has("cordon", "harts: 3 of 3 can run guests")
    assert run.has("cordon", "none both; guards hold")
    assert run.of("solo")[-1] == "PASSED"


def test_boots_where_ram_reaches_above_4_gib(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, ram="6G")
    assert run.status == 0
    assert run.has("cordon", "6144 MiB of RAM")


def test_ram_beyond_sv39_gets_sv48(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, ram="300G")
    assert run.status == 0
    assert run.has("cordon", "tables: Sv48")


def test_two_sockets_with_interrupt_files_in_two_places(boots, payload):
    run = boots.run_plain(
        {"guest": payload("smp")}, {"solo": bare(vcpus=4)},
        "-smp", "4,sockets=2,cores=2", "-m", "2G",
        "-object", "memory-backend-ram,id=low,size=1G", "-numa", "node,cpus=0-1,memdev=low",
        "-object", "memory-backend-ram,id=high,size=1G", "-numa", "node,cpus=2-3,memdev=high")
    assert run.has("cordon", "2048 MiB of RAM in 2 banks")
    assert run.of("solo")[-1] == "PASSED"


@pytest.mark.parametrize("legacy", ["on", "off"])
def test_a_host_channel_is_taken_or_said_to_be_left_out(boots, payload, legacy):
    run = boots.run_plain({"guest": payload("hello")}, {"solo": bare()}, "-m", "256M",
                          "-global", f"virtio-mmio.force-legacy={legacy}", "-device", "virtio-serial-device",
                          "-chardev", "null,id=channel", "-device", "virtconsole,chardev=channel")
    assert run.has("cordon", "host channel: virtio console at 0x") == (legacy == "off")
    assert run.has("cordon", "left out: legacy (virtio-mmio.force-legacy)?") == (legacy == "on")
    assert run.of("solo")[-1] == "PASSED"


def test_memory_that_nobody_may_have_is_named(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()})
    for what in ("firmware", "device tree", "bundle", "hypervisor", "hypervisor's memory"):
        assert any(line.endswith(f"KiB: {what}") for line in run.of("cordon")), what


def test_vector_and_smstateen_machine_runs_a_guest(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()},
                    cpu="rv64,h=true,v=true,smstateen=true")
    assert run.status == 0
    assert run.of("solo")[-1] == "PASSED"


@pytest.mark.parametrize("cpu, how", [
    ("rv64,h=true", "by cache blocks (cbo.zero)"), ("rv64,h=true,zicboz=false", "by stores"),
    ("rv64,h=true,cboz_blocksize=128", "by cache blocks (cbo.zero)")])
def test_pages_are_zeroed_as_the_harts_can(boots, payload, cpu, how):
    """The guest finds that what it gave back comes again as zeroes."""
    run = boots.run({"guest": payload("give")}, {"solo": bare(vcpus=2)}, cpu=cpu)
    assert run.has("cordon", f"pages are zeroed {how}")
    assert run.of("solo")[-1] == "PASSED"
    assert run.status == 0


def test_machine_without_h_says_so(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, cpu="rv64,h=false", guest_files=0)
    assert run.status == 1
    assert run.has("cordon", "lacks the hypervisor extension (H)")


def test_machine_without_sstc_says_so(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, cpu="rv64,h=true,sstc=false")
    assert run.status == 1
    assert run.has("cordon", "lacks supervisor timer compare (Sstc)")


def test_machine_without_guest_interrupt_files_says_so(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"one": bare(), "two": bare(vcpus=2)},
                    guest_files=0)
    assert run.status == 1
    assert run.has("cordon", "lacks guest interrupt files (QEMU: -M virt,aia-guests=4)")
    refused = [line for line in run.of("cordon") if line.startswith("REFUSED")]
    assert refused == [f"REFUSED {name}: {vcpus} vCPUs, 0 harts are left of 4; "
                       "4 have no interrupt file for a guest"
                       for name, vcpus in (("one", 1), ("two", 2))]
    assert not run.has("cordon", "PANIC")


def test_one_guest_interrupt_file_a_hart_is_enough_for_those_that_find_a_hart(boots, payload):
    run = boots.run({"smp": payload("smp"), "guest": payload("hello")},
                    {"four": bare("smp", vcpus=4), "two": bare(vcpus=2), "one": bare()},
                    harts=5, guest_files=1)
    assert run.of("four")[-1] == run.of("one")[-1] == "PASSED"
    refused = [line for line in run.of("cordon") if line.startswith("REFUSED")]
    assert refused == ["REFUSED two: 2 vCPUs, 1 harts are left of 5; "
                       "0 have no interrupt file for a guest"]
    assert run.status == 1


def test_machine_without_iommu_runs_guests_without_devices(boots, payload):
    run = boots.run({"guest": payload("hello")}, {"solo": bare()}, iommu=None)
    assert run.status == 0
    assert run.has("cordon", "there is no IOMMU")


def test_bundle_cut_short_is_refused(boots, payload):
    blob = bundle.make({"guest": payload("hello")}, {"solo": bare()})
    run = boots.run_blob(blob[:len(blob) - 4096])
    assert run.status == 1
    assert run.has("cordon", "REFUSED")


def test_bundle_of_noise_is_refused(boots):
    run = boots.run_blob(bytes(range(256)) * 64)
    assert run.status == 1
    assert run.has("cordon", "REFUSED bundle")
