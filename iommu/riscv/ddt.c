/* The device directory: see ddt.h. */
#include "riscv/ddt.h"

#include <port_word.h>

#include "core/ctx.h"
#include "riscv/iommu.h"

/* Device id bits below level 1, and below level 2. [IOMMU 2.1] */
static unsigned ddt_shift(bool extended, uint32_t level)
{
    unsigned leaf_bits = extended ? 6 : 7;

    return level == 0 ? 0 : leaf_bits + (level - 1) * 9;
}

static unsigned ddt_width(bool extended, uint32_t levels)
{
    return levels == DDT_MAX_LEVELS ? DDT_DEVICE_ID_BITS : ddt_shift(extended, levels);
}

uint32_t ddt_levels_for(bool extended, uint32_t device_id)
{
    for (uint32_t levels = 1; levels <= DDT_MAX_LEVELS; levels++) {
        if (device_id >> ddt_width(extended, levels) == 0) {
            return levels;
        }
    }
    return 0;
}

static uint32_t ddt_entries(const struct cordon_iommu *iommu, uint32_t level)
{
    bool extended = iommu->info.extended != 0;

    return UINT32_C(1) << (ddt_width(extended, level + 1) - ddt_shift(extended, level));
}

static uint32_t ddt_context_words(const struct cordon_iommu *iommu)
{
    return iommu->info.extended ? DC_WORDS : DC_WORDS_BASE;
}

static uint32_t ddt_index(const struct cordon_iommu *iommu, uint32_t level, uint32_t device_id)
{
    return (device_id >> ddt_shift(iommu->info.extended != 0, level)) &
           (ddt_entries(iommu, level) - 1);
}

struct dc dc_make(const struct dc_target *t)
{
    struct dc dc = {{0}};

    cordon_assert(t->mode != 0);
    cordon_assert(t->root.v != 0);
    cordon_assert(is_aligned(t->root.v, CORDON_PAGE_SIZE << DC_ROOT_ORDER));
    /* No ATS, PRI, PDT; little-endian. */
    dc.word[DC_TC] = DC_TC_V | (t->marks ? DC_TC_GADE : 0) | (t->quiet ? DC_TC_DTF : 0);
    dc.word[DC_IOHGATP] = field_put(DC_IOHGATP_PPN, t->root.v >> CORDON_PAGE_SHIFT) |
                          field_put(DC_IOHGATP_GSCID, t->gscid) |
                          field_put(DC_IOHGATP_MODE, t->mode);
    dc.word[DC_TA] = 0;
    dc.word[DC_FSC] = 0; /* Bare: an IOVA is a GPA */
    if (t->msi_table.v != 0) {
        dc.word[DC_MSIPTP] = field_put(DC_MSIPTP_PPN, t->msi_table.v >> CORDON_PAGE_SHIFT) |
                             field_put(DC_MSIPTP_MODE, MSIPTP_MODE_FLAT);
        dc.word[DC_MSI_ADDR_MASK] = field_put(DC_MSI_ADDR, t->msi_mask);
        dc.word[DC_MSI_ADDR_PATTERN] =
            field_put(DC_MSI_ADDR, (t->msi_base.v >> CORDON_PAGE_SHIFT) & ~t->msi_mask);
    }
    dc.word[DC_RESERVED] = 0;
    return dc;
}

/* ---- the register ------------------------------------------------------------------------- */

static uint64_t ddtp_make(cordon_hpa root, uint32_t levels)
{
    return field_put(DDTP_MODE, DDTP_MODE_1LVL + levels - 1) |
           field_put(DDTP_PPN, root.v >> CORDON_PAGE_SHIFT);
}

int ddt_disable(const struct cordon_iommu *iommu)
{
    const struct iommu_mmio *m = &iommu->mmio;
    uint64_t ddtp;
    int err = wait_reg64(m, REG64_DDTP, DDTP_BUSY, 0);

    if (err) {
        return err;
    }
    ddtp = reg_read64(m, REG64_DDTP);
    if ((ddtp & DDTP_MODE) == DDTP_MODE_OFF) {
        return 0;
    }
    reg_write64(m, REG64_DDTP, ddtp & ~DDTP_MODE); /* the PPN must stay [IOMMU 5.5] */
    err = wait_reg64(m, REG64_DDTP, DDTP_BUSY, 0);
    if (err) {
        return err;
    }
    return (reg_read64(m, REG64_DDTP) & DDTP_MODE) == DDTP_MODE_OFF ? 0 : -CORDON_EHW;
}

