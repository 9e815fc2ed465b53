/* Lists of frames: see runs.h. Neighbours in the range that are neighbours in HPA are one run. */
#include "frames/runs.h"
#include "core/ctx.h"
#include "log/log.h"
#include "pt/edit.h"

/* How many runs there are from B on. */
static uint64_t count_runs(struct backing b)
{
    struct cordon_extent some[BACKING_SOME];
    uint64_t count = 0, n;

    while ((n = backing_next(&b, some, BACKING_SOME)) > 0) {
        count += n;
    }
    return count;
}

int runs_gather(struct runs *r, const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    struct backing b = backing_of(d, gfn, pages);

    b.holes = true;
    uint64_t count = count_runs(b);

    r->at = r->small;
    r->order = 0;
    if (count > RUNS_INLINE) {
        while (CORDON_PAGE_SIZE << r->order < count * sizeof(struct cordon_extent)) {
            r->order++;
        }
        int err = frames_alloc_table(d->ctx, r->order, &r->frames);

        if (err != 0) {
            return err;
        }
        r->at = frames_ptr(d->ctx, r->frames);
    }
    r->count = backing_next(&b, r->at, count);
    return 0;
}

void runs_free(struct runs *r, struct cordon_ctx *ctx)
{
    if (r->at != r->small) {
        frames_free(ctx, r->frames, r->order);
    }
}

bool stretch_next(const struct runs *r, struct stretch *at)
{
    const struct cordon_extent *run = at->runs + at->count, *end = r->at + r->count;

    at->gfn += at->pages;
    for (; run != end && run->hpa.v == BACKING_HOLE; run++) {
        at->gfn += run->len >> CORDON_PAGE_SHIFT;
    }
    at->runs = run;
    at->pages = 0;
    for (; run != end && run->hpa.v != BACKING_HOLE; run++) {
        at->pages += run->len >> CORDON_PAGE_SHIFT;
    }
    at->count = (uint64_t)(run - at->runs);
    return at->count != 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* At most one a touched table of each run, or of the range if it were all pages, in each view; and
 * where it is logged, one more for each if they were all pages. */
int runs_reserve_make(struct cordon_domain *d, uint64_t gfn, uint32_t flags,
                      const struct cordon_extent *runs, uint64_t count, struct pt_pool *pool)
{
    unsigned top = pt_top(d->forest.fmt), logged = log_views(d, flags);
    uint64_t first = gfn << CORDON_PAGE_SHIFT, at = first, large = 0, small = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t last = at + runs[i].len - 1;

        if (runs[i].hpa.v != BACKING_HOLE) {
            large += pt_tables_for(top, pt_leaf_level(runs[i].hpa.v - at), at, last);
            small += logged != 0 ? pt_tables_for(top, 0, at, last) : 0;
        }
        at = last + 1;
    }
    uint64_t flat = count != 0 ? pt_tables_for(top, 0, first, at - 1) : 0;

    return pt_pool_grow(&d->forest, pool,
                        least(large, flat) * pt_members(domain_views_for(d, flags)) +
                            least(small, flat) * logged);
}
