/*
 * Revoking: leaves are cleared, tables that hold nothing else are taken out whole.
 *
 * Words go first and stay gone; what they led to keeps its contents until it is freed. [INV 7]
 */
#include "pt/edit.h"

/* Clear the leaves FIRST..LAST of a leaf table. True when it is empty now. */
static bool clear_leaves(const struct pt_edit *e, uint64_t *table, uint64_t first, uint64_t last)
{
    uint64_t *word = &table[pt_index_below(0, first)];
    uint64_t *end = &table[pt_index_below(0, last)];
    int gone = 0;

    for (; word <= end; word++) {
        if (*word != 0) {
            pt_store(e->f, word, 0);
            gone++;
        }
    }
    e->retire->downgrade |= gone != 0;
    return gone != 0 && pt_valid_add(e->f, table, -gone) == 0;
}

/* Clear one entry of a higher table, whatever it holds. True when the table is empty now. */
static bool clear_entry(const struct pt_edit *e, unsigned level, uint64_t *table, unsigned index)
{
    uint64_t word = table[index];

    if (word == 0) {
        return false;
    }
    pt_store(e->f, &table[index], 0);
    e->retire->downgrade = true;
    if (pt_word_is_table(word)) {
        e->retire->nonleaf = true;
        pt_drop(e->f, e->retire, level - 1, pt_word_table(e->f, word), 1);
    }
    return pt_valid_add(e->f, table, -1) == 0;
}

static uint32_t unmap_level(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                            unsigned count, uint64_t first, uint64_t last);

static uint32_t unmap_entry(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                            unsigned count, uint64_t first, uint64_t last)
{
    struct pt_node child[CORDON_MAX_VIEWS];
    unsigned index = pt_index(e->f->fmt, level, first);
    uint32_t empty = 0;

    if (pt_entry_whole(level, first, last)) {
        for (unsigned i = 0; i < count; i++) {
            empty |= (uint32_t)clear_entry(e, level, nodes[i].table, index) << i;
        }
        return empty;
    }
    count = pt_open(e, level, nodes, count, first, last, child);
    empty = unmap_level(e, level - 1, child, count, first, last);
    return pt_close(e, level, nodes, index, child, count, empty);
}

/* Returns the nodes that became empty. Depth is bounded by the format's levels. */
static uint32_t unmap_level(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                            unsigned count, uint64_t first, uint64_t last)
{
    uint32_t empty = 0;
    uint64_t next;

    if (level == 0) {
        for (unsigned i = 0; i < count; i++) {
            empty |= (uint32_t)clear_leaves(e, nodes[i].table, first, last) << i;
        }
        return empty;
    }
    for (uint64_t at = first; count > 0 && at <= last; at = next) {
        next = pt_entry_last(level, at, last) + 1;
        empty |= unmap_entry(e, level, nodes, count, at, next - 1);
    }
    return empty;
}

void pt_unmap(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
              struct pt_pool *pool, struct pt_retire *retire)
{
    struct pt_node nodes[CORDON_MAX_VIEWS];
    uint64_t first = pt_linear(f->fmt, gpa.v);
    struct pt_edit e = {.f = f, .pool = pool, .retire = retire, .all = views == f->views};

    unmap_level(&e, pt_top(f->fmt), nodes, pt_roots(f, views, nodes), first,
                first + (pages << CORDON_PAGE_SHIFT) - 1);
}
