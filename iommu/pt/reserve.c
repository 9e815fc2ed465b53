/*
 * How many tables a change needs, and the pool that holds them.
 *
 * The same descent as the change's own, without its stores. Where nothing stands yet, and where a
 * superpage is to be split, the number follows from the range alone; tables that a wholly new part
 * has in its inside are never visited one by one.
 */
#include <cordon/error.h>

#include "pt/edit.h"

struct reckon {
    struct pt_forest *f;
    uint64_t tables;
    uint64_t beside; /* an address whose tables the pool counts already, if CHAINED */
    unsigned max_leaf;
    bool chained;
    bool map;
    bool all; /* as in struct pt_edit */
};

int pt_pool_grow(struct pt_forest *f, struct pt_pool *pool, uint64_t tables)
{
    for (uint64_t got = 0; got < tables; got++) {
        cordon_hpa frame;
        int error = frames_alloc_table(f->ctx, 0, &frame);

        if (error != 0) {
            for (; got > 0; got--) {
                frames_free(f->ctx, pt_word_at(f, pt_pool_take(f, pool)), 0);
            }
            return error;
        }
        pt_pool_give(f, pool, pt_table_ptr(f, frame));
    }
    return 0;
}

void pt_pool_give(struct pt_forest *f, struct pt_pool *pool, uint64_t *table)
{
    table[0] = pool->first.v;
    pool->first = pt_word_at(f, table);
    pool->count++;
}

uint64_t *pt_pool_take(struct pt_forest *f, struct pt_pool *pool)
{
    uint64_t *table = pt_table_ptr(f, pool->first);

    cordon_assert(pool->count > 0);
    pool->first = cordon_hpa_make(table[0]);
    pool->count--;
    table[0] = 0;
    return table;
}

void pt_pool_trim(struct pt_forest *f, struct pt_pool *pool, uint64_t most)
{
    while (pool->count > most) {
        frames_free(f->ctx, pt_word_at(f, pt_pool_take(f, pool)), 0);
    }
}

void pt_pool_free(struct pt_forest *f, struct pt_pool *pool)
{
    pt_pool_trim(f, pool, 0);
    *pool = (struct pt_pool){0};
}

/* Will this table be copied? It is shared with others, or a parent is and will be copied. */
static bool must_copy(const struct reckon *r, const struct pt_node *nodes,
                      const struct pt_node *child)
{
    if (r->all) {
        return false;
    }
    for (uint32_t m = child->members; m != 0; m &= m - 1) {
        if (nodes[__builtin_ctz(m)].fresh) {
            return true;
        }
    }
    return pt_refs(r->f, child->table) > pt_members(child->members);
}

/* The table under the entry of LEVEL that holds FIRST is in the pool already. */
static bool counted(const struct reckon *r, unsigned level, uint64_t first)
{
    return r->chained && (first ^ r->beside) >> pt_shift(level) == 0;
}

/* All tables of a part where nothing stands yet, from LEVEL down. */
static uint64_t reckon_new(const struct reckon *r, unsigned level, uint64_t first, uint64_t last)
{
    uint64_t tables = pt_tables_for(level, r->max_leaf, first, last);

    for (; level > 0 && counted(r, level, first); level--) {
        tables--;
    }
    return tables;
}

static bool has_new(const struct pt_node *child, unsigned count)
{
    bool any = false;

    for (unsigned i = 0; i < count; i++) {
        any |= child[i].table == NULL;
    }
    return any;
}

