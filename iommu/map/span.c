/*
 * Treap of page ranges, all loops, and the slab its nodes come from.
 */
#include "map/span.h"
#include "core/ctx.h"
#include "core/random.h"

struct span_page {
    struct span_page *next, *prev;
    struct span *free; /* chained through child[0] */
    uint64_t used;
    struct span node[];
};

#define SPANS_PER_PAGE ((CORDON_PAGE_SIZE - sizeof(struct span_page)) / sizeof(struct span))

/* ---- slab --------------------------------------------------------------------------------- */

static struct span_page *page_of(struct span *node)
{
    return (struct span_page *)((uintptr_t)node & ~(uintptr_t)(CORDON_PAGE_SIZE - 1));
}

static void page_link(struct span_page **list, struct span_page *page)
{
    page->prev = NULL;
    page->next = *list;
    if (page->next != NULL) {
        page->next->prev = page;
    }
    *list = page;
}

static void page_unlink(struct span_page **list, struct span_page *page)
{
    if (page->prev != NULL) {
        page->prev->next = page->next;
    } else {
        *list = page->next;
    }
    if (page->next != NULL) {
        page->next->prev = page->prev;
    }
}

int span_reserve(struct span_set *s, uint64_t nodes)
{
    while (s->free_nodes < nodes) {
        struct span_page *page = pool_page_alloc(s->ctx);

        if (page == NULL) {
            return -CORDON_ENOMEM;
        }
        for (size_t i = SPANS_PER_PAGE; i > 0; i--) {
            page->node[i - 1].child[0] = page->free;
            page->free = &page->node[i - 1];
        }
        page_link(&s->empty, page);
        s->free_nodes += SPANS_PER_PAGE;
    }
    return 0;
}

void span_trim(struct span_set *s)
{
    while (s->empty != NULL) {
        struct span_page *page = s->empty;

        page_unlink(&s->empty, page);
        s->free_nodes -= SPANS_PER_PAGE;
        pool_page_free(s->ctx, page);
    }
}

static struct span *node_take(struct span_set *s)
{
    struct span_page *page = s->room;

    if (page == NULL) {
        page = s->empty;
        cordon_assert(page != NULL); /* reserved before */
        page_unlink(&s->empty, page);
        page_link(&s->room, page);
    }
    struct span *node = page->free;

    page->free = node->child[0];
    page->used++;
    s->free_nodes--;
    if (page->free == NULL) {
        page_unlink(&s->room, page); /* full pages are on no list */
    }
    return node;
}

static void node_give(struct span_set *s, struct span *node)
{
    struct span_page *page = page_of(node);

    if (page->free == NULL) {
        page_link(&s->room, page);
    }
    node->child[0] = page->free;
    page->free = node;
    page->used--;
    s->free_nodes++;
    if (page->used == 0) {
        page_unlink(&s->room, page);
        page_link(&s->empty, page);
    }
}

/* ---- treap -------------------------------------------------------------------------------- */

void span_set_init(struct span_set *s, struct cordon_ctx *ctx, uint64_t seed)
{
    *s = (struct span_set){.ctx = ctx, .random = seed};
}

/* NODE, or nothing, hangs from a place of PARENT's. */
static inline void hang(struct span **place, struct span *node, struct span *parent)
{
    *place = node;
    if (node != NULL) {
        node->parent = parent;
    }
}

/* Where a node hangs. */
static inline struct span **place_of(struct span_set *s, const struct span *node)
{
    struct span *parent = node->parent;

    return parent != NULL ? &parent->child[parent->child[1] == node] : &s->root;
}

/* A node takes its parent's place, and the parent becomes its child. */
static void rise(struct span_set *s, struct span *node)
{
    struct span *parent = node->parent;
    unsigned side = parent->child[1] == node;

    hang(place_of(s, parent), node, parent->parent);
    hang(&parent->child[side], node->child[1 - side], parent);
    hang(&node->child[1 - side], parent, node);
}

/* It comes where the next range but one would be looked for, and rises to its priority: on average,
 * either takes less than two steps. */
struct span *span_insert_behind(struct span_set *s, struct span *below, uint64_t first,
                                uint64_t pages, uint32_t attr, uint64_t value)
{
    struct span **place = below != NULL ? &below->child[1] : &s->root;
    struct span *node = node_take(s), *parent = below;

    while (*place != NULL) {
        parent = *place;
        place = &parent->child[0];
    }
    *node = (struct span){.first = first,
                          .pages = pages,
                          .value = value,
                          .attr = attr,
                          .heap = (uint32_t)random_next(&s->random)};
    hang(place, node, parent);
    while (node->parent != NULL && node->parent->heap < node->heap) {
        rise(s, node);
    }
    s->count++;
    return node;
}

struct span *span_insert(struct span_set *s, uint64_t first, uint64_t pages, uint32_t attr,
                         uint64_t value)
{
    struct span *below, *above;

    span_around(s, first, &below, &above);
    return span_insert_behind(s, below, first, pages, attr, value);
}

void span_remove(struct span_set *s, struct span *node)
{
    while (node->child[0] != NULL && node->child[1] != NULL) {
        rise(s, node->child[node->child[1]->heap > node->child[0]->heap]);
    }
    hang(place_of(s, node), node->child[node->child[0] == NULL], node->parent);
    node_give(s, node);
    s->count--;
}

void span_set_clear(struct span_set *s)
{
    while (s->root != NULL) {
        span_remove(s, s->root);
    }
    span_trim(s);
}

void span_around(const struct span_set *s, uint64_t page, struct span **below, struct span **above)
{
    struct span *t = s->root;

    *below = NULL;
    *above = NULL;
    while (t != NULL) {
        if (t->first <= page) {
            *below = t;
            t = t->child[1];
        } else {
            *above = t;
            t = t->child[0];
        }
    }
}

/* The next range on a side, 0: below, 1: above. */
static struct span *neighbour(const struct span *node, unsigned side)
{
    struct span *t = node->child[side];

    if (t != NULL) {
        while (t->child[1 - side] != NULL) {
            t = t->child[1 - side];
        }
        return t;
    }
    t = node->parent;
    while (t != NULL && t->child[side] == node) {
        node = t;
        t = t->parent;
    }
    return t;
}

struct span *span_before(const struct span *node)
{
    return neighbour(node, 0);
}

struct span *span_after(const struct span *node)
{
    return neighbour(node, 1);
}

struct span *span_find(const struct span_set *s, uint64_t page)
{
    struct span *below, *above;

    span_around(s, page, &below, &above);
    return below != NULL && span_end(below) > page ? below : NULL;
}

struct span *span_next(const struct span_set *s, uint64_t page)
{
    struct span *below, *above;

    span_around(s, page, &below, &above);
    return below != NULL && span_end(below) > page ? below : above;
}

bool span_clear_of(const struct span_set *s, uint64_t first, uint64_t pages)
{
    const struct span *hit = span_next(s, first);

    return hit == NULL || hit->first >= first + pages;
}

unsigned span_depth(const struct span_set *s)
{
    unsigned deepest = 0;

    for (struct span *n = span_next(s, 0); n != NULL; n = span_next(s, span_end(n))) {
        unsigned depth = 1;

        for (const struct span *t = s->root; t != n; depth++) {
            t = t->child[t->first < n->first];
        }
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}
