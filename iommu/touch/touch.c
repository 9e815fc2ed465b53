/*
 * cordon_touch: one fault, one frame. [INV 4, 7; Priv 12.2.1]
 *
 * The way of a 4 KiB page is straight: the region and the leaf table that were met last, a frame of
 * the stock, zeroes, its ownership word, its leaf. No translation was valid before, so that nobody
 * need be told; only tables that are told apart for one view (NODMA, with devices) need it.
 */
#include "touch/touch.h"
#include "core/ctx.h"
#include "frames/owner.h"
#include "frames/stock.h"
#include "log/log.h"
#include "map/gone.h"
#include "pt/walk.h"
#include "touch/promise.h"

/* What is to be filled: 2^ORDER pages of one region. */
struct want {
    struct pt_run run; /* hpa: not known yet */
    uint64_t word;     /* the ownership word of the first frame */
    unsigned order;
    bool promised; /* by the pool: see touch/promise.h */
    bool alone;    /* in no other change */
};

/* ---- frames ------------------------------------------------------------------------------- */

static uint64_t block_take(struct frame_pool *p, const struct want *w)
{
    int err = w->promised ? buddy_prepare(p, BLOCK_ORDER, KIND_MOVABLE, true)
                          : buddy_ready(p, BLOCK_ORDER, KIND_MOVABLE);

    if (err != 0) {
        return HFN_NONE;
    }
    uint64_t hfn = buddy_take(p, BLOCK_ORDER, KIND_MOVABLE);

    pool_mark(p, hfn, BLOCK_FRAMES, w->word);
    pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_OWNED, BLOCK_FRAMES);
    p->promised -= w->promised ? BLOCK_FRAMES : 0;
    return hfn;
}

/* A frame that is OWNED as WORD says, and holds zeroes. HFN_NONE: there is none. */
static inline uint64_t frame_take(struct cordon_domain *d, uint64_t word, bool promised)
{
    struct frame_pool *p = &d->ctx->frames;

    bool kept = promised && d->promised != 0;

    lock_take(&p->lock);
    uint64_t hfn = stock_take(p, word, kept);

    pool_unlock(d->ctx);
    if (hfn != HFN_NONE) {
        d->promised -= kept;
        d->owed -= promised && !kept;
        frame_scrub(d->ctx->cookie, p, hfn);
        ctx_flush(d->ctx, hfn, 1);
        block_note(d->ctx->cookie, PORT_NOTE_CLAIM, hfn, 1, word);
    }
    return hfn;
}

/* As many of them as are wanted. */
static uint64_t frames_take(struct cordon_domain *d, const struct want *w)
{
    struct frame_pool *p = &d->ctx->frames;

    if (w->order == 0) {
        return frame_take(d, w->word, w->promised);
    }
    if (w->promised && d->promised < BLOCK_FRAMES) {
        return HFN_NONE;
    }
    lock_take(&p->lock);
    uint64_t hfn = block_take(p, w);

    pool_unlock(d->ctx);
    if (hfn != HFN_NONE) {
        d->promised -= w->promised ? BLOCK_FRAMES : 0;
        for (uint64_t i = 0; i < BLOCK_FRAMES; i++) {
            frame_scrub(d->ctx->cookie, p, hfn + i);
        }
        ctx_flush(d->ctx, hfn, BLOCK_FRAMES);
        block_note(d->ctx->cookie, PORT_NOTE_CLAIM, hfn, BLOCK_FRAMES, w->word);
    }
    return hfn;
}

/* ---- leaves ------------------------------------------------------------------------------- */

/* Tables that the leaf could need: of the promise, or of whatever is free. ENOMEM. */
static int tables_ready(struct cordon_domain *d, const struct want *w, struct pt_pool *own)
{
    if (!w->promised) {
        return pt_reserve_map(&d->forest, &w->run, own);
    }
    uint64_t needs = pt_map_needs(&d->forest, &w->run);

    return needs <= d->spare.count ? 0
                                   : pt_pool_grow(&d->forest, &d->spare, needs - d->spare.count);
}

/* Tables that are told apart for one view are told to harts and IOMMUs; if they do not answer, the
 * tables wait, but the page is there. */
