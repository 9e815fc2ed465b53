/*
 * One change in two phases: first what goes, then what comes, moves among both.
 *
 * What cordon_change cannot say: a range may be revoked and granted anew at once, and frames and
 * resources may go from one GPA to another, keeping what they hold. Break before make, as in
 * cordon_remap: between the phases harts and IOMMUs are told, and waited for. All is reserved
 * before the first of it.
 */
#ifndef CORDON_MAP_UPDATE_H
#define CORDON_MAP_UPDATE_H

#include "frames/runs.h"
#include "map/tell.h"

/* A range of one region that stands elsewhere afterwards, or where it is with other flags. */
struct update_move {
    uint64_t from, to, pages; /* page numbers */
    uint32_t perms, flags;    /* afterwards */
    uint32_t was_perms, was_flags;
    struct runs runs; /* the caller leaves them alone */
};

struct update {
    struct cordon_domain *d;
    const struct cordon_op *out; /* REVOKE, PROTECT and MARK */
    size_t out_count;
    const struct cordon_op *in; /* GRANT, here also of what is logged */
    size_t in_count;
    struct update_move *moves;
    size_t move_count;
};

/*
 * Check, tell listeners, reserve, commit, retire; the caller holds D's lock. What leaves (REVOKE,
 * FROM) does not overlap, and what comes (GRANT, TO) neither; FROM lies in one region that is no
 * loan.
 *
 * Errors, nothing changed: as cordon_change and cordon_remap. EEXIST: something that does not leave
 * stands where something comes. EPENDING: the map has changed.
 */
CORDON_MUST_CHECK int update_do(const struct update *u);

/* Its parts that change nothing: whether what comes can come, and what is told. */
CORDON_MUST_CHECK int update_check(const struct update *u);
CORDON_MUST_CHECK int update_tell(struct tell *t, const struct update *u);

#endif
