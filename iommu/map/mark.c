/* CORDON_OP_MARK: flags of regions that change while the frames stay. */
#include "core/ctx.h"
#include "log/log.h"
#include "map/txn.h"
#include "touch/promise.h"
#include "touch/touch.h"

/* The part of an operation from GFN on that lies in one region. */
struct part {
    uint64_t first, pages;
    uint32_t perms, flags;
    bool starts, stops; /* being logged */
    bool pins;          /* or lets go: a region ends where it begins, and no leaf goes on */
};

static struct part part_at(const struct txn *t, const struct cordon_op *op, uint64_t gfn)
{
    const struct span *s = span_find(&t->d->regions.set, gfn);
    uint64_t end = op_first(op) + op_pages(op);

    cordon_assert(s != NULL); /* covered: checked */
    uint64_t last = span_end(s) < end ? span_end(s) : end;
    uint32_t changes = (region_flags(s) ^ op->flags) & CORDON_REGION_LOG;

    return (struct part){.first = gfn,
                         .pages = last - gfn,
                         .perms = region_perms(s),
                         .flags = region_flags(s),
                         .pins = ((region_flags(s) ^ op->flags) & CORDON_REGION_PIN) != 0,
                         .starts = (changes & op->flags) != 0,
                         .stops = (changes & ~op->flags) != 0};
}

/* Absent pages that are to be pinned: they can be filled. */
static int reserve_fill(struct txn *t, const struct part *p)
{
    uint64_t absent = 0;

    if ((p->flags & CORDON_REGION_DEMAND) != 0) {
        absent = touch_count_absent(t->d, p->first, p->pages);
    }
    return absent == 0 ? 0
                       : txn_promise(t, p->first, p->pages, region_promised(p->flags) ? 0 : absent);
}

/* Is more absent of what these operations pin than is filled under one hold? The map covers them.
 */
static bool fills_much(const struct txn *t)
{
    uint64_t absent = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (mark_pins(&t->ops[i])) {
            absent += touch_count_absent(t->d, op_first(&t->ops[i]), op_pages(&t->ops[i]));
        }
    }
    return absent > TOUCH_AT_ONCE;
}

static bool huge_at(struct cordon_domain *d, uint64_t gfn)
{
    const struct span *s = regions_at(&d->regions, gfn);

    return s != NULL && (region_flags(s) & CORDON_REGION_HUGE) != 0;
}

/* What an operation pins, ahead of it; nothing of 2 MiB that it pins in part: all would come. */
static int fill_op(struct cordon_domain *d, const struct cordon_op *op)
{
    uint64_t first = op_first(op), end = first + op_pages(op);

    lock_take(&d->lock);
    first += huge_at(d, first) ? -first & (BLOCK_FRAMES - 1) : 0;
    end -= huge_at(d, end - 1) ? end & (BLOCK_FRAMES - 1) : 0;
    lock_give(&d->lock);
    return touch_range(d, first, end);
}

int mark_fill_ahead(struct cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    struct txn t;

    lock_take(&d->lock);
    txn_begin(&t, d, ops, count, false);
    int err = txn_check(&t);
    bool much = err == 0 && fills_much(&t);

    err = much ? txn_reserve(&t) : err;
    if (much && err == 0) {
        txn_undo(&t); /* it could be done: there is memory for all of it */
    }
    lock_give(&d->lock);
    for (size_t i = 0; much && err == 0 && i < count; i++) {
        if (mark_pins(&ops[i])) {
            err = fill_op(d, &ops[i]);
        }
    }
    return err;
}

int mark_reserve(struct txn *t, const struct cordon_op *op)
{
    uint64_t gfn = op_first(op);
    uint64_t end = gfn + op_pages(op);
    int err = 0;

    gone_range(&t->gone, op->gpa, op->len);
    while (gfn < end && err == 0) {
        struct part p = part_at(t, op, gfn);

        t->gone.devised |= domain_devised(p.flags);
        if (region_held(p.flags)) {
            err = -CORDON_EPERM;
        } else if (p.starts) {
            err = log_reserve(t->d, p.first, p.pages, p.flags, &t->tables);
        }
        if (err == 0 && p.pins) {
            err = pt_reserve_change(&t->d->forest, cordon_gpa_make(p.first << CORDON_PAGE_SHIFT),
                                    p.pages, t->d->forest.views, &t->tables);
        }
        if (err == 0 && (op->flags & CORDON_REGION_PIN) != 0) {
            err = reserve_fill(t, &p);
        }
        gfn = p.first + p.pages;
    }
    return err;
}

void mark_commit(struct txn *t, const struct cordon_op *op)
{
    uint64_t gfn = op_first(op);
    uint64_t end = gfn + op_pages(op);

    while (gfn < end) {
        struct part p = part_at(t, op, gfn);

        if (p.pins) { /* the same rights: leaves that stick out are split */
            pt_protect(&t->d->forest, cordon_gpa_make(p.first << CORDON_PAGE_SHIFT), p.pages,
                       p.perms, t->d->forest.views, &t->tables, &t->d->dead);
        }
        if (p.starts) {
            log_start(t->d, p.first, p.pages, p.flags, &t->tables, &t->d->dead);
        } else if (p.stops) {
            log_stop(t->d, p.first, p.pages, p.flags, &t->d->dead);
        }
        gfn = p.first + p.pages;
    }
    if ((op->flags & CORDON_REGION_PIN) != 0) {
        touch_promised(t->d, op_first(op), end, (op->flags & CORDON_REGION_LOG) == 0);
    }
}
