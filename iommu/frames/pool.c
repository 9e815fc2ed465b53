/*
 * Blocks that are split and joined, and the questions that ownership words answer.
 */
#include "core/ctx.h"
#include "port_word.h"

#include <string.h>

void pool_split_with(struct frame_pool *p, struct frame_block *b, uint64_t meta_hfn)
{
    uint64_t *words = pool_ptr(p, meta_hfn);

    cordon_assert(b->words == NULL);
    for (uint64_t i = 0; i < BLOCK_FRAMES; i++) {
        words[i] = pool_derive(b->word, i);
    }
    b->words = words;
    b->word = FRAME_SPLIT;
    p->word_pages++;
}

void pool_split_for(struct frame_pool *p, struct frame_block *b, uint64_t meta_hfn,
                    enum frame_kind kind)
{
    pool_split_with(p, b, meta_hfn);
    b->word |= kind == KIND_FIXED && !p->mixed ? FW_SPLIT_FIXED : 0;
}

int pool_split(struct cordon_ctx *ctx, struct frame_block *b, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;

    if (!port_may_alloc(ctx->cookie) || meta_ready(p, 1) != 0) {
        return -CORDON_ENOMEM;
    }
    pool_split_with(p, b, meta_take(p));
    b->word |= field_put(FW_SPLIT_STAMP, stamp);
    return 0;
}

void pool_join(struct frame_pool *p, struct frame_block *b, uint64_t word)
{
    uint64_t hpa = (uint64_t)(uintptr_t)b->words - p->offset;

    cordon_assert(b->words != NULL);
    b->words = NULL;
    b->word = word;
    p->word_pages--;
    meta_give(p, hpa >> CORDON_PAGE_SHIFT);
}

void pool_mark(struct frame_pool *p, uint64_t hfn, uint64_t pages, uint64_t word)
{
    while (pages > 0) {
        struct frame_block *b = pool_block(p, hfn);
        uint64_t index = hfn & (BLOCK_FRAMES - 1);
        uint64_t part = BLOCK_FRAMES - index < pages ? BLOCK_FRAMES - index : pages;

        cordon_assert(b != NULL);
        if (b->words == NULL) {
            cordon_assert(part == BLOCK_FRAMES);
            b->word = word;
        } else {
            for (uint64_t i = 0; i < part; i++) {
                b->words[index + i] = word;
            }
        }
        hfn += part;
        pages -= part;
    }
}

uint64_t frames_word(const struct cordon_ctx *ctx, cordon_hpa hpa)
{
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    const struct frame_block *b = pool_block(&ctx->frames, hfn);

    return b != NULL ? pool_word(b, hfn) : CORDON_FRAME_NONE;
}

uint64_t *frames_word_at(struct cordon_ctx *ctx, cordon_hpa hpa)
{
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    struct frame_block *b = pool_block(&ctx->frames, hfn);

    cordon_assert(b != NULL && b->words != NULL);
    return &b->words[hfn & (BLOCK_FRAMES - 1)];
}

bool frames_all(const struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len,
                enum cordon_frame_state state)
{
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t end = (hpa.v + len) >> CORDON_PAGE_SHIFT;

    if (!is_aligned(hpa.v | len, CORDON_PAGE_SIZE) || range_wraps(hpa.v, len)) {
        return false;
    }
    while (hfn < end) {
        const struct frame_block *b = pool_block(&ctx->frames, hfn);

        if (b == NULL || field_get(FW_STATE, pool_word(b, hfn)) != state) {
            return false;
        }
        hfn = b->words != NULL ? hfn + 1 : (hfn | (BLOCK_FRAMES - 1)) + 1;
    }
    return true;
}

void *frames_ptr(const struct cordon_ctx *ctx, cordon_hpa hpa)
{
    return (void *)(uintptr_t)(hpa.v + ctx->frames.offset);
}

/* Questions take the context const, but its lock is not part of what they promise to leave alone.
 */
static struct lock *lock_of(const struct cordon_ctx *ctx)
{
    return &((struct cordon_ctx *)(uintptr_t)ctx)->frames.lock;
}

uint64_t frames_word_locked(const struct cordon_ctx *ctx, cordon_hpa hpa)
{
    lock_take(lock_of(ctx));
    uint64_t word = frames_word(ctx, hpa);

    lock_give(lock_of(ctx));
    return word;
}

static struct cordon_frame_info info_of(uint64_t word)
{
    uint64_t state = field_get(FW_STATE, word);
    bool owned = state == CORDON_FRAME_OWNED || state == CORDON_FRAME_REVOKING;

    return (struct cordon_frame_info){
        .state = (uint32_t)state,
        .domain = owned ? (uint32_t)field_get(FW_DOMAIN, word) : 0,
        .gpa = cordon_gpa_make(owned ? field_get(FW_GFN, word) << CORDON_PAGE_SHIFT : 0),
    };
}

int cordon_frames_query(const cordon_ctx *ctx, cordon_hpa hpa, struct cordon_frame_info *out,
                        uint32_t count)
{
    if (ctx == NULL || out == NULL || count == 0 || count > CORDON_FRAMES_QUERY) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(ctx));
    for (uint32_t i = 0; i < count; i++) {
        out[i] = info_of(frames_word(ctx, cordon_hpa_add(hpa, i * CORDON_PAGE_SIZE)));
    }
    lock_give(lock_of(ctx));
    return 0;
}

int cordon_frame_query(const cordon_ctx *ctx, cordon_hpa hpa, struct cordon_frame_info *out)
{
    return cordon_frames_query(ctx, hpa, out, 1);
}

static uint64_t largest_free(const struct frame_pool *p)
{
    uint32_t orders = p->nonempty | p->nonempty_fixed;

    return orders != 0 ? CORDON_PAGE_SIZE << (31 - __builtin_clz(orders)) : 0;
}

void cordon_memory_stats(const cordon_ctx *ctx, struct cordon_memory_stats *out)
{
    const struct frame_pool *p;
    uint64_t total = 0;

    if (out == NULL) {
        return;
    }
    if (ctx == NULL || !handle_is(ctx, HANDLE_CTX)) {
        *out = (struct cordon_memory_stats){0};
        return;
    }
    p = &ctx->frames;
    lock_take(lock_of(ctx));
    for (unsigned i = 0; i < FRAME_STATES; i++) {
        total += p->pages[i];
    }
    *out = (struct cordon_memory_stats){
        .total = total << CORDON_PAGE_SHIFT,
        .free = p->pages[CORDON_FRAME_FREE] << CORDON_PAGE_SHIFT,
        .held = p->pages[CORDON_FRAME_HELD] << CORDON_PAGE_SHIFT,
        .hyp = p->pages[CORDON_FRAME_HYP] << CORDON_PAGE_SHIFT,
        .table = p->pages[CORDON_FRAME_TABLE] << CORDON_PAGE_SHIFT,
        .owned = p->pages[CORDON_FRAME_OWNED] << CORDON_PAGE_SHIFT,
        .revoking = p->pages[CORDON_FRAME_REVOKING] << CORDON_PAGE_SHIFT,
        .largest_free = largest_free(p),
        .ownership = p->block_bytes + (p->word_pages << CORDON_PAGE_SHIFT),
    };
    lock_give(lock_of(ctx));
}
