/*
 * First touch: regions whose frames come when they are needed. [CORDON_REGION_DEMAND]
 *
 * Such a region is what the guest may have; a leaf in the G-stage says that a page of it is
 * present. A page that is absent has no frame and no leaf in any view, and a hart that reaches for
 * it faults. Who handles the fault asks cordon_touch, which takes one frame (with
 * CORDON_REGION_HUGE: 2 MiB where they fit and are free), writes zeroes over it, and makes it
 * present. Nothing is told to harts: what was not valid becomes valid, and a hart that has kept the
 * old word faults once more, which is answered SPURIOUS. [Priv 12.2.1]
 */
#ifndef CORDON_TOUCH_H
#define CORDON_TOUCH_H

#include <cordon/map.h>

enum cordon_touch_what {
    CORDON_TOUCH_SPURIOUS = 0, /* the map allows it already: fence this hart, try again */
    CORDON_TOUCH_FILLED = 1,   /* a frame, or a run of them, came */
    CORDON_TOUCH_LOGGED = 2    /* the page is noted as used, or written: cordon/log.h */
};

struct cordon_touched {
    uint32_t what;  /* enum cordon_touch_what */
    uint32_t level; /* of the leaf that stands there now: 0: 4 KiB, 1: 2 MiB, 2: 1 GiB */
    cordon_hpa hpa; /* of the page that holds the address */
};

/*
 * A hart faulted at GPA for ACCESS (CORDON_READ..; 0: any). Filled pages read as zero.
 *
 * Errors, nothing changed: EINVAL, ENOENT (no region there: MMIO to be emulated, or nothing),
 * EFAULT (a region, but not that right), ENOMEM (no frame is left, for the page or its tables),
 * ECORRUPT (a page of a region that is not DEMAND is absent).
 */
CORDON_API CORDON_MUST_CHECK int cordon_touch(cordon_domain *d, cordon_gpa gpa, uint32_t access,
                                              struct cordon_touched *out);

/*
 * Fill all that is absent in a range, which the map covers. The domain's lock is let go of again
 * and again, so that faults of its harts need not wait for the end. On ENOMEM, and on ENOENT if the
 * map changes meanwhile, what was filled stays.
 *
 * Errors: EINVAL, EALIGN, ERANGE, ENOENT (a hole in the range), ENOMEM.
 */
CORDON_API CORDON_MUST_CHECK int cordon_populate(cordon_domain *d, cordon_gpa gpa, uint64_t len);

/*
 * How many bytes of memory (its own or borrowed) a range of the map has frames for; holes count as
 * none. While others touch and give back it is a number that held somewhere in between. Linear in
 * regions and in the tables below the range. Errors: EINVAL, EALIGN, ERANGE.
 */
CORDON_API CORDON_MUST_CHECK int cordon_resident(cordon_domain *d, cordon_gpa gpa, uint64_t len,
                                                 uint64_t *bytes);

#endif
