/*
 * One descent over the tables of several views: what stands in the way is opened, and published
 * again by one store. [INV 7; Priv 12.2.1: a word is replaced by a single aligned store]
 */
#include "pt/edit.h"

unsigned pt_roots(const struct pt_forest *f, uint32_t views, struct pt_node *nodes)
{
    unsigned count = 0;

    cordon_assert(views != 0 && (views & ~f->views) == 0);
    for (; views != 0; views &= views - 1) {
        unsigned view = (unsigned)__builtin_ctz(views);

        nodes[count++] = (struct pt_node){.table = pt_table_ptr(f, f->root[view])};
    }
    return count;
}

unsigned pt_gather(const struct pt_node *nodes, unsigned count, unsigned index,
                   struct pt_node *child)
{
    unsigned groups = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t word = nodes[i].table != NULL ? nodes[i].table[index] : 0;
        unsigned g = 0;

        while (g < groups && child[g].old != word) {
            g++;
        }
        if (g == groups) {
            child[groups++] = (struct pt_node){.old = word};
        }
        child[g].members |= 1u << i;
    }
    return groups;
}

bool pt_holds(const struct pt_forest *f, unsigned level, const uint64_t *table, uint64_t first,
              uint64_t last)
{
    uint64_t next;

    for (uint64_t at = first; at <= last; at = next) {
        uint64_t word = table[pt_index(f->fmt, level, at)];
        uint64_t end = pt_entry_last(level, at, last);

        next = end + 1;
        if (word == 0) {
            continue;
        }
        /* No table is empty: only one that sticks out of the range need be looked into. */
        if (!pt_word_is_table(word) || pt_entry_whole(level, at, end) ||
            pt_holds(f, level - 1, pt_word_table(f, word), at, end)) {
            return true;
        }
    }
    return false;
}

uint64_t *pt_copy_table(struct pt_edit *e, unsigned level, const uint64_t *from)
{
    struct pt_forest *f = e->f;
    uint64_t *to = pt_pool_take(f, e->pool);

    for (unsigned i = 0; i < 1u << PT_INDEX_BITS; i++) {
        uint64_t word = from[i];

        if (word == 0) {
            continue;
        }
        if (level > 0 && pt_word_is_table(word)) {
            pt_refs_add(f, pt_word_table(f, word), 1);
        }
        pt_store(f, &to[i], word);
    }
    pt_own_set(pt_own(f, to), *pt_own(f, to) | (*pt_own(f, from) & FW_TABLE_VALID));
    return to;
}

uint64_t *pt_split_leaf(struct pt_edit *e, unsigned level, uint64_t leaf)
{
    struct pt_forest *f = e->f;
    uint64_t *to = pt_pool_take(f, e->pool);
    uint64_t word = leaf; /* the base of a large page is that of its first part */
    bool napot = f->napot && level == 0;

    cordon_assert(level <= PT_LEAF_MAX && pt_word_is_leaf(leaf));
    for (unsigned i = 0; i < 1u << PT_INDEX_BITS; i++, word += pt_leaf_step(level)) {
        pt_store(f, &to[i], napot ? pt_napot_make(word) : word);
    }
    pt_valid_add(f, to, 1 << PT_INDEX_BITS);
    return to;
}

/* Find or make the table of one group. LEVEL is the table's. False: there is none to enter. */
static bool open_one(struct pt_edit *e, unsigned level, struct pt_node *child, uint64_t first,
                     uint64_t last)
{
    uint64_t old = child->old;

    child->fresh = true;
    if (old == 0) {
        child->table = e->map ? pt_pool_take(e->f, e->pool) : NULL;
        return e->map;
    }
    if (!pt_word_is_table(old)) {
        cordon_assert(!e->map);
        if (pt_entry_whole(level + 1, first, last)) {
            return false;
        }
        child->table = pt_split_leaf(e, level, old);
        return true;
    }
    child->table = pt_word_table(e->f, old);
    child->fresh = !e->all && pt_refs(e->f, child->table) > pt_members(child->members);
    if (child->fresh) {
        if (!e->map && !pt_holds(e->f, level, child->table, first, last)) {
            return false;
        }
        child->table = pt_copy_table(e, level, child->table);
    }
    return true;
}

unsigned pt_open(struct pt_edit *e, unsigned level, const struct pt_node *nodes, unsigned count,
                 uint64_t first, uint64_t last, struct pt_node *child)
{
    unsigned groups = pt_gather(nodes, count, pt_index(e->f->fmt, level, first), child);
    unsigned opened = 0;

    for (unsigned i = 0; i < groups; i++) {
        if (open_one(e, level - 1, &child[i], first, last)) {
            child[opened++] = child[i];
        }
    }
    return opened;
}

uint32_t pt_put(struct pt_edit *e, const struct pt_node *nodes, unsigned index,
                const struct pt_node *child, uint64_t word)
{
    int delta = (word != 0) - (child->old != 0);
    uint32_t empty = 0;

    for (uint32_t m = child->members; m != 0; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctz(m);

        pt_store(e->f, &nodes[i].table[index], word);
        if (delta != 0 && pt_valid_add(e->f, nodes[i].table, delta) == 0) {
            empty |= 1u << i;
        }
    }
    return empty;
}

static bool all_fresh(const struct pt_node *nodes, uint32_t members)
{
    bool fresh = true;

    for (; members != 0; members &= members - 1) {
        fresh &= nodes[__builtin_ctz(members)].fresh;
    }
    return fresh;
}

static uint32_t close_one(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                          unsigned index, const struct pt_node *child, bool empty)
{
    unsigned parents = pt_members(child->members);
    uint32_t emptied = 0;

    if (empty) {
        emptied = pt_put(e, nodes, index, child, 0);
    } else {
        pt_refs_add(e->f, child->table, (int)parents);
        if (!all_fresh(nodes, child->members)) {
            port_fence(e->f->ctx->cookie);
        }
        pt_put(e, nodes, index, child, pt_table_make(pt_word_at(e->f, child->table)));
    }
    if (child->old != 0) {
        e->retire->nonleaf = true;
    }
    if (pt_word_is_table(child->old)) {
        pt_drop(e->f, e->retire, level - 1, pt_word_table(e->f, child->old), parents);
    }
    if (empty && child->fresh) {
        pt_pool_give(e->f, e->pool, child->table);
    }
    return emptied;
}

uint32_t pt_close(struct pt_edit *e, unsigned level, const struct pt_node *nodes, unsigned index,
                  const struct pt_node *child, unsigned count, uint32_t empty)
{
    uint32_t emptied = 0;

    for (unsigned i = 0; i < count; i++) {
        bool gone = (empty >> i & 1u) != 0;

        if (gone || child[i].fresh) {
            emptied |= close_one(e, level, nodes, index, &child[i], gone);
        }
    }
    return emptied;
}
