/*
 * cordon_change: the commit, which cannot fail, and the order of it all. [INV 4, 7]
 */
#include "map/txn.h"
#include "core/ctx.h"
#include "map/check.h"
#include "port_word.h"

/* MMIO that goes, and frames if there is no list of them, found by what still stands in the
 * G-stage. */
static void mark_range(struct txn *t, uint64_t gfn, uint64_t end)
{
    while (gfn < end) {
        const struct span *s = span_find(&t->d->regions.set, gfn);
        uint64_t last = span_end(s) < end ? span_end(s) : end;
        struct backing b = backing_of(t->d, gfn, last - gfn);
        bool mmio = (region_flags(s) & CORDON_REGION_MMIO) != 0;

        while ((mmio || t->gone.lost) && backing_next(&b)) {
            struct cordon_extent run = {b.hpa, b.len};

            if (mmio) {
                resource_revoke(t->d->ctx, b.hpa, b.len, t->d->number);
            } else {
                frames_revoke(t->d->ctx, &run, 1);
            }
        }
        gfn = last;
    }
}

/* Everything that goes is REVOKING before the first of its leaves is cleared. */
static void commit_marks(struct txn *t)
{
    if (!t->gone.lost) {
        gone_each(t->d->ctx, &t->gone, frames_revoke);
    }
    for (size_t i = 0; i < t->count && (t->resources || t->gone.lost); i++) {
        uint64_t gfn = t->ops[i].gpa.v >> CORDON_PAGE_SHIFT;

        if (t->ops[i].kind == CORDON_OP_REVOKE) {
            mark_range(t, gfn, gfn + (t->ops[i].len >> CORDON_PAGE_SHIFT));
        }
    }
}

/* The page tables want maps first, then changes of rights, then what goes: see pt.h. */
static void commit_kind(struct txn *t, uint32_t kind)
{
    struct pt_forest *f = &t->d->forest;

    for (size_t i = 0; i < t->count; i++) {
        const struct cordon_op *op = &t->ops[i];
        uint64_t pages = op->len >> CORDON_PAGE_SHIFT;

        if (op->kind != kind) {
            continue;
        }
        if (kind == CORDON_OP_GRANT) {
            struct pt_grant grant = txn_grant(t, op);

            pt_map_grant(f, &grant, &t->tables, &t->d->dead);
        } else if (kind == CORDON_OP_PROTECT) {
            pt_protect(f, op->gpa, pages, op->perms, f->views, &t->tables, &t->d->dead);
        } else {
            pt_unmap(f, op->gpa, pages, f->views, &t->tables, &t->d->dead);
        }
    }
}

static void commit_regions(struct txn *t)
{
    struct regions *r = &t->d->regions;

    for (size_t i = 0; i < t->count; i++) {
        const struct cordon_op *op = &t->ops[i];
        uint64_t first = op->gpa.v >> CORDON_PAGE_SHIFT;
        uint64_t pages = op->len >> CORDON_PAGE_SHIFT;

        if (op->kind == CORDON_OP_GRANT) {
            regions_insert(r, first, pages, region_attr(op->perms, op->flags));
        } else if (op->kind == CORDON_OP_PROTECT) {
            regions_protect(r, first, pages, op->perms);
        } else {
            regions_remove(r, first, pages);
        }
    }
    span_trim(&r->set);
}

static void txn_commit(struct txn *t)
{
    struct pt_retire *dead = &t->d->dead;

    t->gone.dead_before = dead->count;
    dead->nonleaf = false;
    dead->downgrade = false;
    commit_marks(t);
    if (t->resources) {
        resource_reserve_end(t->d->ctx);
    }
    commit_kind(t, CORDON_OP_GRANT);
    commit_kind(t, CORDON_OP_PROTECT);
    commit_kind(t, CORDON_OP_REVOKE);
    port_fence(t->d->ctx->cookie);
    commit_regions(t);
    pt_pool_free(&t->d->forest, &t->tables);
}

static int change(struct cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    struct txn t = {.d = d, .ops = ops, .count = count};
    int err = check_ops(d, ops, count);

    if (err != 0) {
        return err;
    }
    t.epoch = frames_begin(d->ctx);
    err = txn_reserve(&t);
    if (err != 0) {
        return err;
    }
    txn_commit(&t);
    err = gone_retire(d, &t.gone);
    gone_clear(d->ctx, &t.gone);
    return err;
}

int cordon_change(cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    if (d == NULL || (ops == NULL && count != 0)) {
        return -CORDON_EINVAL;
    }
    lock_take(&d->lock);
    int err = change(d, ops, count);

    lock_give(&d->lock);
    return err;
}
