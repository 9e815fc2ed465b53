/* Filling absent pages of DEMAND regions. D's lock is held for all of this. */
#ifndef CORDON_MAP_TOUCH_H
#define CORDON_MAP_TOUCH_H

#include "map/domain.h"
#include <cordon/touch.h>

/* Fill the absent page at GFN of region S, or the 2 MiB that it stands in. Returns the level of the
 * leaf that came. ENOMEM. */
CORDON_MUST_CHECK int touch_fill(struct cordon_domain *d, const struct span *s, uint64_t gfn,
                                 cordon_hpa *frame);

/* The first page from GFN on that is absent, in DEMAND regions, or END. The map covers the range.
 */
uint64_t touch_absent(struct cordon_domain *d, uint64_t gfn, uint64_t end);

/* Fill a part of what is absent in [GFN, END). *GFN is where to go on: at END all of it is present.
 * ENOENT (the map does not cover it), ENOMEM. */
CORDON_MUST_CHECK int touch_some(struct cordon_domain *d, uint64_t *gfn, uint64_t end);

/* Is each page present that a device view would hold? */
bool touch_all_present(struct cordon_domain *d);

#endif
