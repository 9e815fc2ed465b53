"""Contiguous memory by DPDK: as large as huge pages give it, in host memory too where the guest asked for that; and
the same behind scattered host memory."""
import guests
import pytest
from reach import host_runs, monitor_arguments

pytestmark = pytest.mark.timeout(300)  # with the start of a machine
MIB = 1 << 20
SLOTS = {"whole": (1, 4), "pieces": (7, 10)}
CARDS = {"whole": "e1000e", "pieces": "virtio-net-pci"}  # docs/limits.md: Intel's lose what is in pieces
POOL = 8 * MIB


@pytest.fixture(scope="module")
def contig(tmp_path_factory):
    """The guests whole and pieces, two cards each and a pool; of the latter each page of RAM stands alone."""
    folder = tmp_path_factory.mktemp("contig")
    scattered = {"scatter-pieces": 1, "scatter-seed": 11}
    vms = {name: guests.vm(name, slots, vcpus=1, memory=256 * MIB, hugepages=64, pool=POOL,
                           **(scattered if name == "pieces" else {})) for name, slots in SLOTS.items()}
    cards = [word for hub, (name, slots) in enumerate(SLOTS.items()) for slot in slots
             for word in guests.card(CARDS[name], slot, hub)]
    monitor = folder / "qmp.sock"
    with guests.cordon(folder, vms, (*cards, *monitor_arguments(monitor)), harts=3) as shared:
        yield shared, monitor


def pieces_of(runs, gpa, length):
    """Of how many host runs LENGTH bytes from GPA on consist."""
    inside = [(max(at, gpa), hpa + max(0, gpa - at), min(at + n, gpa + length)) for at, hpa, n in sorted(runs)
              if at < gpa + length and gpa < at + n]
    assert sum(end - start for start, _, end in inside) == length
    return 1 + sum(one[1] + one[2] - one[0] != two[1] for one, two in zip(inside, inside[1:]))


@pytest.mark.whole
def test_huge_pages_may_come_in_any_order(contig):
    """The kernel gives what a program had in another one to the next, which finds pages side by side all the same."""
    shared, _ = contig
    for program in ("contig", "sg --packets 100"):
        done = shared.order("whole", program, 120)
        assert done.status == 0, done.text[-2000:]


@pytest.mark.whole
@pytest.mark.parametrize("name", SLOTS)
def test_cards_use_contiguous_memory_wherever_it_stands(contig, name):
    shared, monitor = contig
    done = shared.order(name, "contig", timeout=120)
    assert done.status == 0, done.text[-2000:]
    result = done.result
    zones, (pool,) = result["zones"], result["pool"]
    assert [zone["bytes"] for zone in zones] == [4096 << n for n in range(len(zones))]
    assert zones[-1]["bytes"] >= 32 * MIB
    assert all((zone["fetched"], zone["stored"]) == (3, 3) for zone in (*zones, pool))
    runs = host_runs(monitor, shared.machine.guests[name])
    assert pool["bytes"] > POOL - MIB and pieces_of(runs, pool["iova"], pool["bytes"]) == 1
    for zone in zones:
        pages = zone["bytes"] // 4096
        count = pieces_of(runs, zone["iova"] & -4096, zone["bytes"])
        assert count > 0.9 * pages if name == "pieces" else count <= 1 + pages // 512
    shared.quiet()
