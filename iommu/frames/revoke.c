/*
 * Frames on their way out of a domain: revoked, and released once hardware is proven quiet.
 */
#include "core/ctx.h"
#include "frames/owner.h"
#include "touch/promise.h"

/* ---- blocks that are split for a change ---------------------------------------------------- */

/* A block that is covered in part gets its words. */
static inline int split_part(struct cordon_ctx *ctx, const struct part *at, uint32_t stamp)
{
    return part_splits(at) ? pool_split(ctx, at->block, stamp) : 0;
}

int frames_reserve_split(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;
    struct part at = part_at(p, hpa.v >> CORDON_PAGE_SHIFT, len >> CORDON_PAGE_SHIFT);
    int err = 0;

    lock_take(&p->lock);
    for (; at.left > 0 && err == 0; part_next(&at)) {
        err = split_part(ctx, &at, stamp);
    }
    pool_unlock(ctx);
    return err;
}

void frames_unreserve_split(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;
    struct part at = part_at(p, hpa.v >> CORDON_PAGE_SHIFT, len >> CORDON_PAGE_SHIFT);

    lock_take(&p->lock);
    for (; at.left > 0; part_next(&at)) {
        owner_join_stamped(p, at.block, stamp);
    }
    pool_unlock(ctx);
}

/* ---- revoked ------------------------------------------------------------------------------ */

/* OWNED and REVOKING differ in the state field only, which is the lowest. */
static inline uint64_t revoked(uint64_t word)
{
    cordon_assert((word & FW_STATE) == CORDON_FRAME_OWNED);
    return word ^ (CORDON_FRAME_OWNED ^ CORDON_FRAME_REVOKING);
}

static inline void revoke_part(const struct part *at)
{
    struct part_words w = part_words(at);

    for (uint64_t *one = w.first; one != w.end; one += w.step) {
        *one = revoked(*one);
    }
}

/* The long way: a run of any length. Returns the pages revoked, fewer than all with *ERR. */
OWNER_SLOW uint64_t revoke_run(struct cordon_ctx *ctx, const struct cordon_extent *run,
                               uint32_t stamp, int *err)
{
    uint64_t pages = run->len >> CORDON_PAGE_SHIFT;
    struct part at = part_at(&ctx->frames, run->hpa.v >> CORDON_PAGE_SHIFT, pages);

    for (; at.left > 0; part_next(&at)) {
        *err = split_part(ctx, &at, stamp);
        if (*err != 0) {
            break;
        }
        revoke_part(&at);
    }
    return pages - at.left;
}

int frames_revoke(struct cordon_ctx *ctx, const struct frames_gone *gone, uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;
    const struct frame_bank *bank = p->bank;
    const struct cordon_extent *e = gone->run, *end = e + gone->count;
    uint64_t bytes = 0;
    int err = 0;

    lock_take(&p->lock);
    for (uint64_t **at = gone->word; e != end; e++, at++) {
        uint64_t *word = owner_single(bank, e);

        *at = word;
        if (word != NULL) {
            *word = revoked(*word);
            bytes += e->len;
            continue;
        }
        bytes += revoke_run(ctx, e, stamp, &err) << CORDON_PAGE_SHIFT;
        if (err != 0) {
            break;
        }
        bank = owner_bank(p, e);
    }
    pool_count(p, CORDON_FRAME_OWNED, CORDON_FRAME_REVOKING, bytes >> CORDON_PAGE_SHIFT);
    pool_unlock(ctx);
    return err;
}

/* REVOKING words of a part are OWNED again. Returns their pages. */
static uint64_t unrevoke_part(const struct part *at)
{
    struct part_words w = part_words(at);
    uint64_t back = 0;

    for (uint64_t *one = w.first; one != w.end; one += w.step) {
        if ((*one & FW_STATE) == CORDON_FRAME_REVOKING) {
            *one ^= CORDON_FRAME_OWNED ^ CORDON_FRAME_REVOKING;
            back += w.pages;
        }
    }
    return back;
}

void frames_unrevoke(struct cordon_ctx *ctx, const struct cordon_extent *runs, uint64_t count,
                     uint32_t stamp)
{
    struct frame_pool *p = &ctx->frames;

    lock_take(&p->lock);
    for (uint64_t i = 0; i < count; i++) {
        struct part at =
            part_at(p, runs[i].hpa.v >> CORDON_PAGE_SHIFT, runs[i].len >> CORDON_PAGE_SHIFT);

        for (; at.left > 0; part_next(&at)) {
            if (part_splits(&at)) {
                continue; /* where the change ended: not split, and so not revoked */
            }
            pool_count(p, CORDON_FRAME_REVOKING, CORDON_FRAME_OWNED, unrevoke_part(&at));
            owner_join_stamped(p, at.block, stamp);
        }
    }
    pool_unlock(ctx);
}

/* ---- released ----------------------------------------------------------------------------- */

