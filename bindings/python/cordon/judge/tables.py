"""A strict reader of what an IOMMU walks: directory, device contexts, second-stage and MSI tables.

Every bit that the specification reserves, and every rule that an emulator may overlook, is held
against the words in memory. [RISC-V IOMMU 3.1 to 3.4; Privileged 12.3 and 18.5]
"""
from collections.abc import Callable
from dataclasses import dataclass, field

PAGE = 0x1000
_MODE_LEVELS = {8: 3, 9: 4, 10: 5}  # Sv39x4, Sv48x4, Sv57x4
_PPN = (1 << 44) - 1


@dataclass(frozen=True)
class Leaf:
    """One translation: GPA, HPA, bytes, rights as "rwx", memory type (0, 1: NC, 2: IO)."""

    gpa: int
    hpa: int
    size: int
    perms: str
    type: int = 0


@dataclass
class Judgement:
    """What one device reaches, which pages were read to find out, and which rules were broken."""

    device_id: int | None  # None: a hart's tables
    gscid: int = 0
    iohgatp: int = 0
    leaves: list[Leaf] = field(default_factory=list)
    msis: dict[int, int] = field(default_factory=dict)  # file number -> HPA of the interrupt file
    pages: set[int] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def refuse(self, text: str) -> None:
        who = "a hart" if self.device_id is None else f"device {self.device_id:#x}"
        self.broken.append(f"{who}: {text}")


def bits(word, high, low):
    return word >> low & (1 << high - low + 1) - 1


class TooManyTables(Exception):
    """Tables that lead in circles, or more of them than the caller wants to read."""


