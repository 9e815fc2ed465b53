"""What cannot work is said in a sentence, before anything is lost."""
import emulator
import guests
import pytest
from machine import MIB

HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
BYPASSING = ",disable-legacy=on"  # without iommu_platform=on


def refused(done, sentence):
    assert done.status == 3, done.text[-3000:]
    assert not done.result["passed"] and sentence in done.result["error"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """"card" has one card whose other end is nobody, "none" has none and two huge pages."""
    vms = {"card": guests.vm("card", [1]), "none": guests.vm("none", [], hugepages=2)}
    with guests.cordon(tmp_path_factory.mktemp("odd"), vms, guests.card("e1000e", 1)) as machine:
        yield machine


def test_a_guest_without_a_card_says_so(odd):
    refused(odd.order("none", "sg"), "0 ports found, 1 needed: bind the network card")


def test_a_guest_without_huge_pages_says_how_to_have_some(odd):
    refused(odd.order("none", f"echo 0 >{HUGE}; sg"), "no huge page is free: 'echo 64 > /sys/kernel/mm/hugepages/")


def test_a_guest_without_a_dma_engine_says_so(odd):
    refused(odd.order("card", "copy"), "no DMA engine found: give the guest one and bind it, or have DPDK copy in software")


def test_another_end_that_stays_silent_is_told(odd):
    refused(odd.order("card", "sg --wait 500"), "nothing has come from the other end within 500 ms: with one port, ")


def test_link_that_is_down_is_told_and_works_when_it_is_up_again(odd):
    hmp = odd.machine.qmp.hmp
    hmp("set_link card1 off")
    refused(odd.order("card", "sg --wait 500"), "its link is down")
    hmp("set_link card1 on")
    refused(odd.order("card", "sg --wait 500"), "nothing has come from the other end")


@pytest.mark.parametrize("order, sentence", [
    ("sg --packets 0", "'0' is no number from 1 to"), ("sg --frame 59", "'59' is no number from 60 to 16384"),
    ("sg --ring many", "'many' is no number"), ("sg --no-such", "unrecognized option")])
def test_a_wrong_option_is_refused(odd, order, sentence):
    done = odd.order("card", order)
    assert done.status == 64 and sentence in done.text


@pytest.mark.parametrize("name", ["sg", "rogue", "churn", "contig", "copy"])
def test_each_program_says_how_it_is_called_and_takes_nothing_else(odd, name):
    """Before it asks for a card or memory, for this guest has neither."""
    done = odd.order("none", f"{name} --help")
    assert done.status == 0 and f"Usage: {name} [OPTION...]" in done.text
    assert odd.order("none", f"{name} stray").status == 64


@pytest.mark.parametrize("count", [1, 4])
def test_a_guest_with_too_few_huge_pages_says_what_did_not_fit(odd, count):
    refused(odd.order("card", f"echo {count} >{HUGE}; sg; status=$?; echo 112 >{HUGE}; exit $status"),
            "give the guest more huge pages")


@pytest.mark.parametrize("order, sentence", [
    ("sh /etc/cordon/reset", "reset: '' is none of: 0000:00:00.0 0000:00:01.0"),
    ("sh /etc/cordon/reset 0000:00:09.0", "reset: '0000:00:09.0' is none of: 0000:00:00.0"),
    ("sh /etc/cordon/forward 64", "forward: three words, SIZE SECONDS TIMES")])
def test_a_wrong_word_is_told(odd, order, sentence):
    assert sentence in odd.order("card", order).text


@pytest.mark.parametrize("order", ["message x 0x01000000", "message 65536 0x01000000", "send somewhere 0x0"])
def test_an_order_that_makes_no_sense_moves_nothing(pair, order):
    done = pair.order("red", f"echo {order} | rogue")
    assert done.status == 0 and '"error": "no such order: rogue --help lists them"' in done.text


def test_cards_that_another_program_drives_are_told(pair):
    red = pair.machine.guests["red"]
    pair.begin("red", "sleep 60 | rogue -- -m 64 & read line; sg; status=$?; kill $!; exit $status")
    red.wait(r'\{"program": "rogue".*?\]\}')
    red.type("go on")
    done = pair.end("red")
    assert done.status == 3 and "Is another primary process running?" in done.text and "EAL does not start;" in done.text


@pytest.fixture(scope="module")
def odd_cards(tmp_path_factory):
    """Guests by what is wrong with the device that they name; that of "good" obeys."""
    slots = {"bypassing": 1, "good": 4, "absent": 7, "taken": 4, "other": 10}
    vms = {name: guests.vm(name, [slot], memory=192 * MIB, hugepages=8, vcpus=1) for name, slot in slots.items()}
    devices = (*guests.card("virtio-net-pci", 1, more=BYPASSING), *guests.card("virtio-net-pci", 4),
               "-device", "virtio-rng-pci,iommu_platform=on,disable-legacy=on,addr=0xa")
    with guests.cordon(tmp_path_factory.mktemp("odd-cards"), vms, devices, start=["good", "other"], harts=6) as machine:
        yield machine


@pytest.mark.whole
@pytest.mark.parametrize("name, sentence", [
    ("bypassing", "00:01.0: a virtio function without ACCESS_PLATFORM (QEMU: iommu_platform=on,disable-legacy=on)"),
    ("absent", "00:07.0: there is no such function on the machine's bus"),
    ("taken", 'is given to VM "good" already')])
def test_a_card_that_cannot_be_given_is_refused_with_the_reason(odd_cards, name, sentence):
    """And the guest beside it, whose card can, starts."""
    assert sentence in odd_cards.machine.guests[name].refused
    assert odd_cards.ready("good")[1] == ["0000:00:01.0"]


@pytest.mark.whole
def test_a_device_that_is_no_network_card_is_told(odd_cards):
    refused(odd_cards.order("other", "sg"), "0 ports found, 1 needed")


@pytest.mark.whole
@pytest.mark.parametrize("obeys", [True, False])
def test_virtio_without_iommu_platform_passes_an_iommu_that_lets_nothing_through(tmp_path, obeys):
    """Why Cordon refuses it. No hypervisor: an IOMMU whose directory has no device in it, and the same cards."""
    loaded = tmp_path / "loaded.bin"
    loaded.write_bytes(emulator.Parts(tmp_path).kernel(iommu=emulator.IOMMU, devices=0, ram_len=512 * MIB))
    cards = guests.wire("virtio-net-pci", [1, 4], more=None if obeys else BYPASSING)
    with guests.plain(tmp_path, cards, iommu=True, kernel=loaded) as alone:
        done = alone.order("timeout -s KILL 6 sg --packets 400")  # its driver awaits a queue without end
        faults = "riscv_iommu_flt" in (tmp_path / guests.TRACED).read_text()
    assert (done.status == 0 and done.result["passed"]) == (not obeys), done.text[-2000:]
    assert faults == obeys
