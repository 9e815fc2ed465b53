/*
 * Moving: see move.h. Everything is reserved before the break; the break is told to harts, and
 * waited for, before the copy; the copy is made known to what fetches before the make.
 *
 * The break comes before the copy, and not a write protection: it takes one round of fences instead
 * of two, a store waits for the copy either way, and a copy of 4 KiB costs less than a fence.
 */
#include "move/move.h"
#include "core/ctx.h"
#include "frames/loan.h"
#include "frames/owner.h"
#include "map/gone.h"
#include "map/txn.h"
#include "port_word.h"
#include "pt/napot.h"

#include <string.h>

#define STAYS (CORDON_REGION_PIN | CORDON_REGION_KEEP)

/* ---- what may move ------------------------------------------------------------------------ */

/* A device reaches what its view holds; one that was detached, until it is drained, what its view
 * held. */
static bool device_reaches(const struct cordon_domain *d, uint32_t flags)
{
    return domain_devised(flags) && (d->devices != NULL || (d->forest.views & ~1u) != 0);
}

static enum cordon_frame_kind kind_of_region(const struct cordon_domain *d,
                                             const struct span *region)
{
    if (region == NULL || region_held(region_flags(region))) {
        return CORDON_KIND_REVOKING;
    }
    if ((region_flags(region) & STAYS) != 0) {
        return CORDON_KIND_PINNED;
    }
    return device_reaches(d, region_flags(region)) ? CORDON_KIND_DEVICE : CORDON_KIND_MOVABLE;
}

enum cordon_frame_kind move_kind_of_run(const struct cordon_domain *d, uint64_t hfn, uint64_t gfn,
                                        uint64_t pages)
{
    uint64_t end = gfn + pages;

    for (uint64_t at = gfn; at < end;) {
        const struct span *region = span_find(&d->regions.set, at);
        enum cordon_frame_kind kind = kind_of_region(d, region);

        if (kind != CORDON_KIND_MOVABLE) {
            return kind;
        }
        at = span_end(region);
    }
    bool lent = d->lends && loan_touches(d->ctx, cordon_hpa_make(hfn << CORDON_PAGE_SHIFT),
                                         pages << CORDON_PAGE_SHIFT);

    return lent ? CORDON_KIND_LENT : CORDON_KIND_MOVABLE;
}

enum cordon_frame_kind move_kind(const struct cordon_domain *d, uint64_t hfn, uint64_t word)
{
    return move_kind_of_run(d, hfn, field_get(FW_GFN, word), 1);
}

enum cordon_frame_kind move_kind_of_state(uint64_t word)
{
    switch (field_get(FW_STATE, word)) {
    case CORDON_FRAME_FREE:
        return CORDON_KIND_FREE;
    case CORDON_FRAME_HELD:
        return CORDON_KIND_HELD;
    case CORDON_FRAME_TABLE:
        return CORDON_KIND_TABLE;
    case CORDON_FRAME_REVOKING:
        return CORDON_KIND_REVOKING;
    case CORDON_FRAME_OWNED:
        return CORDON_KIND_MOVABLE;
    default:
        return CORDON_KIND_HYP;
    }
}

bool move_large_ready(const struct cordon_ctx *ctx)
{
    return ctx->frames.nonempty >> BLOCK_ORDER != 0;
}

/* ---- reserve ------------------------------------------------------------------------------ */

static uint64_t leaf_pages(const struct move_batch *b)
{
    return BIT64(9 * b->level);
}

/* One place to go to. */
static int take_place(struct move_batch *b, uint64_t *hfn)
{
    struct cordon_ctx *ctx = b->d->ctx;
    struct frame_pool *p = &ctx->frames;
    unsigned order = BLOCK_ORDER * b->level;

    if (!port_may_alloc(ctx->cookie)) {
        return -CORDON_ENOMEM;
    }
    lock_take(&p->lock);
    int err = buddy_ready(p, order, KIND_MOVABLE);

    if (err == 0) {
        *hfn = buddy_take(p, order, KIND_MOVABLE);
        pool_mark(p, *hfn, BIT64(order), b->isolated);
        pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_HYP, BIT64(order));
    }
    pool_unlock(ctx);
    return err;
}

