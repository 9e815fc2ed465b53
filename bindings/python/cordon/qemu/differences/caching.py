"""Probes of what QEMU keeps in its caches, and what drops it [IOMMU 2.8, 2.9, 3.1, 5.5]."""
from . import registers
from .bench import BARE, CQB, DDTP, OFF, ONE_LEVEL, PAGE, SV39, SV57X4, Tables

BIG = 2 << 20


def identity_is_not_cached(bench):
    gpa, hpa, word = bench.page()
    same = bench.frame()
    same_word = bench.tables.map(same, same)
    bench.must(bench.lands(gpa, hpa) and bench.lands(same, same), "both pages are reached")
    bench.put(word, 0)
    bench.put(same_word, 0)
    bench.must(bench.lands(gpa, hpa), "a stale translation to another address is used")
    return not bench.lands(same, same)


def superpage_is_dropped_by_pages(bench):
    gpa, hpa = bench.gpa(BIG), bench.frame(512, BIG)
    word = bench.tables.map(gpa, hpa, level=1)
    bench.must(bench.lands(gpa, hpa) and bench.lands(gpa + PAGE, hpa + PAGE), "the superpage is reached")
    bench.put(word, 0)
    bench.forget_page(gpa)
    bench.must(not bench.lands(gpa, hpa), "the page that was named is dropped")
    return bench.lands(gpa + PAGE, hpa + PAGE)


def superpage_is_cached_by_pages(bench):
    gpa, hpa = bench.gpa(BIG), bench.frame(512, BIG)
    bench.tables.map(gpa, hpa, level=1)
    misses = registers.counter(bench, registers.TLB_MISS)
    bench.must(bench.lands(gpa, hpa) and misses() == 1, "the first access misses")
    bench.must(bench.lands(gpa, hpa) and misses() == 1, "the second one does not")
    return bench.lands(gpa + PAGE, hpa + PAGE) and misses() == 2


def nested_is_matched_by_iova(bench):
    iova, gpa, hpa, word = nested_page(bench)
    bench.must(bench.lands(iova, hpa), "the page is reached through both stages")
    bench.put(word, 0)
    bench.forget_page(gpa)
    return bench.lands(iova, hpa)


def nested_page(bench):
    """A page behind both stages: its IOVA, guest address, frame, and the second stage's word."""
    gpa, hpa, word = bench.page()
    home, tables = guest_tables(bench)
    iova = 0x34_5000
    tables.map(iova, gpa)
    bench.context(fsc=SV39 << 60 | home >> 12)
    bench.forget()
    return iova, gpa, hpa, word


def guest_tables(bench):
    """First-stage tables in guest memory: their root's guest address, and the tables."""
    gpas = {}

    def seen(hpa):
        if hpa not in gpas:
            gpas[hpa] = bench.gpa()
            bench.tables.map(gpas[hpa], hpa)
        return gpas[hpa]

    root = bench.frame()
    return seen(root), Tables(bench, root=root, seen=seen)


def off_does_not_stop_a_cached_device(bench):
    gpa, hpa, _ = bench.page()
    bench.must(bench.lands(gpa, hpa), "the page is reached")
    bench.set(DDTP, OFF, 8)
    bench.must(bench.get(DDTP, 8) & 0xf == OFF, "ddtp says Off")
    differs = bench.lands(gpa, hpa)
    bench.forget()
    bench.must(not bench.lands(gpa, hpa), "Off blocks when the directory cache is empty")
    return differs


def bare_outlives_its_mode(bench):
    hpa, directory = bench.frame(), bench.get(DDTP, 8)
    bench.context(tc=0)
    bench.set(DDTP, OFF, 8)
    bench.forget()
    bench.set(DDTP, BARE, 8)
    bench.must(bench.lands(hpa, hpa), "Bare lets the device through")
    bench.set(DDTP, OFF, 8)
    bench.set(DDTP, directory & ~0xf | ONE_LEVEL, 8)
    differs = bench.lands(hpa, hpa)
    bench.forget()
    bench.must(not bench.lands(hpa, hpa), "the context is invalid")
    return differs


def far_pages_alias(bench):
    root = bench.frame(4, 4 * PAGE)
    tables = Tables(bench, 5, root=root)
    near, far = bench.frame(), bench.frame()
    gpa = bench.gpa()
    tables.map(gpa, near)
    tables.map(gpa | 1 << 57, far)
    bench.context(iohgatp=bench.iohgatp(SV57X4, root))
    bench.forget()
    bench.must(bench.lands(gpa | 1 << 57, far), "the far page is reached while the caches are empty")
    bench.forget()
    bench.must(bench.lands(gpa, near), "the near page is reached")
    bench.memory(near, 64)[:] = bytes(64)
    return not bench.lands(gpa | 1 << 57, far) and any(bench.memory(near, 64))


def reset_keeps_queue_bases(bench):
    before = bench.get(CQB, 8)
    bench.reset()
    bench.must(bench.get(DDTP, 8) & 0xf == OFF, "ddtp is Off after a reset")
    return bench.get(CQB, 8) == before != 0

