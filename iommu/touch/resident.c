/* How much of a range has frames. */
#include "core/ctx.h"
#include "map/txn.h"

#define PAGES_AT_ONCE (UINT64_C(1) << 18) /* then faults of the domain's harts get a turn */

static uint64_t count(const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    struct backing b = backing_of(d, gfn, pages);
    struct cordon_extent run[BACKING_SOME];
    uint64_t bytes = 0;

    for (uint64_t n; (n = backing_next(&b, run, BACKING_SOME)) != 0;) {
        for (uint64_t i = 0; i < n; i++) {
            bytes += run[i].len;
        }
    }
    return bytes;
}

int cordon_resident(cordon_domain *d, cordon_gpa gpa, uint64_t len, uint64_t *bytes)
{
    if (d == NULL || bytes == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(gpa.v | len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t gfn = gpa.v >> CORDON_PAGE_SHIFT, pages = len >> CORDON_PAGE_SHIFT;
    uint64_t sum = 0;

    if (gfn >= d->gfn_limit || pages > d->gfn_limit - gfn) {
        return -CORDON_ERANGE;
    }
    for (uint64_t end = gfn + pages; gfn < end;) {
        lock_take(&d->lock);
        const struct span *s = span_next(&d->regions.set, gfn);
        uint64_t first = s == NULL || s->first > end ? end : s->first > gfn ? s->first : gfn;
        uint64_t last = s == NULL || span_end(s) > end ? end : span_end(s);
        uint64_t n = last - first < PAGES_AT_ONCE ? last - first : PAGES_AT_ONCE;

        sum += first < last && (region_flags(s) & CORDON_REGION_MMIO) == 0 ? count(d, first, n) : 0;
        gfn = first + n;
        lock_give(&d->lock);
    }
    *bytes = sum;
    return 0;
}
