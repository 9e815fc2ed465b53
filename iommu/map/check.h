/* What an operation must satisfy before anything of it is done. Pure, but for memory while it runs.
 */
#ifndef CORDON_MAP_CHECK_H
#define CORDON_MAP_CHECK_H

#include "map/domain.h"

/* All operations of a change, each alone and against each other. The caller holds the domain's
 * lock. Errors: EINVAL, EALIGN, ERANGE, EEXIST, ENOENT, ENOMEM. */
CORDON_MUST_CHECK int check_ops(struct cordon_domain *d, const struct cordon_op *ops, size_t count);

#endif
