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

            for (unsigned i = 0; i < count; i++) {
                write_leaves(e, level, nodes[i].table, at, pages);
            }
            next = at + (pages << pt_shift(level));
        } else {
            next = pt_entry_last(level, at, last) + 1;
            map_entry(e, level, nodes, count, at, next - 1);
        }
    }
}

void pt_map(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool,
            struct pt_retire *retire)
{
    struct pt_node nodes[CORDON_MAX_VIEWS];
    uint64_t first = pt_linear(f->fmt, run->gpa.v);
    struct pt_edit e = {.f = f, .pool = pool, .retire = retire, .map = true};

    e.offset = run->hpa.v - first;
    e.bits = pt_leaf_make(f->fmt, 0, 0, run->perms);
    e.max_leaf = pt_leaf_level(e.offset);
    e.all = run->views == f->views;
    /* What the frames hold was written before a leaf leads there. */
    port_fence(f->ctx->cookie);
    pt_map_level(&e, pt_top(f->fmt), nodes, pt_roots(f, run->views, nodes), first,
                 first + (run->pages << CORDON_PAGE_SHIFT) - 1);
}
