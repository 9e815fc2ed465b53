/*
 * A and D of leaves: set, cleared and gathered, for dirty and access logging. [Priv 12.3.1 A and D,
 * 18.5.1: the G-stage's own; IOMMU second stage with tc.GADE]
 *
 * Where software clears A or D, hardware either sets the bit itself (Svadu, GADE) or faults
 * (Svade), in which case software sets it: both at any moment, so that every step here on a
 * reachable word is an atomic one. What is marked is 4 KiB leaves in tables of one view alone; a
 * larger leaf says A and D, always, in each of its words [Priv Svnapot: any of the 16 may tell].
 */
#ifndef CORDON_PT_MARKS_H
#define CORDON_PT_MARKS_H

#include "pt/pt.h"

/* Add to POOL what pt_marks_own needs, in each of these views, alone. ENOMEM, EALIGN, ERANGE: POOL
 * is as it was. */
CORDON_MUST_CHECK int pt_reserve_marks(struct pt_forest *f, cordon_gpa gpa, uint64_t pages,
                                       uint32_t views, struct pt_pool *pool);

/* Make the tables over a range VIEW's own, and its leaves 4 KiB, without a gap; and clear CLEAR
 * (PTE_A, PTE_D) in each. The caller fences, and tells hardware as RETIRE says: downgrade, if a bit
 * was cleared. */
void pt_marks_own(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t pages,
                  uint64_t clear, struct pt_pool *pool, struct pt_retire *retire);

/* Set A and D in every leaf of a range, in a view whose tables over it are its own, or are known to
 * no hardware. WRITABLE: only where writes are allowed. */
void pt_marks_set(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t pages,
                  bool writable);

/* What a harvest gathers. The maps have one bit a page, bit 0 for BASE; null: not asked for. */
struct pt_harvest {
    uint64_t base;   /* linear address, page-aligned */
    uint64_t *dirty; /* or-ed into */
    uint64_t *used;
    bool keep;      /* only look */
    bool cleared;   /* out: some bit was cleared: stale ones must go from caches */
    uint64_t words; /* out: leaf words that were read */
};

/* Gather A and D of a range in VIEW, and clear what was gathered. A larger leaf counts as used and
 * dirty, and stays so. */
void pt_marks_harvest(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t pages,
                      struct pt_harvest *h);

/* Give one leaf BITS; returns those that it did not have. GPA leads to a leaf of VIEW. */
uint64_t pt_marks_give(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t bits);

#endif
