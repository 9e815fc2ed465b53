/*
 * Coalescing: 512 leaves that go on with each other, and say the same, become one. [Priv 12.2.1: a
 * word is replaced by a single store; IOMMU guidelines: merging without a gap]
 *
 * The one store that replaces a table changes no translation and no right. The table is dead, and
 * waits for caches of non-leaves (RETIRE). Leaves that hardware may still mark (marks.h) stay. What
 * makes no 2 MiB makes 64 KiB where it can (napot.h).
 */
#ifndef CORDON_PT_MERGE_H
#define CORDON_PT_MERGE_H

#include "pt/pt.h"

#define PT_MERGE_TABLE 512u /* words that are looked at for a table */
#define PT_MERGE_ENTRY 16u  /* what going through an entry is as much as */

struct pt_merged {
    uint64_t looked;  /* tables that were looked at */
    uint64_t words;   /* what was done, in words */
    uint64_t made[2]; /* leaves of 2 MiB, of 1 GiB */
    uint64_t napot;   /* leaves of 64 KiB, where the forest has such */
    uint64_t next;    /* linear: go on here; behind WHAT->to at its end */
};

/* What to coalesce. Linear addresses; ends included. */
struct pt_merge {
    uint64_t first, last; /* a leaf may hold what stands here, as far as the map is concerned */
    uint64_t from, to; /* the part to go through: leaves that begin or end outside may come too */
    uint64_t budget;   /* words to look at, about; an entry is gone through at least */
};

/* Coalesce in every view. */
void pt_merge(struct pt_forest *f, const struct pt_merge *what, struct pt_retire *retire,
              struct pt_merged *out);

#endif