static void map_and_retire(struct cordon_domain *d, const struct want *w, struct pt_pool *tables)
{
    struct gone gone;

    gone_begin(&gone);
    gone_commit(d, &gone);
    gone.devised = (d->forest.views & ~1u) != 0;
    pt_map(&d->forest, &w->run, tables, &d->dead);
    port_fence(d->ctx->cookie);
    int err = gone_retire(d, &gone);

    cordon_assert(err == 0 || d->pending);
}

/* The long way: with tables that may have to be made first. */
static int fill_down(struct cordon_domain *d, struct want *w, cordon_hpa *frame)
{
    struct pt_pool own = {.count = 0};
    int err = tables_ready(d, w, &own);

    if (err != 0) {
        return err;
    }
    uint64_t hfn = frames_take(d, w);

    if (hfn == HFN_NONE) {
        pt_pool_free(&d->forest, &own);
        return -CORDON_ENOMEM;
    }
    w->run.hpa = *frame = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
    if (w->alone) {
        map_and_retire(d, w, w->promised ? &d->spare : &own);
    } else {
        pt_map(&d->forest, &w->run, &d->spare, &d->dead);
    }
    pt_pool_free(&d->forest, &own);
    return 0;
}

/* The straight way of one page: its table stands, and is ready for all its views. */
static inline int fill_ready(struct cordon_domain *d, const struct span *s, uint64_t gpa,
                             bool promised, cordon_hpa *frame)
{
    uint64_t word = owner_word(d->number, gpa >> CORDON_PAGE_SHIFT, false);
    uint64_t hfn = frame_take(d, word, promised);

    if (hfn == HFN_NONE) {
        return -CORDON_ENOMEM;
    }
    *frame = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
    pt_fill_ready(&d->forest, gpa, frame->v, region_perms(s));
    return 0;
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

static struct want want_of(const struct cordon_domain *d, const struct span *s, uint64_t gfn,
                           unsigned order, enum touch_from from)
{
    uint64_t first = gfn & ~(BIT64(order) - 1);

    return (struct want){
        .run = {.gpa = cordon_gpa_make(first << CORDON_PAGE_SHIFT),
                .pages = BIT64(order),
                .perms = region_perms(s),
                .views = domain_views_for(d, region_flags(s))},
        .word = owner_word(d->number, first, false),
        .order = order,
        .promised = from != TOUCH_FREE,
        .alone = from < TOUCH_COMMIT,
    };
}

/* A table has to be made, or none is needed. */
PT_SLOW int fill_somehow(struct cordon_domain *d, const struct span *s, uint64_t gfn,
                         enum touch_from from, cordon_hpa *frame)
{
    if (from != TOUCH_SMALL && fits_huge(d, s, gfn)) {
        struct want block = want_of(d, s, gfn, BLOCK_ORDER, from);

        if (fill_down(d, &block, frame) == 0) {
            *frame = cordon_hpa_add(*frame, (gfn & (BLOCK_FRAMES - 1)) << CORDON_PAGE_SHIFT);
            return 1;
        }
    }
    struct want page = want_of(d, s, gfn, 0, from);

    return fill_down(d, &page, frame);
}

int touch_fill(struct cordon_domain *d, const struct span *s, uint64_t gfn, enum touch_from from,
               cordon_hpa *frame)
{
    uint64_t gpa = gfn << CORDON_PAGE_SHIFT;

    if (pt_ready(&d->forest, domain_views_for(d, region_flags(s)), gpa, gpa)) {
        return fill_ready(d, s, gpa, from != TOUCH_FREE, frame);
    }
    return fill_somehow(d, s, gfn, from, frame);
}

/* ---- the fault ---------------------------------------------------------------------------- */

/* The leaf that stands at GPA, if one does. */
static bool present(struct cordon_domain *d, uint64_t gpa, struct cordon_touched *out)
{
    struct pt_forest *f = &d->forest;
    struct pt_hit hit = {.level = 0};

    if (pt_ready(f, f->views, gpa, gpa)) {
        hit.pte = pt_page_leaf(&f->ready[pt_index_below(0, gpa)]);
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
        if (!port_may_alloc(d->ctx->cookie)) {
            return -CORDON_ENOMEM;
        }
        int level = touch_fill(d, s, gpa >> CORDON_PAGE_SHIFT, touch_from(s), &now.hpa);

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
