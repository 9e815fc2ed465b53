/*
 * Splitting alone: smaller leaves that say the same take a large one's place. [INV 7]
 *
 * No valid translation disappears or changes: the table is complete and fenced before the one store
 * that makes it reachable. Harts and IOMMUs may go on using the large leaf until they are told.
 */
#include "pt/edit.h"
#include "pt/napot.h"

/* Depth is bounded by the format's levels. */
static void split_level(struct pt_edit *e, unsigned level, unsigned to, const struct pt_node *nodes,
                        unsigned count, uint64_t first, uint64_t last)
{
    struct pt_node child[CORDON_MAX_VIEWS];

    for (unsigned i = 0; level == 0 && i < count; i++) {
        pt_napot_break(e->f, nodes[i].table, pt_index_below(0, first), e->retire);
    }
    if (level == to || count == 0) {
        return;
    }
    unsigned opened = pt_open(e, level, nodes, count, first, last, child);

    split_level(e, level - 1, to, child, opened, first, last);
    pt_close(e, level, nodes, pt_index(e->f->fmt, level, first), child, opened, 0);
}

void pt_split(struct pt_forest *f, cordon_gpa gpa, unsigned level, uint32_t views,
              struct pt_pool *pool, struct pt_retire *retire)
{
    uint64_t first = pt_linear(f->fmt, gpa.v) & ~(pt_span(level) - 1);
    struct pt_edit e = {.f = f, .pool = pool, .retire = retire, .all = views == f->views};
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count = pt_roots(f, views, nodes);

    f->ready_at = PT_NOWHERE;
    split_level(&e, pt_top(f->fmt), level, nodes, count, first, first + pt_span(level) - 1);
}
