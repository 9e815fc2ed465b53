/* The two walkers [IOMMU 2.3; Priv 12.3, 21.5]. Levels count from 0 at the leaf. The second stage
 * has two more bits at its root, no sign, and U in each leaf. */
#include "internal.h"

#define READ CORDON_MODEL_READ
#define WRITE CORDON_MODEL_WRITE
#define EXEC CORDON_MODEL_EXEC

/* What is wrong with a word, whatever the access is. */
enum walk_end pte_check(const struct cordon_model *m, uint64_t pte, uint32_t level, bool *is_leaf)
{
    uint64_t pbmt = FIELD(pte, 62, 61);

    if ((pte & PTE_V) == 0 || (pte & (PTE_R | PTE_W)) == PTE_W || (pte & BITS(60, 54)) != 0) {
        return WALK_PAGE;
    }
    if (pbmt == 3 || (pbmt != 0 && (m->cap & CAP_SVPBMT) == 0)) {
        return WALK_PAGE;
    }
    *is_leaf = (pte & (PTE_R | PTE_X)) != 0;
    if (!*is_leaf) {
        bool clean = (pte & (PTE_A | PTE_D | PTE_U | PTE_N)) == 0 && pbmt == 0;

        return clean && level != 0 ? WALK_OK : WALK_PAGE;
    }
    if ((pte & PTE_N) != 0) {
        return level == 0 && FIELD(pte, 13, 10) == 8 ? WALK_OK : WALK_PAGE;
    }
    return (FIELD(pte, 53, 10) & (BIT(9 * level) - 1)) == 0 ? WALK_OK : WALK_PAGE;
}

static struct leaf leaf_of(uint64_t pte, uint32_t level)
{
    uint64_t ppn = FIELD(pte, 53, 10);
    bool napot = (pte & PTE_N) != 0;

    return (struct leaf){.ppn = napot ? ppn & ~15ull : ppn,
                         .shift = (uint8_t)(napot ? 4 : 9 * level),
                         .perms = (uint8_t)FIELD(pte, 3, 1),
                         .pbmt = (uint8_t)FIELD(pte, 62, 61),
                         .global = (pte & PTE_G) != 0,
                         .dirty = (pte & PTE_D) != 0};
}

static bool is_allowed(const struct leaf *leaf, uint32_t access)
{
    return (access & ~(uint32_t)leaf->perms) == 0;
}

/* A, and D for a write: set by us where the context says so, else asked for. */
static enum walk_end mark_used(struct cordon_model *m, uint64_t hpa, uint64_t pte, uint32_t access,
                               bool by_us, bool quiet)
{
    uint64_t wanted = PTE_A | ((access & WRITE) != 0 ? PTE_D : 0);
    uint64_t *at = mem_at(m, hpa, 8);

    if ((pte & wanted) == wanted) {
        return WALK_OK;
    }
    if (!by_us) {
        return WALK_PAGE;
    }
    if (at == NULL) {
        return WALK_ACCESS;
    }
    if (!quiet && !__atomic_compare_exchange_n(at, &pte, pte | wanted, false, __ATOMIC_SEQ_CST,
                                               __ATOMIC_SEQ_CST)) {
        return WALK_AGAIN;
    }
    return WALK_OK;
}

/* Where a second-stage walk begins: at the lowest table that is known, or the root. Returns the
 * number of levels from there on. A table may be gone since, as long as nobody has told us. */
static uint32_t begin(struct cordon_model *m, const struct dc *dc, uint64_t gpa, bool cached,
                      uint64_t *table)
{
    for (uint32_t levels = 1; cached && levels < dc->g_levels; levels++) {
        const struct entry *e = cache_find_at(&m->tables2, dc->space, 0, gpa >> 12, 9 * levels);

        if (e != NULL) {
            *table = e->ppn << 12;
            return levels;
        }
    }
    *table = dc->g_root;
    return dc->g_levels;
}

