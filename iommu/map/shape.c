/* The shape of a view, by the counts that each table's ownership word keeps. */
#include <cordon/shape.h>

#include "core/ctx.h"
#include "map/domain.h"
#include "pt/napot.h"

_Static_assert(CORDON_SHAPE_LEVELS == PT_MAX_LEVELS, "arrays hold every level");

struct count {
    const struct pt_forest *f;
    struct cordon_shape *out;
    bool below_shared; /* under a table that others hold, each table is theirs too */
    uint32_t shared_level;
};

/* Parents come before their children, so the level tells where a shared subtree ends. */
static int add_table(void *arg, cordon_hpa table, uint32_t level)
{
    struct count *c = arg;
    const uint64_t *at = pt_table_ptr(c->f, table);
    bool root = level == pt_top(c->f->fmt);

    if (c->below_shared && level >= c->shared_level) {
        c->below_shared = false;
    }
    if (!root && !c->below_shared && pt_refs(c->f, at) > 1) {
        c->below_shared = true;
        c->shared_level = level;
    }
    c->out->tables[level]++;
    c->out->shared[level] += c->below_shared;
    c->out->leaves[level] += pt_valid(*pt_own(c->f, at));
    if (level == 0 && c->f->napot) {
        unsigned napot = pt_napot_count(at);

        c->out->napot += napot;
        c->out->leaves[0] -= napot * PT_NAPOT_PAGES;
    }
    c->out->table_bytes += pt_entries(c->f->fmt, level) * sizeof(uint64_t);
    return 0;
}

/* Valid words that lead to tables are no leaves. */
static void leave_leaves(struct cordon_shape *s)
{
    for (unsigned level = 1; level < s->levels; level++) {
        s->leaves[level] -= s->tables[level - 1];
    }
    for (unsigned level = 0; level < s->levels; level++) {
        s->mapped += s->leaves[level] * pt_span(level);
    }
    s->mapped += s->napot * PT_NAPOT_PAGES * CORDON_PAGE_SIZE;
}

static uint64_t map_end(const struct cordon_domain *d)
{
    struct span *last, *above;

    span_around(&d->regions.set, UINT64_MAX - 1, &last, &above);
    return last != NULL ? span_end(last) : 0;
}

static int shape(const struct cordon_domain *d, uint32_t view, struct cordon_shape *out)
{
    struct count c = {.f = &d->forest, .out = out};

    if (view >= CORDON_MAX_VIEWS || (d->forest.views >> view & 1u) == 0) {
        return -CORDON_EINVAL;
    }
    *out = (struct cordon_shape){.size = sizeof(*out),
                                 .mode = d->forest.fmt->mode,
                                 .levels = d->forest.fmt->levels,
                                 .flat_bytes = map_end(d) * sizeof(uint64_t)};
    int err = pt_each_table(&d->forest, view, add_table, &c);

    leave_leaves(out);
    return err;
}

int cordon_shape(const cordon_domain *d, uint32_t view, struct cordon_shape *out)
{
    struct cordon_shape found;

    if (d == NULL || out == NULL || out->size != sizeof(*out)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    /* Only the lock is written to. */
    struct lock *lock = &((struct cordon_domain *)(uintptr_t)d)->lock;

    lock_take(lock);
    int err = shape(d, view, &found);

    lock_give(lock);
    if (err == 0) {
        *out = found;
    }
    return err;
}
