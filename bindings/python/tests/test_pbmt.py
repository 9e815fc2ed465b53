"""Memory types: in leaves of harts, in views of devices whose IOMMU has Svpbmt or not, and told by every judge."""
import pytest

from cordon import Context, MemoryType, NotSupported, Perm, Platform, Rules
from cordon.backends import BACKENDS
from cordon.checks import findings, walker_of
from cordon.judge import Directory
from cordon.judge.hart import HartWalker
from cordon.model import CAPABILITIES

GPA = 0x4000_0000
LEAF = 0xcf  # V R W X A D


@pytest.fixture
def pbmt():
    with Context("32M", 0x8000_0000, pbmt=True) as context:
        yield context
        context.audit()


def read64(context):
    return lambda at: int.from_bytes(context.ram[at - context.base.v:][:8], "little")


def test_a_type_is_in_the_leaf_and_told(pbmt):
    domain = pbmt.domain(1 << 41)
    domain.grant(GPA, pbmt.alloc("2M", align="2M"), "rw", type=MemoryType.NC)
    domain.revoke(GPA + 0x5000, 4096)
    domain.grant(GPA + 0x5000, pbmt.alloc(4096), "rw", type=MemoryType.IO)
    assert domain.translate(GPA).type is MemoryType.NC and domain.translate(GPA + 0x5000).type is MemoryType.IO
    assert " NC ->" in str(domain.walk(GPA)) and str(domain.walk(GPA + 0x5000).steps[-1]).split(" ->")[0].endswith(" IO")
    assert [leaf.type for leaf in domain.leaves()][4:7] == [MemoryType.NC, MemoryType.IO, MemoryType.NC]
    assert str(list(domain.leaves())[5]).endswith("4K IO")
    assert {region.type for region in domain.regions()} == {MemoryType.NC, MemoryType.IO}
    judged = Directory.second_stage(read64(pbmt), domain.hgatp, pbmt=True)
    assert not judged.broken and [leaf.type for leaf in judged.leaves[4:7]] == [1, 2, 1]
    assert "memory type" in Directory.second_stage(read64(pbmt), domain.hgatp).broken[0]
    domain.close()


def test_without_svpbmt_no_type_is_granted():
    with Context("32M") as context, context.domain(1 << 41) as domain, pytest.raises(NotSupported):
        domain.grant(GPA, context.alloc(4096), "rw", type=MemoryType.NC)


@pytest.mark.parametrize("guest, host, both", [(0, 0, 0), (0, 2, 2), (1, 0, 1), (1, 2, 1), (2, 1, 2)])
def test_the_guests_own_type_comes_before_the_maps(pbmt, guest, host, both):
    domain = pbmt.domain(1 << 41)
    ram = pbmt.alloc("2M", align="2M")
    domain.grant(GPA, ram, "rwx", type=MemoryType(host))
    entry = ram.hpa.v - pbmt.base.v  # the guest's root: GPA's GiB, mapped to itself
    pbmt.ram[entry + 8:entry + 16] = (guest << 61 | GPA >> 2 | LEAF).to_bytes(8, "little")
    satp = 8 << 60 | GPA >> 12
    walk = domain.walk_guest(GPA + 0x4567, satp, "r", Rules(pbmt=True))
    assert walk.leads and walk.type is MemoryType(both)
    said = HartWalker(lambda hpa, n: bytes(pbmt.ram[hpa - pbmt.base.v:][:n])).gva(satp, domain.hgatp, GPA + 0x4567)
    assert (said.hpa, said.type) == (walk.hpa.v, both)
    domain.close()


@pytest.mark.parametrize("backend, types", [("model", False), ("model", True), ("qemu", False)])
def test_a_view_of_devices_says_types_only_where_the_iommu_has_svpbmt(backend, types):
    if why := BACKENDS[backend].missing():
        pytest.skip(f"{backend}: {why}")
    settings = {"capabilities": CAPABILITIES | 1 << 15} if types else {}
    with Platform(backend, ram="64M", pbmt=True, **settings) as plat:
        nic, red = plat.device("00:02.0"), plat.guest("red", "64K")
        run, later = plat.context.alloc("8K"), plat.context.alloc("4K")
        red.domain.grant(GPA, run, "rw", type=MemoryType.NC)
        with red.assign(nic):
            red.domain.grant(2 * GPA, later, "rw", type=MemoryType.IO)
            for gpa, hpa in ((GPA + 8, run.hpa + 8), (2 * GPA + 8, later.hpa + 8)):
                nic.dma.write(gpa, b"no fault")
                assert bytes(plat.memory(hpa, 8)) == b"no fault"
            assert {leaf.type for leaf in red.domain.leaves()} == set(MemoryType)
            assert {leaf.type for leaf in red.domain.leaves(view=1)} == (set(MemoryType) if types else {MemoryType.PMA})
            assert walker_of(plat).walk(nic.device_id, GPA).type == (1 if types else 0)
        assert findings(plat) == []
