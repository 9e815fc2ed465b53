/* Table words as the audit reads them; nothing of this is the builder's. */
#ifndef CORDON_AUDIT_WORDS_H
#define CORDON_AUDIT_WORDS_H

#include "core/ctx.h"

#define LEVELS_MAX 5u
#define LEAF_LEVELS 3u /* levels 0 to 2 may hold leaves */
#define INDEX_BITS 9u
#define NAPOT_PAGES 16u /* of a 64 KiB leaf, which stands in as many words [Priv Svnapot] */
#define NAPOT_64K 8u    /* what its PPN ends in */

static inline uint64_t level_pages(uint32_t level)
{
    return BIT64(INDEX_BITS * level);
}

static inline uint64_t read_word(const struct cordon_ctx *ctx, cordon_hpa table, uint32_t index)
{
    return ((const uint64_t *)frames_ptr(ctx, table))[index];
}

static inline cordon_hpa word_target(uint64_t pte)
{
    return cordon_hpa_make(field_get(PTE_PPN, pte) << CORDON_PAGE_SHIFT);
}

static inline bool word_is_table(uint64_t pte)
{
    return (pte & (PTE_V | PTE_R | PTE_W | PTE_X)) == PTE_V;
}

/* What a word says of the page GFN: a 64 KiB leaf as one of 4 KiB would. */
static inline uint64_t word_page(uint64_t pte, uint64_t gfn)
{
    uint64_t ppn = field_get(PTE_PPN, pte) & ~(uint64_t)(NAPOT_PAGES - 1);

    return (pte & PTE_N) == 0
               ? pte
               : (pte & ~(PTE_N | PTE_PPN)) | field_put(PTE_PPN, ppn | gfn % NAPOT_PAGES);
}

#endif
