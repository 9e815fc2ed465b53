/* Lists of frames: see runs.h. Neighbours in the range that are neighbours in HPA are one run. */
#include "map/runs.h"
#include "core/ctx.h"

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
