/*
 * Promises: memory that is kept for pages that are absent still. [CORDON_REGION_PROMISED]
 *
 * Frames are promised by number: the pool counts them, and whoever else allocates is refused when
 * not enough would be left (pool_keeps). The number falls as pages come and rises as they are
 * discarded. Tables are taken in advance: a domain has as many spare ones as its promised regions
 * could need, less those that exist; those that die go back to them. So a touch of a promised page
 * finds both, unless hardware does not answer and keeps what was discarded (EPENDING).
 *
 * D's lock is held for all of this.
 */
#ifndef CORDON_TOUCH_PROMISE_H
#define CORDON_TOUCH_PROMISE_H

#include "map/domain.h"

/* Promise PAGES more frames to D. ENOMEM. */
CORDON_MUST_CHECK int promise_frames(struct cordon_domain *d, uint64_t pages);
/* Fewer; or more, where that many are on their way to be free. */
void promise_fewer(struct cordon_domain *d, uint64_t pages);
void promise_more(struct cordon_domain *d, uint64_t pages);

/* Take the tables that a range could need, for 4 KiB pages. ENOMEM, nothing changed. */
CORDON_MUST_CHECK int promise_tables(struct cordon_domain *d, uint64_t gfn, uint64_t pages);
/* The regions have changed: so many spare tables may be needed now, and more are not kept. */
void promise_settle(struct cordon_domain *d);

/* Dead tables that nothing uses any more: spare ones, or free. */
void promise_dead_free(struct cordon_domain *d);

/* The domain ends: nothing is promised to it. */
void promise_end(struct cordon_domain *d);

static inline bool region_promised(uint32_t flags)
{
    return (flags & CORDON_REGION_PROMISED) != 0;
}

#endif