/* Try one depth. *TOOK says whether the IOMMU has it; if not, it is Off again. */
static int ddt_try(struct cordon_iommu *iommu, uint32_t levels, bool *took)
{
    const struct iommu_mmio *m = &iommu->mmio;
    uint64_t want = ddtp_make(iommu->ddt.root, levels);
    uint64_t got;
    int err;

    reg_write64(m, REG64_DDTP, want);
    err = wait_reg64(m, REG64_DDTP, DDTP_BUSY, 0);
    if (err) {
        return err;
    }
    got = reg_read64(m, REG64_DDTP);
    *took = (got & (DDTP_MODE | DDTP_PPN)) == want;
    iommu->ddt.ddtp = want;
    return *took ? 0 : ddt_disable(iommu);
}

int ddt_enable(struct cordon_iommu *iommu)
{
    uint32_t levels = ddt_levels_for(iommu->info.extended != 0, iommu->max_device_id);

    cordon_assert(levels != 0);
    for (; levels <= DDT_MAX_LEVELS; levels++) {
        bool took;
        int err = ddt_try(iommu, levels, &took);

        if (err) {
            return err;
        }
        if (took) {
            iommu->info.directory_levels = levels;
            return 0;
        }
    }
    return -CORDON_ENOTSUP;
}

/* ---- tables ------------------------------------------------------------------------------- */

int ddt_alloc(struct cordon_iommu *iommu)
{
    return iommu_alloc_table(iommu, 0, &iommu->ddt.root);
}

static cordon_hpa ddte_table(uint64_t ddte)
{
    return cordon_hpa_make(field_get(DDTE_PPN, ddte) << CORDON_PAGE_SHIFT);
}

static uint64_t ddte_make(cordon_hpa table)
{
    return DDTE_V | field_put(DDTE_PPN, table.v >> CORDON_PAGE_SHIFT);
}

/* Free the leaf pages below a table of level 1. */
static void ddt_free_below(struct cordon_iommu *iommu, cordon_hpa table)
{
    const uint64_t *word = frames_ptr(iommu->ctx, table);

    for (uint32_t i = 0; i < ddt_entries(iommu, 1); i++) {
        if ((word[i] & DDTE_V) != 0) {
            frames_free(iommu->ctx, ddte_table(word[i]), 0);
        }
    }
}

void ddt_free(struct cordon_iommu *iommu)
{
    const uint64_t *word = frames_ptr(iommu->ctx, iommu->ddt.root);
    uint32_t top = iommu->info.directory_levels;

    for (uint32_t i = 0; top == DDT_MAX_LEVELS && i < ddt_entries(iommu, 2); i++) {
        if ((word[i] & DDTE_V) != 0) {
            ddt_free_below(iommu, ddte_table(word[i]));
            frames_free(iommu->ctx, ddte_table(word[i]), 0);
        }
    }
    if (top == 2) {
        ddt_free_below(iommu, iommu->ddt.root);
    }
    frames_free(iommu->ctx, iommu->ddt.root, 0);
    iommu->ddt.root = cordon_hpa_make(0);
}

/* Walk down to the table of level 0; *LEVEL is where the walk ended, above 0 at a missing table. */
static cordon_hpa ddt_walk(const struct cordon_iommu *iommu, uint32_t device_id, uint32_t *level)
{
    cordon_hpa table = iommu->ddt.root;

    for (*level = iommu->info.directory_levels - 1; *level > 0; (*level)--) {
        const volatile uint64_t *word = frames_ptr(iommu->ctx, table);
        uint64_t ddte = word[ddt_index(iommu, *level, device_id)];

        if ((ddte & DDTE_V) == 0) {
            break;
        }
        table = ddte_table(ddte);
    }
    return table;
}

/* Hang TABLES[0..COUNT) below each other and then into the directory, lowest first. */
static void ddt_link(struct cordon_iommu *iommu, uint32_t device_id, cordon_hpa parent,
                     uint32_t level, const cordon_hpa *tables)
{
    void *cookie = iommu->ctx->cookie;

    for (uint32_t below = 1; below <= level; below++) {
        cordon_hpa table = below == level ? parent : tables[below];
        size_t index = ddt_index(iommu, below, device_id);
        uint64_t *word = frames_ptr(iommu->ctx, table);

        port_fence(cookie);
        port_store64(cookie, &word[index], cordon_hpa_add(table, index * 8),
                     ddte_make(tables[below - 1]));
    }
    port_fence(cookie);
}