static enum walk_end second_from_memory(struct cordon_model *m, const struct dc *dc, uint64_t gpa,
                                        uint32_t access, bool fill, struct leaf *out)
{
    bool cached = (m->config.flags & CORDON_MODEL_NO_STAGE_CACHE) == 0;
    uint64_t table;
    uint32_t levels;

    if (gpa >> (9 * dc->g_levels + 14) != 0) {
        return WALK_PAGE;
    }
    m->stats.walks++;
    levels = begin(m, dc, gpa, cached, &table);
    for (uint32_t level = levels; level-- > 0;) {
        uint64_t index_mask =
            level + 1 == dc->g_levels ? 0x7ff : 0x1ff; /* the root is four pages */
        uint64_t hpa = table + 8 * (gpa >> (12 + 9 * level) & index_mask);
        uint64_t pte;
        bool is_leaf;

        hpm_count(m, HPM_SECOND_WALK, dc);
        if (!mem_load64(m, hpa, &pte)) {
            return WALK_ACCESS;
        }
        if (pte_check(m, pte, level, &is_leaf) != WALK_OK) {
            return WALK_PAGE;
        }
        if (is_leaf) {
            enum walk_end end;

            *out = leaf_of(pte, level);
            if ((pte & PTE_U) == 0 || !is_allowed(out, access)) {
                return WALK_PAGE;
            }
            end = mark_used(m, hpa, pte, access, (dc->tc & TC_GADE) != 0, !fill);
            out->dirty |= (access & WRITE) != 0;
            if (end == WALK_AGAIN) {
                level++;
                continue;
            }
            return end;
        }
        table = FIELD(pte, 53, 10) << 12;
        if (cached && fill) {
            const struct leaf on = {.ppn = table >> 12, .shift = (uint8_t)(9 * level)};

            cache_put_at(&m->tables2, dc->space, 0, gpa >> 12, &on);
        }
    }
    return WALK_PAGE;
}

/* An entry that the cache holds: what it says goes, unless hardware could now set D. */
static bool is_usable(const struct entry *e, uint32_t access, bool by_us)
{
    return e != NULL && !((access & WRITE) != 0 && !e->dirty && by_us);
}

static enum walk_end from_entry(const struct entry *e, uint32_t access, struct leaf *out)
{
    *out = (struct leaf){e->ppn, e->shift, e->perms, e->pbmt, e->global, e->dirty};
    return is_allowed(out, access) && ((access & WRITE) == 0 || e->dirty) ? WALK_OK : WALK_PAGE;
}

enum walk_end walk_second(struct cordon_model *m, const struct dc *dc, uint64_t gpa,
                          uint32_t access, bool fill, struct leaf *out)
{
    bool cached = (m->config.flags & CORDON_MODEL_NO_STAGE_CACHE) == 0;
    struct entry *e;
    enum walk_end end;

    if (dc->g_levels == 0) {
        *out = (struct leaf){.ppn = gpa >> 12, .perms = READ | WRITE | EXEC, .dirty = 1};
        return WALK_OK;
    }
    e = cached ? cache_find(&m->stage2, dc->space, 0, gpa >> 12) : NULL;
    if (is_usable(e, access, (dc->tc & TC_GADE) != 0) && gpa >> (9 * dc->g_levels + 14) == 0) {
        return from_entry(e, access, out);
    }
    end = second_from_memory(m, dc, gpa, access, fill, out);
    if (end == WALK_OK && cached && fill) {
        cache_put(&m->stage2, dc->space, 0, gpa >> 12, out);
    }
    return end;
}

