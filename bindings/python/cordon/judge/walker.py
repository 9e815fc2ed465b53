"""One request's way through an IOMMU, told word by word: slow, literal, and from the specification.

Directory of one to three levels in the base or extended format, first stage Sv39 to Sv57, second
stage Sv39x4 to Sv57x4, both nested, flat MSI tables in basic mode. Memory and registers come from
two callables, so that a live machine, a model and a dump are judged alike. Nothing is written.
[RISC-V IOMMU 2.1 to 2.3 and 3.3; Privileged 12.3 to 12.6 and 18.5; AIA 8]
"""
from collections.abc import Callable

from .dc import DeviceContext, Stop, Unsupported, bits
from .trail import Step, Trail

PAGE = 0x1000
CAPABILITIES, FCTL, DDTP = 0x00, 0x08, 0x10
PAGE_FAULT = {"x": 12, "r": 13, "w": 15}
GUEST_PAGE_FAULT = {"x": 20, "r": 21, "w": 23}
ACCESS_FAULT = {"x": 1, "r": 5, "w": 7}
LEVELS = {8: 3, 9: 4, 10: 5}
WIDTH = {8: 39, 9: 48, 10: 57}
V, R, W, X, U, A, D = (1 << n for n in (0, 1, 2, 3, 4, 6, 7))


