/*
 * Filling one view from another. A table that lies wholly inside the range becomes a table of both;
 * at the range's two ends the new view gets tables of its own.
 */
#include <cordon/error.h>

#include "pt/edit.h"

static void link_level(struct pt_edit *e, unsigned level, const uint64_t *from,
                       const struct pt_node *to, uint64_t first, uint64_t last);

/* The whole entry: the same leaf, or the same table with one parent more. */
static void link_whole(struct pt_edit *e, const struct pt_node *to, unsigned index, uint64_t word)
{
    cordon_assert(to->table[index] == 0);
    if (pt_word_is_table(word)) {
        pt_refs_add(e->f, pt_word_table(e->f, word), 1);
    }
    pt_store(e->f, &to->table[index], word);
    pt_valid_add(e->f, to->table, 1);
}

/* Part of a superpage: its leaves, one or two levels down. */
static void link_leaf(struct pt_edit *e, unsigned level, uint64_t word, const struct pt_node *to,
                      uint64_t first, uint64_t last)
{
    e->offset = pt_word_hpa(word).v - (first & ~(pt_span(level) - 1));
    e->bits = word & ~PTE_PPN;
    e->max_leaf = level;
    pt_map_level(e, level, to, 1, first, last);
}

/* Part of a table. */
static void link_table(struct pt_edit *e, unsigned level, uint64_t word, const struct pt_node *to,
                       uint64_t first, uint64_t last)
{
    struct pt_node child[1];
    unsigned index = pt_index(e->f->fmt, level, first);
    uint32_t empty;

    if (to->table[index] == word) {
        return; /* one table in both already: FROM, too, holds nothing in the range */
    }
    cordon_assert(pt_open(e, level, to, 1, first, last, child) == 1);
    link_level(e, level - 1, pt_word_table(e->f, word), child, first, last);
    empty = field_get(FW_TABLE_VALID, *pt_own(e->f, child->table)) == 0;
    pt_close(e, level, to, index, child, 1, empty);
}

/* Depth is bounded by the format's levels. */
static void link_level(struct pt_edit *e, unsigned level, const uint64_t *from,
                       const struct pt_node *to, uint64_t first, uint64_t last)
{
    uint64_t next;

    for (uint64_t at = first; at <= last; at = next) {
        unsigned index = pt_index(e->f->fmt, level, at);
        uint64_t word = level == 0 ? pt_page_leaf(&from[index]) : from[index]; /* in part: no run */
        uint64_t end = pt_entry_last(level, at, last);

        next = end + 1;
        if (word == 0) {
            continue;
        }
        if (pt_entry_whole(level, at, end)) {
            link_whole(e, to, index, word);
        } else if (pt_word_is_table(word)) {
            link_table(e, level, word, to, at, end);
        } else {
            link_leaf(e, level, word, to, at, end);
        }
    }
}

int pt_view_link(struct pt_forest *f, uint32_t from, uint32_t to, cordon_gpa gpa, uint64_t len)
{
    unsigned top = pt_top(f->fmt);
    uint64_t first = pt_linear(f->fmt, gpa.v);
    uint64_t last = len == 0 ? BIT64(f->fmt->address_bits) - 1 : first + len - 1;
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};
    struct pt_edit e = {.f = f, .pool = &pool, .retire = &retire, .map = true};
    struct pt_node root;
    int error = -CORDON_EALIGN;

    cordon_assert(from != to && pt_roots(f, 1u << from, &root) == 1);
    if (is_aligned(len, CORDON_PAGE_SIZE)) {
        error = pt_range_check(f->fmt, gpa, len == 0 ? 1 : len >> CORDON_PAGE_SHIFT);
    }
    if (error == 0) {
        error = pt_pool_grow(f, &pool, pt_tables_for(top, top, first, last));
    }
    if (error != 0) {
        return error;
    }
    pt_roots(f, 1u << to, &root);
    port_fence(f->ctx->cookie);
    link_level(&e, top, pt_table_ptr(f, f->root[from]), &root, first, last);
    pt_pool_free(f, &pool);
    cordon_assert(retire.count == 0);
    return 0;
}
