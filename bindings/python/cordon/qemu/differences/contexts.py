"""Probes of device contexts that the specification calls misconfigured [IOMMU 2.1.3, 2.1.4]."""
from .bench import A, D, LEAF, V

_INVALID, _MISCONFIGURED = 258, 259
_FLAT = 1 << 60
_GADE, _SADE, _SXL = 1 << 7, 1 << 8, 1 << 11


def _accepted(bench, contexts):
    """Whether DMA lands under every one of CONTEXTS (True), or none, each told as 259 (False)."""
    gpa, hpa, _ = bench.page()
    return _lands_under(bench, contexts, gpa, hpa)


def _lands_under(bench, contexts, iova, hpa):
    told = []
    for words in contexts:
        bench.context(**words)
        bench.forget()
        bench.faults()
        landed = bench.lands(iova, hpa)
        bench.must(landed or bench.causes() == {_MISCONFIGURED}, f"{words} lands or is told as 259")
        told.append(landed)
    bench.must(len(set(told)) == 1, f"all are treated alike, for it is {list(zip(contexts, told))}")
    return told[0]


def reserved_bits_of_tc(bench):
    return _accepted(bench, [{"tc": V | 1 << bit} for bit in (*range(12, 24), 32, 63)])


def reserved_bits_of_ta(bench):
    return _accepted(bench, [{"ta": 1 << bit} for bit in (0, 11, 32, 39)])


def quality_of_service_ids(bench):
    return _accepted(bench, [{"ta": 1 << bit} for bit in (40, 51, 52, 63)])


def reserved_bits_of_fsc(bench):
    return _accepted(bench, [{"fsc": 1 << bit} for bit in (44, 59)])


def reserved_bits_of_msis(bench):
    return _accepted(bench, [{"msiptp": 1 << 44}, {"msiptp": 1 << 59}, {"mask": 1 << 52},
                             {"mask": 1 << 63}, {"pattern": 1 << 52}, {"pattern": 1 << 63}])


def last_word(bench):
    return _accepted(bench, [{"last": 1}, {"last": 1 << 63}])


def gade_without_capability(bench):
    return _accepted(bench, [{"tc": V | _GADE}])


def sade_without_capability(bench):
    return _accepted(bench, [{"tc": V | _SADE}])


def sxl(bench):
    return _accepted(bench, [{"tc": V | _SXL}])


def flat_msis_without_second_stage(bench):
    hpa = bench.frame()
    context = {"iohgatp": 0, "msiptp": _FLAT | bench.frame() >> 12, "pattern": bench.gpa() >> 12}
    return _lands_under(bench, [context], hpa, hpa)


def gade_updates_nothing(bench):
    """With GADE a device that may write sets A and D itself; or the context is refused."""
    gpa, hpa, word = bench.page(LEAF & ~(A | D))
    bench.context(tc=V | _GADE)
    bench.forget()
    if not bench.lands(gpa, hpa):
        bench.must(bench.causes() == {_MISCONFIGURED}, "the context is told as 259")
        return False
    return bench.word(word) & (A | D) != A | D


def first_stage_modes(bench):
    gpa, hpa, _ = bench.page()
    causes = set()
    for mode in range(11, 16):
        bench.context(fsc=mode << 60)
        bench.forget()
        bench.must(not bench.lands(gpa, hpa), f"first-stage mode {mode} is refused")
        causes |= bench.causes()
    bench.must(causes in ({_INVALID}, {_MISCONFIGURED}), f"one cause is told, for it is {causes}")
    return causes == {_INVALID}
