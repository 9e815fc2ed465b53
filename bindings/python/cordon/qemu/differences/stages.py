"""Probes of the second stage's words, and of what stands above them [IOMMU 2.2, 2.3; Priv 12.3, 21.5]."""
from .bench import LEAF, PAGE, SV39, A, D, Tables, U, V
from .caching import guest_tables

_WRITE_GUEST_PAGE = 23
_N = 1 << 63
_DPE, _PDTV, _PD8 = 1 << 9, 1 << 5, 1


def _all_pass(bench, requests):
    """REQUESTS are pairs of an IOVA to write and what was changed there. True when none is refused as a
    guest-page fault, False when all are; Unclear when QEMU knows some and not others."""
    told = {}
    bench.write(bench.gpa())
    bench.must(_WRITE_GUEST_PAGE in bench.causes(), "a write to nothing is told as 23")
    for iova, what in requests:
        bench.write(iova)
        told[what] = _WRITE_GUEST_PAGE in bench.causes()
    bench.must(len(set(told.values())) == 1, f"all are treated alike, for it is {told}")
    return not any(told.values())


def _leaves_with(bench, bits):
    return [(bench.page(LEAF | 1 << bit)[0], f"bit {bit}") for bit in bits]


def user_bit_is_not_checked(bench):
    gpa, hpa, _ = bench.page(LEAF & ~U)
    return bench.lands(gpa, hpa)


def accessed_bit_is_not_checked_on_writes(bench):
    gpa, hpa, _ = bench.page(LEAF & ~A)
    differs = bench.lands(gpa, hpa)
    gpa, hpa, _ = bench.page(LEAF & ~D)
    bench.must(not bench.lands(gpa, hpa), "D is checked on writes")
    return differs


def reserved_bits_of_leaves(bench):
    return _all_pass(bench, _leaves_with(bench, range(54, 61)))


def memory_types_of_leaves(bench):
    return _all_pass(bench, _leaves_with(bench, (61, 62)))


def flags_of_tables(bench):
    requests = []
    for number, flag in enumerate((A, D, U)):
        gpa = bench.gpa(1 << 30) + (number + 1 << 30)
        bench.tables.map(gpa, bench.frame(), table_flags=V | flag)
        requests.append((gpa, f"flag {flag:#x}"))
    return _all_pass(bench, requests)


def high_bits_of_tables(bench):
    requests = []
    for number, bit in enumerate((62, 63)):
        gpa = bench.gpa(1 << 30) + (number + 1 << 30)
        bench.tables.map(gpa, bench.frame(), table_flags=V | 1 << bit)
        requests.append((gpa, f"bit {bit}"))
    return _all_pass(bench, requests)


def napot_is_not_known(bench):
    """64 KiB of one translation: ppn[3:0] = 8, and every word says so."""
    size = 16 * PAGE
    gpa, hpa = bench.gpa(size), bench.frame(16, size)
    for page in range(16):
        bench.tables.map(gpa + page * PAGE, hpa | 8 * PAGE, LEAF | _N)
    bench.must(bench.lands(gpa + 8 * PAGE, hpa + 8 * PAGE), "the eighth page is reached")
    if bench.lands(gpa + 3 * PAGE, hpa + 3 * PAGE):
        return False
    bench.must(bench.lands(gpa + 3 * PAGE, hpa + 8 * PAGE), "another page of the run is hit instead")
    return True


def process_directory_is_read_by_host_address(bench):
    """The directory's address is RAM both as a guest's and as a host's; each has a process context that
    leads to another page."""
    iova, address, frames = 0x34_5000, bench.frame(), []
    through = bench.frame()
    bench.tables.map(address, through)
    for directory in (through, address):
        gpa, hpa, _ = bench.page()
        root, tables = guest_tables(bench)
        tables.map(iova, gpa)
        bench.put(directory + 8, SV39 << 60 | root >> 12)
        bench.put(directory, V)
        frames.append(hpa)
    bench.context(tc=V | _PDTV | _DPE, fsc=_PD8 << 60 | address >> 12)
    bench.forget()
    specified, differs = (bench.lands(iova, hpa) for hpa in frames)
    bench.must(specified != differs, "one of the two pages is reached")
    return differs


def nothing_is_told_of_what_is_no_memory(bench):
    gpa = bench.gpa()
    bench.write(gpa)
    bench.must(bench.causes() == {_WRITE_GUEST_PAGE}, "a write to nothing is told as 23")
    bench.tables.map(gpa, 1 << 47)
    bench.write(gpa)
    return not bench.faults()


def root_needs_no_alignment(bench):
    root = bench.frame(8, 4 * PAGE) + PAGE
    gpa, hpa = bench.gpa(), bench.frame()
    Tables(bench, root=root).map(gpa, hpa)
    bench.context(iohgatp=bench.iohgatp(root=root))
    bench.forget()
    return bench.lands(gpa, hpa)
