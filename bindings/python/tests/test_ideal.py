"""What a test of the layer is meant to look like. It runs on two IOMMUs that share no code."""
import pytest

from cordon import Cause, Perm, Platform
from cordon.backends import BACKENDS
from cordon.checks import findings


@pytest.fixture(params=["model", "qemu"])
def plat(request):
    if why := BACKENDS[request.param].missing():
        pytest.skip(f"{request.param}: {why}")
    with Platform(request.param, ram="256M", ddt_levels=2) as p:
        yield p
        assert findings(p) == []  # no unexpected fault, no leak, no stale entry


# Of the sketch it differs in three names: QEMU numbers devices of bus 0 only, and the causes are
# called what the specification's table calls them.
def test_release_closes_the_dma_window(plat):
    nic, red, blue = plat.device("00:02.0"), plat.domain("red", "16M"), plat.domain("blue", "16M")
    with red.assign(nic):
        buf = red.map(nic, iova=0x1000_0000, size=0x2000, perm=Perm.RW)
        nic.dma.write(buf.iova, b"A" * 64)
        assert buf.read(64) == b"A" * 64
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, iova=buf.end) as f:
            nic.dma.write(buf.end, b"B")
        assert f.owner == "red" and f.nearest.name == buf.name and f.nearest.gap == 0
    with plat.expect_fault(nic, Cause.DDT_INVALID):
        nic.dma.write(buf.iova, b"C" * 64)
    assert buf.read(64) == b"A" * 64
    assert blue.untouched()


def test_what_a_device_reads_is_its_guests_and_nothing_after_release(plat):
    nic, red = plat.device("dma2"), plat.guest("red", "64K")
    with red.assign(nic):
        buf = red.map(nic, size="8K", perm="r")
        secret = bytes(range(1, 65))
        buf.write(secret, at=4096 - 32)
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, iova=buf.iova):
            nic.dma.write(buf.iova, b"W" * 8)
        assert buf.read(8) == bytes(8)
        assert nic.dma.read(buf.iova + (4096 - 32), 64) == secret
    with plat.expect_fault(nic, Cause.DDT_INVALID):
        got = nic.dma.read(buf.iova + (4096 - 32), 64)
    assert not any(secret[at:at + 8] == got[at:at + 8] for at in range(0, 64, 8))
    assert red.untouched()  # edu borrows of it, and gives it back


def test_two_guests_at_one_address_have_two_memories(plat):
    (nic, red), (disk, blue) = ((plat.device(name), plat.guest(guest, "256K"))
                                for name, guest in (("dma2", "red"), ("dma3", "blue")))
    with red.assign(nic), blue.assign(disk):
        ours = red.map(nic, iova=0x2000_0000, size=4096)
        theirs = blue.map(disk, iova=0x2000_0000, size=4096)
        nic.dma.write(0x2000_0000, b"red's")
        disk.dma.write(0x2000_0000, b"blue's")
        assert (ours.read(6), theirs.read(6)) == (b"red's\0", b"blue's")
        nic.dma.write(red.ram.iova + 70, b"own")
    assert blue.untouched() is True
    assert [gpa for gpa, _ in red.untouched().pages] == [int(red.ram.gpa)]


def test_a_buffer_that_was_revoked_is_nobodys(plat):
    nic, red = plat.device("dma2"), plat.guest("red")
    with red.assign(nic):
        buf, other = (red.map(nic, size=4096, name=name) for name in ("gone", "there"))
        nic.dma.write(buf.iova, b"before")  # the IOMMU has now cached it
        buf.revoke()
        after = buf.read()
        with plat.expect_fault(nic, Cause.WRITE_GUEST_PAGE, buf.iova) as fault:
            nic.dma.write(buf.iova, b"after!")
        assert buf.read() == after and fault.nearest.name == "there"
        nic.dma.write(other.iova, b"honest")
        assert other.read(6) == b"honest"
