/* Coalescing: see merge.h. */
#include "pt/merge.h"

#include "pt/edit.h"
#include "pt/napot.h"

struct merge {
    struct pt_edit e;
    const struct pt_merge *what;
    struct pt_merged *out;
};

/* The leaf of LEVEL + 1 that says what all words of a table of LEVEL say; 0: there is none. */
static uint64_t merged(const struct pt_forest *f, unsigned level, const uint64_t *table)
{
    uint64_t leaf = level == 0 ? pt_page_leaf(table) : table[0], word = leaf;

    if (pt_valid(*pt_own(f, table)) != 1u << PT_INDEX_BITS || !pt_word_is_leaf(leaf) ||
        pt_leaf_bits(leaf) != f->fmt->leaf_bits ||
        (leaf & PTE_PPN & (pt_leaf_step(level + 1) - 1)) != 0) {
        return 0;
    }
    for (unsigned i = 0; i < 1u << PT_INDEX_BITS; i++, word += pt_leaf_step(level)) {
        if (table[i] != word && (level != 0 || pt_page_leaf(&table[i]) != word)) {
            return 0;
        }
    }
    return leaf;
}

/* Runs in the part of a leaf table from AT on that the map leaves to one leaf. */
static void join_child(struct merge *m, uint64_t *table, uint64_t at)
{
    uint64_t inside = pt_span(1) - 1, first = at & ~inside, last = at | inside;

    first = first > m->what->first ? first : m->what->first;
    last = last < m->what->last ? last : m->what->last;
    m->out->napot +=
        pt_napot_join(m->e.f, table, pt_index_below(0, first), pt_index_below(0, last));
}

/* One table under an entry of LEVEL, in all views that have it there. True: it was. */
static bool merge_child(struct merge *m, unsigned level, const struct pt_node *nodes,
                        unsigned index, const struct pt_node *child)
{
    struct pt_forest *f = m->e.f;
    uint64_t *table = pt_word_table(f, child->old);
    uint64_t leaf = merged(f, level - 1, table);

    if (leaf == 0) {
        return false;
    }
    pt_put(&m->e, nodes, index, child, leaf);
    pt_drop(f, m->e.retire, level - 1, table, pt_members(child->members));
    m->e.retire->nonleaf = true;
    m->out->made[level - 1]++;
    return true;
}

/* Which of the groups lead to tables: these stay, with the tables. */
static unsigned tables_only(const struct pt_forest *f, struct pt_node *child, unsigned groups)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < groups; i++) {
        if (pt_word_is_table(child[i].old)) {
            child[kept] = child[i];
            child[kept].table = pt_word_table(f, child[i].old);
            kept++;
        }
    }
    return kept;
}

/* May the entry of LEVEL that holds AT be one leaf? */
static bool may_merge(const struct merge *m, unsigned level, uint64_t at)
{
    uint64_t inside = pt_span(level) - 1;

    return level <= PT_LEAF_MAX && (at & ~inside) >= m->what->first &&
           (at | inside) <= m->what->last;
}

static bool spent(const struct merge *m)
{
    return m->out->words >= m->what->budget && m->out->words > 0;
}

/* Depth is bounded by the format's levels. Everything below out->next has been gone through. */
static void merge_level(struct merge *m, unsigned level, const struct pt_node *nodes,
                        unsigned count, uint64_t first, uint64_t last)
{
    for (uint64_t at = first; at <= last && !spent(m); at = m->out->next) {
        unsigned index = pt_index(m->e.f->fmt, level, at);
        uint64_t end = pt_entry_last(level, at, last);
        struct pt_node child[CORDON_MAX_VIEWS];
        unsigned kept = tables_only(m->e.f, child, pt_gather(nodes, count, index, child));

        m->out->words += PT_MERGE_ENTRY;
        if (kept > 0 && level > 1) {
            merge_level(m, level - 1, child, kept, at, end);
            if (m->out->next <= end) {
                return;
            }
        }
        bool may = may_merge(m, level, at), joins = level == 1 && m->e.f->napot;

        for (unsigned i = 0; i < kept && (may || joins); i++) {
            m->out->looked++;
            m->out->words += PT_MERGE_TABLE;
            if (!(may && merge_child(m, level, nodes, index, &child[i])) && joins) {
                join_child(m, child[i].table, at);
            }
        }
        m->out->next = end + 1;
    }
}

void pt_merge(struct pt_forest *f, const struct pt_merge *what, struct pt_retire *retire,
              struct pt_merged *out)
{
    struct merge m = {.e = {.f = f, .retire = retire, .all = true}, .what = what, .out = out};
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count = pt_roots(f, f->views, nodes);

    *out = (struct pt_merged){.next = what->from};
    f->ready_at = PT_NOWHERE;
    merge_level(&m, pt_top(f->fmt), nodes, count, what->from, what->to);
}
