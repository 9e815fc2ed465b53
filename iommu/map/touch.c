/*
 * cordon_touch: one fault, one frame. [INV 4, 7; Priv 12.2.1]
 *
 * The way of a 4 KiB page is straight: the region and the leaf table that were met last, a frame of
 * the stock, zeroes, its ownership word, its leaf. No translation was valid before, so that nobody
 * need be told; only tables that are told apart for one view (NODMA, with devices) need it.
 */
#include "map/touch.h"
#include "core/ctx.h"
#include "map/gone.h"
#include "map/log.h"
#include "map/owner.h"
#include "map/stock.h"
#include "pt/walk.h"

#include <string.h>

/* ---- frames ------------------------------------------------------------------------------- */

/* A frame that is OWNED as WORD says. */
static inline uint64_t frame_take(struct cordon_ctx *ctx, uint64_t word)
{
    lock_take(&ctx->frames.lock);
    uint64_t hfn = stock_take(&ctx->frames, word);

    pool_unlock(ctx);
    return hfn;
}

/* A whole block of them. */
static uint64_t block_take(struct cordon_ctx *ctx, uint64_t word)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t hfn = HFN_NONE;

    lock_take(&p->lock);
    if (buddy_ready(p, BLOCK_ORDER, KIND_MOVABLE) == 0) {
        hfn = buddy_take(p, BLOCK_ORDER, KIND_MOVABLE);
        pool_mark(p, hfn, BLOCK_FRAMES, word);
        pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_OWNED, BLOCK_FRAMES);
    }
    pool_unlock(ctx);
    return hfn;
}

/* What was taken is not needed: FREE again. */
static void frames_put(struct cordon_ctx *ctx, uint64_t hfn, unsigned order)
{
    lock_take(&ctx->frames.lock);
    pool_count(&ctx->frames, CORDON_FRAME_OWNED, CORDON_FRAME_FREE, BIT64(order));
    buddy_put(&ctx->frames, hfn, order);
    pool_unlock(ctx);
}

/* ---- leaves ------------------------------------------------------------------------------- */

/* Write the leaf, with tables that may have to be made first. */
PT_SLOW int leaf_write(struct cordon_domain *d, const struct pt_run *run)
{
    struct pt_pool tables = {.count = 0};
    struct gone gone;
    int err = pt_reserve_map(&d->forest, run, &tables);

    if (err != 0) {
        return err;
    }
    gone_begin(&gone);
    gone_commit(d, &gone);
    pt_map(&d->forest, run, &tables, &d->dead);
    port_fence(d->ctx->cookie);
    pt_pool_free(&d->forest, &tables);
    gone.devised = (d->forest.views & ~1u) != 0;
    err = gone_retire(d, &gone);
    cordon_assert(err == 0 || d->pending); /* tables that were told apart wait; the page is there */
    return 0;
}

static int fill(struct cordon_domain *d, const struct span *s, uint64_t gfn, unsigned order,
                cordon_hpa *frame)
{
    struct cordon_ctx *ctx = d->ctx;
    uint64_t word = owner_word(d->number, gfn, false);
    uint64_t hfn = order == 0 ? frame_take(ctx, word) : block_take(ctx, word);
    uint64_t gpa = gfn << CORDON_PAGE_SHIFT;

    if (hfn == HFN_NONE) {
        return -CORDON_ENOMEM;
    }
    const struct pt_run run = {
        .gpa = cordon_gpa_make(gpa),
        .hpa = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT),
        .pages = BIT64(order),
        .perms = region_perms(s),
        .views = domain_views_for(d, region_flags(s)),
    };

    memset(pool_ptr(&ctx->frames, hfn), 0, CORDON_PAGE_SIZE << order);
    block_note(ctx->cookie, PORT_NOTE_CLAIM, hfn, BIT64(order), word);
    *frame = run.hpa;
    if (order == 0 && pt_ready(&d->forest, run.views, gpa, gpa)) {
        pt_map(&d->forest, &run, NULL, NULL);
        port_fence(ctx->cookie);
        return 0;
    }
    int err = leaf_write(d, &run);

    if (err != 0) {
        owner_note_run(ctx->cookie, PORT_NOTE_FREE, hfn, BIT64(order), word);
        frames_put(ctx, hfn, order);
    }
    return err;
}

