/*
 * cordon_change: the commit, which cannot fail, and the order of it all. [INV 4, 7]
 */
#include "map/txn.h"
#include "core/ctx.h"
#include "frames/loan.h"
#include "log/log.h"
#include "map/tell.h"
#include "port_word.h"
#include "riscv/msi.h"
#include "touch/promise.h"
#include "touch/touch.h"

/* Holdings in a range are REVOKING: they are found by what still stands in the G-stage. */
static void mark_range(struct txn *t, uint64_t gfn, uint64_t end)
{
    while (gfn < end) {
        const struct span *s = span_find(&t->d->regions.set, gfn);
        uint64_t last = span_end(s) < end ? span_end(s) : end;
        struct backing b = backing_of(t->d, gfn, last - gfn);
        struct cordon_extent some[BACKING_SOME];
        uint64_t n;

        while (region_held(region_flags(s)) && (n = backing_next(&b, some, BACKING_SOME)) > 0) {
            for (uint64_t i = 0; i < n; i++) {
                resource_revoke(t->d->ctx, loan_page(t->d, region_flags(s), some[i].hpa),
                                some[i].len >> CORDON_PAGE_SHIFT, t->d->number);
            }
        }
        gfn = last;
    }
}

/* What goes is REVOKING before the first of its leaves is cleared: holdings from here on, frames
 * since they were reserved. */
void txn_commit_marks(struct txn *t)
{
    for (size_t i = 0; i < t->count; i++) {
        uint64_t gfn = op_first(&t->ops[i]);

        if (t->ops[i].kind == CORDON_OP_REVOKE) {
            mark_range(t, gfn, gfn + op_pages(&t->ops[i]));
        }
    }
}

static void commit_leaves(struct txn *t, const struct cordon_op *op)
{
    struct pt_forest *f = &t->d->forest;

    if (op_demands(op)) {
        return;
    }
    if (op_is_run(op)) {
        struct pt_run run = op_run(t, op);

        pt_map(f, &run, &t->tables, &t->d->dead);
    } else {
        struct pt_grant grant = op_grant(t, op);

        pt_map_grant(f, &grant, &t->tables, &t->d->dead);
    }
}

void txn_commit_tables(struct txn *t, const struct cordon_op *op)
{
    struct pt_forest *f = &t->d->forest;

    if (op->kind == CORDON_OP_GRANT) {
        commit_leaves(t, op);
        if ((op->flags & CORDON_REGION_FILE) != 0) {
            msi_lead(t->d, op_first(op), op->extents, op->extent_count);
        }
    } else if (op->kind == CORDON_OP_PROTECT) {
        if (t->writes_go && (op->perms & CORDON_WRITE) == 0) {
            log_till_now(t->d, op_first(op), op_pages(op));
        }
        pt_protect(f, op->gpa, op_pages(op), op->perms, f->views, &t->tables, &t->d->dead);
    } else if (op->kind == CORDON_OP_MARK) {
        mark_commit(t, op);
    } else {
        pt_unmap(f, op->gpa, op_pages(op), f->views, &t->tables, &t->d->dead);
    }
}

/* The page tables want maps first, then changes of rights and marks, then what goes: see pt.h. */
void txn_commit_in_order(struct txn *t)
{
    static const uint32_t order[] = {CORDON_OP_GRANT, CORDON_OP_PROTECT, CORDON_OP_MARK,
                                     CORDON_OP_DISCARD, CORDON_OP_REVOKE};

    for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
        for (size_t i = 0; i < t->count && txn_has(t, order[k]); i++) {
            if (t->ops[i].kind == order[k]) {
                txn_commit_tables(t, &t->ops[i]);
            }
        }
    }
}

void txn_commit_regions(struct txn *t)
{
    struct regions *r = &t->d->regions;

    for (size_t i = 0; i < t->count; i++) {
        const struct cordon_op *op = &t->ops[i];
        uint64_t first = op_first(op), pages = op_pages(op);

        if (t->count > 1) {
            span_around(&r->set, first, &t->below, &t->above);
        }
        if (op->kind == CORDON_OP_GRANT) {
            regions_insert(r, first, pages, region_attr(op->perms, op->flags), t->below, t->above);
        } else if (op->kind == CORDON_OP_PROTECT) {
            regions_protect(r, first, pages, op->perms, t->below);
        } else if (op->kind == CORDON_OP_MARK) {
            regions_change(r, first, pages, region_attr(0, CORDON_REGION_MARKS),
                           region_attr(0, op->flags), t->below);
        } else if (op->kind == CORDON_OP_REVOKE) {
            regions_remove(r, first, pages, t->below);
        }
    }
}

/* The regions say already what is PROMISED. */
void txn_commit_promises(struct txn *t)
{
    if (t->promises) {
        promise_fewer(t->d, t->fewer);
        promise_more(t->d, t->more);
        promise_settle(t->d);
    }
}

static void txn_commit(struct txn *t)
{
    gone_commit(t->d, &t->gone);
    if (t->resources) {
        txn_commit_marks(t);
        resource_reserve_end(t->d->ctx);
    }
    if (t->count == 1) {
        txn_commit_tables(t, t->ops);
    } else {
        txn_commit_in_order(t);
    }
    port_fence(t->d->ctx->cookie);
    txn_commit_regions(t);
    span_trim(&t->d->regions.set);
    txn_commit_promises(t);
    if (t->tables.count > 0) {
        pt_pool_free(&t->d->forest, &t->tables);
    }
}

/* Everything but the arrays, which say themselves how much of them counts. */
void txn_begin(struct txn *t, struct cordon_domain *d, const struct cordon_op *ops, size_t count,
               bool loan)
{
    t->d = d;
    t->ops = ops;
    t->count = count;
    t->claimed = 0;
    t->kinds = 0;
    t->stamp = txn_stamp(d);
    t->resources = false;
    t->held_runs = 0;
    t->loan = loan;
    t->below = NULL;
    t->above = NULL;
    t->tables = (struct pt_pool){.count = 0};
    t->writes_go = false;
    t->promises = false;
    t->promised = 0;
    t->spare = d->spare.count;
    t->fewer = 0;
    t->more = 0;
    gone_begin(&t->gone);
}

/* The views' own two steps. */
static int txn_carry_out(struct txn *t)
{
    int err = txn_reserve(t);

    if (err != 0) {
        return err;
    }
    txn_commit(t);
    err = gone_retire(t->d, &t->gone);
    gone_clear(t->d->ctx, &t->gone);
    return err;
}

/* The same between the two steps of whoever listens. */
__attribute__((noinline)) static int txn_told(struct txn *t)
{
    struct tell tell = tell_begin(t->d);
    int err = tell_ops(&tell, t->ops, t->count);

    err = tell_asked(&tell, err);
    if (err != 0) {
        return err;
    }
    err = txn_carry_out(t);
    tell_end(&tell, err);
    return err;
}

int txn_do(struct cordon_domain *d, const struct cordon_op *ops, size_t count, bool loan)
{
    struct txn t;
    int err;

    txn_begin(&t, d, ops, count, loan);
    err = txn_check(&t);
    if (err != 0) {
        return err;
    }
    return tell_anybody(d) ? txn_told(&t) : txn_carry_out(&t);
}

int cordon_change(cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    if (d == NULL || (ops == NULL && count != 0)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    int err = mark_any_pins(ops, count) ? mark_fill_ahead(d, ops, count) : 0;

    if (err != 0) {
        return err;
    }
    lock_take(&d->lock);
    err = txn_do(d, ops, count, false);
    lock_give(&d->lock);
    return err;
}
