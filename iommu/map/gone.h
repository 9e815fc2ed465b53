/*
 * What a change takes away, and the way to the proof that nothing uses it any more.
 *
 * Frames that go are remembered as runs, so that a small change need not search for them. Where
 * there are too many, or no page for the list, it is given up: their words say REVOKING and the
 * domain, and a scan of the blocks finds them.
 */
#ifndef CORDON_MAP_GONE_H
#define CORDON_MAP_GONE_H

#include "map/domain.h"
#include "riscv/retire.h"

#define GONE_INLINE 8u       /* runs that need no page */
#define GONE_PAGES 16u       /* then up to so many pages of them, and one for each so many */
#define GONE_BLOCKS 32u      /* split blocks: then a scan of all words costs no more */
#define GONE_RANGES 16u      /* GPA ranges told one by one; beyond, everything of the VMID */
#define GONE_FENCE_PAGES 64u /* the same for their sum in pages */

struct gone_page;

struct gone {
    struct cordon_extent run[GONE_INLINE];
    uint64_t *word[GONE_INLINE]; /* of each: see frames.h */
    uint32_t used, room;         /* runs in the part that is being filled */
    uint32_t page_count;
    struct gone_page *page;
    bool lost; /* the list is not complete: scan */

    struct retire_range range[GONE_RANGES];
    uint32_t ranges;
    uint64_t pages;
    bool whole;           /* too many ranges */
    bool rights;          /* a right went that hardware may still use */
    bool devised;         /* of something that device views hold, or held */
    uint64_t dead_before; /* tables that were waiting already */
};

/* Nothing yet. The arrays stay as they are. */
static inline void gone_begin(struct gone *g)
{
    g->used = 0;
    g->room = GONE_INLINE;
    g->page_count = 0;
    g->page = NULL;
    g->lost = false;
    g->ranges = 0;
    g->pages = 0;
    g->whole = false;
    g->rights = false;
    g->devised = false;
    g->dead_before = 0;
}

/* A commit begins: what it takes away from the tables is told from what is dead already. */
static inline void gone_commit(struct cordon_domain *d, struct gone *g)
{
    g->dead_before = d->dead.count;
    d->dead.nonleaf = false;
    d->dead.downgrade = false;
}

/* Room for runs of frames that go, and the count that was taken of it. */
struct frames_gone gone_room(struct cordon_ctx *ctx, struct gone *g);
static inline void gone_noted(struct gone *g, uint64_t runs)
{
    g->used += g->lost ? 0 : (uint32_t)runs;
}

/* Note where they were. */
void gone_range(struct gone *g, cordon_gpa gpa, uint64_t len);
void gone_clear(struct cordon_ctx *ctx, struct gone *g);

/*
 * The tables say it already, and a fence came after: tell harts and IOMMUs, wait, and let go of
 * frames and dead tables. EPENDING: they stay, and the domain is pending. The caller holds the
 * domain's lock.
 */
CORDON_MUST_CHECK int gone_retire(struct cordon_domain *d, struct gone *g);

/* The same for all that is REVOKING in a domain. AGAIN: nothing new went since the last time. */
CORDON_MUST_CHECK int gone_retire_all(struct cordon_domain *d, bool again);

#endif
