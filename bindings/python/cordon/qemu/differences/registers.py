"""Probes of commands and registers [IOMMU 3.1, 5]."""
from .bench import (CQCSR, CQH, CQT, DDTP, ENABLE, FCTL, FENCE, FQCSR, GSCID, ILLEGAL, INVALIDATE_DIRECTORY,
                    INVALIDATE_FIRST, INVALIDATE_SECOND, IPSR, OFF)

UNTRANSLATED, TLB_MISS = 1, 4

_BIG_ENDIAN, _WIRED = 1, 2
_FENCE_WIRED, _FENCE_PENDING = 1 << 11, 1 << 11
_BUSY, _DDTP_BUSY = 1 << 17, 1 << 4
_IOCOUNTINH, _IOHPMCTR, _IOHPMEVT = 0x5c, 0x68, 0x160
_DV_GSCV, _IDT = 1 << 61, 1 << 62


def _change_fctl(bench, value):
    """Write fctl as one must, with everything off; what it says then, and the queues are on again."""
    bench.set(DDTP, OFF, 8)
    bench.queues_off()
    bench.set(FCTL, value)
    seen = bench.get(FCTL)
    bench.queues_on()
    return seen


def fence_raises_no_wire(bench):
    bench.must(_change_fctl(bench, _WIRED) & _WIRED, "interrupts can be wires")
    bench.must(bench.command(FENCE | _FENCE_WIRED), "the fence is executed")
    return not bench.get(CQCSR) & _FENCE_PENDING


def reserved_bits_of_commands(bench):
    commands = {"IOTINVAL.VMA bit 11": (INVALIDATE_FIRST | 1 << 11, 0),
                "IOTINVAL.GVMA NL": (INVALIDATE_SECOND | 1 << 33 | 1 << 34, 0),
                "IOTINVAL.GVMA bit 62 of the second word": (INVALIDATE_SECOND, 1 << 62),
                "IOTINVAL.VMA S": (INVALIDATE_FIRST | 1 << 10, 1 << 9),
                "IODIR.INVAL_DDT with a process": (INVALIDATE_DIRECTORY | 1 << 12 | 1 << 33, 0),
                "IODIR.INVAL_DDT second word": (INVALIDATE_DIRECTORY, 1)}
    return _executed(bench, commands)


def reserved_bits_of_fences(bench):
    return _executed(bench, {f"bit {bit}": (FENCE | 1 << bit, 0) for bit in (14, 31)})


def _executed(bench, commands):
    """Whether all of these are executed (True), or told as illegal (False)."""
    told = {}
    for what, words in commands.items():
        bench.queues_on()
        told[what] = bench.command(*words)
        bench.must(told[what] or bench.get(CQCSR) & ILLEGAL, f"{what} is executed, or illegal")
    bench.must(len(set(told.values())) == 1, f"all are treated alike, for it is {told}")
    return told.popitem()[1]


def stopped_queue_waits_for_its_tail(bench):
    tail = bench.submit((0x7f, 0), (FENCE, 0))
    bench.must(not bench.executed(tail) and bench.get(CQCSR) & ILLEGAL, "a bad command stops the queue")
    bench.put(bench.command_at(bench.get(CQH)), FENCE)
    bench.set(CQCSR, ENABLE | ILLEGAL)
    bench.must(not bench.get(CQCSR) & ILLEGAL, "the error is cleared")
    if bench.executed(tail):
        return False
    bench.set(CQT, tail)
    bench.must(bench.executed(tail), "a write of the tail starts the queue again")
    return True


def pending_bits_go_together(bench):
    bench.queues_on(fault_interrupt=True)
    bench.write(bench.gpa(), 4)
    bench.must(bench.get(IPSR) == 2, "a fault's interrupt is pending, and no other")
    bench.set(IPSR, 1)
    return not bench.get(IPSR) & 2


def big_endian_can_be_chosen(bench):
    bench.must(not bench.get(0, 8) >> 27 & 1, "capabilities.END is 0")
    return bool(_change_fctl(bench, _BIG_ENDIAN) & _BIG_ENDIAN)


def busy_is_never_seen(bench):
    seen = 0
    for _ in range(50):
        for register in (CQCSR, FQCSR):
            bench.set(register, 0)
            seen |= bench.get(register) & _BUSY
            bench.set(register, ENABLE)
            seen |= bench.get(register) & _BUSY
        bench.set(DDTP, bench.get(DDTP, 8), 8)
        seen |= bench.get(DDTP, 8) & _DDTP_BUSY
    return not seen


def counter(bench, selector):
    """Count by SELECTOR from now on: the function that says how many there were."""
    bench.must(bench.get(0, 8) >> 30 & 1, "capabilities.HPM is 1")
    bench.set(_IOCOUNTINH, 0)
    bench.set(_IOHPMEVT, selector, 8)
    bench.set(_IOHPMCTR, 0, 8)
    return lambda: bench.get(_IOHPMCTR, 8)


def gscid_selects_requests(bench):
    gpa, hpa, _ = bench.page()
    requests = counter(bench, UNTRANSLATED)
    bench.must(bench.lands(gpa, hpa) and requests() == 1, "a request is counted")
    requests = counter(bench, UNTRANSLATED | GSCID << 36 | _DV_GSCV | _IDT)
    bench.must(bench.lands(gpa, hpa), "and another comes")
    return requests() == 1
