"""A hart's way through its tables, told word by word: GVA to GPA to HPA, and HVA to HPA.

The same literal steps as for a device: both stages have the words of [Privileged 12.3 to 12.6, 18.5],
only that a guest's supervisor may use pages that are not for user mode, and that a hart or its hypervisor
marks leaves accessed and dirty as it goes.
"""
from .dc import DeviceContext, Stop, Unsupported
from .trail import Trail
from .walker import PAGE_FAULT, WIDTH, Walker

CAPABILITIES = 7 << 9 | 7 << 17 | 1 << 15 | 56 << 32  # all formats, Svpbmt, 56 bits of address


class HartWalker(Walker):
    """`read(hpa, n)` as for a Walker; the address registers come with each question."""

    def __init__(self, read):
        super().__init__(read, None)
        self.capabilities, self.fctl = CAPABILITIES, 0

    def gva(self, vsatp, hgatp, gva, access="r"):
        """The Trail of a guest's own access: `gpa` where the guest's tables lead, `hpa` at the end."""
        return self._walk(gva, access, hgatp, vsatp)

    def gpa(self, hgatp, gpa, access="r"):
        """The Trail of an address of the guest's memory."""
        return self._walk(gpa, access, hgatp, 0)

    def hva(self, satp, hva, access="r"):
        """The Trail of a hypervisor's address: one stage, in host memory."""
        return self._walk(hva, access, 0, satp)

    def _walk(self, address, access, second, first):
        if access not in PAGE_FAULT:
            raise ValueError(f"access is r, w or x, not {access!r}")
        for name, register in (("hgatp", second), ("satp", first)):
            if register >> 60 not in (0, *WIDTH):
                raise Unsupported(f"mode {register >> 60} of {name}")
        trail = Trail(None, address, access)
        context = trail.context = DeviceContext(1, second, 0, first)
        try:
            trail.gpa = self._first_stage(trail, context)
            trail.hpa = self._second_stage(trail, context, trail.gpa, access, "G")
            trail.reason = f"leads to {trail.hpa:#x}"
        except Stop as stop:
            trail.cause, trail.reason = stop.cause, stop.reason
        return trail

    def _check_leaf(self, word, level, access, fault, update):
        super()._check_leaf(word | 1 << 4, level, access, fault, True)