class Walker:
    """`read(hpa, n)` gives N bytes of memory, or raises LookupError (IndexError, KeyError) where
    there is none; `register(offset, width)` gives a register of the IOMMU."""

    def __init__(self, read: Callable[[int, int], bytes], register: Callable[[int, int], int]) -> None:
        self._read, self._register = read, register

    def walk(self, device_id: int, iova: int, access: str = "r") -> Trail:
        """The Trail of an untranslated request without process id: ACCESS is "r", "w" or "x"."""
        if access not in PAGE_FAULT:
            raise ValueError(f"access is r, w or x, not {access!r}")
        self.capabilities, self.fctl = self._register(CAPABILITIES, 8), self._register(FCTL, 4)
        trail = Trail(device_id, iova, access)
        try:
            self._request(trail)
        except Stop as stop:
            trail.cause, trail.reason = stop.cause, stop.reason
            trail.hpa = None
        return trail

    def _request(self, trail):
        if self.fctl & 5:
            raise Unsupported("big-endian or 32-bit control (fctl.BE, fctl.GXL)")
        ddtp = self._register(DDTP, 8)
        mode = bits(ddtp, 3, 0)
        if mode == 0:
            raise Stop(256, "ddtp is Off: nothing passes")
        if mode == 1:
            trail.hpa, trail.reason = trail.iova, "ddtp is Bare: everything passes as it is"
            return
        if mode > 4:
            raise Unsupported(f"ddtp mode {mode}")
        context = trail.context = self._context(trail, bits(ddtp, 53, 10) * PAGE, mode - 1)
        gpa = trail.gpa = self._first_stage(trail, context)
        if context.is_msi(gpa):
            trail.hpa = self._msi(trail, context, gpa)
        else:
            trail.hpa = self._second_stage(trail, context, gpa, trail.access, "G")
        trail.reason = f"leads to {trail.hpa:#x}"

    def _word(self, trail, stage, level, index, at, fault):
        """A doubleword of a table, told on the trail; FAULT is the cause where memory has none."""
        try:
            if at + 8 > 1 << bits(self.capabilities, 37, 32):
                raise IndexError
            value = int.from_bytes(self._read(at, 8), "little")
        except LookupError:
            raise Stop(fault, f"there is no memory at {at:#x}") from None
        trail.steps.append(Step(stage, level, index, at, value))
        return value

    # ---- the device directory [2.1, 2.3.1] ------------------------------------------------------

    def _context(self, trail, page, levels):
        extended = bool(self.capabilities >> 22 & 1)
        low = 6 if extended else 7
        parts = (bits(trail.device_id, low - 1, 0), bits(trail.device_id, low + 8, low),
                 trail.device_id >> low + 9)
        if trail.device_id >> 24 or any(parts[levels:]):
            raise Stop(260, f"device id {trail.device_id:#x} is wider than {levels} levels take")
        for level in range(levels - 1, 0, -1):
            word = self._word(trail, "D", level, parts[level], page + 8 * parts[level], 257)
            if not word & V:
                raise Stop(258, f"the directory entry of level {level} is not valid")
            if bits(word, 9, 1) or bits(word, 63, 54):
                raise Stop(259, f"the directory entry of level {level} has reserved bits")
            page = bits(word, 53, 10) * PAGE
        size = 64 if extended else 32
        words = [self._word(trail, "D", 0, parts[0], page + size * parts[0] + 8 * n, 257)
                 for n in range(size // 8)]
        context = DeviceContext(*words)
        context.check(self.capabilities)
        return context

    # ---- first stage [Privileged 12.3.2] --------------------------------------------------------

    def _first_stage(self, trail, context):
        mode, fault = context.first_mode, PAGE_FAULT[trail.access]
        if mode == 0:
            return trail.iova
        width, level = WIDTH[mode], LEVELS[mode] - 1
        above = trail.iova >> width - 1
        if above not in (0, (1 << 65 - width) - 1):
            raise Stop(fault, f"{trail.iova:#x} is not a canonical address of {width} bits")
        table = bits(context.fsc, 43, 0) * PAGE
        for level in range(level, -1, -1):
            index = trail.iova >> 12 + 9 * level & 511
            at = self._second_stage(trail, context, table + 8 * index, "r", "S.G")
            word = self._word(trail, "S", level, index, at, ACCESS_FAULT[trail.access])
            self._check_word(word, level, fault)
            if word & (R | X):
                self._check_leaf(word, level, trail.access, fault, context.sade)
                if context.sade and self._unmarked(word, trail.access):
                    self._second_stage(trail, context, table + 8 * index, "w", "S.G")
                return self._target(word, level, trail.iova)
            table = bits(word, 53, 10) * PAGE
        raise Stop(fault, "the last level holds no leaf")

    # ---- second stage [Privileged 18.5.1] ---------------------------------------------------------

    def _second_stage(self, trail, context, gpa, access, stage):
        """ACCESS decides rights; faults are named for what the request itself wanted to do."""
        mode, fault = context.second_mode, GUEST_PAGE_FAULT[trail.access]
        if mode == 0:
            return gpa
        width, level = WIDTH[mode] + 2, LEVELS[mode] - 1
        if gpa >> width:
            raise Stop(fault, f"{gpa:#x} is wider than the second stage's {width} bits")
        table, index = bits(context.iohgatp, 43, 0) * PAGE, gpa >> 12 + 9 * level
        for level in range(level, -1, -1):
            word = self._word(trail, stage, level, index, table + 8 * index, ACCESS_FAULT[trail.access])
            self._check_word(word, level, fault)
            if word & (R | X):
                self._check_leaf(word, level, access, fault, context.gade)
                return self._target(word, level, gpa)
            table, index = bits(word, 53, 10) * PAGE, gpa >> 12 + 9 * (level - 1) & 511
        raise Stop(fault, "the last level holds no leaf")

    # ---- rules of both stages -------------------------------------------------------------------

    def _check_word(self, word, level, fault):
        if not word & V:
            raise Stop(fault, f"nothing stands at level {level}")
        if word & W and not word & R:
            raise Stop(fault, f"the word of level {level} can be written but not read")
        reserved = bits(word, 58, 54) if self.capabilities >> 14 & 1 else bits(word, 60, 54)
        if reserved:
            raise Stop(fault, f"the word of level {level} has reserved bits")
        memory_type = bits(word, 62, 61)
        if memory_type and (not self.capabilities >> 15 & 1 or memory_type == 3):
            raise Stop(fault, f"the word of level {level} has a memory type that may not be")
        if not word & (R | X) and (word & (A | D | U) or word >> 61):
            raise Stop(fault, f"the word of level {level} leads on but has bits of a leaf")

    @staticmethod
    def _unmarked(word, access):
        return not word & A or access == "w" and not word & D

    def _check_leaf(self, word, level, access, fault, update):
        ppn = bits(word, 53, 10)
        if word >> 63 and (level or ppn & 15 != 8):
            raise Stop(fault, f"the leaf of level {level} is no 64 KiB run")
        if ppn & (1 << 9 * level) - 1:
            raise Stop(fault, f"the leaf of level {level} is not aligned to its size")
        if not word & U:
            raise Stop(fault, "the leaf is not for user mode")
        if not word & {"r": R, "w": W, "x": X}[access]:
            raise Stop(fault, f"the leaf does not allow {access}")
        if self._unmarked(word, access) and not update:
            raise Stop(fault, "the leaf is not marked accessed, or for a write dirty")

    @staticmethod
    def _target(word, level, address):
        ppn, low = bits(word, 53, 10), 12 + 9 * level
        if word >> 63:
            ppn, low = ppn & ~15, 16
        return ppn * PAGE | address & (1 << low) - 1

    # ---- MSIs [IOMMU 3.1.3.6, 2.3.3] ---------------------------------------------------------------

    def _msi(self, trail, context, gpa):
        index, at_bit = 0, 0
        for bit in range(52):
            if context.msi_mask >> bit & 1:
                index |= (gpa >> 12 + bit & 1) << at_bit
                at_bit += 1
        at = bits(context.msiptp, 43, 0) * PAGE | index * 16
        word = self._word(trail, "M", 0, index, at, 261)
        self._word(trail, "M", 1, index, at + 8, 261)
        if not word & V:
            raise Stop(262, f"the MSI entry of file {index} is not valid")
        if word >> 63 or bits(word, 2, 1) not in (1, 3):
            raise Stop(263, f"the MSI entry of file {index} has a mode that may not be")
        if bits(word, 2, 1) == 1:
            raise Unsupported("memory-resident interrupt files")
        if bits(word, 9, 3) or bits(word, 62, 54):
            raise Stop(263, f"the MSI entry of file {index} has reserved bits")
        if trail.access == "x":
            raise Stop(1, "an interrupt file holds no instructions")
        return bits(word, 53, 10) * PAGE | gpa & PAGE - 1
