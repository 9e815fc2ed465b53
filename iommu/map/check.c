/*
 * Checks of operations. Everything here comes from a caller that may be a guest's servant: refused,
 * never asserted.
 */
#include "map/check.h"
#include <cordon/error.h>

#define FLAGS_ALL \
    (CORDON_REGION_MMIO | CORDON_REGION_NODMA | CORDON_REGION_PEER | CORDON_REGION_KEEP)

/* R, RW, RX, RWX, X. No rights at all would make a leaf a pointer; W without R is reserved. */
static bool perms_legal(uint32_t perms)
{
    bool reads = (perms & CORDON_READ) != 0;

    return perms != 0 && perms <= CORDON_RWX && (reads || (perms & CORDON_WRITE) == 0);
}

static bool flags_legal(uint32_t flags)
{
    bool mmio = (flags & CORDON_REGION_MMIO) != 0;

    if ((flags & ~FLAGS_ALL) != 0) {
        return false;
    }
    return mmio ? (flags & (CORDON_REGION_NODMA | CORDON_REGION_KEEP)) == 0
                : (flags & CORDON_REGION_PEER) == 0;
}

static bool form_legal(const struct cordon_op *op)
{
    bool bare = op->extents == NULL && op->extent_count == 0;

    if (op->reserved != 0) {
        return false;
    }
    switch (op->kind) {
    case CORDON_OP_GRANT:
        return op->extents != NULL && op->extent_count != 0 && perms_legal(op->perms) &&
               flags_legal(op->flags);
    case CORDON_OP_REVOKE:
        return bare && op->perms == 0 && op->flags == 0;
    case CORDON_OP_PROTECT:
        return bare && perms_legal(op->perms) && op->flags == 0;
    default:
        return false;
    }
}

static int check_op(const struct cordon_domain *d, const struct cordon_op *op)
{
    uint64_t first = op->gpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = op->len >> CORDON_PAGE_SHIFT;

    if (!form_legal(op)) {
        return -CORDON_EINVAL;
    }
    if (!is_aligned(op->gpa.v | op->len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    if (pages == 0 || first >= d->gfn_limit || pages > d->gfn_limit - first) {
        return -CORDON_ERANGE;
    }
    if (op->kind != CORDON_OP_GRANT) {
        return regions_cover(&d->regions, first, pages) ? 0 : -CORDON_ENOENT;
    }
    if (!span_clear_of(&d->regions.set, first, pages)) {
        return -CORDON_EEXIST;
    }
    if ((op->flags & CORDON_REGION_MMIO) == 0 && domain_msi_touches(d, first, pages)) {
        return -CORDON_EEXIST;
    }
    return 0;
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

int check_ops(struct cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = check_op(d, &ops[i]);

        if (err != 0) {
            return err;
        }
    }
    return ascending(ops, count) ? 0 : check_apart(d, ops, count);
}
