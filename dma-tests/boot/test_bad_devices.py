"""Devices that cannot be given, and guests that misuse the ones they have: one clear line each, and
the other guest goes on."""
import pytest

import bundle
from machine import bare

EDU = ("-device", "edu,dma_mask=0xffffffffffffffff,addr=3")
EDUS = (*EDU, "-device", "edu,dma_mask=0xffffffffffffffff,addr=4")


def device(slot, **settings):
    return {"pci": f"0000:00:{slot:02x}.0"} | settings


def edu(slot=3):
    return device(slot, reset="none-allowed")


def run_beside_good(boots, payload, name, given, **options):
    """A guest with devices GIVEN beside one without any: the run, which the good one survived."""
    run = boots.run({"bad": payload(name), "good": payload("patience")},
                    {"bad": bare("bad", devices=given), "good": bare("good")}, **options)
    assert run.of("good")[-1] == "PASSED"
    assert run.has("cordon", "good: ENDED (shutdown)")
    return run


REFUSALS = [
    ("absent", device(7), (), {}, "device 0000:00:07.0: there is no such function"),
    ("without reset", device(3), EDU, {}, "device 0000:00:03.0: no reset method"),
    ("not behind an IOMMU", edu(), EDU, {"iommu": None}, "0000:00:03.0: it is not behind an IOMMU"),
    ("virtio without ACCESS_PLATFORM", device(3),
     ("-device", "virtio-rng-pci,addr=3,disable-legacy=on"), {},
     "0000:00:03.0: a virtio function without ACCESS_PLATFORM"),
    ("in a slot with one that is not given", edu(),
     ("-device", "edu,addr=3.0,multifunction=on", "-device", "edu,addr=3.1"), {},
     "0000:00:03.0: its isolation group holds a function that the VM is not given"),
]


@pytest.mark.parametrize("given, devices, options, said", [r[1:] for r in REFUSALS],
                         ids=[r[0] for r in REFUSALS])
def test_device_that_cannot_be_given_refuses_its_guest_alone(boots, payload, given, devices,
                                                             options,
                                                              said):
    run = run_beside_good(boots, payload, "hello", [given], devices=devices, **options)
    refused = [line for line in run.of("cordon") if "REFUSED" in line]
    assert len(refused) == 1 and refused[0].startswith("REFUSED bad:") and said in refused[0]
    assert run.of("bad") == []
    assert run.status == 1


def test_one_device_for_two_guests_refuses_the_second(boots, payload):
    run = boots.run({"guest": payload("hello")},
                    {"first": bare(devices=[edu()]), "second": bare(devices=[edu()])}, devices=EDU)
    assert run.of("first")[-1] == "PASSED"
    assert run.has("cordon", 'REFUSED second: VM "second"')
    assert run.has("cordon", 'is given to VM "first" already')
    assert run.of("second") == []


def test_configuration_space_written_at_random_harms_nobody(boots, payload):
    run = run_beside_good(boots, payload, "config_noise", [edu(), device(5)], timeout=110,
                          devices=(*EDU, "-device", "igb,addr=5"))
    assert [line for line in run.of("bad") if line.startswith("not ok")] == []
    assert run.of("bad")[-1] == "PASSED"
    assert run.status == 0


def test_bar_moved_onto_ram_is_not_mapped_and_is_reported(boots, payload):
    run = run_beside_good(boots, payload, "bar_move", [edu()], devices=EDU)
    assert [line for line in run.of("bad") if line.startswith("not ok")] == []
    assert run.of("bad")[-1] == "PASSED"
    assert run.has("cordon", "the BAR lies on RAM")
    assert run.status == 0


def test_bars_moved_without_end_take_few_events_and_each_is_counted(boots, payload):
    blob = bundle.make({"bad": payload("bar_flood")}, {"bad": bare("bad", devices=[edu()])})
    with boots.machine(blob, devices=EDU) as machine:
        moved = int(machine.console.wait(r"\[bad\] moved (\d+)")[1][1])
        machine.channel.wait("all-ended")
        told = [e["count"] for e in machine.channel.events if e["event"] == "bar-refused"]
        assert moved > 100 and sum(told) == moved
        assert 2 <= len(told) <= 5 + 2  # in a second; and one each at its start and its end


def test_attacker_after_a_flood_of_faults_is_still_reported(boots, payload):
    blob = bundle.make({"bad": payload("flood"), "good": payload("patience")},
                       {"bad": bare("bad", devices=[edu(3), edu(4)]), "good": bare("good")})
    with boots.machine(blob, devices=EDUS) as machine:
        late = machine.channel.wait("fault", timeout=60, device_id="0x20")
        assert late["iova"] == "0x6600000000" and late["count"] == 1
        machine.console.wait(r"\[cordon\] good: ENDED \(shutdown\)", timeout=60)
        flood = [e for e in machine.channel.events
                 if e["event"] == "fault" and e["device_id"] == "0x18"]
        assert sum(e["count"] for e in flood) > 1024
        assert machine.console.find(r"\[bad\] PASSED") and machine.console.find(r"\[good\] PASSED")
