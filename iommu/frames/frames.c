/*
 * Single frames and small runs for the layer's rooms: tables, directories, queues.
 */
#include "core/ctx.h"
#include "frames/owner.h"

#include <string.h>

/* Take 2^ORDER frames, which will not move, and write WORD over them. With SPLIT each has a word of
 * its own: less than a block always has. */
static int take(struct cordon_ctx *ctx, unsigned order, uint64_t word, bool split, uint64_t *hfn)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t blocks = order < BLOCK_ORDER ? 0 : BIT64(order - BLOCK_ORDER);
    int err = pool_keeps(p, BIT64(order), blocks + 1) ? buddy_ready(p, order, KIND_FIXED)
                                                      : -CORDON_ENOMEM;

    if (err == 0 && split && blocks > 0) {
        err = meta_ready(p, blocks);
    }
    if (err == 0 && blocks > 0) {
        err = buddy_ready(p, order, KIND_FIXED); /* the meta pool may have taken the last block */
    }
    if (err != 0) {
        return err;
    }
    *hfn = buddy_take(p, order, KIND_FIXED);
    pool_mark(p, *hfn, BIT64(order), word);
    for (uint64_t i = 0; split && i < blocks; i++) {
        pool_split_with(p, pool_block(p, *hfn + (i << BLOCK_ORDER)), meta_take(p));
    }
    pool_count(p, CORDON_FRAME_FREE, (unsigned)word, BIT64(order));
    return 0;
}

static int alloc(struct cordon_ctx *ctx, unsigned order, uint64_t word, bool split, cordon_hpa *out)
{
    uint64_t hfn = 0;

    if (order > MAX_ORDER || !port_may_alloc(ctx->cookie)) {
        return -CORDON_ENOMEM;
    }
    lock_take(&ctx->frames.lock);
    int err = take(ctx, order, word, split, &hfn);
    pool_unlock(ctx);
    if (err != 0) {
        return err;
    }
    *out = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
    memset(frames_ptr(ctx, *out), 0, CORDON_PAGE_SIZE << order);
    owner_note_run(ctx->cookie, PORT_NOTE_CLAIM, hfn, BIT64(order), word);
    return 0;
}

int frames_alloc(struct cordon_ctx *ctx, unsigned order, cordon_hpa *out)
{
    return alloc(ctx, order, CORDON_FRAME_HELD, false, out);
}

int frames_alloc_table(struct cordon_ctx *ctx, unsigned order, cordon_hpa *out)
{
    return alloc(ctx, order, CORDON_FRAME_TABLE, true, out);
}

void frames_free(struct cordon_ctx *ctx, cordon_hpa hpa, unsigned order)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    unsigned state = (unsigned)field_get(FW_STATE, frames_word(ctx, hpa));

    cordon_assert(order <= MAX_ORDER && is_aligned(hfn, BIT64(order)));
    cordon_assert(state == CORDON_FRAME_HELD || state == CORDON_FRAME_TABLE);
    cordon_assert(frames_all(ctx, hpa, CORDON_PAGE_SIZE << order, state));
    owner_note_run(ctx->cookie, PORT_NOTE_FREE, hfn, BIT64(order), state);
    lock_take(&p->lock);
    buddy_put(p, hfn, order);
    pool_count(p, state, CORDON_FRAME_FREE, BIT64(order));
    pool_unlock(ctx);
}
