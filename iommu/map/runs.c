/* Lists of frames: see runs.h. Neighbours in the range that are neighbours in HPA are one run. */
#include "map/runs.h"
#include "core/ctx.h"

/* Go through the range; write to OUT, unless it is null. Returns how many runs there are. */
static uint64_t collect(const struct cordon_domain *d, uint64_t gfn, uint64_t pages,
                        struct cordon_extent *out)
{
    struct backing b = backing_of(d, gfn, pages);
    uint64_t count = 0, end = 0;

    while (backing_next(&b)) {
        bool joins = count > 0 && b.hpa.v == end;

        end = b.hpa.v + b.len;
        count += joins ? 0 : 1;
        if (out != NULL) {
            out[count - 1].hpa = joins ? out[count - 1].hpa : b.hpa;
            out[count - 1].len = end - out[count - 1].hpa.v;
        }
    }
    return count;
}

int runs_gather(struct runs *r, const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    r->at = r->small;
    r->order = 0;
    r->count = collect(d, gfn, pages, NULL);
    if (r->count > RUNS_INLINE) {
        uint64_t bytes = r->count * sizeof(struct cordon_extent);

        while (CORDON_PAGE_SIZE << r->order < bytes) {
            r->order++;
        }
        int err = frames_alloc_table(d->ctx, r->order, &r->frames);

        if (err != 0) {
            return err;
        }
        r->at = frames_ptr(d->ctx, r->frames);
    }
    (void)collect(d, gfn, pages, r->at);
    return 0;
}

void runs_free(struct runs *r, struct cordon_ctx *ctx)
{
    if (r->at != r->small) {
        frames_free(ctx, r->frames, r->order);
    }
}
