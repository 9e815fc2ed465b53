/* Flat MSI tables, basic mode [IOMMU 2.3.3; AIA 9.5]. */
#include "internal.h"

bool msi_matches(const struct dc *dc, uint64_t gpa)
{
    return FIELD(dc->msiptp, 63, 60) == 1 &&
           ((gpa >> 12) & ~dc->msi_mask) == (dc->msi_pattern & ~dc->msi_mask);
}

/* The bits of PAGE under MASK, packed: the number of an interrupt file. */
static uint64_t extract(uint64_t page, uint64_t mask)
{
    uint64_t packed = 0;

    for (uint32_t n = 0; mask != 0; mask &= mask - 1, n++) {
        packed |= (page >> __builtin_ctzll(mask) & 1) << n;
    }
    return packed;
}

static uint32_t msi_load(struct cordon_model *m, const struct dc *dc, uint64_t gpa, uint64_t *pte)
{
    uint64_t file = extract(gpa >> 12, dc->msi_mask);
    uint64_t ignored;

    if (file >> 40 != 0) {
        return CAUSE_MSI_LOAD;
    }
    if (!mem_load64(m, (FIELD(dc->msiptp, 43, 0) << 12) | file * 16, pte) ||
        !mem_load64(m, ((FIELD(dc->msiptp, 43, 0) << 12) | file * 16) + 8, &ignored)) {
        return CAUSE_MSI_LOAD;
    }
    if ((*pte & 1) == 0) {
        return CAUSE_MSI_INVALID;
    }
    /* M = 3 is basic mode; MRIF (1) is not here, 0 and 2 are reserved, and so is C */
    if (FIELD(*pte, 2, 1) != 3 || (*pte & (BITS(9, 3) | BITS(63, 54))) != 0) {
        return CAUSE_MSI_MISCONFIGURED;
    }
    return 0;
}

uint32_t msi_translate(struct cordon_model *m, const struct dc *dc, uint64_t gpa, uint32_t access,
                       bool fill, struct leaf *out)
{
    bool cached = (m->config.flags & CORDON_MODEL_NO_MSI_CACHE) == 0;
    struct entry *e = cached ? cache_find(&m->msi_cache, dc->space, 0, gpa >> 12) : NULL;
    uint64_t pte;
    uint32_t cause;

    if (e != NULL) {
        *out = (struct leaf){.ppn = e->ppn, .perms = e->perms};
    } else {
        cause = msi_load(m, dc, gpa, &pte);
        if (cause != 0) {
            return cause;
        }
        *out = (struct leaf){.ppn = FIELD(pte, 53, 10), .perms = 3};
        if (cached && fill) {
            cache_put(&m->msi_cache, dc->space, 0, gpa >> 12, out);
        }
    }
    /* Step 15: what the access may do is looked at last. */
    return (access & CORDON_MODEL_EXEC) != 0 ? CAUSE_INSN_ACCESS : 0;
}
