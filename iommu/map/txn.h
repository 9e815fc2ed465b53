/*
 * One change of a map: checked, reserved, committed, retired.
 *
 * Between txn_reserve and txn_commit everything that the commit needs has been taken: tables,
 * nodes, pages of words. Frames and resources that are granted are claimed already, which txn_undo
 * reverts.
 */
#ifndef CORDON_MAP_TXN_H
#define CORDON_MAP_TXN_H

#include "map/gone.h"

struct txn {
    struct cordon_domain *d;
    const struct cordon_op *ops;
    size_t count;
    size_t claimed; /* operations whose grants are claimed */
    uint32_t epoch;
    bool resources; /* their lock is held, with nodes for the commit */
    struct pt_pool tables;
    struct gone gone;
};

/* Errors: as cordon_change. Then txn_undo has been done already. */
CORDON_MUST_CHECK int txn_reserve(struct txn *t);
void txn_undo(struct txn *t);

/* A granting operation, as the page tables want it. */
struct pt_grant txn_grant(const struct txn *t, const struct cordon_op *op);

/* ---- what stands behind a range ----------------------------------------------------------- */

/* A walk over the G-stage leaves of a range that the map covers. */
struct backing {
    const struct cordon_domain *d;
    uint64_t at, end;     /* what is left, in bytes */
    const uint64_t *word; /* the next word, while it is in the same table of 4 KiB leaves */
    cordon_hpa hpa;       /* the run found */
    uint64_t len;
};

struct backing backing_of(const struct cordon_domain *d, uint64_t gfn, uint64_t pages);
/* The next run; false at the end. */
bool backing_next(struct backing *b);

#endif
