/*
 * Changing rights, or taking types, in place. A leaf is replaced by one store; until the caches are
 * flushed, hardware may use its old or its new rights. [Priv 12.2.1; IOMMU guidelines on changing
 * second-stage tables]
 */
#include "pt/edit.h"
#include "pt/napot.h"

/* Replace one leaf. Hardware may set A and D meanwhile, where they are clear. */
static void change_leaf(const struct pt_edit *e, uint64_t *word, uint64_t old, uint64_t changed)
{
    const struct pt_forest *f = e->f;

    if ((old & PTE_MARKS) == PTE_MARKS) {
        pt_store(f, word, changed);
        return;
    }
    while (!port_swap64(f->ctx->cookie, word, pt_word_at(f, word), old, changed)) {
        old = __atomic_load_n(word, __ATOMIC_RELAXED); /* at most once for each of the two bits */
        changed = (old & e->kept) | e->bits;
    }
}

/* Give entries INDEX..LAST of a table the new bits, where they are leaves. */
static void change_leaves(const struct pt_edit *e, uint64_t *table, unsigned index, unsigned last)
{
    for (; index <= last; index++) {
        uint64_t word = table[index];
        uint64_t changed = (word & e->kept) | e->bits;

        if (pt_word_is_leaf(word) && changed != word) {
            change_leaf(e, &table[index], word, changed);
            e->retire->downgrade = true;
        }
    }
}

/* The same in a leaf table; runs of 64 KiB stay only whole. */
static void change_pages(const struct pt_edit *e, uint64_t *table, uint64_t first, uint64_t last)
{
    unsigned index = pt_index_below(0, first), end = pt_index_below(0, last);

    if (e->f->napot) {
        pt_napot_break_ends(e->f, table, index, end, e->retire);
    }
    change_leaves(e, table, index, end);
}

static void protect_level(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                          unsigned count, uint64_t first, uint64_t last);

static void protect_entry(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                          unsigned count, uint64_t first, uint64_t last)
{
    struct pt_node child[CORDON_MAX_VIEWS];
    unsigned index = pt_index(e->f->fmt, level, first);
    unsigned opened = pt_open(e, level, nodes, count, first, last, child);

    protect_level(e, level - 1, child, opened, first, last);
    pt_close(e, level, nodes, index, child, opened, 0);
    for (unsigned i = 0; pt_entry_whole(level, first, last) && i < count; i++) {
        change_leaves(e, nodes[i].table, index, index);
    }
}

/* Depth is bounded by the format's levels. */
static void protect_level(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                          unsigned count, uint64_t first, uint64_t last)
{
    uint64_t next;

    if (level == 0) {
        for (unsigned i = 0; i < count; i++) {
            change_pages(e, nodes[i].table, first, last);
        }
        return;
    }
    for (uint64_t at = first; count > 0 && at <= last; at = next) {
        next = pt_entry_last(level, at, last) + 1;
        protect_entry(e, level, nodes, count, at, next - 1);
    }
}

static void change(struct pt_edit *e, cordon_gpa gpa, uint64_t pages, uint32_t views)
{
    struct pt_forest *f = e->f;
    uint64_t first = pt_linear(f->fmt, gpa.v);
    uint64_t last = first + (pages << CORDON_PAGE_SHIFT) - 1;
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count;

    e->all = views == f->views;
    if (pt_ready(f, views, first, last)) {
        change_pages(e, f->ready, first, last);
        return;
    }
    f->ready_at = PT_NOWHERE;
    count = pt_roots(f, views, nodes);
    protect_level(e, pt_top(f->fmt), nodes, count, first, last);
}

void pt_protect(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t perms, uint32_t views,
                struct pt_pool *pool, struct pt_retire *retire)
{
    struct pt_edit e = {.f = f,
                        .pool = pool,
                        .retire = retire,
                        .bits = pt_leaf_make(f->fmt, 0, 0, perms) & PTE_RIGHTS,
                        .kept = ~PTE_RIGHTS};

    change(&e, gpa, pages, views);
}

void pt_untype(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
               struct pt_pool *pool, struct pt_retire *retire)
{
    struct pt_edit e = {.f = f, .pool = pool, .retire = retire, .kept = ~PTE_PBMT};

    change(&e, gpa, pages, views);
}