static void ddt_give_back(struct cordon_iommu *iommu, const cordon_hpa *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        frames_free(iommu->ctx, tables[i], 0);
    }
}

int ddt_prepare(struct cordon_iommu *iommu, uint32_t device_id)
{
    cordon_hpa tables[DDT_MAX_LEVELS - 1];
    uint32_t count = 0;
    uint32_t level;
    cordon_hpa parent;

    lock_take(&iommu->lock);
    (void)ddt_walk(iommu, device_id, &level);
    lock_give(&iommu->lock);
    for (; count < level; count++) {
        int err = iommu_alloc_table(iommu, 0, &tables[count]);

        if (err) {
            ddt_give_back(iommu, tables, count);
            return err;
        }
    }
    lock_take(&iommu->lock);
    parent = ddt_walk(iommu, device_id, &level); /* another hart may have linked some since */
    cordon_assert(level <= count);
    ddt_link(iommu, device_id, parent, level, tables);
    lock_give(&iommu->lock);
    ddt_give_back(iommu, tables + level, count - level);
    return 0;
}

/* ---- contexts ----------------------------------------------------------------------------- */

/* The words of a context in place; null when a table on the way is missing. *HPA is their
 * address. */
static uint64_t *ddt_find(const struct cordon_iommu *iommu, uint32_t device_id, cordon_hpa *hpa)
{
    uint32_t level;
    cordon_hpa table = ddt_walk(iommu, device_id, &level);
    size_t at = (size_t)ddt_index(iommu, 0, device_id) * ddt_context_words(iommu);
    uint64_t *word = frames_ptr(iommu->ctx, table);

    if (level > 0) {
        return NULL;
    }
    *hpa = cordon_hpa_add(table, at * 8);
    return word + at;
}

bool ddt_read(const struct cordon_iommu *iommu, uint32_t device_id, struct dc *out)
{
    cordon_hpa hpa;
    const uint64_t *word = ddt_find(iommu, device_id, &hpa);

    if (word == NULL) {
        return false;
    }
    *out = (struct dc){{0}};
    for (uint32_t i = 0; i < ddt_context_words(iommu); i++) {
        out->word[i] = __atomic_load_n(&word[i], __ATOMIC_RELAXED);
    }
    return true;
}

void ddt_publish(struct cordon_iommu *iommu, uint32_t device_id, const struct dc *dc)
{
    void *cookie = iommu->ctx->cookie;
    cordon_hpa hpa;
    uint64_t *word = ddt_find(iommu, device_id, &hpa);

    cordon_assert(word != NULL);
    cordon_assert((word[DC_TC] & DC_TC_V) == 0);
    cordon_assert(field_get(DC_IOHGATP_MODE, dc->word[DC_IOHGATP]) != 0); /* INV 6 */
    for (uint32_t i = 1; i < ddt_context_words(iommu); i++) {
        port_store64(cookie, &word[i], cordon_hpa_add(hpa, i * 8), dc->word[i]);
    }
    port_fence(cookie);
    port_store64(cookie, &word[DC_TC], hpa, dc->word[DC_TC]); /* INV 7: the valid bit comes last */
    port_fence(cookie);
    iommu->contexts++;
}

void ddt_withdraw(struct cordon_iommu *iommu, uint32_t device_id)
{
    void *cookie = iommu->ctx->cookie;
    cordon_hpa hpa;
    uint64_t *word = ddt_find(iommu, device_id, &hpa);

    cordon_assert(word != NULL);
    cordon_assert((word[DC_TC] & DC_TC_V) != 0);
    port_store64(cookie, &word[DC_TC], hpa, 0);
    port_fence(cookie);
    iommu->contexts--;
}

void ddt_clear(struct cordon_iommu *iommu, uint32_t device_id)
{
    void *cookie = iommu->ctx->cookie;
    cordon_hpa hpa;
    uint64_t *word = ddt_find(iommu, device_id, &hpa);

    cordon_assert(word != NULL);
    cordon_assert((word[DC_TC] & DC_TC_V) == 0);
    for (uint32_t i = 1; i < ddt_context_words(iommu); i++) {
        port_store64(cookie, &word[i], cordon_hpa_add(hpa, i * 8), 0);
    }
}