/* Where first-stage word GPA is, through the second stage: an implicit access. */
static enum walk_end implicit(struct cordon_model *m, const struct dc *dc, uint64_t gpa, bool write,
                              bool fill, uint64_t *hpa, struct fault *fault)
{
    struct leaf leaf;
    enum walk_end end =
        walk_second(m, dc, gpa, write ? (uint32_t)(READ | WRITE) : READ, fill, &leaf);

    if (end == WALK_PAGE) {
        fault->iotval2 = (gpa & ~3ull) | 1 | (write ? 2 : 0);
    }
    if (end == WALK_OK) {
        uint64_t within = BIT(12 + leaf.shift) - 1;

        *hpa = ((leaf.ppn << 12) & ~within) | (gpa & within);
    }
    return end;
}

/* The leaf of the first stage is good for the access; A and D as its context says. */
static enum walk_end first_leaf(struct cordon_model *m, const struct dc *dc, uint64_t pte_gpa,
                                uint64_t pte, uint32_t access, bool fill, struct leaf *out,
                                struct fault *fault)
{
    bool by_us = (dc->tc & TC_SADE) != 0;
    uint64_t wanted = PTE_A | ((access & WRITE) != 0 ? PTE_D : 0);
    uint64_t hpa = 0;
    enum walk_end end = WALK_OK;

    if ((pte & PTE_U) == 0 || !is_allowed(out, access)) {
        return WALK_PAGE; /* without process contexts each request is of user mode */
    }
    if (by_us && (pte & wanted) != wanted) {
        end = implicit(m, dc, pte_gpa, true, fill, &hpa, fault);
    }
    if (end == WALK_OK) {
        end = mark_used(m, hpa, pte, access, by_us, !fill);
        out->dirty |= (access & WRITE) != 0;
    }
    return end;
}

static enum walk_end first_from_memory(struct cordon_model *m, const struct dc *dc, uint64_t iova,
                                       uint32_t access, bool fill, struct leaf *out,
                                       struct fault *fault)
{
    uint64_t table = dc->s_root;
    uint32_t unused = 64 - (12 + 9 * dc->s_levels);
    bool global = false;

    if ((uint64_t)((int64_t)(iova << unused) >> unused) != iova) {
        return WALK_PAGE;
    }
    m->stats.walks++;
    for (uint32_t level = dc->s_levels; level-- > 0;) {
        uint64_t gpa = table + 8 * (iova >> (12 + 9 * level) & 0x1ff);
        uint64_t hpa, pte;
        bool is_leaf;
        enum walk_end end = implicit(m, dc, gpa, false, fill, &hpa, fault);

        if (end != WALK_OK) {
            return end;
        }
        hpm_count(m, HPM_FIRST_WALK, dc);
        if (!mem_load64(m, hpa, &pte)) {
            return WALK_ACCESS;
        }
        if (pte_check(m, pte, level, &is_leaf) != WALK_OK) {
            return WALK_PAGE;
        }
        if (is_leaf) {
            *out = leaf_of(pte, level);
            out->global |= global;
            end = first_leaf(m, dc, gpa, pte, access, fill, out, fault);
            if (end == WALK_AGAIN) {
                level++;
                continue;
            }
            return end;
        }
        global |= (pte & PTE_G) != 0; /* of a word that leads on: all below it is */
        table = FIELD(pte, 53, 10) << 12;
    }
    return WALK_PAGE;
}

enum walk_end walk_first(struct cordon_model *m, const struct dc *dc, uint64_t iova,
                         uint32_t access, bool fill, struct leaf *out, struct fault *fault)
{
    bool cached = (m->config.flags & CORDON_MODEL_NO_STAGE_CACHE) == 0;
    struct entry *e = cached ? cache_find(&m->stage1, dc->space, dc->pscid, iova >> 12) : NULL;
    enum walk_end end;

    fault->iotval2 = 0;
    if (is_usable(e, access, (dc->tc & TC_SADE) != 0)) {
        return from_entry(e, access, out);
    }
    end = first_from_memory(m, dc, iova, access, fill, out, fault);
    if (end == WALK_OK && cached && fill) {
        cache_put(&m->stage1, dc->space, dc->pscid, iova >> 12, out);
    }
    return end;
}
