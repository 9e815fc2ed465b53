/*
 * Frames on their way out of a domain: revoked, and released once hardware is proven quiet.
 */
#include "core/ctx.h"
#include "map/owner.h"

#define RUNS_AHEAD 12u

int frames_reserve_split(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = len >> CORDON_PAGE_SHIFT;
    struct part at;
    int err = 0;

    for (; pages > 0 && err == 0; hfn += at.pages, pages -= at.pages) {
        at = part_at(p, hfn, pages);
        /* Nobody else splits or joins a block of which all is one domain's. */
        if (at.block->words == NULL && at.pages < BLOCK_FRAMES) {
            lock_take(&p->lock);
            err = pool_split(ctx, at.block, stamp);
            pool_unlock(ctx);
        }
    }
    return err;
}

void frames_unreserve_split(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = len >> CORDON_PAGE_SHIFT;
    struct part at;

    lock_take(&p->lock);
    for (; pages > 0; hfn += at.pages, pages -= at.pages) {
        at = part_at(p, hfn, pages);
        owner_join_stamped(p, at.block, stamp);
    }
    pool_unlock(ctx);
}

/* The words of runs that come soon are asked for early: for scattered frames each is a cache miss.
 */
static inline void ask_early(const struct frame_pool *p, const struct cordon_extent *runs,
                             uint64_t i, uint64_t count)
{
    if (i + RUNS_AHEAD < count) {
        uint64_t hfn = runs[i + RUNS_AHEAD].hpa.v >> CORDON_PAGE_SHIFT;
        const struct frame_block *b = pool_block(p, hfn);

        if (b != NULL && b->words != NULL) {
            __builtin_prefetch(&b->words[hfn & (BLOCK_FRAMES - 1)], 1);
        }
    }
}

/* OWNED and REVOKING differ in the state field only, which is the lowest. */
static inline uint64_t revoked(uint64_t word)
{
    cordon_assert((word & FW_STATE) == CORDON_FRAME_OWNED);
    return word ^ (CORDON_FRAME_OWNED ^ CORDON_FRAME_REVOKING);
}

/* A run of one frame of a split block, as most are. */
static inline uint64_t *single_word(const struct frame_pool *p, const struct cordon_extent *run)
{
    uint64_t hfn = run->hpa.v >> CORDON_PAGE_SHIFT;
    const struct frame_block *b = pool_block(p, hfn);
    bool single = run->len == CORDON_PAGE_SIZE && b != NULL && b->words != NULL;

    return single ? &b->words[hfn & (BLOCK_FRAMES - 1)] : NULL;
}

static void revoke_part(const struct part *at)
{
    if (at->block->words == NULL) {
        cordon_assert(at->pages == BLOCK_FRAMES);
        at->block->word = revoked(at->block->word);
        return;
    }
    for (uint64_t *w = at->block->words + at->index, *end = w + at->pages; w != end; w++) {
        *w = revoked(*w);
    }
}

static void revoke_run(struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    struct part at;

    for (; pages > 0; hfn += at.pages, pages -= at.pages) {
        at = part_at(p, hfn, pages);
        revoke_part(&at);
    }
}

void frames_revoke(struct cordon_ctx *ctx, const struct cordon_extent *runs, uint64_t count)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t all = 0;

    lock_take(&p->lock);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t *word = single_word(p, &runs[i]);

        ask_early(p, runs, i, count);
        all += runs[i].len >> CORDON_PAGE_SHIFT;
        if (word != NULL) {
            *word = revoked(*word);
        } else {
            revoke_run(p, runs[i].hpa.v >> CORDON_PAGE_SHIFT, runs[i].len >> CORDON_PAGE_SHIFT);
        }
    }
    pool_count(p, CORDON_FRAME_OWNED, CORDON_FRAME_REVOKING, all);
    lock_give(&p->lock);
}

/* The first PAGES of a part are HELD again. */
static void hold_part(const struct part *at, uint64_t pages)
{
    if (at->block->words == NULL) {
        at->block->word = CORDON_FRAME_HELD;
        return;
    }
    for (uint64_t *w = at->block->words + at->index, *end = w + pages; w != end; w++) {
        *w = CORDON_FRAME_HELD;
    }
}

