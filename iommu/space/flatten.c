/*
 * Flattening: what is seen of a tree at each page.
 *
 * Nodes are visited from the highest priority down, and each fills what is still free of its
 * window. The way down is a stack of bounded depth; a node that is on it already would be inside
 * itself. Visits are counted, for aliases can double what is below them at every step.
 */
#include "space/space.h"

struct window {
    int64_t low, high; /* pages, high excluded */
    uint32_t perms, flags;
};

/* A container on the way. */
struct level {
    uint32_t node;      /* its id */
    uint64_t next, end; /* children in ORDER */
    int64_t base;       /* where its offset 0 is */
    struct window inside;
};

struct walk {
    const struct tree *t;
    struct flat *out;
    struct level level[CORDON_MAX_DEPTH];
    unsigned depth;
    uint32_t visits;
};

void flat_init(struct flat *f, struct cordon_ctx *ctx, uint64_t seed)
{
    span_set_init(&f->places, ctx, seed);
    span_set_init(&f->seen, ctx, ~seed);
}

void flat_drop(struct flat *f)
{
    span_set_clear(&f->places);
    span_set_clear(&f->seen);
}

/* ---- leaves ------------------------------------------------------------------------------- */

/* N is seen in [FIRST, END), with its page PAGE at FIRST. */
static int show(struct walk *w, const struct node *n, const struct window *in, uint64_t first,
                uint64_t end, uint64_t page)
{
    uint32_t flags = n->flags | (n->kind == CORDON_NODE_RAM ? in->flags : 0);
    uint64_t name = page_name(n, page), pages = end - first;
    int err = span_reserve(&w->out->places, 1);

    if (err == 0) {
        err = span_reserve(&w->out->seen, 1);
    }
    if (err != 0) {
        return err;
    }
    if (n->kind == CORDON_NODE_HOLE) {
        (void)span_insert(&w->out->places, first, pages, HOLE_ATTR, n->id);
        return 0;
    }
    if ((n->perms & in->perms) == 0) {
        return -CORDON_EINVAL;
    }
    if (!span_clear_of(&w->out->seen, name, pages)) {
        return -CORDON_EEXIST; /* a frame or resource stands at one GPA */
    }
    (void)span_insert(&w->out->seen, name, pages, n->id, first);
    (void)span_insert(&w->out->places, first, pages, region_attr(n->perms & in->perms, flags),
                      name);
    return 0;
}

/* Fill what is free of the window with N, whose page 0 is at BASE. */
static int fill(struct walk *w, const struct node *n, int64_t base, const struct window *in)
{
    uint64_t at = (uint64_t)in->low, end = (uint64_t)in->high;
    int err = 0;

    while (at < end && err == 0) {
        const struct span *taken = span_next(&w->out->places, at);
        uint64_t stop = taken != NULL && taken->first < end ? taken->first : end;

        if (at < stop) {
            uint64_t behind = taken != NULL ? span_end(taken) : end;

            err = show(w, n, in, at, stop, (uint64_t)((int64_t)at - base));
            at = stop < end ? behind : end;
        } else {
            at = span_end(taken);
        }
    }
    return err;
}

/* ---- the way down ------------------------------------------------------------------------- */

static bool is_inside(const struct walk *w, uint32_t id)
{
    for (unsigned i = 0; i < w->depth; i++) {
        if (w->level[i].node == id) {
            return true;
        }
    }
    return false;
}

static int enter(struct walk *w, uint32_t id, int64_t base, const struct window *in)
{
    if (is_inside(w, id)) {
        return -CORDON_EINVAL;
    }
    if (w->depth == CORDON_MAX_DEPTH) {
        return -CORDON_ELIMIT;
    }
    struct level *l = &w->level[w->depth++];

    *l = (struct level){.node = id, .base = base, .inside = *in};
    l->end = tree_children(w->t, id, &l->next);
    return 0;
}

/* What is left of a window in a node that stands at BASE. False: nothing. */
static bool narrow(struct window *in, const struct node *n, int64_t base)
{
    int64_t end = base + (int64_t)n->pages;

    in->low = in->low > base ? in->low : base;
    in->high = in->high < end ? in->high : end;
    if (n->kind == CORDON_NODE_CONTAINER || n->kind == CORDON_NODE_ALIAS) {
        in->perms &= n->perms;
        in->flags |= n->flags;
    }
    return in->low < in->high && !n->disabled;
}

/* N stands at BASE, to be seen through a window. Aliases lead on to their targets. */
static int visit(struct walk *w, const struct node *n, int64_t base, struct window in)
{
    for (unsigned hops = 0; hops <= CORDON_MAX_DEPTH; hops++) {
        if (++w->visits > CORDON_MAX_VISITS) {
            return -CORDON_ELIMIT;
        }
        if (!narrow(&in, n, base)) {
            return 0;
        }
        if (n->kind == CORDON_NODE_CONTAINER) {
            return enter(w, n->id, base, &in);
        }
        if (n->kind != CORDON_NODE_ALIAS) {
            return fill(w, n, base, &in);
        }
        base -= (int64_t)n->target_offset;
        n = tree_find(w->t, n->target);
        cordon_assert(n != NULL); /* checked */
    }
    return -CORDON_EINVAL; /* aliases of each other */
}

/* The next child of the container at hand, or back from it. */
static int step(struct walk *w)
{
    struct level *l = &w->level[w->depth - 1];

    if (l->next == l->end) {
        w->depth--;
        return 0;
    }
    uint32_t index = ((const uint32_t *)w->t->order.at)[l->next++];
    const struct node *n = (const struct node *)w->t->nodes.at + index;

    return visit(w, n, l->base + (int64_t)n->offset, l->inside);
}

int flatten(const struct tree *t, uint64_t gfn_limit, struct flat *out)
{
    struct walk w = {.t = t, .out = out};
    const struct window all = {.high = (int64_t)gfn_limit, .perms = CORDON_RWX};
    int err = enter(&w, CORDON_NODE_ROOT, 0, &all);

    while (err == 0 && w.depth > 0) {
        err = step(&w);
    }
    span_trim(&out->places);
    span_trim(&out->seen);
    return err;
}
