/* Devices behind the fake: contexts looked up as the specification says, and faults recorded. */
#include "fake_iommu.h"

#include <string.h>

#define TC_DTF 0x10u
#define FQCSR_FIE 2u
#define FQCSR_FQMF (1u << 8)
#define FQCSR_FQOF (1u << 9)
#define CSR_ON (1u << 16)
#define PPN_SHIFTED 0x3ffffffffffc00ull

void *fake_ram(const struct fake_iommu *f, uint64_t hpa, uint64_t len)
{
    if (hpa < f->ram_hpa || len > f->ram_len || hpa - f->ram_hpa > f->ram_len - len) {
        return NULL;
    }
    return f->ram + (hpa - f->ram_hpa);
}

/* ---- caches ------------------------------------------------------------------------------- */

void fake_drop(struct fake_entry *cache, bool by_device, uint32_t device_id, bool by_gscid,
               uint64_t gscid, bool by_page, uint64_t page)
{
    for (uint32_t i = 0; i < FAKE_CACHE; i++) {
        struct fake_entry *e = &cache[i];

        if ((!by_device || e->device_id == device_id) && (!by_gscid || e->gscid == gscid) &&
            (!by_page || e->page == page)) {
            e->valid = false;
        }
    }
}

static void cache_put(struct fake_iommu *f, struct fake_entry *cache, const struct fake_entry *e)
{
    for (uint32_t i = 0; i < FAKE_CACHE; i++) {
        if (!cache[i].valid) {
            cache[i] = *e;
            return;
        }
    }
    fake_violate(f, "the fake's cache is too small for this test");
}

const struct fake_entry *fake_context(const struct fake_iommu *f, uint32_t device_id)
{
    for (uint32_t i = 0; i < FAKE_CACHE; i++) {
        if (f->contexts[i].valid && f->contexts[i].device_id == device_id) {
            return &f->contexts[i];
        }
    }
    return NULL;
}

bool fake_holds_page(const struct fake_iommu *f, uint64_t gscid, uint64_t page)
{
    for (uint32_t i = 0; i < FAKE_CACHE; i++) {
        const struct fake_entry *e = &f->pages[i];

        if (e->valid && e->gscid == gscid && e->page == page) {
            return true;
        }
    }
    return false;
}

/* ---- contexts [IOMMU 2.1, 2.3.1] ---------------------------------------------------------- */

/* The causes are 257 (not readable), 258 (not valid), 259 (misconfigured), 260 (id too wide). */
static uint32_t find_context(struct fake_iommu *f, uint32_t device_id, const uint64_t **out)
{
    bool extended = (f->capabilities & FAKE_CAP_MSI_FLAT) != 0;
    unsigned leaf_bits = extended ? 6 : 7;
    unsigned levels = (unsigned)(f->ddtp & 15) - 1;
    unsigned width = levels == 3 ? 24 : leaf_bits + 9 * (levels - 1);
    uint64_t table = (f->ddtp & PPN_SHIFTED) << 2;

    if (device_id >> width != 0) {
        return 260;
    }
    for (unsigned level = levels - 1; level > 0; level--) {
        uint64_t index = device_id >> (leaf_bits + 9 * (level - 1)) & 511;
        const uint64_t *entry = fake_ram(f, table + 8 * index, 8);

        if (entry == NULL) {
            return 257;
        }
        if ((*entry & 1) == 0) {
            return 258;
        }
        if ((*entry & ~(PPN_SHIFTED | 1)) != 0) {
            return 259;
        }
        table = (*entry & PPN_SHIFTED) << 2;
    }
    table += (uint64_t)(device_id & ((1u << leaf_bits) - 1)) * (extended ? 64 : 32);
    *out = fake_ram(f, table, extended ? 64 : 32);
    return *out == NULL ? 257 : 0;
}

/* [IOMMU 2.1.4], for contexts without ATS, process ids, or a first stage. */
static bool misconfigured(const struct fake_iommu *f, const uint64_t *dc)
{
    bool extended = (f->capabilities & FAKE_CAP_MSI_FLAT) != 0;
    uint64_t mode = dc[1] >> 60;
    bool known = (mode == 8 && (f->capabilities >> 17 & 1) != 0) ||
                 (mode == 9 && (f->capabilities >> 18 & 1) != 0) ||
                 (mode == 10 && (f->capabilities >> 19 & 1) != 0);

    uint64_t may = TC_DTF | ((f->capabilities & FAKE_CAP_AMO_HWAD) != 0 ? 0x80 : 0);

    if ((dc[0] & ~may) != 1 || !known || (dc[1] & 3) != 0 || dc[2] != 0 || dc[3] != 0) {
        return true;
    }
    if (!extended) {
        return false;
    }
    return (dc[4] >> 60 > 1) || (dc[4] >> 44 & 0xffff) != 0 || dc[5] >> 52 != 0 ||
           dc[6] >> 52 != 0 || dc[7] != 0;
}