/* How many words of a part are of the same state and KEEP as its first. */
static uint64_t alike(const struct part *at)
{
    const uint64_t *first = at->block->words + at->index, *w = first, *end = w + at->pages;

    while (w != end && ((*w ^ *first) & (FW_STATE | FW_KEEP)) == 0) {
        w++;
    }
    return (uint64_t)(w - first);
}

/* REVOKING frames with the same KEEP, at most to the end of the part, become FREE or HELD. Returns
 * how many. */
static uint64_t release_some(struct cordon_ctx *ctx, struct part *at, uint64_t hfn)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t word = pool_word(at->block, hfn);
    uint64_t n = at->block->words != NULL ? alike(at) : BLOCK_FRAMES;

    cordon_assert(field_get(FW_STATE, word) == CORDON_FRAME_REVOKING);
    cordon_assert(n <= at->pages);
    part_note(ctx->cookie, PORT_NOTE_FREE, hfn, n, word);
    if ((word & FW_KEEP) != 0) {
        pool_count(p, CORDON_FRAME_REVOKING, CORDON_FRAME_HELD, n);
        hold_part(at, n);
    } else {
        pool_count(p, CORDON_FRAME_REVOKING, CORDON_FRAME_FREE, n);
        buddy_put_run(p, hfn, n);
    }
    return n;
}

void frames_release(struct cordon_ctx *ctx, const struct cordon_extent *runs, uint64_t count)
{
    struct frame_pool *p = &ctx->frames;

    lock_take(&p->lock);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t hfn = runs[i].hpa.v >> CORDON_PAGE_SHIFT;
        uint64_t pages = runs[i].len >> CORDON_PAGE_SHIFT;
        uint64_t n;

        ask_early(p, runs, i, count);
        for (; pages > 0; hfn += n, pages -= n) {
            struct part at = part_at(p, hfn, pages);

            n = release_some(ctx, &at, hfn);
        }
    }
    pool_unlock(ctx);
}

/* ---- a whole domain ----------------------------------------------------------------------- */

static bool word_is(uint64_t word, uint64_t state, uint32_t domain)
{
    return field_get(FW_STATE, word) == state && field_get(FW_DOMAIN, word) == domain;
}

/* The first run in a block, from frame INDEX on, whose words are STATE of DOMAIN. */
static bool run_of(struct frame_block *b, uint64_t state, uint32_t domain, uint64_t index,
                   struct part *out)
{
    uint64_t end;

    if (b->words == NULL) {
        *out = (struct part){b, 0, BLOCK_FRAMES};
        return index == 0 && word_is(b->word, state, domain);
    }
    while (index < BLOCK_FRAMES && !word_is(pool_word_in(b, index), state, domain)) {
        index++;
    }
    for (end = index; end < BLOCK_FRAMES && word_is(pool_word_in(b, end), state, domain); end++) {
    }
    *out = (struct part){b, index, end - index};
    return end > index;
}

uint64_t frames_revoke_domain(struct cordon_ctx *ctx, uint32_t domain)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t pages = 0;

    for (uint32_t i = 0; i < p->bank_count; i++) {
        const struct frame_bank *bank = &p->bank[i];

        for (uint64_t n = 0; n < bank_blocks(bank); n++) {
            struct part at = {.index = 0, .pages = 0};

            lock_take(&p->lock);
            while (run_of(&bank->blocks[n], CORDON_FRAME_OWNED, domain, at.index + at.pages, &at)) {
                revoke_part(&at);
                pool_count(p, CORDON_FRAME_OWNED, CORDON_FRAME_REVOKING, at.pages);
                pages += at.pages;
            }
            lock_give(&p->lock);
        }
    }
    return pages << CORDON_PAGE_SHIFT;
}

uint64_t frames_release_domain(struct cordon_ctx *ctx, uint32_t domain)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t pages = 0;

    for (uint32_t i = 0; i < p->bank_count; i++) {
        const struct frame_bank *bank = &p->bank[i];

        for (uint64_t n = 0; n < bank_blocks(bank); n++) {
            uint64_t base = (bank->block0 + n) << BLOCK_ORDER;
            struct part at = {.index = 0, .pages = 0};

            lock_take(&p->lock);
            while (
                run_of(&bank->blocks[n], CORDON_FRAME_REVOKING, domain, at.index + at.pages, &at)) {
                at.pages = release_some(ctx, &at, base + at.index);
                pages += at.pages;
            }
            pool_unlock(ctx);
        }
    }
    return pages << CORDON_PAGE_SHIFT;
}
