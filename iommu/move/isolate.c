/* Frames set apart: taken off the free lists, and not given to anybody yet. See move.h. */
#include "core/ctx.h"
#include "frames/owner.h"
#include "frames/run.h"
#include "frames/stock.h"
#include "move/move.h"

uint64_t move_call(struct cordon_ctx *ctx)
{
    lock_take(&ctx->frames.lock);
    uint64_t call = ++ctx->frames.calls;

    lock_give(&ctx->frames.lock);
    return FW_ISOLATED(call);
}

static bool is_free(const struct frame_block *b, uint64_t hfn)
{
    return field_get(FW_STATE, pool_word(b, hfn)) == CORDON_FRAME_FREE;
}

int isolate_free(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint64_t isolated)
{
    struct frame_pool *p = &ctx->frames;
    const struct frame_block *b = pool_block(p, hfn);
    uint64_t end = hfn + pages;

    stock_drain(p);
    while (hfn < end) {
        uint64_t first = hfn;

        while (hfn < end && is_free(b, hfn)) {
            hfn = b->words != NULL ? hfn + 1 : end;
        }
        if (hfn == first) {
            hfn++;
            continue;
        }
        if (b->words == NULL && pages < BLOCK_FRAMES && meta_ready(p, 2) != 0) {
            return -CORDON_ENOMEM;
        }
        if (!is_free(b, first)) {
            hfn = first; /* the meta pool took this very block */
            continue;
        }
        if (!pool_keeps(p, hfn - first, 0)) {
            return -CORDON_ENOMEM; /* promised: touch/promise.h */
        }
        run_carve(p, first, hfn - first, KIND_MOVABLE);
        pool_mark(p, first, hfn - first, isolated);
        pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_HYP, hfn - first);
    }
    return 0;
}

/* As many frames of the part as are isolated, from the first on. */
static uint64_t isolated_pages(const struct part *at, uint64_t isolated)
{
    struct part_words w = part_words(at);
    uint64_t *one = w.first;

    while (one != w.end && *one == isolated) {
        one += w.step;
    }
    return part_pages(&w, one);
}

void isolated_free(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint64_t isolated)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t end = hfn + pages;

    lock_take(&p->lock);
    while (hfn < end) {
        uint64_t room = BLOCK_FRAMES - (hfn & (BLOCK_FRAMES - 1));
        uint64_t n = room < end - hfn ? room : end - hfn;
        const struct frame_block *b = pool_block(p, hfn);
        bool part = b->words == NULL && n < BLOCK_FRAMES;
        struct part at = part_at(p, hfn, n);
        uint64_t mine = part ? 0 : isolated_pages(&at, isolated);

        if (mine > 0) {
            owner_note_run(ctx->cookie, PORT_NOTE_FREE, hfn, mine, isolated);
            pool_count(p, CORDON_FRAME_HYP, CORDON_FRAME_FREE, mine);
            buddy_put_run(p, hfn, mine);
        }
        hfn += part ? n : mine > 0 ? mine : 1;
    }
    pool_unlock(ctx);
}

static bool all_isolated(const struct frame_pool *p, uint64_t hfn, uint64_t pages,
                         uint64_t isolated)
{
    struct part at = part_at(p, hfn, pages);

    for (; at.left > 0; part_next(&at)) {
        if (part_splits(&at) || isolated_pages(&at, isolated) < at.pages) {
            return false;
        }
    }
    return true;
}

bool isolated_hold(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint64_t isolated)
{
    struct frame_pool *p = &ctx->frames;

    lock_take(&p->lock);
    bool all = all_isolated(p, hfn, pages, isolated);

    for (uint64_t at = hfn; all && at < hfn + pages;) {
        struct frame_block *b = pool_block(p, at);
        uint64_t room = BLOCK_FRAMES - (at & (BLOCK_FRAMES - 1));
        uint64_t n = room < hfn + pages - at ? room : hfn + pages - at;

        if (b->words != NULL && n == BLOCK_FRAMES) {
            pool_join(p, b, CORDON_FRAME_HELD);
        } else {
            pool_mark(p, at, n, CORDON_FRAME_HELD);
        }
        at += n;
    }
    if (all) {
        pool_count(p, CORDON_FRAME_HYP, CORDON_FRAME_HELD, pages);
        owner_note_run(ctx->cookie, PORT_NOTE_CLAIM, hfn, pages, CORDON_FRAME_HELD);
    }
    pool_unlock(ctx);
    return all;
}
