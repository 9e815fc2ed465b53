/* Promises made, kept and let go of: see promise.h. */
#include "touch/promise.h"
#include "core/ctx.h"

int promise_frames(struct cordon_domain *d, uint64_t pages)
{
    struct frame_pool *p = &d->ctx->frames;

    pages += d->owed;
    lock_take(&p->lock);
    p->promised += pages;
    bool keeps = pool_keeps(p, 0, 0);

    p->promised -= keeps ? 0 : pages;
    lock_give(&p->lock);
    if (!keeps) {
        return -CORDON_ENOMEM;
    }
    d->promised += pages;
    d->owed = 0;
    return 0;
}

void promise_arrived(struct cordon_domain *d, uint64_t pages)
{
    pages = pages < d->owed ? pages : d->owed;
    d->owed -= pages;
    d->promised += pages;
    d->ctx->frames.promised += pages;
}

void promise_fewer(struct cordon_domain *d, uint64_t pages)
{
    struct frame_pool *p = &d->ctx->frames;
    uint64_t owed = pages < d->owed ? pages : d->owed;

    d->owed -= owed;
    pages -= owed;
    lock_take(&p->lock);
    cordon_assert(p->promised >= pages && d->promised >= pages);
    p->promised -= pages;
    lock_give(&p->lock);
    d->promised -= pages;
}

int promise_tables(struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    uint64_t most = pt_map_most(&d->forest, cordon_gpa_make(gfn << CORDON_PAGE_SHIFT), pages);

    return pt_pool_grow(&d->forest, &d->spare, most);
}

void promise_settle(struct cordon_domain *d)
{
    const struct span_set *set = &d->regions.set;
    uint64_t most = 0;

    for (const struct span *s = span_next(set, 0); s != NULL; s = span_after(s)) {
        if (region_promised(region_flags(s))) {
            most +=
                pt_map_most(&d->forest, cordon_gpa_make(s->first << CORDON_PAGE_SHIFT), s->pages);
        }
    }
    d->spare_most = most;
    pt_pool_trim(&d->forest, &d->spare, most);
}

void promise_undo(struct cordon_domain *d, uint64_t spare)
{
    pt_pool_trim(&d->forest, &d->spare, spare);
}

void promise_dead_free(struct cordon_domain *d)
{
    pt_retire_keep(&d->forest, &d->dead, &d->spare, d->spare_most);
}

void promise_end(struct cordon_domain *d)
{
    promise_fewer(d, d->promised + d->owed);
    d->spare_most = 0;
    pt_pool_free(&d->forest, &d->spare);
}
