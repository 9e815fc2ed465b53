/* The frames behind a range as one list of extents, for who has to lay them somewhere else. */
#ifndef CORDON_FRAMES_RUNS_H
#define CORDON_FRAMES_RUNS_H

#include "map/txn.h"

#define RUNS_INLINE 8u

struct runs {
    struct cordon_extent small[RUNS_INLINE];
    struct cordon_extent *at; /* SMALL, or frames of the layer's own, which nobody can be granted */
    uint64_t count;
    cordon_hpa frames; /* while AT lies in them */
    unsigned order;
};

/* What a range of RAM that the map covers stands on, in order, with its holes (BACKING_HOLE); D's
 * lock is held. ENOMEM. */
CORDON_MUST_CHECK int runs_gather(struct runs *r, const struct cordon_domain *d, uint64_t gfn,
                                  uint64_t pages);
void runs_free(struct runs *r, struct cordon_ctx *ctx);

/* Runs that follow each other without a hole, and where they will stand. */
struct stretch {
    const struct cordon_extent *runs;
    uint64_t count;
    uint64_t gfn, pages;
};

/* Before the first stretch of a list that will stand from GFN on; and the next one. False: there is
 * none. */
static inline struct stretch runs_stretch(const struct runs *r, uint64_t gfn)
{
    return (struct stretch){.runs = r->at, .gfn = gfn};
}
bool stretch_next(const struct runs *r, struct stretch *at);

/* Tables for leaves that are written behind a break, which may take any table away: nothing that
 * stands now is counted on. RUNS may have holes. ENOMEM. */
CORDON_MUST_CHECK int runs_reserve_make(struct cordon_domain *d, uint64_t gfn, uint32_t flags,
                                        const struct cordon_extent *runs, uint64_t count,
                                        struct pt_pool *pool);

#endif
