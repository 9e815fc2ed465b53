/* Granting: leaves are written, largest first. */
#include "pt/edit.h"

/* A table that holds nothing is not asked again for each word that is written into it. */
static inline bool holds_nothing(const struct pt_forest *f, const uint64_t *table)
{
    return pt_valid(*pt_own(f, table)) == 0;
}

/* PAGES leaves of 4 KiB, those that are 64 KiB together as one. */
PT_SLOW void write_napot(const struct pt_forest *f, uint64_t *word, uint64_t pages, uint64_t leaf,
                         bool fresh)
{
    uint64_t *end = word + pages;

    while (word != end) {
        uint64_t index = (uintptr_t)word / sizeof(*word) % PT_NAPOT_PAGES;
        bool whole = index == 0 && (leaf & PT_NAPOT_LOW) == 0 && end - word >= PT_NAPOT_PAGES;
        unsigned count = whole ? PT_NAPOT_PAGES : 1;

        for (unsigned i = 0; i < count; i++, word++) {
            cordon_assert(fresh || *word == 0);
            pt_store(f, word, whole ? pt_napot_make(leaf) : leaf);
        }
        leaf += count * pt_leaf_step(0);
    }
}

/* PAGES leaves of LEVEL, the first one LEAF, one behind the other. All were empty. */
static inline void write_plain(const struct pt_forest *f, unsigned level, uint64_t *word,
                               uint64_t pages, uint64_t leaf, bool fresh)
{
    uint64_t *end = word + pages, step = pt_leaf_step(level);

    for (; word != end; word++, leaf += step) {
        cordon_assert(fresh || *word == 0);
        pt_store(f, word, leaf);
    }
}

/* The same, with 64 KiB as one where the forest has such. */
static inline void write_run(const struct pt_forest *f, unsigned level, uint64_t *word,
                             uint64_t pages, uint64_t leaf, bool fresh)
{
    if (level == 0 && f->napot) {
        write_napot(f, word, pages, leaf, fresh);
    } else {
        write_plain(f, level, word, pages, leaf, fresh);
    }
}

static void write_leaves(const struct pt_edit *e, unsigned level, uint64_t *table, uint64_t first,
                         uint64_t pages)
{
    write_run(e->f, level, &table[pt_index(e->f->fmt, level, first)], pages,
              e->bits | pt_ppn_put(first + e->offset), holds_nothing(e->f, table));
    pt_valid_add(e->f, table, (int)pages);
}

/* As many extents of the list as are one leaf of LEVEL each, before END. Returns the word behind.
 */
static inline uint64_t *write_singles(const struct pt_edit *e, unsigned level, uint64_t *word,
                                      const uint64_t *end, struct pt_cursor *at, bool fresh)
{
    const struct cordon_extent *x = at->extent;
    uint64_t room = (uint64_t)(end - word), left = (uint64_t)(at->end - x);
    const struct cordon_extent *last = x + (left < room ? left : room);

    for (; x != last && x->len == pt_span(level); word++, x++) {
        cordon_assert(fresh || *word == 0);
        pt_store(e->f, word, e->bits | pt_ppn_put(x->hpa.v));
    }
    at->extent = x;
    return word;
}

/* As many leaves as the extent at hand has, before END. */
static uint64_t *write_extent(const struct pt_edit *e, unsigned level, uint64_t *word,
                              const uint64_t *end, struct pt_cursor *at, bool fresh)
{
    uint64_t room = (uint64_t)(end - word);
    uint64_t pages = (at->extent->len - at->used) >> pt_shift(level);

    pages = pages < room ? pages : room;
    write_run(e->f, level, word, pages, e->bits | pt_ppn_put(at->extent->hpa.v + at->used), fresh);
    at->used += pages << pt_shift(level);
    if (at->used == at->extent->len) {
        at->extent++;
        at->used = 0;
    }
    return word + pages;
}

