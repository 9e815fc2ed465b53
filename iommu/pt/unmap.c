/*
 * Revoking: leaves are cleared, tables that hold nothing else are taken out whole.
 *
 * Words go first and stay gone; what they led to keeps its contents until it is freed. [INV 7]
 */
#include "pt/edit.h"
#include "pt/napot.h"

/* Clear PAGES leaves of a leaf table, whose ownership word is OWN. True when it is empty now. */
static inline bool clear_run(const struct pt_forest *f, uint64_t *table, uint64_t *own,
                             unsigned index, uint64_t pages, struct pt_retire *retire)
{
    uint64_t *word = &table[index], *end = word + pages;
    uint64_t empty = 0; /* rare: nothing else is counted */

    for (; word != end; word++) {
        if (*word == 0) {
            empty++;
        } else {
            pt_store(f, word, 0);
        }
    }
    uint64_t gone = pages - empty;

    pt_own_set(own, *own - gone * PT_VALID_ONE);
    retire->downgrade |= gone != 0;
    return gone != 0 && pt_valid(*own) == 0;
}

static bool clear_leaves(const struct pt_edit *e, uint64_t *table, uint64_t first, uint64_t last)
{
    if (e->f->napot) {
        pt_napot_break_ends(e->f, table, pt_index_below(0, first), pt_index_below(0, last),
                            e->retire);
    }
    return clear_run(e->f, table, pt_own(e->f, table), pt_index_below(0, first),
                     (last - first + 1) >> CORDON_PAGE_SHIFT, e->retire);
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

/* Whole entries of a table that all views share: if it has more, it stays. False: it does not. */
static bool clear_common(const struct pt_edit *e, uint32_t views, unsigned level, uint64_t first,
                         uint64_t last)
{
    uint64_t *table = pt_common(e->f, views, level, first, last);
    unsigned index = pt_index_below(level, first), end = pt_index_below(level, last);

    if (table == NULL || pt_valid(*pt_own(e->f, table)) <= end - index + 1) {
        return false;
    }
    for (; index <= end; index++) {
        (void)clear_entry(e, level, table, index);
    }
    return true;
}

PT_SLOW void unmap_down(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
                        struct pt_pool *pool, struct pt_retire *retire)
{
    uint64_t first = pt_linear(f->fmt, gpa.v);
    struct pt_edit e = {.f = f, .pool = pool, .retire = retire, .all = views == f->views};
    uint64_t last = first + (pages << CORDON_PAGE_SHIFT) - 1;
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count, level = pt_whole_level(PT_LEAF_MAX, first, last);

    f->ready_at = PT_NOWHERE;
    if (level > 0 && clear_common(&e, views, level, first, last)) {
        return;
    }
    count = pt_roots(f, views, nodes);
    unmap_level(&e, pt_top(f->fmt), nodes, count, first, last);
}

void pt_unmap(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
              struct pt_pool *pool, struct pt_retire *retire)
{
    uint64_t last = gpa.v + (pages << CORDON_PAGE_SHIFT) - 1;

    /* With more entries than can go now the table stays, and nothing above it changes. */
    if (!f->napot && pt_is_ready(f, views, gpa.v, last) && pt_valid(*f->ready_own) > pages) {
        clear_run(f, f->ready, f->ready_own, pt_index_below(0, gpa.v), pages, retire);
        return;
    }
    unmap_down(f, gpa, pages, views, pool, retire);
}
