/*
 * One place for a run: looked at closely first, under the lock of each owner; then what is free in
 * it is set apart, and what is not moves elsewhere, a batch at a time, until all of it is ours. Two
 * domains are never locked at once.
 */
#include "move/place.h"
#include "core/ctx.h"
#include "frames/owner.h"
#include "move/move.h"

#define SHORT_MOST 4u /* places that could not be cleared for want of frames or tables */
#define IDLE_MOST 64u /* looks at a block that found its owners gone meanwhile */

/* ---- a closer look ------------------------------------------------------------------------ */

/* What a frame of a place is; D is the domain that is locked, and may change. */
static enum cordon_frame_kind look_at(struct make *m, uint64_t hfn, struct cordon_domain **d)
{
    cordon_hpa hpa = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
    uint64_t word = frames_word_locked(m->ctx, hpa);

    if (field_get(FW_STATE, word) != CORDON_FRAME_OWNED) {
        return move_kind_of_state(word);
    }
    uint32_t number = (uint32_t)field_get(FW_DOMAIN, word);

    if (*d == NULL || (*d)->number != number) {
        if (*d != NULL) {
            lock_give(&(*d)->lock);
        }
        *d = domain_lock(m->ctx, number);
        word = frames_word_locked(m->ctx, hpa);
    }
    if (*d == NULL || field_get(FW_STATE, word) != CORDON_FRAME_OWNED ||
        field_get(FW_DOMAIN, word) != (*d)->number) {
        return CORDON_KIND_REVOKING; /* it changes hands at this moment */
    }
    return move_kind(*d, hfn, word);
}

/* Can all of a place be had? Counts what would move. Errors: EPERM (m->bad), ELIMIT, ENOMEM. */
static int look_closely(struct make *m, uint64_t first)
{
    struct cordon_domain *d = NULL;
    uint64_t moves = 0, free_pages = 0;
    int err = 0;

    for (uint64_t hfn = first; hfn < first + m->want.pages && err == 0; hfn++) {
        enum cordon_frame_kind kind = look_at(m, hfn, &d);

        moves += kind == CORDON_KIND_MOVABLE;
        free_pages += kind == CORDON_KIND_FREE;
        if (kind != CORDON_KIND_MOVABLE && kind != CORDON_KIND_FREE) {
            bool told = kind == CORDON_KIND_PINNED || kind == CORDON_KIND_LENT;

            m->out->kinds[kind] += told;
            m->bad = hfn;
            err = -CORDON_EPERM;
        }
    }
    if (d != NULL) {
        lock_give(&d->lock);
    }
    if (err == 0 && moves + m->out->moves.pages > m->budget) {
        return -CORDON_ELIMIT;
    }
    lock_take(&m->ctx->frames.lock);
    uint64_t all = m->ctx->frames.pages[CORDON_FRAME_FREE];

    lock_give(&m->ctx->frames.lock);
    return err == 0 && all < free_pages + moves ? -CORDON_ENOMEM : err;
}

/* ---- one block at a time ------------------------------------------------------------------ */

/* The first frame of the part of a block that is not set apart; HFN_NONE: none. */
static uint64_t first_left(const struct make *m, uint64_t hfn, uint64_t pages)
{
    const struct frame_block *b = pool_block(&m->ctx->frames, hfn);
    uint64_t end = hfn + pages;

    while (hfn < end && pool_word(b, hfn) == m->isolated) {
        hfn++;
    }
    return hfn < end ? hfn : HFN_NONE;
}

/* Set apart what is free, and find a batch of one domain: its number, 0: there is nothing left.
 * Errors: ENOMEM, EPERM (m->bad). */
static int gather(struct make *m, uint64_t hfn, uint64_t pages, struct move_batch *b,
                  uint32_t *number)
{
    const struct frame_block *block = pool_block(&m->ctx->frames, hfn);
    int err = isolate_free(m->ctx, hfn, pages, m->isolated);
    uint64_t at = first_left(m, hfn, pages);

    *number = 0;
    b->count = 0;
    b->isolated = m->isolated;
    if (err != 0 || at == HFN_NONE) {
        return err;
    }
    uint64_t first = pool_word(block, at);

    if (field_get(FW_STATE, first) != CORDON_FRAME_OWNED) {
        m->bad = at;
        return -CORDON_EPERM;
    }
    *number = (uint32_t)field_get(FW_DOMAIN, first);
    b->level = block->words == NULL && pages == BLOCK_FRAMES &&
                       is_aligned(field_get(FW_GFN, first), BLOCK_FRAMES) &&
                       move_large_ready(m->ctx)
                   ? 1
                   : 0;
    for (; at < hfn + pages && b->count < (b->level != 0 ? 1 : MOVE_PAGES); at++) {
        uint64_t word = pool_word(block, at);

        if (field_get(FW_STATE, word) == CORDON_FRAME_OWNED &&
            field_get(FW_DOMAIN, word) == *number) {
            b->leaf[b->count++] = (struct move_leaf){.gfn = field_get(FW_GFN, word), .from = at};
        }
    }
    return 0;
}

