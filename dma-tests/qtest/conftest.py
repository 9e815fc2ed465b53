"""Each test gets a fresh machine, and leaves one whose tables, queues and memory are judged.

`@pytest.mark.machine(Edu(2), Nvme(4), ...)` says what is plugged in; `plat` may be parametrized with
the names of VARIANTS. CORDON_LIB names another build of the library to run the same tests against.
"""
import copy
import struct

import pytest

from cordon import FrameState
from cordon.judge import Directory, judge_commands
from cordon.qemu import Edu, QemuPlatform
from cordon.types import PAGE, Perm
from scene import Neighbours, Rogue, queue_frames

VARIANTS = {
    "sys": {},
    "pci": {"iommu": "pci"},
    "base": {"globals_": ["riscv-iommu.intremap=off"]},
}
MSI_FLAT = 1 << 22


def pytest_configure(config):
    config.addinivalue_line("markers", "machine(*parts, **settings): what the test's QEMU has")
    config.addinivalue_line("markers", "unchecked: the test ends in a state that is not judged")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


def passed(item):
    report = getattr(item, "report_call", None)
    return report is not None and report.passed


@pytest.fixture
def plat(request):
    marker = request.node.get_closest_marker("machine")
    parts = [copy.copy(part) for part in (marker.args if marker else (Edu(2), Edu(3)))]
    settings = {"ram": "16M", **VARIANTS[getattr(request, "param", "sys")],
                **(marker.kwargs if marker else {})}
    with QemuPlatform(parts, **settings) as platform:
        yield platform
        if passed(request.node):
            if not request.node.get_closest_marker("unchecked"):
                judge(platform)
        else:
            request.node.add_report_section("teardown", "QEMU", platform.machine.stderr())


@pytest.fixture
def scene(plat):
    """Red and blue, with edu2 in blue's hands and edu3 in red's; caches are cold."""
    neighbours = Neighbours(plat)
    plat.device("edu2").attach(neighbours.blue.domain)
    plat.device("edu3").attach(neighbours.red.domain)
    neighbours.rogue, neighbours.friend = Rogue(neighbours.blue, "edu2"), Rogue(neighbours.red, "edu3")
    return neighbours


# ---- what each test leaves behind ------------------------------------------------------------------


def judge(plat):
    """No fault that the test did not take, no broken invariant, tables by the letter, no leak."""
    left = plat.iommu.faults()
    assert not left, "faults that the test did not expect:\n" + "\n".join(map(str, left))
    plat.context.audit()
    judge_tables(plat)
    judge_queue(plat)
    plat.dismantle()
    plat.context.audit()
    stats = plat.context.stats()
    assert (stats.owned, stats.revoking, stats.table) == (0, 0, 0), f"something is left: {stats}"


def judge_tables(plat):
    """Each device reaches exactly the pages that its guest was granted for DMA."""
    extended = bool(plat.register(0, 8) & MSI_FLAT)
    directory = Directory(lambda at: struct.unpack("<Q", plat.memory(at, 8))[0],
                          plat.register(0x10, 8), extended)
    found = {judgement.device_id: judgement for judgement in directory.judge()}
    attached = {device.device_id: device for device in plat.devices.values() if device.domain}
    assert found.keys() == attached.keys(), "contexts that are valid are not those of attached devices"
    assert not directory.broken, directory.broken
    walked = directory.pages | queue_frames(plat)
    for judgement in found.values():
        assert not judgement.broken, judgement.broken
        walked |= judgement.pages
    gscids = {}
    for device_id, judgement in found.items():
        guest = next(g for g in plat.guests if g.domain is attached[device_id].domain)
        assert gscids.setdefault(judgement.gscid, guest) is guest, "two guests share a GSCID"
        judge_reach(plat, guest, judgement, walked)
        assert judgement.msis == guest.msis


def judge_reach(plat, guest, judgement, walked):
    expected = {gpa: page for gpa, page in guest.pages.items() if page.dma}
    reached = {}
    for leaf in judgement.leaves:
        for offset in range(0, leaf.size, PAGE):
            reached[leaf.gpa + offset] = leaf.hpa + offset, Perm.of(leaf.perms)
    assert {gpa: hpa for gpa, (hpa, _) in reached.items()} == {gpa: p.hpa for gpa, p in expected.items()}
    for gpa, (hpa, perms) in reached.items():
        assert perms & Perm.RW == expected[gpa].perms & Perm.RW and not perms & ~expected[gpa].perms
        assert hpa not in walked, f"a device reaches {hpa:#x}, which the IOMMU walks"
        assert plat.context.frame(hpa).state in (FrameState.OWNED, FrameState.NONE)


def judge_queue(plat):
    """Every command that was ever written is one that the specification knows."""
    base = plat.register(0x18, 8)
    start, entries = (base >> 10 & (1 << 44) - 1) * PAGE, 2 << (base & 0x1f)
    ring = struct.iter_unpack("<2Q", plat.memory(start, 16 * entries))
    written = [command for command in ring if command != (0, 0)]
    assert written, "no command was ever written"
    assert not judge_commands(written)
