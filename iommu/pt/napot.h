/*
 * Leaves of 64 KiB: made of 16 leaves of 4 KiB that go on with each other, and taken apart again.
 * [Priv Svnapot; IOMMU 2.3: the same words]
 *
 * Hardware may take what any of the 16 words says for all 16 pages. Each word is replaced by one
 * store, while others of the run still stand as before: the specification asks for a break before a
 * make, unless what stands meanwhile is known to be benign. It is here, for old and new words say
 * the same of every page: frame, rights, type, A and D. So no access is refused or led astray, and
 * no word that says something else is written before all 16 are leaves of 4 KiB, or gone. A change
 * of all 16 needs no such step: until the caller's fence, hardware may go by the old words anyway.
 *
 * What was taken apart is told as a change of non-leaves is, to all of the VMID or GSCID: a fence
 * of one page need not reach what was cached by the word of another.
 */
#ifndef CORDON_PT_NAPOT_H
#define CORDON_PT_NAPOT_H

#include "pt/walk.h"

/* Take apart the run that holds entry INDEX of a leaf table, if it is one. */
void pt_napot_break(const struct pt_forest *f, uint64_t *table, unsigned index,
                    struct pt_retire *retire);

/* All that touch FIRST..LAST; only those that stick out of it. */
void pt_napot_break_all(const struct pt_forest *f, uint64_t *table, unsigned first, unsigned last,
                        struct pt_retire *retire);
void pt_napot_break_ends(const struct pt_forest *f, uint64_t *table, unsigned first, unsigned last,
                         struct pt_retire *retire);

/* Make runs of what lies wholly in FIRST..LAST, and can be. Returns how many were made. */
unsigned pt_napot_join(const struct pt_forest *f, uint64_t *table, unsigned first, unsigned last);

/* How many a leaf table holds. */
unsigned pt_napot_count(const uint64_t *table);

/* Take apart every run of every view, and make no more. */
void pt_napot_end(struct pt_forest *f);

/* Bytes of a leaf, and of the one that a walk ended at. */
static inline uint64_t pt_leaf_bytes(unsigned level, uint64_t word)
{
    return pt_span(level) * (pt_word_is_napot(word) ? PT_NAPOT_PAGES : 1);
}

static inline uint64_t pt_hit_bytes(const struct pt_forest *f, const struct pt_hit *hit)
{
    return pt_leaf_bytes(hit->level, *pt_table_ptr(f, hit->word));
}

#endif