#define RELEASED (FW_STATE | FW_KEEP) /* what tells what becomes of a REVOKING frame */
#define RELEASED_HELD (CORDON_FRAME_REVOKING | FW_KEEP)

/* The first REVOKING frames of a part that have the same KEEP become FREE or HELD. Returns how
 * many.
 */
static inline uint64_t release_some(struct cordon_domain *d, const struct part *at, uint64_t hfn)
{
    struct frame_pool *p = &d->ctx->frames;
    struct part_words w = part_words(at);
    uint64_t *one = w.first, word = *one, kind = word & RELEASED;
    bool keep = kind == RELEASED_HELD;

    cordon_assert(field_get(FW_STATE, word) == CORDON_FRAME_REVOKING);
    for (; keep && one != w.end && (*one & RELEASED) == kind; one += w.step) {
        *one = CORDON_FRAME_HELD;
    }
    while (!keep && one != w.end && (*one & RELEASED) == kind) {
        one += w.step;
    }
    uint64_t pages = part_pages(&w, one);

    if (keep) {
        ctx_flush(d->ctx, hfn, pages);
    }
    part_note(d->ctx->cookie, PORT_NOTE_FREE, hfn, pages, word);
    pool_count(p, CORDON_FRAME_REVOKING, keep ? CORDON_FRAME_HELD : CORDON_FRAME_FREE, pages);
    if (!keep) {
        buddy_put_run(p, hfn, pages);
        promise_arrived(d, pages);
    }
    return pages;
}

OWNER_SLOW void release_run(struct cordon_domain *d, const struct cordon_extent *run)
{
    uint64_t hfn = run->hpa.v >> CORDON_PAGE_SHIFT;
    struct part at = part_at(&d->ctx->frames, hfn, run->len >> CORDON_PAGE_SHIFT);

    while (at.left > 0) {
        uint64_t pages = release_some(d, &at, hfn);

        hfn += pages;
        part_skip(&at, pages);
    }
}

/* Of runs with one word: those that will be HELD. */
OWNER_SLOW void flush_kept(struct cordon_ctx *ctx, const struct frames_gone *gone)
{
    for (uint64_t i = 0; i < gone->count; i++) {
        if (gone->word[i] != NULL && (*gone->word[i] & RELEASED) == RELEASED_HELD) {
            ctx_flush(ctx, gone->run[i].hpa.v >> CORDON_PAGE_SHIFT,
                      gone->run[i].len >> CORDON_PAGE_SHIFT);
        }
    }
}

void frames_release(struct cordon_domain *d, const struct frames_gone *gone)
{
    struct cordon_ctx *ctx = d->ctx;
    struct frame_pool *p = &ctx->frames;
    const struct cordon_extent *e = gone->run, *end = e + gone->count;
    uint64_t held = 0; /* bytes */

    if (ctx->pbmt) {
        flush_kept(ctx, gone);
    }
    lock_take(&p->lock);
    for (uint64_t **at = gone->word; e != end; e++, at++) {
        uint64_t *word = *at;

        if (word != NULL && (*word & RELEASED) == RELEASED_HELD) {
            block_note(ctx->cookie, PORT_NOTE_FREE, e->hpa.v >> CORDON_PAGE_SHIFT,
                       e->len >> CORDON_PAGE_SHIFT, *word);
            *word = CORDON_FRAME_HELD;
            held += e->len;
        } else {
            release_run(d, e);
        }
    }
    pool_count(p, CORDON_FRAME_REVOKING, CORDON_FRAME_HELD, held >> CORDON_PAGE_SHIFT);
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
        *out = (struct part){b, 0, BLOCK_FRAMES, 0};
        return index == 0 && word_is(b->word, state, domain);
    }
    while (index < BLOCK_FRAMES && !word_is(pool_word_in(b, index), state, domain)) {
        index++;
    }
    for (end = index; end < BLOCK_FRAMES && word_is(pool_word_in(b, end), state, domain); end++) {
    }
    *out = (struct part){b, index, end - index, 0};
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

uint64_t frames_release_domain(struct cordon_domain *d)
{
    struct cordon_ctx *ctx = d->ctx;
    struct frame_pool *p = &ctx->frames;
    uint64_t pages = 0;

    for (uint32_t i = 0; i < p->bank_count; i++) {
        const struct frame_bank *bank = &p->bank[i];

        for (uint64_t n = 0; n < bank_blocks(bank); n++) {
            uint64_t base = (bank->block0 + n) << BLOCK_ORDER;
            struct part at = {.index = 0, .pages = 0};

            lock_take(&p->lock);
            while (run_of(&bank->blocks[n], CORDON_FRAME_REVOKING, d->number, at.index + at.pages,
                          &at)) {
                at.pages = release_some(d, &at, base + at.index);
                pages += at.pages;
            }
            pool_unlock(ctx);
        }
    }
    return pages << CORDON_PAGE_SHIFT;
}
