/*
 * Promises: memory that is kept for pages that are absent still. [CORDON_REGION_PROMISED]
 *
 * Frames are promised by number: the pool counts them, and whoever else allocates is refused when
 * not enough would be left (pool_keeps). The number falls as pages come and rises as those that
 * were discarded are free again. Tables are taken in advance: a domain has as many spare ones as
 * its promised regions could need, less those that exist; those that die go back to them. So a
 * touch of a promised page finds both, unless hardware does not answer and keeps what was discarded
 * (EPENDING).
 *
 * D's lock is held for all of this.
 */
#ifndef CORDON_TOUCH_PROMISE_H
#define CORDON_TOUCH_PROMISE_H

#include "map/domain.h"

/* Promise PAGES more frames to D, and those that are owed to it. ENOMEM. */
CORDON_MUST_CHECK int promise_frames(struct cordon_domain *d, uint64_t pages);
/* Fewer; or more, where that many are on their way to be free. Until they are, they are owed: what
 * is free was promised to nobody for them, and others may take it. */
void promise_fewer(struct cordon_domain *d, uint64_t pages);
static inline void promise_more(struct cordon_domain *d, uint64_t pages)
{
    d->owed += pages;
}

/* PAGES that were D's have become free: what is owed is promised. The pool's lock is held. */
void promise_arrived(struct cordon_domain *d, uint64_t pages);

/* Take the tables that a range could need, for 4 KiB pages. ENOMEM, nothing changed. */
CORDON_MUST_CHECK int promise_tables(struct cordon_domain *d, uint64_t gfn, uint64_t pages);
/* The regions have changed: so many spare tables may be needed now, and more are not kept. */
void promise_settle(struct cordon_domain *d);
/* The regions stay as they are: no more spare tables than the SPARE that there were. */
void promise_undo(struct cordon_domain *d, uint64_t spare);

/* Dead tables that nothing uses any more: spare ones, or free. */
void promise_dead_free(struct cordon_domain *d);

/* The domain ends: nothing is promised to it. */
void promise_end(struct cordon_domain *d);

static inline bool region_promised(uint32_t flags)
{
    return (flags & CORDON_REGION_PROMISED) != 0;
}

#endif
