/* The device directory: where a context is, what makes it misconfigured, and its cache
 * [IOMMU 2.1, 2.3.1]. */
#include "internal.h"

static bool is_extended(const struct cordon_model *m)
{
    return (m->cap & CAP_MSI_FLAT) != 0;
}

bool ddt_is_wide(const struct cordon_model *m, uint32_t device_id)
{
    uint32_t levels = (uint32_t)FIELD(m->ddtp, 3, 0) - MODE_1LVL;
    uint32_t first = is_extended(m) ? 6 : 7;
    uint32_t bits = levels == 2 ? 24 : first + 9 * levels;

    return device_id >> bits != 0;
}

/* Width of a guest page number: what the widest second stage can express. */
static uint32_t guest_page_bits(const struct cordon_model *m)
{
    if ((m->cap & CAP_SV57X4) != 0) {
        return 59 - 12;
    }
    if ((m->cap & CAP_SV48X4) != 0) {
        return 50 - 12;
    }
    return ((m->cap & CAP_SV39X4) != 0 ? 41 : 34) - 12;
}

/* MODE 8, 9, 10 are 3, 4, 5 levels, each with a capability bit from FIRST on; 0 is Bare. */
static bool mode_levels(const struct cordon_model *m, uint64_t mode, uint64_t first,
                        uint32_t *levels)
{
    *levels = mode == 0 ? 0 : (uint32_t)mode - 5;
    return mode == 0 || (mode >= 8 && mode <= 10 && (m->cap & first << (mode - 8)) != 0);
}

/* The MSI words; a second stage must be there too, as the release of 2026 recommends. */
static bool msi_is_sound(const struct cordon_model *m, const struct dc *dc, uint64_t word7)
{
    uint64_t mode = FIELD(dc->msiptp, 63, 60);
    uint64_t reserved = ~(BIT(guest_page_bits(m)) - 1);

    return mode <= 1 && (dc->msiptp & BITS(59, 44)) == 0 && word7 == 0 &&
           (dc->msi_mask & reserved) == 0 && (dc->msi_pattern & reserved) == 0 &&
           (mode == 0 || dc->g_levels != 0);
}

static bool tc_is_sound(const struct cordon_model *m, uint64_t tc)
{
    uint64_t allowed = TC_V | TC_DTF | TC_PDTV;

    if ((m->cap & CAP_AMO_HWAD) != 0) {
        allowed |= TC_GADE | TC_SADE;
    }
    if ((tc & TC_PDTV) != 0) {
        allowed |= TC_DPE;
    }
    return (tc & ~allowed) == 0; /* so ATS, T2GPA, SBE and SXL are refused here */
}

/* Decode WORDS into DC; false if it is misconfigured. */
static bool dc_decode(const struct cordon_model *m, const uint64_t words[8], struct dc *dc)
{
    *dc = (struct dc){.tc = words[0],
                      .iohgatp = words[1],
                      .ta = words[2],
                      .fsc = words[3],
                      .msiptp = words[4],
                      .msi_mask = words[5],
                      .msi_pattern = words[6]};
    if (!tc_is_sound(m, dc->tc) || (dc->ta & ~BITS(31, 12)) != 0 || (dc->fsc & BITS(59, 44)) != 0 ||
        !mode_levels(m, FIELD(dc->iohgatp, 63, 60), CAP_SV39X4, &dc->g_levels)) {
        return false;
    }
    if ((dc->tc & TC_PDTV) != 0) { /* no PD8, PD17 or PD20 here: only a Bare directory */
        if (FIELD(dc->fsc, 63, 60) != 0) {
            return false;
        }
    } else if (!mode_levels(m, FIELD(dc->fsc, 63, 60), CAP_SV39, &dc->s_levels)) {
        return false;
    }
    if (dc->g_levels != 0 && (dc->iohgatp & 3) != 0) {
        return false;
    }
    dc->g_root = FIELD(dc->iohgatp, 43, 0) << 12;
    dc->s_root = FIELD(dc->fsc, 43, 0) << 12;
    dc->space = dc->g_levels != 0 ? (uint32_t)FIELD(dc->iohgatp, 59, 44) : HOST_SPACE;
    dc->pscid = (uint32_t)FIELD(dc->ta, 31, 12);
    return msi_is_sound(m, dc, words[7]);
}

/* Walk the directory: the address of the context of DEVICE_ID, or a cause. */
static uint32_t ddt_locate(struct cordon_model *m, uint32_t device_id, uint64_t *out)
{
    uint32_t first = is_extended(m) ? 6 : 7;
    uint64_t table = FIELD(m->ddtp, 53, 10) << 12;

    for (uint32_t level = (uint32_t)FIELD(m->ddtp, 3, 0) - MODE_1LVL; level > 0; level--) {
        uint64_t entry;
        uint64_t index = device_id >> (first + 9 * (level - 1)) & 0x1ff;

        hpm_count(m, HPM_DDT_WALK, NULL);
        if (!mem_load64(m, table + 8 * index, &entry)) {
            return CAUSE_DDT_LOAD;
        }
        if ((entry & 1) == 0) {
            return CAUSE_DDT_INVALID;
        }
        if ((entry & ~(PPN_FIELD | 1)) != 0) {
            return CAUSE_DDT_MISCONFIGURED;
        }
        table = FIELD(entry, 53, 10) << 12;
    }
    *out = table + (device_id & ((1u << first) - 1)) * (is_extended(m) ? 64 : 32);
    return 0;
}

static uint32_t ddt_load(struct cordon_model *m, uint32_t device_id, struct dc *dc)
{
    uint64_t words[8] = {0};
    uint64_t at;
    uint32_t cause = ddt_locate(m, device_id, &at);

    m->stats.dc_loads++;
    if (cause == 0) {
        hpm_count(m, HPM_DDT_WALK, NULL);
    }
    for (uint32_t i = 0; cause == 0 && i < (is_extended(m) ? 8 : 4); i++) {
        if (!mem_load64(m, at + 8 * i, &words[i])) {
            return CAUSE_DDT_LOAD;
        }
    }
    if (cause != 0) {
        return cause;
    }
    if ((words[0] & TC_V) == 0) {
        return CAUSE_DDT_INVALID;
    }
    return dc_decode(m, words, dc) ? 0 : CAUSE_DDT_MISCONFIGURED;
}

static struct dc_slot *slot_of(struct cordon_model *m, uint32_t device_id)
{
    return &m->contexts[(device_id ^ device_id >> 10 ^ device_id >> 20) % DC_SLOTS];
}

uint32_t ddt_find(struct cordon_model *m, uint32_t device_id, bool fill, struct dc *spare,
                  const struct dc **out)
{
    struct dc_slot *slot = slot_of(m, device_id);
    uint32_t cause;

    if (slot->valid && slot->epoch == m->context_epoch && slot->device_id == device_id) {
        *out = &slot->dc;
        return 0;
    }
    cause = ddt_load(m, device_id, spare);
    if (cause != 0) {
        return cause; /* invalid and misconfigured ones are never kept */
    }
    *out = spare;
    if (fill && (m->config.flags & CORDON_MODEL_NO_DC_CACHE) == 0) {
        *slot = (struct dc_slot){*spare, device_id, m->context_epoch, true};
        *out = &slot->dc;
    }
    return 0;
}

void ddt_forget(struct cordon_model *m, uint32_t device_id)
{
    struct dc_slot *slot = slot_of(m, device_id);

    if (slot->device_id == device_id) {
        slot->valid = false;
    }
}

void ddt_forget_all(struct cordon_model *m)
{
    m->context_epoch++;
}
