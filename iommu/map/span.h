/*
 * Sorted sets of page ranges: a treap whose priorities come from a seeded generator, so that
 * whoever chooses the ranges cannot unbalance it. Nodes live in pages of the layer's own.
 *
 * What must not fail later is reserved first: after span_reserve(n), n nodes can be had without an
 * allocation. Ranges of one set never overlap; what they mean is up to the set's owner.
 */
#ifndef CORDON_MAP_SPAN_H
#define CORDON_MAP_SPAN_H

#include <cordon/types.h>

struct span {
    uint64_t first; /* page number */
    uint64_t pages;
    uint64_t value;
    uint32_t attr;
    uint32_t heap;         /* priority: no child has a higher one */
    struct span *child[2]; /* 0: lower, 1: higher */
    struct span *parent;
};

struct span_page; /* a page of nodes */

struct span_set {
    struct cordon_ctx *ctx;
    struct span *root;
    struct span_page *room;  /* pages with used and free nodes */
    struct span_page *empty; /* pages without a used node */
    uint64_t free_nodes;     /* in both */
    uint64_t count;          /* ranges in the set */
    uint64_t random;
};

static inline uint64_t span_end(const struct span *s)
{
    return s->first + s->pages;
}

void span_set_init(struct span_set *s, struct cordon_ctx *ctx, uint64_t seed);
/* Forget every range and give all pages back. */
void span_set_clear(struct span_set *s);

/* Have NODES free nodes at hand. ENOMEM; then trim. */
CORDON_MUST_CHECK int span_reserve(struct span_set *s, uint64_t nodes);
/* Give back pages that hold no range. */
void span_trim(struct span_set *s);

/* The range that holds PAGE, or null. */
struct span *span_find(const struct span_set *s, uint64_t page);
/* The range that holds PAGE, or else the first one above it, or null. */
struct span *span_next(const struct span_set *s, uint64_t page);
/* The last range that starts at or below PAGE (*BELOW) and the first that starts above it. */
void span_around(const struct span_set *s, uint64_t page, struct span **below, struct span **above);
/* True if no range touches [FIRST, FIRST + PAGES). */
bool span_clear_of(const struct span_set *s, uint64_t first, uint64_t pages);

/* The range before or after this one, or null. */
struct span *span_before(const struct span *node);
struct span *span_after(const struct span *node);

/* Insert a range that overlaps none, into a reserved node. Behind: BELOW is the last range that
 * starts below it, or null; on average it takes no search. */
struct span *span_insert(struct span_set *s, uint64_t first, uint64_t pages, uint32_t attr,
                         uint64_t value);
struct span *span_insert_behind(struct span_set *s, struct span *below, uint64_t first,
                                uint64_t pages, uint32_t attr, uint64_t value);
void span_remove(struct span_set *s, struct span *node);
/* The longest path from the root, in nodes; by walking all. For tests. */
unsigned span_depth(const struct span_set *s);

#endif
