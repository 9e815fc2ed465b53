"""The only code that a hart runs here: it sleeps, and reads or writes interrupt files when asked.

A sleeping hart is what makes QEMU's virtual clock jump to the next timer (-icount sleep=off), and a
guest's interrupt files can be looked at only through a hart's registers [AIA 2.1, 3.8; Priv hstatus].
"""
import struct
import time

SIZE = 0x1000      # the frame that program and mailbox take, at the hart's reset address
_MAILBOX = 0x800   # op, hstatus, select, value, hgeip: five doublewords
_MSIP = 0x2000000  # hart 0's software interrupt
_READ, _WRITE = 1, 2
_VGEIN_SHIFT = 12

_PROGRAM = (
    0x30445073,  # csrwi mie, 8            wake up for a software interrupt
    0x00000517,  # auipc a0, 0
    0x7fc50513,  # addi  a0, a0, 2044      a0 = mailbox
    0x020005b7,  # lui   a1, 0x2000        a1 = msip
    0x10500073,  # loop: wfi
    0x00053303,  # ld    t1, 0(a0)         op
    0xfe030ce3,  # beqz  t1, loop
    0x0005a023,  # sw    zero, 0(a1)
    0x00853383,  # ld    t2, 8(a0)
    0x60039073,  # csrw  hstatus, t2       VGEIN chooses the file
    0x01053383,  # ld    t2, 16(a0)
    0x25039073,  # csrw  vsiselect, t2
    0x01853383,  # ld    t2, 24(a0)
    0x00100e93,  # li    t4, 1
    0x01d30463,  # beq   t1, t4, read
    0x25139073,  # csrw  vsireg, t2
    0x251023f3,  # read: csrr t2, vsireg
    0x00753c23,  # sd    t2, 24(a0)
    0xe12023f3,  # csrr  t2, hgeip
    0x02753023,  # sd    t2, 32(a0)
    0x0ff0000f,  # fence
    0x00053023,  # sd    zero, 0(a0)       answered
    0xfb9ff06f,  # j     loop
)

EIDELIVERY, EITHRESHOLD, EIP0, EIE0 = 0x70, 0x72, 0x80, 0xc0


class Hart:
    """Hart 0, running the program above at ADDRESS of the shared RAM."""

    def __init__(self, qtest, ram, timeout=5.0):
        self._qtest, self._ram, self._timeout = qtest, ram, timeout

    def install(self):
        self._ram[:4 * len(_PROGRAM)] = struct.pack(f"<{len(_PROGRAM)}I", *_PROGRAM)

    def _ask(self, op, file, select, value=0):
        self._ram[_MAILBOX + 8:_MAILBOX + 32] = struct.pack("<3Q", file << _VGEIN_SHIFT, select, value)
        self._ram[_MAILBOX:_MAILBOX + 8] = struct.pack("<Q", op)
        self._qtest.write(4, _MSIP, 1)
        deadline = time.monotonic() + self._timeout
        while any(self._ram[_MAILBOX:_MAILBOX + 8]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the hart did not answer for guest interrupt file {file}")
            self._qtest.read(4, _MSIP)
        return struct.unpack("<2Q", self._ram[_MAILBOX + 24:_MAILBOX + 40])

    def file_enable(self, file):
        """Enable guest interrupt file FILE (1...) and all its identities."""
        ones = (1 << 64) - 1
        for select, value in ((EIDELIVERY, 1), (EITHRESHOLD, 0), (EIE0, ones), (EIE0 + 2, ones)):
            self._ask(_WRITE, file, select, value)

    def file_pending(self, file, identities=256):
        """The set of identities that are pending in guest interrupt file FILE."""
        pending = set()
        for first in range(0, identities, 64):
            word, _ = self._ask(_READ, file, EIP0 + first // 32)
            pending |= {first + bit for bit in range(64) if word >> bit & 1}
        return pending

    def file_clear(self, file):
        for first in range(0, 256, 64):
            self._ask(_WRITE, file, EIP0 + first // 32, 0)

    def files_signalled(self):
        """The guest interrupt files that now signal their guests (hgeip)."""
        _, hgeip = self._ask(_READ, 1, EIDELIVERY)
        return {bit for bit in range(64) if hgeip >> bit & 1}
