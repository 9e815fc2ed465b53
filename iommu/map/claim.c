/*
 * Claiming frames for a domain.
 *
 * A check and a write in one pass over the words, since for scattered frames each word is a cache
 * miss: it belongs to the reserve half of a transaction, and frames_unclaim undoes it.
 */
#include "core/ctx.h"
#include "map/owner.h"

#define CLAIM_AHEAD 12u    /* extents whose words are asked for early */
#define LOCK_EXTENTS 4096u /* after so many, others get a chance at the lock */

static uint64_t owned_word(uint32_t domain, uint64_t gfn, bool keep)
{
    return (uint64_t)CORDON_FRAME_OWNED | field_put(FW_DOMAIN, domain) | (keep ? FW_KEEP : 0) |
           field_put(FW_GFN, gfn);
}

uint32_t frames_begin(struct cordon_ctx *ctx)
{
    struct frame_pool *p = &ctx->frames;

    lock_take(&p->lock);
    uint32_t epoch = ++p->epoch;
    lock_give(&p->lock);
    return epoch;
}

void owner_join_stamped(struct frame_pool *p, struct frame_block *b, uint32_t epoch)
{
    if (b->words == NULL || field_get(FW_SPLIT_STAMP, b->word) != epoch) {
        return;
    }
    uint64_t first = b->words[0];
    uint64_t state = field_get(FW_STATE, first);

    if (state != CORDON_FRAME_HELD && state != CORDON_FRAME_OWNED) {
        return;
    }
    for (uint64_t i = 1; i < BLOCK_FRAMES; i++) {
        if (b->words[i] != pool_derive(first, i)) {
            return;
        }
    }
    pool_join(p, b, first);
}

/* ---- claim -------------------------------------------------------------------------------- */

/* The part's words from HELD to WORD, WORD + 1 GFN, ... Returns how many were, before one that was
 * not HELD; all of a whole block or none. */
static uint64_t claim_part(struct cordon_ctx *ctx, const struct part *at, uint64_t word, int *err)
{
    struct frame_block *b = at->block;

    if (b->words == NULL) {
        if (b->word != CORDON_FRAME_HELD) {
            *err = -CORDON_EPERM;
            return 0;
        }
        if (at->pages == BLOCK_FRAMES) {
            b->word = word;
            return BLOCK_FRAMES;
        }
        *err = pool_split(ctx, b);
        if (*err != 0) {
            return 0;
        }
    }
    uint64_t *w = &b->words[at->index];

    for (uint64_t i = 0; i < at->pages; i++) {
        if (w[i] != CORDON_FRAME_HELD) {
            *err = -CORDON_EPERM;
            return i;
        }
        w[i] = pool_derive(word, i);
    }
    return at->pages;
}

/* Claim one extent; returns the pages claimed, fewer than all with *ERR. */
static uint64_t claim_extent(struct cordon_ctx *ctx, const struct cordon_extent *e, uint64_t word,
                             int *err)
{
    uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = e->len >> CORDON_PAGE_SHIFT;
    uint64_t done = 0;

    while (done < pages && *err == 0) {
        struct part at;

        if (!part_first(&ctx->frames, hfn + done, pages - done, &at)) {
            *err = -CORDON_EPERM;
            break;
        }
        uint64_t first = pool_derive(word, done);
        uint64_t n = claim_part(ctx, &at, first, err);

        if (n > 0) {
            part_note(ctx->cookie, PORT_NOTE_CLAIM, hfn + done, n, first);
        }
        done += n;
    }
    return done;
}

/* The common case, a frame of a split block: one word. False: take the long way. */
static inline bool claim_frame(struct cordon_ctx *ctx, const struct cordon_extent *e, uint64_t word)
{
    uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;
    struct frame_block *b = pool_block(&ctx->frames, hfn);

    if (e->len != CORDON_PAGE_SIZE || b == NULL || b->words == NULL) {
        return false;
    }
    uint64_t *w = &b->words[hfn & (BLOCK_FRAMES - 1)];

    if (*w != CORDON_FRAME_HELD) {
        return false;
    }
    *w = word;
    part_note(ctx->cookie, PORT_NOTE_CLAIM, hfn, 1, word);
    return true;
}

