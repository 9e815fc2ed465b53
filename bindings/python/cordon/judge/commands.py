"""A strict reader of the command queue: which commands were written, and whether each is one that
the specification knows, with every reserved bit zero. [RISC-V IOMMU 4.1]"""

_IOTINVAL, _IOFENCE, _IODIR = 1, 2, 3
_AV, _GV, _DV = 1 << 10, 1 << 33, 1 << 33
_GSCID, _DID = 0xffff << 44, 0xffffff << 40


def _iotinval(low, high):
    """VMA or GVMA, by GSCID and address; PSCIDs, NL and S are not in use here."""
    function = low >> 7 & 7
    if function > 1 or low & ~(0x3ff | _AV | _GV | _GSCID):
        return "IOTINVAL with bits that it must not have"
    if not low & _GV and low & _GSCID:
        return "IOTINVAL with a GSCID but without GV"
    if high & ~((1 << 62) - 1 & ~0x3ff) or (high and not low & _AV):
        return "IOTINVAL with a bad address"
    return None


def _iofence(low, high):
    if low >> 7 & 7 or low & ~(0x3ff | 1 << 10 | 1 << 12 | 1 << 13 | 0xffffffff << 32):
        return "IOFENCE.C with bits that it must not have"
    if low & 1 << 10 and high >> 62:
        return "IOFENCE.C with a bad address"
    return None


def _iodir(low, high):
    function = low >> 7 & 7
    if function or low & ~(0x3ff | _DV | _DID) or high:
        return "IODIR with bits that it must not have"
    if low & _DID and not low & _DV:
        return "IODIR with a device id but without DV"
    return None


_RULES = {_IOTINVAL: _iotinval, _IOFENCE: _iofence, _IODIR: _iodir}


def judge_commands(commands):
    """COMMANDS are pairs of doublewords; a sentence for each that breaks a rule."""
    broken = []
    for low, high in commands:
        rule = _RULES.get(low & 0x7f)
        problem = rule(low, high) if rule else "an opcode that is not in use here"
        if problem:
            broken.append(f"command {low:#018x} {high:#018x}: {problem}")
    return broken
