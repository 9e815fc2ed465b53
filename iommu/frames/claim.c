/*
 * Claiming frames for a domain.
 *
 * A check and a write in one pass over the words, since for scattered frames each word is a cache
 * miss: it belongs to the reserve half of a transaction, and frames_unclaim undoes it.
 */
#include "core/ctx.h"
#include "frames/owner.h"

#define LOCK_EXTENTS 4096u /* after so many, others get a chance at the lock */

/* ---- claim -------------------------------------------------------------------------------- */

/* The part's words from HELD to WORD, WORD + 1 GFN, ... Returns how many pages were, before one
 * that was not HELD. */
static uint64_t claim_part(struct cordon_ctx *ctx, const struct part *at, uint64_t word,
                           uint32_t stamp, int *err)
{
    if (part_splits(at)) {
        *err = at->block->word == CORDON_FRAME_HELD ? pool_split(ctx, at->block, stamp)
                                                    : -CORDON_EPERM;
        if (*err != 0) {
            return 0;
        }
    }
    struct part_words w = part_words(at);

    for (uint64_t *one = w.first; one != w.end; one += w.step) {
        if (*one != CORDON_FRAME_HELD) {
            *err = -CORDON_EPERM;
            return part_pages(&w, one);
        }
        *one = word;
        word += w.pages * FW_GFN_ONE; /* as pool_derive has it for OWNED */
    }
    return at->pages;
}

/* Claim one extent; returns the pages claimed, fewer than all with *ERR. */
OWNER_SLOW uint64_t claim_extent(struct cordon_ctx *ctx, const struct cordon_extent *e,
                                 uint64_t word, uint32_t stamp, int *err)
{
    uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = e->len >> CORDON_PAGE_SHIFT;
    struct part at = part_first(&ctx->frames, hfn, pages);
    uint64_t done = 0;

    for (; at.left > 0 && *err == 0; part_next(&at)) {
        uint64_t first = pool_derive(word, done);
        uint64_t n = claim_part(ctx, &at, first, stamp, err);

        if (n > 0) {
            part_note(ctx->cookie, PORT_NOTE_CLAIM, hfn + done, n, first);
        }
        done += n;
    }
    if (*err == 0 && done < pages) {
        *err = -CORDON_EPERM; /* the rest is no RAM */
    }
    return done;
}

/* Extents [FROM, TO) with the lock held. Returns pages claimed; on error *STOP is the extent that
 * was not claimed whole. */
static uint64_t claim_some(struct cordon_ctx *ctx, const struct frames_claim *c, uint64_t from,
                           uint64_t to, uint64_t gfn, uint64_t *stop, int *err)
{
    struct frame_pool *p = &ctx->frames;
    const struct frame_bank *bank = p->bank;
    const struct cordon_extent *e = c->extents + from, *end = c->extents + to;
    uint64_t start = owner_word(c->domain, gfn, c->keep), word = start;

    for (; e != end; e++) {
        uint64_t *single = owner_single(bank, e);

        if (single != NULL && *single == CORDON_FRAME_HELD) {
            *single = word;
            block_note(ctx->cookie, PORT_NOTE_CLAIM, e->hpa.v >> CORDON_PAGE_SHIFT,
                       e->len >> CORDON_PAGE_SHIFT, word);
            word += e->len * (FW_GFN_ONE >> CORDON_PAGE_SHIFT);
            continue;
        }
        word += claim_extent(ctx, e, word, c->stamp, err) * FW_GFN_ONE;
        if (*err != 0) {
            *stop = (uint64_t)(e - c->extents);
            break;
        }
        bank = owner_bank(p, e);
    }
    uint64_t done = (word - start) / FW_GFN_ONE;

    pool_count(p, CORDON_FRAME_HELD, CORDON_FRAME_OWNED, done);
    return done;
}

static void unclaim_run(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;
    struct part at = part_at(p, hfn, pages);

    pool_count(p, CORDON_FRAME_OWNED, CORDON_FRAME_HELD, pages);
    for (; at.left > 0; part_next(&at)) {
        part_write(&at, CORDON_FRAME_HELD);
        owner_join_stamped(p, at.block, stamp);
    }
}

void frames_unclaim(struct cordon_ctx *ctx, const struct frames_claim *c, uint64_t pages)
{
    lock_take(&ctx->frames.lock);
    for (uint64_t i = 0; pages > 0; i++) {
        uint64_t whole = c->extents[i].len >> CORDON_PAGE_SHIFT;
        uint64_t n = whole < pages ? whole : pages;

        unclaim_run(ctx, c->extents[i].hpa.v >> CORDON_PAGE_SHIFT, n, c->stamp);
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

/* ---- moved -------------------------------------------------------------------------------- */

static uint64_t move_run(struct cordon_ctx *ctx, const struct cordon_extent *e, uint64_t word)
{
    uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;
    struct part at = part_at(&ctx->frames, hfn, e->len >> CORDON_PAGE_SHIFT);

    for (; at.left > 0; part_next(&at)) {
        part_write(&at, word);
        part_note(ctx->cookie, PORT_NOTE_CLAIM, hfn, at.pages, word);
        hfn += at.pages;
        word += at.pages * FW_GFN_ONE;
    }
    return word;
}

void frames_move(struct cordon_ctx *ctx, const struct frames_claim *c)
{
    uint64_t word = owner_word(c->domain, c->gfn, c->keep);

    lock_take(&ctx->frames.lock);
    for (uint64_t i = 0; i < c->count; i++) {
        word = move_run(ctx, &c->extents[i], word);
    }
    lock_give(&ctx->frames.lock);
}