/* Count what pt_open would make for one entry; CHILD gets the tables that must be looked into. */
static unsigned reckon_open(struct reckon *r, unsigned level, const struct pt_node *nodes,
                            unsigned count, uint64_t first, uint64_t last, struct pt_node *child)
{
    unsigned groups = pt_gather(nodes, count, pt_index(r->f->fmt, level, first), child);
    bool real = false;
    unsigned kept = 0, one = counted(r, level, first) ? 0 : 1;

    for (unsigned i = 0; i < groups; i++) {
        uint64_t old = child[i].old;

        if (pt_word_is_table(old)) {
            child[i].table = pt_word_table(r->f, old);
            child[i].fresh = must_copy(r, nodes, &child[i]);
            if (child[i].fresh && !r->map &&
                !pt_holds(r->f, level - 1, child[i].table, first, last)) {
                continue;
            }
            r->tables += child[i].fresh ? one : 0;
            real = true;
            child[kept++] = child[i];
        } else if (old != 0) {
            r->tables += r->map ? 0 : pt_tables_for(level, level, first, last);
        } else if (r->map) {
            child[kept++] = child[i]; /* a table that is not there yet: reads as empty */
        }
    }
    if (!real && kept > 0) {
        r->tables += reckon_new(r, level, first, last);
    } else if (has_new(child, kept)) {
        r->tables += one;
    }
    return real ? kept : 0;
}

/* Depth is bounded by the format's levels. */
static void reckon_level(struct reckon *r, unsigned level, const struct pt_node *nodes,
                         unsigned count, uint64_t first, uint64_t last)
{
    uint64_t next;

    for (uint64_t at = first; at <= last; at = next) {
        struct pt_node child[CORDON_MAX_VIEWS];
        uint64_t end = pt_entry_last(level, at, last);
        bool whole = pt_entry_whole(level, at, end);
        unsigned kept;

        next = end + 1;
        if (whole && (r->map ? level <= r->max_leaf : r->all)) {
            continue;
        }
        kept = reckon_open(r, level, nodes, count, at, end, child);
        if (kept > 0 && level > 1) {
            reckon_level(r, level - 1, child, kept, at, end);
        }
    }
}

/* Between reserve and commit, other changes of the transaction may tell views apart that still
 * share a table now. Each table that is counted can then be needed once for each view of the
 * change, or once for each other view and one for all that have none. */
static uint64_t spread(const struct pt_forest *f, uint32_t views)
{
    unsigned mine = pt_members(views);
    unsigned others = pt_members(f->views & ~views);

    return mine < others + 1 ? mine : others + 1;
}

/* Count one piece of a map, or all of a change. */
static void reckon_range(struct reckon *r, uint32_t views, uint64_t first, uint64_t last)
{
    struct pt_node nodes[CORDON_MAX_VIEWS];
    unsigned level = pt_whole_level(r->map ? r->max_leaf : PT_LEAF_MAX, first, last);

    /* Whole entries of a table that all views share need nothing. */
    if (pt_common(r->f, views, level, first, last) == NULL) {
        unsigned count = pt_roots(r->f, views, nodes);

        reckon_level(r, pt_top(r->f->fmt), nodes, count, first, last);
    }
}

static uint64_t reckon_grant(struct pt_forest *f, const struct pt_grant *grant, uint64_t pages,
                             struct pt_pool *pool)
{
    uint64_t last = pt_linear(f->fmt, grant->gpa.v) + (pages << CORDON_PAGE_SHIFT) - 1;
    struct reckon r = {.f = f,
                       .beside = pool->map_last,
                       .chained = pool->map_views == grant->views,
                       .map = true,
                       .all = grant->views == f->views};
    struct pt_cursor at = pt_grant_begin(f->fmt, grant);
    struct pt_piece piece;

    while (pt_grant_next(&at, &piece)) {
        r.max_leaf = pt_leaf_level(piece.offset);
        reckon_range(&r, grant->views, piece.first, piece.last);
        r.chained = true;
        r.beside = piece.last;
        if (piece.last >= last) {
            break; /* whatever is left of a list */
        }
        if (piece.list) {
            pt_grant_skip(&at, piece.last);
        }
    }
    pool->map_last = r.beside;
    pool->map_views = grant->views;
    return r.tables;
}

static uint64_t reckon_views(struct pt_forest *f, const struct pt_grant *grant, uint64_t pages,
                             struct pt_pool *pool)
{
    struct pt_grant typed, plain;
    uint64_t tables = 0;

