"""Leaves of 64 KiB: on an IOMMU that knows them and on one that does not, with harts and devices that reach them."""
import pytest

from cordon import Context, Mark, Napot, Perm, Platform
from cordon.backends import BACKENDS
from cordon.checks import findings
from cordon.judge import Directory
from cordon.judge.hart import HartWalker
from cordon.qemu import differences

RUN = 64 << 10
GPA = 0x4000_0000


def walker(context):
    """The judge that reads a hart's tables by the letter."""
    return HartWalker(lambda hpa, n: bytes(context.ram[hpa - context.base.v:][:n]))


def judged(context, domain):
    """{gpa: hpa} by page, as the tables in memory say it word by word."""
    found = Directory.second_stage(lambda at: int.from_bytes(context.ram[at - context.base.v:][:8], "little"),
                                   domain.hgatp, napot=True)
    assert not found.broken
    return {leaf.gpa: leaf.hpa for leaf in found.leaves}


@pytest.fixture
def napot():
    with Context("32M", 0x8000_0000, napot=True) as context:
        yield context
        context.audit()


def test_a_grant_of_64_kib_is_one_leaf_and_a_revoke_of_a_page_leaves_15(napot):
    domain = napot.domain(1 << 41)
    run = napot.alloc(4 * RUN, align=RUN)
    domain.grant(GPA, run, Perm.RW)
    hit = domain.translate(GPA + RUN + 0x3456)
    assert (hit.size, hit.level, hit.hpa.v, hit.span) == (RUN, 0, run.hpa.v + RUN + 0x3456, RUN - 0x3456)
    assert (domain.shape().napot, domain.shape().leaves[0]) == (4, 0)
    assert "0 leaves of 4K, 4 of 64K" in str(domain.shape())
    assert [str(leaf).split()[-1] for leaf in domain.leaves()] == ["64K"] * 4
    other = napot.alloc(4096)
    domain.revoke(GPA + RUN + 0x5000, 4096)
    assert (domain.shape().napot, domain.shape().leaves[0]) == (3, 15)
    pages = judged(napot, domain)
    assert pages == {GPA + at: run.hpa.v + at for at in range(0, 4 * RUN, 4096) if at != RUN + 0x5000}
    trail = walker(napot).gpa(domain.hgatp, GPA + 0x9123)
    assert trail.hpa == run.hpa.v + 0x9123 and trail.steps[-1].word >> 63
    domain.grant(GPA + RUN + 0x5000, other, Perm.RW)
    assert domain.coalesce(GPA, 4 * RUN).napot == 0  # another frame stands there
    domain.close()


def test_what_was_logged_comes_together_again(napot):
    domain = napot.domain(1 << 41)
    domain.grant(GPA, napot.alloc(2 * RUN, align=RUN), Perm.RW)
    domain.change([Mark(GPA, RUN, log=True)])
    assert domain.shape().napot == 1 and domain.coalesce(GPA, 2 * RUN).napot == 0
    domain.change([Mark(GPA, RUN)])
    assert domain.coalesce(GPA, 2 * RUN).napot == 1 and domain.shape().napot == 2
    domain.close()


def test_a_judge_refuses_a_run_whose_words_differ(napot):
    domain = napot.domain(1 << 41)
    domain.grant(GPA, napot.alloc(RUN, align=RUN), Perm.RW)

    def told(**settings):
        return Directory.second_stage(lambda at: int.from_bytes(napot.ram[at - napot.base.v:][:8], "little"),
                                      domain.hgatp, **settings).broken
    assert not told(napot=True)
    assert len(told()) == 16  # of harts that do not know them
    at = domain.walk(GPA + 0x7000).steps[-1].word.v - napot.base.v
    napot.ram[at] ^= 4
    assert any("differ" in text for text in told(napot=True))
    napot.ram[at] ^= 4
    domain.close()


def qemu_knows():
    """10.0.2 takes such a leaf for one of 4 KiB."""
    return not next(row for row in differences.ROWS if row.id == "napot").nearest(differences.version_of())


@pytest.fixture(params=["model", "qemu"])
def plat(request):
    if why := BACKENDS[request.param].missing():
        pytest.skip(f"{request.param}: {why}")
    with Platform(request.param, ram="64M", napot=True) as p:
        p.known = request.param == "model" or qemu_knows()
        yield p
        assert findings(p) == []


def test_devices_share_64_kib_leaves_only_where_their_iommu_knows_them(plat):
    assert plat.iommu.napot is (Napot.KNOWN if plat.known else Napot.IGNORED)
    nic, red = plat.device("00:02.0"), plat.guest("red", "64K")
    run = plat.context.alloc(2 * RUN, align=RUN)
    red.domain.grant(GPA, run, Perm.RW)
    assert red.domain.shape().napot >= 2
    with red.assign(nic):
        for view in (0, 1):
            assert (red.domain.shape(view=view).napot >= 2) == plat.known
        for page in range(32):  # no identity, and no page for another
            nic.dma.write(GPA + page * 4096 + 8, f"page {page:2}".encode())
        for page in range(32):
            assert bytes(plat.memory(run.hpa + page * 4096 + 8, 7)) == f"page {page:2}".encode()
        red.domain.revoke(GPA + 5 * 4096, 4096)
        with plat.expect_fault(nic):
            nic.dma.write(GPA + 5 * 4096, b"gone")
        nic.dma.write(GPA + 6 * 4096, b"here")
        assert bytes(plat.memory(run.hpa + 6 * 4096, 4)) == b"here"
    assert red.domain.coalesce(GPA, 2 * RUN).napot == (0 if plat.known else 1)
    red.domain.revoke(GPA, 5 * 4096)
    red.domain.revoke(GPA + 6 * 4096, 26 * 4096)