/* ---- which -------------------------------------------------------------------------------- */

/* May the 2 MiB around GFN come at once? The region has all of them, and none is present: tables
 * are never empty. */
static bool fits_huge(const struct cordon_domain *d, const struct span *s, uint64_t gfn)
{
    uint64_t first = gfn & ~(uint64_t)(BLOCK_FRAMES - 1);
    struct pt_hit hit = {.level = 0};

    if ((region_flags(s) & (CORDON_REGION_HUGE | CORDON_REGION_LOG)) != CORDON_REGION_HUGE ||
        first < s->first || span_end(s) - first < BLOCK_FRAMES) {
        return false;
    }
    return pt_lookup(&d->forest, 0, cordon_gpa_make(gfn << CORDON_PAGE_SHIFT), &hit) == 0 &&
           hit.level > 0 && hit.pte == 0;
}

int touch_fill(struct cordon_domain *d, const struct span *s, uint64_t gfn, cordon_hpa *frame)
{
    if (!port_may_alloc(d->ctx->cookie)) {
        return -CORDON_ENOMEM;
    }
    if (fits_huge(d, s, gfn) &&
        fill(d, s, gfn & ~(uint64_t)(BLOCK_FRAMES - 1), BLOCK_ORDER, frame) == 0) {
        *frame = cordon_hpa_add(*frame, (gfn & (BLOCK_FRAMES - 1)) << CORDON_PAGE_SHIFT);
        return 1;
    }
    return fill(d, s, gfn, 0, frame);
}

/* ---- the fault ---------------------------------------------------------------------------- */

/* The leaf that stands at GPA, if one does. */
static bool present(struct cordon_domain *d, uint64_t gpa, struct cordon_touched *out)
{
    struct pt_forest *f = &d->forest;
    struct pt_hit hit = {.level = 0};

    if (pt_ready(f, f->views, gpa, gpa)) {
        hit.pte = f->ready[pt_index_below(0, gpa)];
    } else if (pt_lookup(f, 0, cordon_gpa_make(gpa), &hit) != 0) {
        return false;
    }
    uint64_t inside = gpa & (pt_span(hit.level) - 1) & ~(CORDON_PAGE_SIZE - 1);

    out->what = CORDON_TOUCH_SPURIOUS;
    out->level = hit.level;
    out->hpa = cordon_hpa_add(pt_word_hpa(hit.pte), inside);
    return hit.pte != 0;
}

static int touch(struct cordon_domain *d, uint64_t gpa, uint32_t access, struct cordon_touched *out)
{
    const struct span *s = regions_at(&d->regions, gpa >> CORDON_PAGE_SHIFT);
    struct cordon_touched now;

    if (s == NULL) {
        return -CORDON_ENOENT;
    }
    if ((access & ~region_perms(s)) != 0) {
        return -CORDON_EFAULT;
    }
    if (!present(d, gpa, &now)) {
        if ((region_flags(s) & CORDON_REGION_DEMAND) == 0) {
            return -CORDON_ECORRUPT;
        }
        int level = touch_fill(d, s, gpa >> CORDON_PAGE_SHIFT, &now.hpa);

        if (level < 0) {
            return level;
        }
        now.what = CORDON_TOUCH_FILLED;
        now.level = (uint32_t)level;
    } else if ((region_flags(s) & CORDON_REGION_LOG) != 0 && log_note(d, gpa, access)) {
        now.what = CORDON_TOUCH_LOGGED;
    }
    *out = now;
    return 0;
}

int cordon_touch(cordon_domain *d, cordon_gpa gpa, uint32_t access, struct cordon_touched *out)
{
    if (d == NULL || out == NULL || (access & ~CORDON_RWX) != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->lock);
    int err = touch(d, gpa.v, access, out);

    lock_give(&d->lock);
    return err;
}