/* PAGES leaves of LEVEL from the list, or as many as it has. Returns the place behind. */
static struct pt_cursor write_list(const struct pt_edit *e, unsigned level, uint64_t *table,
                                   uint64_t first, uint64_t pages)
{
    struct pt_cursor at = *e->list;
    uint64_t *start = &table[pt_index(e->f->fmt, level, first)], *word = start, *end = word + pages;
    bool fresh = holds_nothing(e->f, table);

    while (word != end && at.extent != at.end) {
        word = write_singles(e, level, word, end, &at, fresh);
        if (word != end && at.extent != at.end) {
            word = write_extent(e, level, word, end, &at, fresh);
        }
    }
    pt_valid_add(e->f, table, (int)(word - start));
    at.linear += (uint64_t)(word - start) << pt_shift(level);
    return at;
}

/* The list moves on only after the leaves are in every node. */
static void write_nodes(const struct pt_edit *e, unsigned level, const struct pt_node *nodes,
                        unsigned count, uint64_t first, uint64_t pages)
{
    struct pt_cursor behind = {0};

    if (e->list == NULL) {
        for (unsigned i = 0; i < count; i++) {
            write_leaves(e, level, nodes[i].table, first, pages);
        }
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        behind = write_list(e, level, nodes[i].table, first, pages);
    }
    *e->list = behind;
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

/* One piece, into the table that stands there already, or down from the roots. */
static void map_piece(struct pt_edit *e, uint32_t views, uint64_t first, uint64_t last)
{
    struct pt_forest *f = e->f;
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned count, level;

    e->max_leaf = pt_leaf_level(e->offset);
    level = pt_whole_level(e->max_leaf, first, last);
    nodes[0].table = pt_common(f, views, level, first, last);
    if (nodes[0].table != NULL) {
        write_nodes(e, level, nodes, 1, first, (last - first + 1) >> pt_shift(level));
        return;
    }
    f->ready_at = PT_NOWHERE;
    count = pt_roots(f, views, nodes);
    pt_map_level(e, pt_top(f->fmt), nodes, count, first, last);
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

PT_SLOW void map_run(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool,
                     struct pt_retire *retire)
{
    uint64_t first = pt_linear(f->fmt, run->gpa.v);
    struct pt_edit e = map_edit(f, run->perms, run->views, pool, retire);

    e.offset = run->hpa.v - first;
    map_piece(&e, run->views, first, first + (run->pages << CORDON_PAGE_SHIFT) - 1);
}

void pt_map(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool,
            struct pt_retire *retire)
{
    uint64_t first = run->gpa.v, last = first + (run->pages << CORDON_PAGE_SHIFT) - 1;

    if (f->napot || !pt_is_ready(f, run->views, first, last)) {
        map_run(f, run, pool, retire);
        return;
    }
    port_fence(f->ctx->cookie);
    write_plain(f, 0, &f->ready[pt_index_below(0, first)], run->pages,
                pt_leaf_make(f->fmt, 0, run->hpa.v, run->perms), false);
    pt_own_set(f->ready_own, *f->ready_own + run->pages * PT_VALID_ONE);
}

static void map_grant(struct pt_forest *f, const struct pt_grant *grant, struct pt_pool *pool,
                      struct pt_retire *retire)
{
    struct pt_edit e = map_edit(f, grant->perms, grant->views, pool, retire);
    struct pt_cursor at = pt_grant_begin(f->fmt, grant);
    struct pt_piece piece;

    e.bits |= grant->type;
    while (pt_grant_next(&at, &piece)) {
        e.offset = piece.offset;
        e.list = piece.list ? &at : NULL;
        map_piece(&e, grant->views, piece.first, piece.last);
    }
}

void pt_map_grant(struct pt_forest *f, const struct pt_grant *grant, struct pt_pool *pool,
                  struct pt_retire *retire)
{
    struct pt_grant typed, plain;

    if (pt_grant_split(f, grant, &typed, &plain)) {
        map_grant(f, &plain, pool, retire);
        grant = &typed;
    }
    map_grant(f, grant, pool, retire);
}