/* The leaf that holds a page stands alone, and its frame has a word of its own. */
static int open_leaf(struct move_batch *b, struct move_leaf *l, uint32_t stamp)
{
    struct cordon_domain *d = b->d;
    cordon_gpa gpa = cordon_gpa_make(l->gfn << CORDON_PAGE_SHIFT);
    struct pt_pool tables = {.count = 0};
    struct pt_hit hit;
    int err = pt_lookup(&d->forest, 0, gpa, &hit);

    cordon_assert(err == 0 && hit.leaf); /* INV 1 */
    if (pt_hit_bytes(&d->forest, &hit) > pt_span(b->level)) {
        err = pt_reserve_change(&d->forest, gpa, leaf_pages(b), 1u, &tables);
        if (err != 0) {
            return err;
        }
        pt_split(&d->forest, gpa, b->level, 1u, &tables, &d->dead);
        pt_pool_free(&d->forest, &tables);
        err = pt_lookup(&d->forest, 0, gpa, &hit);
    }
    cordon_assert(err == 0 && hit.leaf && hit.level == b->level);
    l->word = frames_ptr(d->ctx, hit.word);
    l->pte = hit.pte;
    return frames_reserve_split(d->ctx, cordon_hpa_make(l->from << CORDON_PAGE_SHIFT),
                                leaf_pages(b) << CORDON_PAGE_SHIFT, stamp);
}

/* What was reserved goes back: the first COUNT places. */
static void unreserve(const struct move_batch *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        isolated_free(b->d->ctx, b->leaf[i].to, leaf_pages(b), b->isolated);
    }
}

static int reserve(struct move_batch *b)
{
    uint32_t stamp = txn_stamp(b->d), got = 0;
    int err = 0;

    for (uint32_t i = 0; i < b->count && err == 0; i++) {
        err = open_leaf(b, &b->leaf[i], stamp);
    }
    while (err == 0 && got < b->count) {
        err = take_place(b, &b->leaf[got].to);
        got += err == 0;
    }
    if (err != 0) {
        if (b->d->dead.nonleaf) { /* leaves were split; no change will tell */
            port_fence(b->d->ctx->cookie);
            vmid_fence(b->d, NULL, 0, true);
        }
        unreserve(b, got);
        for (uint32_t i = 0; i < b->count; i++) {
            frames_unreserve_split(b->d->ctx, cordon_hpa_make(b->leaf[i].from << CORDON_PAGE_SHIFT),
                                   leaf_pages(b) << CORDON_PAGE_SHIFT, stamp);
        }
    }
    return err;
}

/* ---- commit ------------------------------------------------------------------------------- */

static struct frame_block *block_of(const struct move_batch *b, uint64_t hfn)
{
    return pool_block(&b->d->ctx->frames, hfn);
}

/* The word of a leaf's frame, or of its block. */
static uint64_t *own_word(const struct move_batch *b, uint64_t hfn)
{
    struct frame_block *block = block_of(b, hfn);

    cordon_assert(b->level == 0 || is_aligned(hfn, BLOCK_FRAMES));
    if (block->words == NULL) {
        cordon_assert(b->level != 0);
        return &block->word;
    }
    return &block->words[hfn & (BLOCK_FRAMES - 1)];
}

/* Words of the old frames go from one state to another, in one breath. */
static void mark_old(const struct move_batch *b, uint64_t from, uint64_t to)
{
    lock_take(&b->d->ctx->frames.lock);
    for (uint32_t i = 0; i < b->count; i++) {
        struct part at = part_at(&b->d->ctx->frames, b->leaf[i].from, leaf_pages(b));

        for (; at.left > 0; part_next(&at)) {
            struct part_words w = part_words(&at);

            for (uint64_t *one = w.first; one != w.end; one += w.step) {
                cordon_assert((*one & FW_STATE) == from);
                *one ^= from ^ to;
            }
        }
    }
    pool_count(&b->d->ctx->frames, (unsigned)from, (unsigned)to, b->count * leaf_pages(b));
    lock_give(&b->d->ctx->frames.lock);
}

/* More than one page is one fence for the whole VMID: harts are asked once. */
static void note_ranges(const struct move_batch *b, struct gone *gone)
{
    if (b->count == 1) {
        gone_range(gone, cordon_gpa_make(b->leaf[0].gfn << CORDON_PAGE_SHIFT),
                   leaf_pages(b) << CORDON_PAGE_SHIFT);
    } else {
        gone->whole = true;
    }
}

