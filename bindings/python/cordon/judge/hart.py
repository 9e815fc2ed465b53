"""A hart's way through its tables, told word by word: GVA to GPA to HPA, and HVA to HPA.

The same literal steps as for a device: both stages have the words of [Privileged 12.3 to 12.6, 18.5],
only that who asks decides on pages of user mode, and that a hart may mark leaves accessed and dirty as it goes.
"""
from dataclasses import dataclass

from .dc import DeviceContext, Stop, Unsupported, bits
from .trail import Trail
from .walker import ACCESS_FAULT, LEVELS, PAGE, PAGE_FAULT, WIDTH, A, D, R, U, V, W, Walker, X

CAPABILITIES = 7 << 9 | 7 << 17 | 1 << 15 | 56 << 32  # all formats, Svpbmt, 56 bits of address


@dataclass(frozen=True)
class HartRules:
    """What decides a guest's access besides its tables; `user` None: pages are for whoever asks."""

    user: bool | None = None
    sum: bool = False
    mxr: bool = False
    adue: bool = True
    pbmt: bool = True
    napot: bool = True


class HartWalker(Walker):
    """`read(hpa, n)` as for a Walker; the address registers come with each question."""

    def __init__(self, read):
        super().__init__(read, None)
        self.capabilities, self.fctl, self.rules = CAPABILITIES, 0, HartRules()

    def gva(self, vsatp, hgatp, gva, access="r", rules=HartRules()):
        """The Trail of a guest's own access: `gpa` where the guest's tables lead, `hpa` at the end."""
        return self._walk(gva, access, hgatp, vsatp, rules)

    def gpa(self, hgatp, gpa, access="r"):
        """The Trail of an address of the guest's memory."""
        return self._walk(gpa, access, hgatp, 0, HartRules())

    def hva(self, satp, hva, access="r"):
        """The Trail of a hypervisor's address: one stage, in host memory."""
        return self._walk(hva, access, 0, satp, HartRules())

    def _walk(self, address, access, second, first, rules):
        if access not in PAGE_FAULT:
            raise ValueError(f"access is r, w or x, not {access!r}")
        for name, register in (("hgatp", second), ("satp", first)):
            if register >> 60 not in (0, *WIDTH):
                raise Unsupported(f"mode {register >> 60} of {name}")
        self.rules, trail = rules, Trail(None, address, access)
        context = trail.context = DeviceContext(1, second, 0, first)
        try:
            trail.gpa = self._first_stage(trail, context)
            trail.hpa = self._second_stage(trail, context, trail.gpa, access, "G")
            trail.reason = f"leads to {trail.hpa:#x}"
        except Stop as stop:
            trail.cause, trail.reason = stop.cause, stop.reason
        return trail

    def _check_leaf(self, word, level, access, fault, update):
        """A leaf of the second stage: the hypervisor's."""
        super()._check_leaf(word | U, level, access, fault, True)

    # ---- the guest's own stage [12.3.2] -----------------------------------------------------------

    def _first_stage(self, trail, context):
        mode, fault = context.first_mode, PAGE_FAULT[trail.access]
        if mode == 0:
            return trail.iova
        upper = trail.iova >> WIDTH[mode] - 1
        if upper and upper + 1 != 1 << 65 - WIDTH[mode]:
            raise Stop(fault, f"{trail.iova:#x} is not a canonical address of {WIDTH[mode]} bits")
        table = bits(context.fsc, 43, 0) * PAGE
        for level in reversed(range(LEVELS[mode])):
            index = trail.iova >> 12 + 9 * level & 511
            at = self._second_stage(trail, context, table + 8 * index, "r", "S.G")
            word = self._word(trail, "S", level, index, at, ACCESS_FAULT[trail.access])
            self._check_guest_word(word, level, fault)
            if word & (R | X):
                self._check_guest_leaf(word, level, trail.access, fault)
                if not word & A or trail.access == "w" and not word & D:
                    if not self.rules.adue:
                        raise Stop(fault, "the leaf is not marked accessed, or for a write dirty")
                    self._second_stage(trail, context, table + 8 * index, "w", "S.G")
                return self._target(word, level, trail.iova)
            table = bits(word, 53, 10) * PAGE
        raise Stop(fault, "the last level holds no leaf")

    def _check_guest_word(self, word, level, fault):
        if not word & V:
            raise Stop(fault, f"nothing stands at level {level}")
        if word & W and not word & R:
            raise Stop(fault, f"the word of level {level} can be written but not read")
        if bits(word, 60, 54):
            raise Stop(fault, f"the word of level {level} has reserved bits")
        if bits(word, 62, 61) == 3 or bits(word, 62, 61) and not self.rules.pbmt:
            raise Stop(fault, f"the word of level {level} has a memory type that may not be")
        if word >> 63 and not self.rules.napot:
            raise Stop(fault, f"the word of level {level} has N, and this hart has no Svnapot")
        if not word & (R | X) and (word & (A | D | U) or word >> 61):
            raise Stop(fault, f"the word of level {level} leads on but has bits of a leaf")

    def _check_guest_leaf(self, word, level, access, fault):
        """One rule a line, in the specification's order."""
        ppn, rules = bits(word, 53, 10), self.rules
        if word >> 63 and (level or ppn & 15 != 8):
            raise Stop(fault, f"the leaf of level {level} is no 64 KiB run")
        if ppn % (1 << 9 * level):
            raise Stop(fault, f"the leaf of level {level} is not aligned to its size")
        if rules.user and not word & U:
            raise Stop(fault, "the leaf is not for user mode")
        if rules.user is False and word & U and (access == "x" or not rules.sum):
            raise Stop(fault, "the leaf is for user mode")
        allowed = word & {"r": R | (X if rules.mxr else 0), "w": W, "x": X}[access]
        if not allowed:
            raise Stop(fault, f"the leaf does not allow {access}")
