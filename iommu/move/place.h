/* Taking one place for a run, frame by frame: what make.c chooses, place.c clears. */
#ifndef CORDON_MOVE_PLACE_H
#define CORDON_MOVE_PLACE_H

#include "frames/run.h"
#include <cordon/move.h>

/* One call of cordon_run_make. */
struct make {
    struct cordon_ctx *ctx;
    struct want want;
    uint64_t budget; /* frames */
    uint64_t isolated;
    unsigned shortages;
    uint64_t patience; /* see move_lock */
    uint64_t bad;      /* the frame that stood in the way */
    struct cordon_run_made *out;
};

/* Make a place ours: HELD. Errors: EPERM (m->bad is in the way), ENOMEM, ELIMIT, EPENDING; what was
 * not moved is as it was. */
CORDON_MUST_CHECK int place_take(struct make *m, uint64_t first);

#endif
