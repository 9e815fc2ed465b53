/* Filling absent pages of DEMAND regions. D's lock is held for all of this but touch_range. */
#ifndef CORDON_TOUCH_TOUCH_H
#define CORDON_TOUCH_TOUCH_H

#include "map/domain.h"
#include <cordon/touch.h>

#define TOUCH_AT_ONCE 64u /* leaves filled under one hold, where that many need not be */

/* Whose frames, and tables, a page is filled with. */
enum touch_from {
    TOUCH_FREE,     /* what is free and not promised to others */
    TOUCH_PROMISED, /* what is promised to this domain */
    TOUCH_COMMIT,   /* the same, inside the commit of a change, which retires what went */
    TOUCH_SMALL     /* the same, page by page */
};

static inline enum touch_from touch_from(const struct span *s)
{
    return (region_flags(s) & CORDON_REGION_PROMISED) != 0 ? TOUCH_PROMISED : TOUCH_FREE;
}

/* Fill the absent page at GFN of region S, or the 2 MiB that it stands in. Returns the level of the
 * leaf that came. ENOMEM. */
CORDON_MUST_CHECK int touch_fill(struct cordon_domain *d, const struct span *s, uint64_t gfn,
                                 enum touch_from from, cordon_hpa *frame);

/* The first page from GFN on that is absent, in DEMAND regions, or END. The map covers the range.
 */
uint64_t touch_absent(struct cordon_domain *d, uint64_t gfn, uint64_t end);

/* Fill a part of what is absent in [GFN, END). *GFN is where to go on: at END all of it is present.
 * ENOENT (the map does not cover it), ENOMEM. */
CORDON_MUST_CHECK int touch_some(struct cordon_domain *d, uint64_t *gfn, uint64_t end);

/* Fill all that is absent in [GFN, END), a part under each hold of D's lock, which the caller does
 * not hold. ENOENT, ENOMEM: what was filled stays. */
CORDON_MUST_CHECK int touch_range(struct cordon_domain *d, uint64_t gfn, uint64_t end);

/* How many pages of a range that the map covers are absent. */
uint64_t touch_count_absent(const struct cordon_domain *d, uint64_t gfn, uint64_t pages);

/* Fill all that is absent in a range that the map covers, all of it promised, inside a commit:
 * cannot fail. */
void touch_promised(struct cordon_domain *d, uint64_t first, uint64_t end, bool huge);

/* Is each page present that a device view would hold? */
bool touch_all_present(struct cordon_domain *d);

#endif
