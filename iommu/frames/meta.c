/*
 * Frames for the layer itself: pages of ownership words, nodes, domains.
 *
 * They come from whole blocks in state HYP, whose last frame holds a header with a map of free
 * frames, so that needing a page of words to split a block never asks to split another.
 */
#include "core/ctx.h"
#include "frames/stock.h"
#include "port_word.h"

#include <string.h>

#define META_HEADER (BLOCK_FRAMES - 1)
#define META_MAGIC UINT64_C(0x636f72646d657461)

struct meta_head {
    uint64_t magic;
    uint64_t next, prev;             /* headers of other blocks with room; HFN_NONE ends */
    uint64_t used;                   /* frames taken, the header excluded */
    uint64_t map[BLOCK_FRAMES / 64]; /* bit set: free */
};

static struct meta_head *meta_head(const struct frame_pool *p, uint64_t hfn)
{
    struct meta_head *h = pool_ptr(p, hfn | META_HEADER);

    cordon_assert(h->magic == META_MAGIC);
    return h;
}

static void meta_link(struct frame_pool *p, struct meta_head *h, uint64_t header)
{
    h->next = p->meta_first;
    h->prev = HFN_NONE;
    if (h->next != HFN_NONE) {
        meta_head(p, h->next)->prev = header;
    }
    p->meta_first = header;
}

static void meta_unlink(struct frame_pool *p, struct meta_head *h)
{
    if (h->prev != HFN_NONE) {
        meta_head(p, h->prev)->next = h->next;
    } else {
        p->meta_first = h->next;
    }
    if (h->next != HFN_NONE) {
        meta_head(p, h->next)->prev = h->prev;
    }
}

void meta_init(struct frame_pool *p, uint64_t hfn, uint64_t used)
{
    uint64_t header = hfn | META_HEADER;
    struct meta_head *h = pool_ptr(p, header);

    memset(h, 0, CORDON_PAGE_SIZE);
    h->magic = META_MAGIC;
    h->used = used;
    for (uint64_t i = used; i < META_HEADER; i++) {
        h->map[i / 64] |= BIT64(i % 64);
    }
    if (used < META_HEADER) {
        meta_link(p, h, header);
    }
    p->meta_room += META_HEADER - used;
    p->meta_empty += used == 0;
}

/* A block that nothing uses goes back to the free lists. */
static void meta_return(struct frame_pool *p, struct meta_head *h, uint64_t header)
{
    meta_unlink(p, h);
    h->magic = 0;
    p->meta_room -= META_HEADER;
    p->meta_empty--;
    pool_count(p, CORDON_FRAME_HYP, CORDON_FRAME_FREE, BLOCK_FRAMES);
    buddy_put(p, header - META_HEADER, BLOCK_ORDER);
}

int meta_ready(struct frame_pool *p, uint64_t n)
{
    return meta_prepare(p, n, false);
}

int meta_prepare(struct frame_pool *p, uint64_t n, bool promised)
{
    if (!promised && !pool_keeps(p, 0, n)) {
        return -CORDON_ENOMEM;
    }
    while (p->meta_room < n) {
        uint64_t hfn = buddy_take(p, BLOCK_ORDER, KIND_FIXED);

        if (hfn == HFN_NONE && p->stock_left > 0) {
            stock_drain(p);
            continue;
        }
        if (hfn == HFN_NONE) {
            return -CORDON_ENOMEM;
        }
        pool_mark(p, hfn, BLOCK_FRAMES, CORDON_FRAME_HYP);
        pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_HYP, BLOCK_FRAMES);
        meta_init(p, hfn, 0);
    }
    return 0;
}

uint64_t meta_take(struct frame_pool *p)
{
    uint64_t header = p->meta_first;

    cordon_assert(header != HFN_NONE);
    struct meta_head *h = meta_head(p, header);
    for (unsigned i = 0; i < BLOCK_FRAMES / 64; i++) {
        if (h->map[i] == 0) {
            continue;
        }
        unsigned bit = (unsigned)__builtin_ctzll(h->map[i]);

        h->map[i] &= ~BIT64(bit);
        p->meta_empty -= h->used == 0;
        h->used++;
        p->meta_room--;
        if (h->used == META_HEADER) {
            meta_unlink(p, h);
        }
        return header - META_HEADER + i * 64 + bit;
    }
    cordon_port_panic("a meta block with room has some", __FILE__, __LINE__);
}

void meta_give(struct frame_pool *p, uint64_t hfn)
{
    uint64_t header = hfn | META_HEADER;
    struct meta_head *h = meta_head(p, hfn);
    uint64_t index = hfn & (BLOCK_FRAMES - 1);

    cordon_assert(index != META_HEADER && h->used > 0);
    cordon_assert((h->map[index / 64] & BIT64(index % 64)) == 0);
    if (h->used == META_HEADER) {
        meta_link(p, h, header);
    }
    h->map[index / 64] |= BIT64(index % 64);
    h->used--;
    p->meta_room++;
    p->meta_empty += h->used == 0;
}

/* Give back meta blocks that nothing uses. Rare, and so kept out of line. */
__attribute__((noinline)) static void meta_trim(struct frame_pool *p)
{
    uint64_t at = p->meta_first;

    while (at != HFN_NONE && p->meta_empty > 0) {
        struct meta_head *h = meta_head(p, at);
        uint64_t next = h->next;

        if (h->used == 0) {
            meta_return(p, h, at);
        }
        at = next;
    }
}

void pool_unlock(struct cordon_ctx *ctx)
{
    if (ctx->frames.meta_empty > 0) {
        meta_trim(&ctx->frames);
    }
    lock_give(&ctx->frames.lock);
}

void *pool_page_take(struct cordon_ctx *ctx)
{
    struct frame_pool *p = &ctx->frames;
    void *page = NULL;

    if (!port_may_alloc(ctx->cookie)) {
        return NULL;
    }
    lock_take(&p->lock);
    if (meta_ready(p, 1) == 0) {
        page = pool_ptr(p, meta_take(p));
    }
    pool_unlock(ctx);
    return page;
}

void *pool_page_alloc(struct cordon_ctx *ctx)
{
    void *page = pool_page_take(ctx);

    return page != NULL ? memset(page, 0, CORDON_PAGE_SIZE) : NULL;
}

void pool_page_free(struct cordon_ctx *ctx, void *page)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t hpa = (uint64_t)(uintptr_t)page - p->offset;

    lock_take(&p->lock);
    meta_give(p, hpa >> CORDON_PAGE_SHIFT);
    pool_unlock(ctx);
}
