/* Filling ranges of DEMAND regions ahead of the touches. */
#include "core/ctx.h"
#include "map/txn.h"
#include "pt/walk.h"
#include "touch/promise.h"
#include "touch/touch.h"

#define PAGES_AT_ONCE 2048u /* looked at in one go: then harts that fault get a turn */

uint64_t touch_absent(struct cordon_domain *d, uint64_t gfn, uint64_t end)
{
    while (gfn < end) {
        const struct span *s = regions_at(&d->regions, gfn);

        if (s == NULL || (region_flags(s) & CORDON_REGION_DEMAND) == 0) {
            gfn = s != NULL ? span_end(s) : end;
            continue;
        }
        struct pt_hit hit = {.level = 0};
        uint64_t last = span_end(s) < end ? span_end(s) : end;

        for (; gfn < last; gfn = (gfn | (pt_span(hit.level) / CORDON_PAGE_SIZE - 1)) + 1) {
            if (pt_lookup(&d->forest, 0, cordon_gpa_make(gfn << CORDON_PAGE_SHIFT), &hit) != 0 ||
                hit.pte == 0) {
                return gfn;
            }
        }
    }
    return end;
}

int touch_some(struct cordon_domain *d, uint64_t *gfn, uint64_t end)
{
    if (end - *gfn > PAGES_AT_ONCE) {
        end = *gfn + PAGES_AT_ONCE;
    }
    if (!regions_cover(&d->regions, *gfn, end - *gfn)) {
        return -CORDON_ENOENT;
    }
    for (unsigned filled = 0; filled < TOUCH_AT_ONCE; filled++) {
        cordon_hpa frame;

        *gfn = touch_absent(d, *gfn, end);
        if (*gfn == end) {
            return 0;
        }
        if (!port_may_alloc(d->ctx->cookie)) {
            return -CORDON_ENOMEM;
        }
        const struct span *s = regions_at(&d->regions, *gfn);
        int level = touch_fill(d, s, *gfn, touch_from(s), &frame);

        if (level < 0) {
            return level;
        }
    }
    return 0;
}

void touch_promised(struct cordon_domain *d, uint64_t first, uint64_t end, bool huge)
{
    uint64_t gfn = first;
    cordon_hpa frame;

    while ((gfn = touch_absent(d, gfn, end)) != end) {
        uint64_t block = gfn & ~(uint64_t)(BLOCK_FRAMES - 1);
        bool inside = block >= first && end - block >= BLOCK_FRAMES;
        int level = touch_fill(d, regions_at(&d->regions, gfn), gfn,
                               huge && inside ? TOUCH_COMMIT : TOUCH_SMALL, &frame);

        cordon_assert(level >= 0);
    }
}

uint64_t touch_count_absent(const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    struct backing b = backing_of(d, gfn, pages);
    struct cordon_extent some[BACKING_SOME];
    uint64_t n;

    while ((n = backing_next(&b, some, BACKING_SOME)) > 0) {
        for (uint64_t i = 0; i < n; i++) {
            pages -= some[i].len >> CORDON_PAGE_SHIFT;
        }
    }
    return pages;
}

bool touch_all_present(struct cordon_domain *d)
{
    const struct span_set *set = &d->regions.set;

    for (const struct span *s = span_next(set, 0); s != NULL; s = span_next(set, span_end(s))) {
        if (domain_devised(region_flags(s)) &&
            touch_absent(d, s->first, span_end(s)) != span_end(s)) {
            return false;
        }
    }
    return true;
}

int touch_range(struct cordon_domain *d, uint64_t gfn, uint64_t end)
{
    int err = 0;

    while (gfn < end && err == 0) {
        lock_take(&d->lock);
        err = touch_some(d, &gfn, end);
        lock_give(&d->lock);
    }
    return err;
}

int cordon_populate(cordon_domain *d, cordon_gpa gpa, uint64_t len)
{
    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(gpa.v | len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t gfn = gpa.v >> CORDON_PAGE_SHIFT, pages = len >> CORDON_PAGE_SHIFT;
    int err;

    if (pages == 0 || gfn >= d->gfn_limit || pages > d->gfn_limit - gfn) {
        return -CORDON_ERANGE;
    }
    lock_take(&d->lock);
    err = regions_cover(&d->regions, gfn, pages) ? 0 : -CORDON_ENOENT;
    lock_give(&d->lock);
    return err == 0 ? touch_range(d, gfn, gfn + pages) : err;
}
