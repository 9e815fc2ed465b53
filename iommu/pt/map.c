/* Granting: leaves are written, largest first. */
#include "pt/edit.h"

/* PAGES leaves of LEVEL, one behind the other in one table, whose words were empty. */
static void write_leaves(const struct pt_edit *e, unsigned level, uint64_t *table, uint64_t first,
                         uint64_t pages)
{
    uint64_t *word = &table[pt_index(e->f->fmt, level, first)];
    uint64_t *end = word + pages;
    uint64_t leaf = e->bits | pt_ppn_put(first + e->offset);
    uint64_t step = pt_leaf_step(level);

    for (; word != end; word++, leaf += step) {
        cordon_assert(*word == 0);
        pt_store(e->f, word, leaf);
    }
    pt_valid_add(e->f, table, (int)pages);
}

/* 4 KiB leaves for FIRST..LAST of a leaf table, from a list of extents. */
static void write_list(const struct pt_edit *e, uint64_t *table, uint64_t first, uint64_t last)
{
    struct pt_cursor at = *e->list;
    uint64_t *word = &table[pt_index_below(0, first)];
    uint64_t *end = &table[pt_index_below(0, last)] + 1;
    int pages = (int)(end - word);

    while (word != end) {
        uint64_t leaf = e->bits | pt_ppn_put(at.extent->hpa.v + at.used);
        uint64_t left = (at.extent->len - at.used) >> CORDON_PAGE_SHIFT;

        for (at.used = 0, at.extent++; left > 0 && word != end; left--, word++) {
            cordon_assert(*word == 0);
            pt_store(e->f, word, leaf);
            leaf += pt_leaf_step(0);
        }
    }
    pt_valid_add(e->f, table, pages);
}

static void write_nodes(const struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                        unsigned count, uint64_t first, uint64_t pages)
{
    for (unsigned i = 0; i < count; i++) {
        if (e->list != NULL) {
            write_list(e, nodes[i].table, first, first + (pages << CORDON_PAGE_SHIFT) - 1);
        } else {
            write_leaves(e, level, nodes[i].table, first, pages);
        }
    }
}

static void map_entry(struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                      unsigned count, uint64_t first, uint64_t last)
{
    struct pt_node child[CORDON_MAX_VIEWS];
    unsigned opened = pt_open(e, level, nodes, count, first, last, child);

    pt_map_level(e, level - 1, child, opened, first, last);
    pt_close(e, level, nodes, pt_index(e->f->fmt, level, first), child, opened, 0);
}

/* Depth is bounded by the format's levels. */
void pt_map_level(struct pt_edit *e, unsigned level, const struct pt_node *nodes, unsigned count,
                  uint64_t first, uint64_t last)
{
    struct pt_node one;
    uint64_t next;

    if (count == 1 && e->all) {
        one = nodes[0];
        level = pt_sink(e, level, &one, first, last);
        nodes = &one;
    }
    for (uint64_t at = first; at <= last; at = next) {
        uint64_t span = pt_span(level);

        if (level <= e->max_leaf && is_aligned(at, span) && last - at >= span - 1) {
            uint64_t pages = (last - at + 1) >> pt_shift(level);

            write_nodes(e, level, nodes, count, at, pages);
            next = at + (pages << pt_shift(level));
        } else {
            next = pt_entry_last(level, at, last) + 1;
            map_entry(e, level, nodes, count, at, next - 1);
        }
    }
}

static struct pt_edit map_edit(struct pt_forest *f, uint32_t perms, uint32_t views,
                               struct pt_pool *pool, struct pt_retire *retire)
{
    /* What the frames hold was written before a leaf leads there. */
    port_fence(f->ctx->cookie);
    return (struct pt_edit){.f = f,
                            .pool = pool,
                            .retire = retire,
                            .bits = pt_leaf_make(f->fmt, 0, 0, perms),
                            .map = true,
                            .all = views == f->views};
}

void pt_map(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool,
            struct pt_retire *retire)
{
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count = pt_roots(f, run->views, nodes);
    uint64_t first = pt_linear(f->fmt, run->gpa.v);
    struct pt_edit e = map_edit(f, run->perms, run->views, pool, retire);

    e.offset = run->hpa.v - first;
    e.max_leaf = pt_leaf_level(e.offset);
    pt_map_level(&e, pt_top(f->fmt), nodes, count, first,
                 first + (run->pages << CORDON_PAGE_SHIFT) - 1);
}

void pt_map_grant(struct pt_forest *f, const struct pt_grant *grant, struct pt_pool *pool,
                  struct pt_retire *retire)
{
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count = pt_roots(f, grant->views, nodes);
    struct pt_edit e = map_edit(f, grant->perms, grant->views, pool, retire);
    struct pt_pieces pieces;
    struct pt_piece piece;
    uint64_t pages;

    cordon_assert(pt_grant_pages(grant, &pages) == 0);
    pieces = pt_pieces_of(f->fmt, grant, pages);
    while (pt_piece_next(&pieces, &piece)) {
        e.offset = piece.offset;
        e.max_leaf = pt_leaf_level(e.offset);
        e.list = piece.list.extent != NULL ? &piece.list : NULL;
        pt_map_level(&e, pt_top(f->fmt), nodes, count, piece.first, piece.last);
    }
}