static int break_leaves(struct move_batch *b, struct gone *gone)
{
    struct cordon_domain *d = b->d;

    gone->rights = true; /* and not devised: no device view holds them */
    note_ranges(b, gone);
    mark_old(b, CORDON_FRAME_OWNED, CORDON_FRAME_REVOKING);
    for (uint32_t i = 0; i < b->count; i++) {
        uint64_t *word = b->leaf[i].word;
        uint64_t old = port_clear64(d->ctx->cookie, word, pt_word_at(&d->forest, word), ~0ull);

        b->leaf[i].pte |= old & PTE_MARKS; /* what was marked up to now moves along */
    }
    d->dead.downgrade = true;
    port_fence(d->ctx->cookie);
    return gone_retire(d, gone);
}

static void copy(const struct move_batch *b)
{
    struct cordon_ctx *ctx = b->d->ctx;

    for (uint32_t i = 0; i < b->count; i++) {
        const struct move_leaf *l = &b->leaf[i];
        uint64_t bytes = leaf_pages(b) << CORDON_PAGE_SHIFT;

        ctx_flush(ctx, l->from, leaf_pages(b)); /* the guest may have written past the caches */
        port_note(ctx->cookie, PORT_NOTE_COPY, l->from << CORDON_PAGE_SHIFT | (leaf_pages(b) - 1),
                  l->to << CORDON_PAGE_SHIFT);
        memcpy(pool_ptr(&ctx->frames, l->to), pool_ptr(&ctx->frames, l->from), bytes);
        ctx_flush(ctx, l->to, leaf_pages(b));
    }
    port_fence(ctx->cookie);
    vmid_code_fence(b->d); /* whatever the rights are now: INV 9 */
}

/* The new frames are the domain's, as the old ones were. */
static void claim_new(const struct move_batch *b)
{
    struct cordon_ctx *ctx = b->d->ctx;

    lock_take(&ctx->frames.lock);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct move_leaf *l = &b->leaf[i];
        uint64_t word = (uint64_t)CORDON_FRAME_OWNED | field_put(FW_DOMAIN, b->d->number) |
                        field_put(FW_GFN, l->gfn);

        cordon_assert(*own_word(b, l->to) == b->isolated);
        *own_word(b, l->to) = word;
        block_note(ctx->cookie, PORT_NOTE_CLAIM, l->to, leaf_pages(b), word);
    }
    pool_count(&ctx->frames, CORDON_FRAME_HYP, CORDON_FRAME_OWNED, b->count * leaf_pages(b));
    lock_give(&ctx->frames.lock);
}

static void make_leaves(const struct move_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct move_leaf *l = &b->leaf[i];

        pt_store(&b->d->forest, l->word,
                 (l->pte & ~PTE_PPN) | pt_ppn_put(l->to << CORDON_PAGE_SHIFT));
    }
    port_fence(b->d->ctx->cookie);
}

/* Nothing can reach the old frames any more: they are set apart. */
static void isolate_old(const struct move_batch *b)
{
    struct cordon_ctx *ctx = b->d->ctx;
    struct frame_pool *p = &ctx->frames;

    lock_take(&p->lock);
    for (uint32_t i = 0; i < b->count; i++) {
        struct part at = part_at(p, b->leaf[i].from, leaf_pages(b));

        block_note(ctx->cookie, PORT_NOTE_FREE, b->leaf[i].from, leaf_pages(b),
                   *part_words(&at).first);
        for (; at.left > 0; part_next(&at)) {
            part_write(&at, b->isolated);
        }
    }
    pool_count(p, CORDON_FRAME_REVOKING, CORDON_FRAME_HYP, b->count * leaf_pages(b));
    lock_give(&p->lock);
}

/* ---- all of it ---------------------------------------------------------------------------- */

static void count(const struct move_batch *b, struct cordon_moves *told, uint64_t us)
{
    told->pages += b->count * leaf_pages(b);
    told->large += b->level != 0 ? b->count * leaf_pages(b) : 0;
    told->stops++;
    told->longest_us = us > told->longest_us ? us : told->longest_us;
}

int move_batch(struct move_batch *b, struct cordon_moves *told)
{
    struct cordon_domain *d = b->d;
    struct gone gone;

    gone_begin(&gone);
    gone_commit(d, &gone);
    int err = reserve(b);

    if (err != 0) {
        return err;
    }
    uint64_t start = cordon_port_time_us(d->ctx->cookie);

    err = break_leaves(b, &gone);
    copy(b);
    claim_new(b);
    make_leaves(b);
    uint64_t us = cordon_port_time_us(d->ctx->cookie) - start;

    count(b, told, us);
    count(b, &d->moved, us);
    if (err == 0) {
        isolate_old(b);
    }
    gone_clear(d->ctx, &gone);
    return err;
}