class Directory:
    """The device directory that DDTP leads to. `read64` reads a doubleword of memory by address;
    `extended` is whether capabilities.MSI_FLAT makes contexts 64 bytes long. TooManyTables comes after
    MOST_TABLES. `napot`: who walks them knows leaves of 64 KiB [Privileged, Svnapot]; no capability tells.
    `pbmt`: and memory types [Svpbmt; capabilities.Svpbmt]."""

    def __init__(self, read64: Callable[[int], int], ddtp: int, extended: bool,
                 most_tables: int = 1 << 20, napot: bool = False, pbmt: bool = False) -> None:
        self._read, self.extended, self._left, self._napot, self._pbmt = read64, extended, most_tables, napot, pbmt
        self.mode, self.root = bits(ddtp, 3, 0), bits(ddtp, 53, 10) * PAGE
        self.pages: set[int] = set()
        self.broken: list[str] = []

    def judge(self) -> list[Judgement]:
        """A Judgement for each valid context."""
        if self.mode < 2:
            return []
        found: list[Judgement] = []
        self._level(self.root, self.mode - 2, 0, found)
        return found

    @classmethod
    def second_stage(cls, read64: Callable[[int], int], hgatp: int, most_tables: int = 1 << 20,
                     napot: bool = False, pbmt: bool = False) -> Judgement:
        """The Judgement of the tables below an hgatp."""
        reader, result = cls(read64, 0, False, most_tables, napot, pbmt), Judgement(None, bits(hgatp, 57, 44), hgatp)
        mode = bits(hgatp, 63, 60)
        if mode not in _MODE_LEVELS:
            result.broken.append(f"hgatp {hgatp:#x} has no second stage")
        else:
            reader._root(result, (hgatp & _PPN) * PAGE, mode)
        return result

    def _count(self, pages=1):
        self._left -= pages
        if self._left < 0:
            raise TooManyTables("the tables lead in circles, or there are too many of them")

    def _level(self, page, level, prefix, found):
        """Contexts below one directory page; LEVEL 0 holds contexts."""
        self._count()
        self.pages.add(page)
        leaf_bits = 6 if self.extended else 7
        if level == 0:
            size = 64 if self.extended else 32
            for index in range(1 << leaf_bits):
                words = [self._read(page + index * size + 8 * n) for n in range(size // 8)]
                if words[0] & 1:
                    found.append(self._context(prefix << leaf_bits | index, words))
            return
        for index in range(512):
            entry = self._read(page + 8 * index)
            if not entry & 1:
                continue
            if bits(entry, 9, 1) or bits(entry, 63, 54):
                self.broken.append(f"directory entry {entry:#x} has reserved bits")
            self._level(bits(entry, 53, 10) * PAGE, level - 1, prefix << 9 | index, found)

    def _context(self, device_id, words):
        """tc, iohgatp, ta, fsc, and with MSI tables msiptp, mask, pattern, reserved."""
        result = Judgement(device_id)
        tc, iohgatp, ta, fsc = words[:4]
        if tc & ~0x11:  # V and DTF; this layer uses no first stage, ATS, PRI, big-endian or A/D update
            result.refuse(f"tc {tc:#x} has bits that it must not have")
        if ta or fsc:
            result.refuse(f"a first stage or process directory: ta {ta:#x} fsc {fsc:#x}")
        mode, result.gscid, result.iohgatp = bits(iohgatp, 63, 60), bits(iohgatp, 59, 44), iohgatp
        if mode not in _MODE_LEVELS:
            result.refuse(f"iohgatp {iohgatp:#x} has no second stage")
            return result
        self._root(result, (iohgatp & _PPN) * PAGE, mode)
        if self.extended:
            self._msi(result, *words[4:])
        return result

    def _root(self, result, root, mode):
        if root % (4 * PAGE):
            result.refuse(f"the root at {root:#x} is not aligned to 16 KiB")
        result.pages |= {root + n * PAGE for n in range(4)}
        self._walk(result, root, _MODE_LEVELS[mode] - 1, 0, 11)

    def _walk(self, result, table, level, base, index_bits):
        self._count()
        for index in range(1 << index_bits):
            pte = self._read(table + 8 * index)
            if not pte & 1:
                continue
            gpa, hpa = base | index << 12 + 9 * level, bits(pte, 53, 10) * PAGE
            if level == 0 and pte >> 63 and self._napot:
                pte = self._page_of_run(result, table, index, gpa)
                hpa = bits(pte, 53, 10) * PAGE
            if bits(pte, 63, 63) or bits(pte, 60, 54):
                result.refuse(f"word {pte:#x} for GPA {gpa:#x} has reserved or N bits")
            if bits(pte, 62, 61) == 3 or bits(pte, 62, 61) and not (self._pbmt and pte & 0xe):
                result.refuse(f"word {pte:#x} for GPA {gpa:#x} has a memory type that may not be")
            if pte & 0xe:
                self._leaf(result, pte, level, gpa, hpa)
            elif level == 0 or pte & 0xd0:
                result.refuse(f"word {pte:#x} for GPA {gpa:#x} at level {level} leads nowhere")
            else:
                result.pages.add(hpa)
                self._walk(result, hpa, level - 1, gpa, 9)

    def _page_of_run(self, result, table, index, gpa):
        """One of the 16 words of a 64 KiB leaf, as a leaf of its own page."""
        pte, first = self._read(table + 8 * index), index & ~15
        if bits(pte, 13, 10) != 8 or pte & 0xc0 != 0xc0:
            result.refuse(f"word {pte:#x} for GPA {gpa:#x} is of no size that there is, or not marked")
        if any(self._read(table + 8 * (first + i)) != pte for i in range(16)):
            result.refuse(f"the words of the 64 KiB leaf around GPA {gpa:#x} differ")
        return pte & ~(1 << 63 | 15 << 10) | index % 16 << 10

    @staticmethod
    def _leaf(result, pte, level, gpa, hpa):
        size = PAGE << 9 * level
        if pte & 6 == 4:
            result.refuse(f"leaf {pte:#x} for GPA {gpa:#x} can be written but not read")
        if pte & 0xd0 != 0xd0:
            result.refuse(f"leaf {pte:#x} for GPA {gpa:#x} lacks U, A or D: hardware may fault")
        if hpa % size:
            result.refuse(f"leaf {pte:#x} for GPA {gpa:#x} is a misaligned superpage")
        perms = "".join(letter for letter, bit in (("r", 2), ("w", 4), ("x", 8)) if pte & bit)
        result.leaves.append(Leaf(gpa, hpa, size, perms, bits(pte, 62, 61)))

    def _msi(self, result, msiptp, mask, pattern, reserved):
        if reserved or bits(msiptp, 59, 44) or mask >> 52 or pattern >> 52:
            result.refuse(f"reserved bits in msiptp {msiptp:#x}, mask {mask:#x}, pattern {pattern:#x}")
        mode = bits(msiptp, 63, 60)
        if mode > 1:
            result.refuse(f"msiptp {msiptp:#x} has an unknown mode")
        if mode != 1:
            return
        table, count = (msiptp & _PPN) * PAGE, 1 << mask.bit_count()
        self._count(count * 16 // PAGE)
        if table % max(PAGE, 16 * count):
            result.refuse(f"the MSI table at {table:#x} is not aligned to its size")
        result.pages |= set(range(table, table + max(PAGE, 16 * count), PAGE))
        for index in range(count):
            self._msi_entry(result, index, self._read(table + 16 * index))

    @staticmethod
    def _msi_entry(result, index, word):
        if word & 1:
            if word & 6 != 6 or bits(word, 9, 3) or bits(word, 63, 54):
                result.refuse(f"MSI entry {index} is {word:#x}: only basic mode is in use")
            result.msis[index] = bits(word, 53, 10) * PAGE
