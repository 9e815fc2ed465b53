"""The known differences of QEMU's RISC-V IOMMU from the specification, in one table.

A row says what QEMU does, which section of the specification it touches, in which versions it was
seen, and has a probe that sees it again: a function of a Bench that answers True for what the row
says, False for what the specification says. Some rows are things that the specification permits; they
stand here because a test that runs on QEMU cannot see their opposite.
"""
from dataclasses import dataclass
from typing import Any, Callable

from . import bridges, caching, contexts, msis, records, registers, stages

LOOKED_AT = (10, 0, 2), (10, 0, 13), (11, 1, 3)  # Debian's packages
FIRST, LAST = LOOKED_AT[0], LOOKED_AT[-1]


@dataclass(frozen=True)
class Row:
    """One difference. Seen from version `first` to `last`, both included, and not from `gone` on;
    between `last` and `gone` nobody has looked. Without a probe, `why` says why there is none. The
    machine of the probe has QEMU's `arguments` besides."""

    id: str
    sentence: str
    section: str
    probe: Callable | None = None
    last: tuple = LAST
    gone: tuple | None = None
    why: str = ""
    first: tuple = FIRST
    arguments: tuple = ()

    def expected(self, version):
        """Whether this version differs: True, False, or None where nobody has looked."""
        if self.first <= version <= self.last:
            return True
        if self.gone is not None and self.gone <= version <= LAST:
            return False
        return None

    def nearest(self, version):
        """What was seen of the version that is nearest to an unknown one."""
        known = self.expected(version)
        if known is None:
            known = self.gone is None or version < self.gone
        return known

    @property
    def versions(self):
        span = f"{text_of(self.first)} to {text_of(self.last)}"
        if self.first == self.last:
            span = text_of(self.first)
        return span + (f"; not in {text_of(self.gone)}" if self.gone else "")


def text_of(version):
    return ".".join(map(str, version))


_OLD: dict[str, Any] = {"last": (10, 0, 2), "gone": (10, 0, 13)}
_TEN: dict[str, Any] = {"last": (10, 0, 13), "gone": (11, 1, 3)}