    if (pt_grant_split(f, grant, &typed, &plain)) {
        tables = reckon_grant(f, &plain, pages, pool) * spread(f, plain.views);
        grant = &typed;
    }
    return tables + reckon_grant(f, grant, pages, pool) * spread(f, grant->views);
}

int pt_reserve_grant(struct pt_forest *f, const struct pt_grant *grant, struct pt_pool *pool)
{
    struct pt_pool before = *pool;
    uint64_t pages, tables;
    int error = pt_grant_pages(grant, &pages);

    if (error == 0) {
        error = pt_range_check(f->fmt, grant->gpa, pages);
    }
    if (error == 0 && !pt_perms_legal(grant->perms)) {
        error = -CORDON_EINVAL;
    }
    if (error != 0) {
        return error;
    }
    tables = reckon_views(f, grant, pages, pool);
    if (tables == 0) {
        return 0;
    }
    error = pt_pool_grow(f, pool, tables);
    if (error != 0) {
        *pool = before;
    }
    return error;
}

uint64_t pt_map_needs(struct pt_forest *f, const struct pt_run *run)
{
    struct cordon_extent one = {run->hpa, run->pages << CORDON_PAGE_SHIFT};
    const struct pt_grant grant = {run->gpa, &one, 1, run->perms, run->views, 0};
    struct pt_pool none = {.count = 0};

    return reckon_grant(f, &grant, run->pages, &none) * spread(f, run->views);
}

uint64_t pt_map_most(const struct pt_forest *f, cordon_gpa gpa, uint64_t pages)
{
    uint64_t first = pt_linear(f->fmt, gpa.v);

    return pt_tables_for(pt_top(f->fmt), 0, first, first + (pages << CORDON_PAGE_SHIFT) - 1);
}

PT_SLOW int reserve_run(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool,
                        bool plain)
{
    struct cordon_extent one = {run->hpa, run->pages << CORDON_PAGE_SHIFT};
    struct pt_grant grant = {run->gpa, &one, 1, run->perms, run->views, 0};

    if (plain) {
        uint64_t last = run->gpa.v + one.len - 1;
        unsigned most = pt_leaf_level(run->hpa.v - run->gpa.v);

        if (pt_common(f, run->views, pt_whole_level(most, run->gpa.v, last), run->gpa.v, last)) {
            return 0;
        }
    }
    return run->pages >> (64 - CORDON_PAGE_SHIFT) != 0 ? -CORDON_ERANGE
                                                       : pt_reserve_grant(f, &grant, pool);
}

int pt_reserve_map(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool)
{
    uint64_t len = run->pages << CORDON_PAGE_SHIFT;
    bool plain = pt_plain(f->fmt, run->gpa.v, run->pages) && pt_perms_legal(run->perms) &&
                 ((run->hpa.v | (run->hpa.v + len)) & ~PT_HPA_PAGE) == 0;

    if (plain && pt_is_ready(f, run->views, run->gpa.v, run->gpa.v + len - 1)) {
        return 0;
    }
    return reserve_run(f, run, pool, plain);
}

PT_SLOW int reserve_change(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
                           struct pt_pool *pool)
{
    uint64_t first = pt_linear(f->fmt, gpa.v);
    struct reckon r = {.f = f, .all = views == f->views};
    int error = pt_range_check(f->fmt, gpa, pages);

    if (error != 0) {
        return error;
    }
    reckon_range(&r, views, first, first + (pages << CORDON_PAGE_SHIFT) - 1);
    return r.tables != 0 ? pt_pool_grow(f, pool, r.tables * spread(f, views)) : 0;
}

int pt_reserve_change(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
                      struct pt_pool *pool)
{
    if (pt_plain(f->fmt, gpa.v, pages) &&
        pt_is_ready(f, views, gpa.v, gpa.v + (pages << CORDON_PAGE_SHIFT) - 1)) {
        return 0;
    }
    return reserve_change(f, gpa, pages, views, pool);
}
