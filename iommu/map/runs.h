/* The frames behind a range as one list of extents, for who has to lay them somewhere else. */
#ifndef CORDON_MAP_RUNS_H
#define CORDON_MAP_RUNS_H

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

#endif