static inline void ask_early(const struct frame_pool *p, const struct cordon_extent *e)
{
    uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;
    const struct frame_block *b = pool_block(p, hfn);

    if (b != NULL && b->words != NULL) {
        __builtin_prefetch(&b->words[hfn & (BLOCK_FRAMES - 1)], 1);
    }
}

/* Extents [FROM, TO) with the lock held. Returns pages claimed; on error *STOP is the extent that
 * was not claimed whole. */
static uint64_t claim_some(struct cordon_ctx *ctx, const struct frames_claim *c, uint64_t from,
                           uint64_t to, uint64_t gfn, uint64_t *stop, int *err)
{
    uint64_t word = owned_word(c->domain, gfn, c->keep);
    uint64_t done = 0;

    for (uint64_t i = from; i < to; i++) {
        const struct cordon_extent *e = &c->extents[i];

        if (i + CLAIM_AHEAD < to) {
            ask_early(&ctx->frames, e + CLAIM_AHEAD);
        }
        if (claim_frame(ctx, e, word)) {
            done++;
            word += FW_GFN_ONE;
            continue;
        }
        uint64_t n = claim_extent(ctx, e, word, err);

        done += n;
        word += n * FW_GFN_ONE;
        if (*err != 0) {
            *stop = i;
            break;
        }
    }
    pool_count(&ctx->frames, CORDON_FRAME_HELD, CORDON_FRAME_OWNED, done);
    return done;
}

static void unclaim_run(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint32_t epoch)
{
    struct frame_pool *p = &ctx->frames;
    struct part at;

    pool_count(p, CORDON_FRAME_OWNED, CORDON_FRAME_HELD, pages);
    for (; pages > 0; hfn += at.pages, pages -= at.pages) {
        at = part_at(p, hfn, pages);
        if (at.block->words == NULL) {
            cordon_assert(at.pages == BLOCK_FRAMES);
            at.block->word = CORDON_FRAME_HELD;
            continue;
        }
        for (uint64_t i = 0; i < at.pages; i++) {
            at.block->words[at.index + i] = CORDON_FRAME_HELD;
        }
        owner_join_stamped(p, at.block, epoch);
    }
}

void frames_unclaim(struct cordon_ctx *ctx, const struct frames_claim *c, uint64_t pages)
{
    lock_take(&ctx->frames.lock);
    for (uint64_t i = 0; pages > 0; i++) {
        uint64_t whole = c->extents[i].len >> CORDON_PAGE_SHIFT;
        uint64_t n = whole < pages ? whole : pages;

        unclaim_run(ctx, c->extents[i].hpa.v >> CORDON_PAGE_SHIFT, n, c->epoch);
        pages -= n;
    }
    pool_unlock(ctx);
}

/* The first frame that could not be claimed: PAGES were, and extent STOP was not claimed whole. */
static cordon_hpa refused(const struct frames_claim *c, uint64_t stop, uint64_t pages)
{
    for (uint64_t i = 0; i < stop; i++) {
        pages -= c->extents[i].len >> CORDON_PAGE_SHIFT;
    }
    return cordon_hpa_add(c->extents[stop].hpa, pages << CORDON_PAGE_SHIFT);
}

int frames_claim(struct cordon_ctx *ctx, const struct frames_claim *c, cordon_hpa *bad)
{
    uint64_t gfn = c->gfn;
    uint64_t stop = 0;
    int err = 0;

    for (uint64_t i = 0; i < c->count && err == 0; i += LOCK_EXTENTS) {
        uint64_t to = c->count - i < LOCK_EXTENTS ? c->count : i + LOCK_EXTENTS;

        lock_take(&ctx->frames.lock);
        gfn += claim_some(ctx, c, i, to, gfn, &stop, &err);
        pool_unlock(ctx);
    }
    if (err == 0 && gfn - c->gfn == c->pages) {
        return 0;
    }
    if (err == 0) {
        err = -CORDON_EINVAL;
    } else {
        *bad = refused(c, stop, gfn - c->gfn);
    }
    frames_unclaim(ctx, c, gfn - c->gfn);
    return err;
}