static uint32_t load_context(struct fake_iommu *f, uint32_t device_id)
{
    struct fake_entry e = {.valid = true, .device_id = device_id};
    const uint64_t *dc = NULL;
    uint32_t cause;

    if ((f->ddtp & 15) < 2) {
        return 256;
    }
    cause = find_context(f, device_id, &dc);
    if (cause != 0) {
        return cause;
    }
    if ((dc[0] & 1) == 0) {
        return 258;
    }
    if (misconfigured(f, dc)) {
        return 259;
    }
    memcpy(e.dc, dc, (f->capabilities & FAKE_CAP_MSI_FLAT) != 0 ? 64 : 32);
    e.gscid = dc[1] >> 44 & 0xffff;
    cache_put(f, f->contexts, &e);
    return 0;
}

uint32_t fake_access(struct fake_iommu *f, uint32_t device_id, uint64_t page)
{
    struct fake_entry e = {.valid = true, .page = page};

    if (fake_context(f, device_id) == NULL) {
        uint32_t cause = load_context(f, device_id);

        if (cause != 0) {
            return cause;
        }
    }
    e.gscid = fake_context(f, device_id)->gscid;
    if (!fake_holds_page(f, e.gscid, page)) {
        cache_put(f, f->pages, &e);
    }
    return 0;
}

/* ---- debug translation [IOMMU 5.26], through Sv39x4 --------------------------------------- */

/* Recorded like a device's, as QEMU 10.0.13 does. */
static uint64_t debug_fault(struct fake_iommu *f, uint32_t device_id, uint64_t gpa)
{
    if ((fake_context(f, device_id)->dc[0] & TC_DTF) == 0) {
        fake_fault(f, 21, 2, device_id, gpa);
    }
    return 1;
}

uint64_t fake_debug(struct fake_iommu *f, uint32_t device_id, uint64_t gpa)
{
    const uint64_t *word = NULL;
    uint64_t table = 0, ppn;

    f->tr_answer = (struct fake_answer){.busy = false};
    if (fake_access(f, device_id, gpa >> 12) != 0) {
        return 1;
    }
    table = (fake_context(f, device_id)->dc[1] & ((1ull << 44) - 1)) << 12;
    for (unsigned level = 3; level-- > 0;) {
        word = fake_ram(f, table + 8 * (gpa >> (12 + 9 * level) & (level == 2 ? 2047 : 511)), 8);
        if (word == NULL || (*word & 1) == 0 || ((*word & 0xe) != 0 && level > 0)) {
            return debug_fault(f, device_id, gpa);
        }
        table = (*word & PPN_SHIFTED) << 2;
    }
    ppn = *word >> 10 & ((1ull << 44) - 1);
    if (*word >> 63 == 0 || f->napot == FAKE_NAPOT_IGNORED) {
        return ppn << 10;
    }
    if ((ppn & 15) != 8 && f->napot != FAKE_NAPOT_ANY_SIZE) {
        return debug_fault(f, device_id, gpa);
    }
    return f->napot == FAKE_NAPOT_RANGE ? (ppn & ~15ull) << 10 | 7 << 10 | 1 << 9
                                        : ((ppn & ~15ull) | (gpa >> 12 & 15)) << 10;
}

/* ---- faults [IOMMU 3.2] ------------------------------------------------------------------- */

void fake_fault(struct fake_iommu *f, uint32_t cause, uint32_t ttyp, uint32_t device_id,
                uint64_t iova)
{
    uint32_t mask = ~0u >> (31 - (f->fq.base & 31));
    uint64_t ring = (f->fq.base & ~0x3ffull) << 2;
    uint64_t *at = fake_ram(f, ring + 32ull * f->fq.tail, 32);

    if ((f->fq.csr & CSR_ON) == 0 || (f->fq.csr & (FQCSR_FQMF | FQCSR_FQOF)) != 0) {
        return;
    }
    if (at == NULL) {
        f->fq.csr |= FQCSR_FQMF;
    } else if (((f->fq.tail + 1) & mask) == f->fq.head) {
        f->fq.csr |= FQCSR_FQOF;
    } else {
        at[0] = cause | (uint64_t)ttyp << 34 | (uint64_t)device_id << 40;
        at[1] = 0;
        at[2] = iova;
        at[3] = iova & ~3ull;
        f->fq.tail = (f->fq.tail + 1) & mask;
    }
    if ((f->fq.csr & FQCSR_FIE) != 0) {
        f->ipsr |= 2;
    }
}
