"""A device context as it stands in memory, and the rules that make it misconfigured.
[RISC-V IOMMU 2.1.3, 2.1.4]"""
from dataclasses import dataclass


class Stop(Exception):
    """The request faults here: a cause code of the specification, and a sentence."""

    def __init__(self, cause, reason):
        super().__init__(f"cause {cause}: {reason}")
        self.cause, self.reason = cause, reason


class Unsupported(Exception):
    """The tables use something of the specification that this judge does not judge, by name."""


def bits(word, high, low):
    """Bits HIGH to LOW of a word."""
    return word >> low & (1 << high - low + 1) - 1


def _tc(bit):
    """The property that a bit of tc is."""
    return property(lambda self: bool(self.tc >> bit & 1))


@dataclass(frozen=True)
class DeviceContext:
    """The doublewords in their order; the base format ends with fsc."""

    tc: int
    iohgatp: int
    ta: int
    fsc: int
    msiptp: int = 0
    msi_mask: int = 0
    msi_pattern: int = 0
    reserved: int = 0

    ats, pri, t2gpa, dtf, pdtv, prpr, gade, sade, dpe, sbe, sxl = map(_tc, range(1, 12))

    @property
    def second_mode(self):
        return bits(self.iohgatp, 63, 60)

    @property
    def gscid(self):
        return bits(self.iohgatp, 59, 44)

    @property
    def first_mode(self):
        """iosatp.MODE; with a process directory, a request without process id is Bare."""
        return 0 if self.pdtv else bits(self.fsc, 63, 60)

    def is_msi(self, gpa):
        if bits(self.msiptp, 63, 60) != 1:
            return False
        return gpa >> 12 & ~self.msi_mask == self.msi_pattern & ~self.msi_mask

    def check(self, capabilities):
        """Stop where the context is not valid or misconfigured."""
        if not self.tc & 1:
            raise Stop(258, "the device context is not valid")
        for sentence in self.mistakes(capabilities):
            raise Stop(259, f"the device context is misconfigured: {sentence}")
        if self.sxl or self.sbe:
            raise Unsupported("first stages of 32 bits or big-endian (tc.SXL, tc.SBE)")
        if self.pdtv and self.dpe:
            raise Unsupported("process directories (tc.DPE)")

    def mistakes(self, capabilities):
        """Each rule of [2.1.4] that is broken, as a sentence."""
        def has(bit):
            return bool(capabilities >> bit & 1)
        second, first = self.second_mode, bits(self.fsc, 63, 60)
        rules = [
            (bits(self.tc, 23, 12) or bits(self.tc, 63, 32), "reserved bits in tc"),
            (bits(self.tc, 31, 24), "custom bits in tc that mean nothing here"),
            (bits(self.ta, 11, 0) or bits(self.ta, 39, 32), "reserved bits in ta"),
            (bits(self.ta, 63, 40) and not has(41), "RCID or MCID without QOSID"),
            (bits(self.fsc, 59, 44), "reserved bits in fsc"),
            (self.reserved, "the last doubleword is not zero"),
            ((self.ats or self.pri or self.prpr) and not has(25), "ATS bits without ATS"),
            (self.t2gpa and not (has(26) and self.ats and second), "T2GPA without what it needs"),
            (self.pri and not self.ats, "EN_PRI without EN_ATS"),
            (self.prpr and not self.pri, "PRPR without EN_PRI"),
            (self.dpe and not self.pdtv, "DPE without PDTV"),
            ((self.gade or self.sade) and not has(24), "GADE or SADE without AMO_HWAD"),
            (self.sbe and not has(27), "SBE is not fctl.BE"),
            (self.sxl and not has(8), "SXL without Sv32"),
            (second not in (0, 8, 9, 10) or second and not has(second + 9), "the mode of iohgatp"),
            (second and self.iohgatp & 3, "a second-stage root that is not at 16 KiB"),
            (self.pdtv and (first > 3 or first and not has(first + 37)), "the mode of pdtp"),
            (not self.pdtv and (first not in (0, 8, 9, 10) or first and not has(first + 1)),
             "the mode of iosatp"),
            *self._msi_rules(capabilities),
        ]
        return [sentence for broken, sentence in rules if broken]

    def _msi_rules(self, capabilities):
        widest = next((w for bit, w in ((19, 47), (18, 38), (17, 29)) if capabilities >> bit & 1), 22)
        return [
            (bits(self.msiptp, 63, 60) > 1, "the mode of msiptp"),
            (bits(self.msiptp, 59, 44), "reserved bits in msiptp"),
            ((self.msi_mask | self.msi_pattern) >> widest, "reserved bits in mask or pattern"),
            (bits(self.msiptp, 63, 60) == 1 and not self.second_mode, "an MSI table with Bare iohgatp"),
        ]
