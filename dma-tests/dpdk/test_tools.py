"""The tools that people know DPDK by, in a guest; and the root that they come in."""
import re
import subprocess

import pytest

import guests

MANY = 1000  # more than testpmd begins with, of which each goes round and round


# Two cards forward to each other until MANY packets have gone round, or for half a minute.
TESTPMD = ("( echo set fwd io; echo start tx_first 2; n=0; until grep -Eq 'RX-packets: [0-9]{4}' /tmp/said || [ $n = 150 ]; "
           "do echo show port stats all; sleep 0.2; n=$((n + 1)); done; echo stop; echo quit ) | dpdk-testpmd -l 0-1 "
           "--no-telemetry -- -i --total-num-mbufs=4096 --no-lsc-interrupt --no-mlockall >/tmp/said; "
           "status=$?; cat /tmp/said; rm /tmp/said; exit $status")


CASE = """[case1]
type=DMA_MEM_COPY
mem_size=10
buf_size=4096
dma_ring_size=1024
kick_batch=32
src_numa_node=0
dst_numa_node=0
cache_flush=0
test_seconds=1
lcore_dma0=lcore=1,dev=dma_skeleton,dir=mem2mem
eal_args=--vdev=dma_skeleton --no-telemetry --no-pci --iova-mode=va
""".replace("\n", "\\n")
DMA_PERF = f"printf '{CASE}' >/tmp/c.ini && cd /tmp && dpdk-test-dma-perf --config c.ini --result r.csv; cat r.csv"


def test_testpmd_forwards_between_two_cards_and_drops_nothing(pair):
    done = pair.order("red", TESTPMD)
    assert done.status == 0, done.text[-3000:]
    total = done.text.split("Accumulated forward statistics for all ports")[1]
    received, dropped, sent = (int(re.search(rf"{what}: *(\d+)", total)[1])
                               for what in ("RX-packets", "RX-dropped", "TX-packets"))
    assert sent >= received >= MANY and dropped == 0


@pytest.mark.whole
@pytest.mark.parametrize("pages, arrive", [(512, True), (1, False)], ids=["2 MiB", "4 KiB"])
def test_intels_cards_send_mbufs_out_of_memory_in_pieces_of_2_MiB(tmp_path, pages, arrive):
    """docs/dpdk.md, Which cards: in smaller ones QEMU's drops each packet that goes on in another place."""
    vms = {"red": guests.vm("red", (1, 4), **{"scatter-pieces": pages, "scatter-seed": 5})}
    with guests.cordon(tmp_path, vms, guests.wire("e1000e", (1, 4)), ram="1G") as machine:
        done = machine.order("red", "sh /etc/cordon/forward 9000 0.4 5", 100)
        counts = [int(count) for count in re.findall(r"forwarded [\d.]+ (\d+)", done.text)]
        assert done.status == 0 and len(counts) == 6, done.text[-3000:]
        assert (counts[-1] > counts[0]) == arrive  # what has arrived goes on, round and round
        machine.quiet()


@pytest.mark.whole
def test_dma_perf_measures_copies(pair):
    done = pair.order("red", DMA_PERF)
    assert done.status == 0, done.text[-3000:]
    assert float(re.search(r"Total Bandwidth: ([\d.]+) Gbps", done.text)[1]) > 0


def test_root_is_small(tmp_path):
    assert guests.ROOT.stat().st_size < 10_000_000


@pytest.mark.whole
def test_root_is_the_same_whenever_it_is_built(tmp_path):
    """By make's own command, into another file."""
    base = "out/dpdk/base.cpio.zst"
    told = subprocess.run(["make", "-n", "-W", "tools/guest/make-initramfs", base], cwd=guests.TREE,
                          capture_output=True, text=True, timeout=60, check=True).stdout.replace("\\\n", " ")
    (command,) = [line for line in told.splitlines() if f"--output {base}" in line]
    subprocess.run(command.replace(f"--output {base}", f"--output {tmp_path}/root.zst"), shell=True, cwd=guests.TREE,
                   timeout=100, check=True)
    assert (tmp_path / "root.zst").read_bytes() == (guests.TREE / base).read_bytes()