/* Is the leaf's frame where it was, and may it move? A large one: all of it. */
static enum cordon_frame_kind still(const struct make *m, const struct move_batch *b,
                                    const struct move_leaf *l)
{
    uint64_t word = frames_word_locked(m->ctx, cordon_hpa_make(l->from << CORDON_PAGE_SHIFT));

    if (field_get(FW_STATE, word) != CORDON_FRAME_OWNED ||
        field_get(FW_DOMAIN, word) != b->d->number || field_get(FW_GFN, word) != l->gfn) {
        return CORDON_KIND_FREE; /* it is not what it was */
    }
    return move_kind_of_run(b->d, l->from, l->gfn, BIT64(9 * b->level));
}

/* The first pages of what was to move as one. */
static void in_pages(struct move_batch *b)
{
    b->level = 0;
    for (b->count = 1; b->count < MOVE_PAGES; b->count++) {
        b->leaf[b->count] = (struct move_leaf){.gfn = b->leaf[0].gfn + b->count,
                                               .from = b->leaf[0].from + b->count};
    }
}

/* A whole block may have been split, or be in smaller leaves, or have no place to go to. */
static void settle_level(struct make *m, struct move_batch *b)
{
    const struct frame_block *block = pool_block(&m->ctx->frames, b->leaf[0].from);
    struct pt_hit leaf;

    if (b->level == 0) {
        return;
    }
    lock_take(&m->ctx->frames.lock);
    bool whole = block->words == NULL;

    lock_give(&m->ctx->frames.lock);
    if (whole &&
        pt_lookup(&b->d->forest, 0, cordon_gpa_make(b->leaf[0].gfn << CORDON_PAGE_SHIFT), &leaf) ==
            0 &&
        leaf.level >= 1) {
        return;
    }
    in_pages(b);
}

/* Those of a batch that are still what they were. EPERM (m->bad): one of them may not move. */
static int keep_still(struct make *m, struct move_batch *b)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < b->count; i++) {
        enum cordon_frame_kind kind = still(m, b, &b->leaf[i]);

        if (kind == CORDON_KIND_MOVABLE) {
            b->leaf[kept++] = b->leaf[i];
        } else if (kind != CORDON_KIND_FREE) {
            m->bad = b->leaf[i].from;
            return -CORDON_EPERM;
        }
    }
    b->count = kept;
    return 0;
}

/* The domain is locked. A large leaf without a place to go to goes in pages. */
static int move_some(struct make *m, struct move_batch *b)
{
    cordon_assert(b->count > 0);
    settle_level(m, b);
    int err = keep_still(m, b);

    if (err != 0 || b->count == 0) {
        return err;
    }
    err = move_batch(b, &m->out->moves);
    if (err != -CORDON_ENOMEM || b->level == 0) {
        return err;
    }
    in_pages(b);
    return move_batch(b, &m->out->moves);
}

/* The part of one block becomes ours. Errors: EPERM (m->bad), ENOMEM, ELIMIT, EPENDING. */
static int clear_part(struct make *m, uint64_t hfn, uint64_t pages)
{
    unsigned idle = 0;

    while (idle < IDLE_MOST) {
        struct move_batch b;
        uint32_t number;
        uint64_t before = m->out->moves.pages;

        lock_take(&m->ctx->frames.lock);
        int err = gather(m, hfn, pages, &b, &number);

        pool_unlock(m->ctx);
        if (err != 0 || number == 0) {
            return err;
        }
        if (before + b.count * BIT64(9 * b.level) > m->budget) {
            return -CORDON_ELIMIT;
        }
        bool held;

        b.d = move_lock(m->ctx, number, &m->patience, &held);
        if (held) {
            break;
        }
        if (b.d != NULL) {
            err = move_some(m, &b);
            lock_give(&b.d->lock);
        }
        if (err != 0) {
            return err;
        }
        idle += m->out->moves.pages == before;
    }
    m->bad = hfn;
    return -CORDON_EPERM;
}

/* ---- one place ---------------------------------------------------------------------------- */

/* FN for the part of a place in each block. */
static int each_part(struct make *m, uint64_t first,
                     int (*fn)(struct make *m, uint64_t hfn, uint64_t pages))
{
    uint64_t end = first + m->want.pages, next;
    int err = 0;

    for (uint64_t at = first; at < end && err == 0; at = next) {
        next = (at | (BLOCK_FRAMES - 1)) + 1;
        next = next < end ? next : end;
        err = fn(m, at, next - at);
    }
    return err;
}

static int isolate_part(struct make *m, uint64_t hfn, uint64_t pages)
{
    lock_take(&m->ctx->frames.lock);
    int err = isolate_free(m->ctx, hfn, pages, m->isolated);

    pool_unlock(m->ctx);
    return err;
}

int place_take(struct make *m, uint64_t first)
{
    int err = look_closely(m, first);

    if (err != 0) {
        m->out->places++;
        return err;
    }
    err =
        each_part(m, first, isolate_part); /* so that nothing moves to where it would move again */
    if (err == 0) {
        err = each_part(m, first, clear_part);
    }
    if (err == 0 && !isolated_hold(m->ctx, first, m->want.pages, m->isolated)) {
        m->bad = first;
        err = -CORDON_EPERM; /* a block was freed into it, or taken, meanwhile */
    }
    if (err == -CORDON_ENOMEM && ++m->shortages < SHORT_MOST) {
        m->bad = first; /* another place may need fewer tables */
        err = -CORDON_EPERM;
    }
    if (err != 0) {
        m->out->places++;
        isolated_free(m->ctx, first, m->want.pages, m->isolated);
        return err;
    }
    m->out->hpa = cordon_hpa_make(first << CORDON_PAGE_SHIFT);
    return 0;
}
