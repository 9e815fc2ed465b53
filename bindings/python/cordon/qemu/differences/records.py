"""Probes of what QEMU tells about refused requests [IOMMU 3.2, 5.16, 5.26]."""
from .bench import CONTROL, ENABLE, FQCSR, IOVA, LEAF, OVERFLOW, RESPONSE, V, W

_TTYP_READ, _TTYP_WRITE = 2, 3


def _one(bench, request):
    """The first record of a request, which must be refused."""
    bench.faults()
    request()
    records = bench.faults()
    bench.must(records, "the request is refused and told")
    return records[0]


def cached_rights_are_refused_silently(bench):
    gpa, hpa, _ = bench.page(LEAF & ~W)
    bench.must(not bench.lands(gpa, hpa) and bench.faults(), "a write is refused and told at first")
    bench.read(gpa)
    bench.must(not bench.faults(), "a read is allowed")
    bench.must(not bench.lands(gpa, hpa), "a write is refused when the page is cached")
    return not bench.faults()


def one_record_for_each_four_bytes(bench):
    bench.write(bench.gpa(), 8)
    records = bench.faults()
    bench.must(records, "the request is refused and told")
    return len(records) > 1


def reads_are_told_as_writes(bench):
    record = _one(bench, lambda: bench.read(bench.gpa(), 4))
    bench.must(record.ttyp in (_TTYP_READ, _TTYP_WRITE), f"TTYP is 2 or 3, for it is {record.ttyp}")
    return record.ttyp == _TTYP_WRITE


def _without_context(bench):
    bench.context(tc=0)
    bench.forget()
    record = _one(bench, lambda: bench.write(bench.gpa() | 8, 4))
    bench.must(record.cause == 258, f"the cause is 258, for it is {record.cause}")
    return record


def writes_are_told_as_reads(bench):
    record = _without_context(bench)
    bench.must(record.ttyp in (_TTYP_READ, _TTYP_WRITE), f"TTYP is 2 or 3, for it is {record.ttyp}")
    return record.ttyp == _TTYP_READ


def address_is_not_told_without_context(bench):
    record = _without_context(bench)
    bench.must(record.iotval == 0 or record.iotval & 0xfff == 8, "iotval is the address, or zero")
    return record.iotval == 0


def process_id_is_called_valid(bench):
    return _one(bench, lambda: bench.write(bench.gpa(), 4)).pv == 1


def guest_address_is_not_told(bench):
    gpa = bench.gpa()
    record = _one(bench, lambda: bench.write(gpa, 4))
    bench.must((record.cause, record.iotval) == (23, gpa), "cause and iotval are right")
    bench.must(record.iotval2 in (0, gpa), f"iotval2 is the address or zero: {record.iotval2:#x}")
    return record.iotval2 == 0


def overflow_is_cleared_by_any_write(bench):
    bench.queues_on(fault_log2=2)
    for _ in range(8):
        bench.write(bench.gpa())
    bench.must(bench.get(FQCSR) & OVERFLOW, "the queue overflows")
    bench.set(FQCSR, ENABLE)
    return not bench.get(FQCSR) & OVERFLOW


def translation_request_tells_a_wrong_page(bench):
    gpa, hpa, _ = bench.page()
    bench.set(IOVA, gpa, 8)
    bench.set(CONTROL, bench.device_id << 40 | V, 8)
    bench.must(not bench.get(CONTROL, 8) & V, "the request is answered at once")
    answer = bench.get(RESPONSE, 8)
    bench.must(not answer & 1, "the page is found")
    return answer >> 10 & (1 << 44) - 1 != hpa >> 12
