/*
 * Views coming and going, and tables that fell out of use.
 *
 * A dead table keeps its words until pt_retire_free: hardware may still read them. [INV 7] The
 * chain runs through the ownership words instead: the next table's HPA, and a mark for roots.
 */
#include <cordon/error.h>

#include "frames/owner.h"
#include "pt/edit.h"

#include <string.h>

#define DEAD_NEXT (~(CORDON_PAGE_SIZE - 1))
#define DEAD_ROOT BIT64(3)

static void bury(struct pt_forest *f, struct pt_retire *retire, const uint64_t *table, bool root)
{
    uint64_t *own = pt_own(f, table);

    pt_own_set(own, (*own & FW_STATE) | retire->tables.v | (root ? DEAD_ROOT : 0));
    retire->tables = pt_word_at(f, table);
    retire->count++;
}

/* Every table that TABLE leads to has lost one parent. */
static void drop_below(struct pt_forest *f, struct pt_retire *retire, unsigned level,
                       const uint64_t *table)
{
    unsigned entries = pt_entries(f->fmt, level);

    for (unsigned i = 0; level > 0 && i < entries; i++) {
        if (pt_word_is_table(table[i])) {
            pt_drop(f, retire, level - 1, pt_word_table(f, table[i]), 1);
        }
    }
}

void pt_drop(struct pt_forest *f, struct pt_retire *retire, unsigned level, uint64_t *table,
             unsigned parents)
{
    cordon_assert(pt_refs(f, table) >= parents);
    if (pt_refs_add(f, table, -(int)parents) == 0) {
        drop_below(f, retire, level, table);
        bury(f, retire, table, false);
    }
}

int pt_forest_init(struct pt_forest *f, struct cordon_ctx *ctx, const struct pt_fmt *fmt)
{
    *f = (struct pt_forest){.ctx = ctx, .fmt = fmt, .typed = 1};
    return pt_view_add(f, 0);
}

void pt_forest_free(struct pt_forest *f)
{
    struct pt_retire retire = {0};

    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        if ((f->views >> view & 1u) != 0) {
            pt_view_remove(f, view, &retire);
        }
    }
    pt_retire_free(f, &retire);
}

int pt_view_add(struct pt_forest *f, uint32_t view)
{
    cordon_hpa root;
    int error;

    if (view >= CORDON_MAX_VIEWS) {
        return -CORDON_ELIMIT;
    }
    if ((f->views >> view & 1u) != 0) {
        return -CORDON_EEXIST;
    }
    error = frames_alloc_table(f->ctx, pt_root_order(f->fmt), &root);
    if (error != 0) {
        return error;
    }
    f->ready_at = PT_NOWHERE;
    f->root[view] = root;
    f->views |= 1u << view;
    return 0;
}

void pt_view_remove(struct pt_forest *f, uint32_t view, struct pt_retire *retire)
{
    const uint64_t *root = pt_table_ptr(f, f->root[view]);

    cordon_assert(view < CORDON_MAX_VIEWS && (f->views >> view & 1u) != 0);
    drop_below(f, retire, pt_top(f->fmt), root);
    bury(f, retire, root, true);
    f->views &= ~(1u << view);
    f->typed &= ~(1u << view);
    f->root[view] = cordon_hpa_make(0);
    retire->nonleaf = true;
    retire->downgrade = true;
}

/* A dead table is one of zeroes in POOL: as if it had been freed and taken again. */
static void keep(struct pt_forest *f, cordon_hpa table, struct pt_pool *pool)
{
    uint64_t hfn = table.v >> CORDON_PAGE_SHIFT;

    owner_note_run(f->ctx->cookie, PORT_NOTE_FREE, hfn, 1, CORDON_FRAME_TABLE);
    memset(pt_table_ptr(f, table), 0, CORDON_PAGE_SIZE);
    pt_own_set(frames_word_at(f->ctx, table), CORDON_FRAME_TABLE);
    owner_note_run(f->ctx->cookie, PORT_NOTE_CLAIM, hfn, 1, CORDON_FRAME_TABLE);
    pt_pool_give(f, pool, pt_table_ptr(f, table));
}

void pt_retire_free(struct pt_forest *f, struct pt_retire *retire)
{
    pt_retire_keep(f, retire, NULL, 0);
}

void pt_retire_keep(struct pt_forest *f, struct pt_retire *retire, struct pt_pool *pool,
                    uint64_t most)
{
    for (; retire->count > 0; retire->count--) {
        cordon_hpa table = retire->tables;
        uint64_t own = *frames_word_at(f->ctx, table);
        unsigned order = (own & DEAD_ROOT) != 0 ? pt_root_order(f->fmt) : 0;

        retire->tables = cordon_hpa_make(own & DEAD_NEXT);
        if (pool != NULL && pool->count < most && order == 0) {
            keep(f, table, pool);
        } else {
            frames_free(f->ctx, table, order);
        }
    }
    *retire = (struct pt_retire){0};
}
