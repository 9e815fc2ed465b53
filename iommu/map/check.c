/*
 * Checks of operations. Everything here comes from a caller that may be a guest's servant: refused,
 * never asserted.
 */
#include "core/ctx.h"
#include "map/txn.h"
#include "pt/word.h"
#include <cordon/error.h>

#define FLAGS_RAM \
    (CORDON_REGION_NODMA | CORDON_REGION_KEEP | CORDON_REGION_PIN | CORDON_REGION_TYPES)
#define FLAGS_MMIO (CORDON_REGION_MMIO | CORDON_REGION_PEER | CORDON_REGION_FILE)
#define FLAGS_DEMAND \
    (CORDON_REGION_DEMAND | CORDON_REGION_NODMA | CORDON_REGION_HUGE | CORDON_REGION_PROMISED)

static bool flags_legal(uint32_t flags, bool loan)
{
    if (loan) {
        flags &= ~(CORDON_REGION_NODMA | CORDON_REGION_TYPES);
        return flags == CORDON_REGION_SHARED;
    }
    if ((flags & CORDON_REGION_MMIO) != 0) {
        return (flags & ~FLAGS_MMIO) == 0;
    }
    return (flags & ~((flags & CORDON_REGION_DEMAND) != 0 ? FLAGS_DEMAND : FLAGS_RAM)) == 0;
}

static bool form_legal(const struct cordon_op *op, bool loan)
{
    bool bare = op->extents == NULL && op->extent_count == 0;

    if (op->reserved != 0) {
        return false;
    }
    switch (op->kind) {
    case CORDON_OP_GRANT:
        return ((op->flags & CORDON_REGION_DEMAND) != 0
                    ? bare
                    : op->extents != NULL && op->extent_count != 0) &&
               pt_perms_legal(op->perms) && flags_legal(op->flags, loan);
    case CORDON_OP_REVOKE:
    case CORDON_OP_DISCARD:
        return bare && op->perms == 0 && op->flags == 0;
    case CORDON_OP_MARK:
        return bare && op->perms == 0 && (op->flags & ~CORDON_REGION_MARKS) == 0;
    case CORDON_OP_PROTECT:
        return bare && pt_perms_legal(op->perms) && op->flags == 0;
    default:
        return false;
    }
}

/* May frames of a region with these flags go, and come again? */
static int check_discard(const struct cordon_domain *d, uint32_t flags)
{
    if ((flags & CORDON_REGION_DEMAND) == 0 || (flags & CORDON_REGION_PIN) != 0) {
        return -CORDON_EPERM;
    }
    return (domain_views_for(d, flags) & ~1u) != 0 ? -CORDON_EBUSY : 0;
}

/* The same for every region of a range that the map covers. */
static int check_regions(const struct cordon_domain *d, const struct cordon_op *op)
{
    uint64_t at = op_first(op), end = at + op_pages(op);
    int err = 0;

    while (op->kind == CORDON_OP_DISCARD && at < end && err == 0) {
        const struct span *s = span_find(&d->regions.set, at);

        err = check_discard(d, region_flags(s));
        at = span_end(s);
    }
    return err;
}

/* The range is not wholly in the map, or in part, as the kind wants it. */
static int check_place(struct txn *t, const struct cordon_op *op)
{
    const struct cordon_domain *d = t->d;
    uint64_t first = op_first(op), pages = op_pages(op);

    span_around(&d->regions.set, first, &t->below, &t->above);
    if (op->kind != CORDON_OP_GRANT) {
        bool inside = t->below != NULL && span_end(t->below) > first;

        return inside && (span_end(t->below) - first >= pages ||
                          regions_cover(&d->regions, first, pages))
                   ? check_regions(d, op)
                   : -CORDON_ENOENT;
    }
    if ((t->below != NULL && span_end(t->below) > first) ||
        (t->above != NULL && t->above->first - first < pages)) {
        return -CORDON_EEXIST;
    }
    if ((op->flags & CORDON_REGION_MMIO) == 0 && domain_msi_touches(d, first, pages)) {
        return -CORDON_EEXIST;
    }
    /* A device's access cannot wait for a frame. */
    return op_demands(op) && (domain_views_for(d, op->flags) & ~1u) != 0 ? -CORDON_EBUSY : 0;
}

/* A region has no type, or one, which harts know. */
static int check_type(const struct cordon_ctx *ctx, uint32_t flags)
{
    if ((flags & CORDON_REGION_TYPES) == 0) {
        return 0;
    }
    if ((flags & CORDON_REGION_TYPES) == CORDON_REGION_TYPES) {
        return -CORDON_EINVAL;
    }
    return ctx->pbmt ? 0 : -CORDON_ENOTSUP;
}

int txn_check_form(const struct cordon_ctx *ctx, const struct cordon_op *op, bool loan)
{
    if (!form_legal(op, loan)) {
        return -CORDON_EINVAL;
    }
    return is_aligned(op->gpa.v | op->len, CORDON_PAGE_SIZE) ? check_type(ctx, op->flags)
                                                             : -CORDON_EALIGN;
}

int txn_check_flags(const struct cordon_ctx *ctx, uint32_t flags)
{
    return flags_legal(flags, false) ? check_type(ctx, flags) : -CORDON_EINVAL;
}

static int check_op(struct txn *t, const struct cordon_op *op)
{
    uint64_t first = op_first(op), pages = op_pages(op);

    int err = txn_check_form(t->d->ctx, op, t->loan);

    if (err != 0) {
        return err;
    }
    if (pages == 0 || first >= t->d->gfn_limit || pages > t->d->gfn_limit - first) {
        return -CORDON_ERANGE;
    }
    t->kinds |= 1u << op->kind;
    return check_place(t, op);
}

static bool ascending(const struct cordon_op *ops, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (ops[i].gpa.v < ops[i - 1].gpa.v + ops[i - 1].len) {
            return false;
        }
    }
    return true;
}

/* Ranges in any order: each is entered into a set that it must not touch. */
static int check_apart(struct cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    struct span_set seen;
    int err;

    span_set_init(&seen, d->ctx, d->regions.set.random);
    err = span_reserve(&seen, count);
    for (size_t i = 0; i < count && err == 0; i++) {
        uint64_t first = ops[i].gpa.v >> CORDON_PAGE_SHIFT;
        uint64_t pages = ops[i].len >> CORDON_PAGE_SHIFT;

        if (span_clear_of(&seen, first, pages)) {
            (void)span_insert(&seen, first, pages, 0, 0);
        } else {
            err = -CORDON_EINVAL;
        }
    }
    span_set_clear(&seen);
    return err;
}

int txn_check(struct txn *t)
{
    for (size_t i = 0; i < t->count; i++) {
        int err = check_op(t, &t->ops[i]);

        if (err != 0) {
            return err;
        }
    }
    return ascending(t->ops, t->count) ? 0 : check_apart(t->d, t->ops, t->count);
}