ROWS = (
    # What is cached, and what drops it.
    Row("identity-not-cached",
        "a translation to the same address (IOVA = host address) is never cached, which is permitted",
        "2.8", caching.identity_is_not_cached),
    Row("superpage-by-page", "of a superpage 4 KiB are cached at a time: each page of it misses once, which is permitted",
        "2.8, 5.23", caching.superpage_is_cached_by_pages, last=FIRST),
    Row("gvma-superpage", "IOTINVAL.GVMA with an address drops 4 KiB of a superpage, not all of it",
        "3.1.1", caching.superpage_is_dropped_by_pages),
    Row("gvma-nested",
        "IOTINVAL.GVMA with an address is matched against the IOVA where there are two stages",
        "3.1.1", caching.nested_is_matched_by_iova),
    Row("off-cached", "after ddtp = Off a device whose context is cached goes on", "5.5",
        caching.off_does_not_stop_a_cached_device, **_OLD),
    Row("bare-cached",
        "from Bare to a directory a device that has done DMA goes on unchecked until IODIR.INVAL_DDT",
        "5.5", caching.bare_outlives_its_mode, **_TEN),
    Row("far-pages-alias", "pages whose addresses differ only above bit 55 share a cached translation",
        "2.8", caching.far_pages_alias),
    Row("reset-keeps-bases", "cqb and fqb outlive a reset, which is permitted", "5.2",
        caching.reset_keeps_queue_bases),
    # Page tables.
    Row("leaf-user", "a leaf of the second stage without U is used", "2.3; Priv 21.5.1",
        stages.user_bit_is_not_checked, **_OLD),
    Row("leaf-accessed", "a leaf without A is written through", "2.4",
        stages.accessed_bit_is_not_checked_on_writes, **_OLD),
    Row("leaf-reserved", "bits 54 to 60 of a leaf are taken as address, no fault is told",
        "2.3; Priv 12.4", stages.reserved_bits_of_leaves, **_OLD),
    Row("leaf-pbmt", "PBMT in a leaf is no fault though capabilities.Svpbmt is 0", "5.3; Priv 14",
        stages.memory_types_of_leaves),
    Row("table-flags", "A, D or U in a word that leads to a table is no fault", "2.3; Priv 12.4",
        stages.flags_of_tables),
    Row("table-high-bits", "N or PBMT in a word that leads to a table is no fault", "2.3; Priv 13, 14",
        stages.high_bits_of_tables),
    Row("napot", "N in a leaf is ignored: all 16 pages of the run lead to one", "2.3; Priv 13",
        stages.napot_is_not_known, **_OLD),
    Row("root-alignment", "a root of the second stage that is aligned to 4 KiB only is used", "2.1.3.2",
        stages.root_needs_no_alignment, **_OLD),
    Row("pdt-host-address", "the process directory is read by host address, past the second stage",
        "2.2, 2.3.2", stages.process_directory_is_read_by_host_address, **_OLD),
    Row("no-memory-silent", "a page that leads where no memory is: nothing lands, nothing is told", "2.3",
        stages.nothing_is_told_of_what_is_no_memory),
    # Device contexts.
    Row("dc-tc-reserved", "reserved bits of tc are ignored", "2.1.4", contexts.reserved_bits_of_tc, **_TEN),
    Row("dc-ta-reserved", "reserved bits of ta are ignored", "2.1.4", contexts.reserved_bits_of_ta),
    Row("dc-qosid", "ta.RCID and MCID are ignored though capabilities.QOSID is 0", "2.1.4",
        contexts.quality_of_service_ids),
    Row("dc-fsc-reserved", "reserved bits of fsc are ignored", "2.1.4", contexts.reserved_bits_of_fsc),
    Row("dc-msi-reserved", "reserved bits of msiptp, msi_addr_mask and msi_addr_pattern are ignored",
        "2.1.4", contexts.reserved_bits_of_msis),
    Row("dc-last-word", "the eighth word of a context may be anything", "2.1.4", contexts.last_word),
    Row("dc-gade", "GADE is accepted though capabilities.AMO_HWAD is 0", "2.1.4",
        contexts.gade_without_capability, **_OLD),
    Row("dc-sade", "SADE is accepted though capabilities.AMO_HWAD is 0", "2.1.4",
        contexts.sade_without_capability),
    Row("gade-no-update", "with GADE a leaf without A and D is used and they are not set", "2.4",
        contexts.gade_updates_nothing, **_OLD),
    Row("dc-sxl", "SXL = 1 is accepted though fctl.GXL is 0", "2.1.4", contexts.sxl),
    Row("dc-msi-bare", "flat MSI tables are accepted without a second stage", "2.1.4",
        contexts.flat_msis_without_second_stage),
    Row("dc-fsc-mode", "an unknown fsc.MODE is told as cause 258, not 259", "2.1.4",
        contexts.first_stage_modes),
    # Fault records.
    Row("cached-rights-silent", "a write to a read-only page is refused and, if it is cached, not told",
        "3.2", records.cached_rights_are_refused_silently),
    Row("record-per-word", "one refused request makes a record for each four bytes of it", "3.2",
        records.one_record_for_each_four_bytes),
    Row("ttyp-read", "a refused read is told as a write (TTYP 3)", "3.2",
        records.reads_are_told_as_writes, **_OLD),
    Row("ttyp-context", "a write without a context is told as a read (TTYP 2)", "3.2",
        records.writes_are_told_as_reads, **_OLD),
    Row("iotval-context", "iotval is 0 where a context is missing", "3.2",
        records.address_is_not_told_without_context, **_OLD),
    Row("iotval-msi", "iotval is 0 where an MSI is refused", "3.2",
        msis.address_of_a_refused_msi_is_not_told),
    Row("iotval2", "iotval2 is 0 for guest-page faults of one stage", "3.2",
        records.guest_address_is_not_told, **_OLD),
    Row("pv", "PV is 1 for requests without a process", "3.2", records.process_id_is_called_valid, **_TEN),
    Row("fqof-any-write", "fqcsr.fqof is cleared by any write, not by a 1", "5.16",
        records.overflow_is_cleared_by_any_write),
    Row("translation-request", "tr_response.PPN is not the page that was found", "5.26",
        records.translation_request_tells_a_wrong_page, **_TEN),
    # MSIs.
    Row("msi-offset", "an MSI arrives at the beginning of the page, whatever its offset", "2.3.3",
        msis.offset_is_lost),
    Row("msi-256-files", "an MSI for an interrupt file beyond number 255 is refused", "2.1.3.6, 2.3.3",
        msis.only_256_files, **_OLD),
    Row("msi-reserved", "reserved bits of an MSI page table entry are ignored", "2.3.3",
        msis.reserved_bits_of_entries, **_OLD),
    Row("msi-after-cache", "MSIs follow the second stage once their page has been read through it",
        "2.3.3", msis.second_stage_wins_when_cached),
    Row("msi-dma-write", "a write to an MSI page that is no MSI is dropped and not told", "2.3.3",
        msis.ordinary_writes_are_dropped),
    Row("msi-mask", "vec_ctl.M does not hold back the IOMMU's own MSIs", "5.29",
        msis.mask_of_own_msis_is_ignored),
    # Commands and registers.
    Row("fence-wire", "IOFENCE.C with WSI never sets fence_w_ip", "3.1.2", registers.fence_raises_no_wire),
    Row("command-reserved", "reserved bits of IOTINVAL and IODIR are ignored", "3.1.1, 3.1.3",
        registers.reserved_bits_of_commands),
    Row("fence-reserved", "reserved bits of IOFENCE.C are ignored", "3.1.2",
        registers.reserved_bits_of_fences, **_TEN),
    Row("queue-restart", "a command queue whose error was cleared waits for a write of cqt", "3.1",
        registers.stopped_queue_waits_for_its_tail, **_TEN),
    Row("ipsr", "a write of ipsr clears pending bits that were not written", "5.18",
        registers.pending_bits_go_together),
    Row("fctl-be", "fctl.BE can be set though capabilities.END is 0, and changes nothing", "5.4",
        registers.big_endian_can_be_chosen, **_TEN),
    Row("never-busy", "ddtp, cqcsr and fqcsr are never seen busy, which is permitted", "5.5, 5.15, 5.16",
        registers.busy_is_never_seen),
    Row("hpm-gscid", "with IDT = 1 counters count requests and directory walks, too", "5.23",
        registers.gscid_selects_requests, last=FIRST),
    # Around the IOMMU.
    Row("bridge-device-id", "a device that stood behind a bridge at the start has device id 0 for its DMA",
        "2.1", bridges.device_is_on_bus_zero, arguments=bridges.ARGUMENTS, **_OLD),
    # What no probe can see from here.
    Row("fence-order", "IOFENCE.C ignores PR and PW", "3.1.2",
        why="requests are over before a command is read: there is nothing to wait for"),
    Row("msi-table-end", "the MSI table has 5 vectors; accesses above offset 0x350 are bus errors", "5.29",
        why="a bus error is seen by a hart only, and no guest runs here"),
    Row("tc-page-requests", "bit 32 of tc, reserved, makes page requests of failed ATS requests", "2.1.3.1",
        why="no device of QEMU's makes ATS requests without a guest's driver"),
    Row("ats-commands", "ATS.INVAL and ATS.PRGR are executed at once and reach no device", "3.1.4",
        why="no device of QEMU's answers them"),
)
_BY_ID = {row.id: row for row in ROWS}


def row(row_id):
    """The row; KeyError where there is none."""
    return _BY_ID[row_id]


def known(row_id, version=None):
    """Whether QEMU of this version, such as (10, 0, 2), is known to differ as the row says; without a
    version, whether any is. KeyError for a row that does not exist."""
    found = _BY_ID[row_id]
    return True if version is None else found.expected(tuple(version)) is True
