/*
 * Telling a domain's listeners of a change, in two steps. [cordon/listen.h]
 *
 * A change without listeners looks at one pointer. The domain's lock is held in all of these.
 */
#ifndef CORDON_MAP_TELL_H
#define CORDON_MAP_TELL_H

#include "frames/vec.h"
#include "map/domain.h"
#include <cordon/listen.h>

struct listening {
    struct cordon_listener l;
    struct listening *next; /* added after this one */
    uint32_t id;
};

/* What is told of one change. */
struct tell {
    struct cordon_domain *d;
    struct vec list; /* of struct cordon_told */
};

static inline bool tell_anybody(const struct cordon_domain *d)
{
    return d->listeners != NULL;
}

/* Add to what is told: one range; what stands in a range gets other rights (PERMS not 0) or flags
 * within MASK. ENOMEM. */
CORDON_MUST_CHECK int tell_one(struct tell *t, const struct cordon_told *one);
CORDON_MUST_CHECK int tell_changed(struct tell *t, cordon_gpa gpa, uint64_t len, uint32_t perms,
                                   uint32_t flags, uint32_t mask);

struct tell tell_begin(struct cordon_domain *d);
/* What operations of cordon_change are to listeners: first what goes or changes, then what comes.
 */
CORDON_MUST_CHECK int tell_ops(struct tell *t, const struct cordon_op *ops, size_t count);

/* Ask every listener, unless ERR ended the list already; on an error those that had agreed were
 * told of the end, and the list is gone. */
CORDON_MUST_CHECK int tell_asked(struct tell *t, int err);
/* ERR is how the change ended: commit or abort. The list is gone. */
void tell_end(struct tell *t, int err);

#endif
