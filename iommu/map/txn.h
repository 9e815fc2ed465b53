/*
 * One change of a map: checked, reserved, committed, retired.
 *
 * Between txn_reserve and txn_commit everything that the commit needs has been taken: tables,
 * nodes, pages of words. Frames and resources that are granted are claimed already, and frames that
 * go are REVOKING, which txn_undo reverts.
 */
#ifndef CORDON_MAP_TXN_H
#define CORDON_MAP_TXN_H

#include "map/gone.h"

struct txn {
    struct cordon_domain *d;
    const struct cordon_op *ops;
    size_t count;
    size_t claimed;             /* operations whose grants are claimed */
    uint32_t kinds;             /* bit k: there are operations of kind k */
    uint32_t stamp;             /* on blocks that are split for this change */
    bool resources;             /* their lock is held, with nodes for the commit */
    uint64_t held_runs;         /* of what else moves in the same commit, for those nodes */
    bool loan;                  /* what is granted is borrowed; loan_claim has been */
    struct span *below, *above; /* around the first page, when there is one operation only */
    struct pt_pool tables;
    bool writes_go;    /* PROTECT takes the right to write from what is logged */
    bool promises;     /* regions that are PROMISED, or will be, are in it, or pages to be filled */
    uint64_t promised; /* frames so far, for what is granted or filled */
    uint64_t spare;    /* tables that were promised before */
    uint64_t fewer, more; /* frames that the commit changes the promise by */
    struct gone gone;
};

#define STAMP_SHIFT 12u /* a stamp is the domain's number, and a count of its changes above */

_Static_assert(CORDON_MAX_DOMAINS == 1u << STAMP_SHIFT, "a domain's number fits below the count");

static inline uint32_t txn_stamp(struct cordon_domain *d)
{
    return ++d->changes << STAMP_SHIFT | d->number;
}

static inline bool txn_has(const struct txn *t, uint32_t kind)
{
    return (t->kinds >> kind & 1u) != 0;
}

static inline uint64_t op_first(const struct cordon_op *op)
{
    return op->gpa.v >> CORDON_PAGE_SHIFT;
}

static inline uint64_t op_pages(const struct cordon_op *op)
{
    return op->len >> CORDON_PAGE_SHIFT;
}

/* A grant that brings no frames. */
static inline bool op_demands(const struct cordon_op *op)
{
    return op->kind == CORDON_OP_GRANT && (op->flags & CORDON_REGION_DEMAND) != 0;
}

/* What a granting operation is to the page tables: a run, when it has one extent and no memory
 * type, or a list. */
static inline bool op_is_run(const struct cordon_op *op)
{
    return op->extent_count == 1 && (op->flags & CORDON_REGION_TYPES) == 0;
}

static inline struct pt_run op_run(const struct txn *t, const struct cordon_op *op)
{
    return (struct pt_run){op->gpa, op->extents->hpa, op_pages(op), op->perms,
                           domain_views_for(t->d, op->flags)};
}

static inline struct pt_grant op_grant(const struct txn *t, const struct cordon_op *op)
{
    return (struct pt_grant){op->gpa,
                             op->extents,
                             op->extent_count,
                             op->perms,
                             domain_views_for(t->d, op->flags),
                             region_type(op->flags)};
}

/* All operations, each alone and against each other; fills in KINDS, BELOW and ABOVE. Pure, but for
 * memory while it runs. Errors: EINVAL, EALIGN, ERANGE, EEXIST, ENOENT, ENOMEM. */
CORDON_MUST_CHECK int txn_check(struct txn *t);

/* What of it does not depend on the map. Errors: EINVAL, EALIGN, ENOTSUP. */
CORDON_MUST_CHECK int txn_check_form(const struct cordon_ctx *ctx, const struct cordon_op *op,
                                     bool loan);
/* Flags that a grant may have. Errors: EINVAL, ENOTSUP. */
CORDON_MUST_CHECK int txn_check_flags(const struct cordon_ctx *ctx, uint32_t flags);

/* Begin, check, reserve, commit and retire; the caller holds D's lock. Errors: as cordon_change. */
CORDON_MUST_CHECK int txn_do(struct cordon_domain *d, const struct cordon_op *ops, size_t count,
                             bool loan);

/* Its parts, for who puts them together in another way. Tables: those of one operation. */
void txn_begin(struct txn *t, struct cordon_domain *d, const struct cordon_op *ops, size_t count,
               bool loan);
void txn_commit_tables(struct txn *t, const struct cordon_op *op);
void txn_commit_marks(struct txn *t); /* with the resources' lock */
void txn_commit_in_order(struct txn *t);
void txn_commit_regions(struct txn *t);
void txn_commit_promises(struct txn *t);

/* Promise tables for a range of which pages are absent, and frames for so many of it. ENOMEM. */
CORDON_MUST_CHECK int txn_promise(struct txn *t, uint64_t gfn, uint64_t pages, uint64_t frames);

/* Errors: as cordon_change. Then txn_undo has been done already. */
CORDON_MUST_CHECK int txn_reserve(struct txn *t);
void txn_undo(struct txn *t);

/* MARK: see mark.c. Errors: EPERM, EBUSY, ENOMEM. */
CORDON_MUST_CHECK int mark_reserve(struct txn *t, const struct cordon_op *op);
void mark_commit(struct txn *t, const struct cordon_op *op);

static inline bool mark_pins(const struct cordon_op *op)
{
    return op->kind == CORDON_OP_MARK && (op->flags & CORDON_REGION_PIN) != 0;
}

static inline bool mark_any_pins(const struct cordon_op *ops, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count && !any; i++) {
        any = mark_pins(&ops[i]);
    }
    return any;
}

/* What is to be pinned and absent is filled ahead of the change, if it is much, a part under each
 * hold of D's lock, which the caller does not hold. Errors: as txn_do; ENOMEM where others have
 * taken the memory meanwhile: what was filled stays. */
CORDON_MUST_CHECK int mark_fill_ahead(struct cordon_domain *d, const struct cordon_op *ops,
                                      size_t count);

/* ---- what stands behind a range ----------------------------------------------------------- */

/* A walk over the G-stage leaves of a range that the map covers. Pages of DEMAND regions that are
 * absent are left out, or, with HOLES, told as runs at BACKING_HOLE. */
struct backing {
    const struct cordon_domain *d;
    uint64_t at, end; /* what is left, in bytes */
    bool holes;
};

#define BACKING_HOLE UINT64_MAX /* the HPA of no run */

#define BACKING_SOME 8u /* runs at a time, for who needs no list of them */

struct backing backing_of(const struct cordon_domain *d, uint64_t gfn, uint64_t pages);
/* The next runs, at most ROOM of them; 0 at the end. Neighbours in both memories are one run. */
uint64_t backing_next(struct backing *b, struct cordon_extent *runs, uint64_t room);

#endif
