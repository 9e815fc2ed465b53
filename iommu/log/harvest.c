/*
 * Harvests: the bits are gathered piece by piece, and hardware is told once, at the end. What still
 * writes through a stale D between the two has its page in this harvest already. [INV 7]
 */
#include <cordon/log.h>

#include <string.h>

#include "core/ctx.h"
#include "log/log.h"
#include "map/gone.h"
#include "port_word.h"
#include "pt/marks.h"

#define HOLD_PAGES 65536u /* under one hold of the lock */

struct harvest {
    struct cordon_domain *d;
    const struct cordon_harvest *what;
    struct cordon_harvested out;
    uint64_t first, end; /* page numbers */
    bool harts, devices; /* bits went in the G-stage, in a device view */
};

/* ---- checks ------------------------------------------------------------------------------- */

static int check_form(const struct cordon_domain *d, const struct cordon_harvest *w)
{
    if (d == NULL || w == NULL || w->size != sizeof(*w) || (w->flags & ~CORDON_LOG_KEEP) != 0 ||
        (w->dirty == NULL && w->used == NULL)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(w->gpa.v | w->len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t first = w->gpa.v >> CORDON_PAGE_SHIFT, pages = w->len >> CORDON_PAGE_SHIFT;

    return pages != 0 && first < d->gfn_limit && pages <= d->gfn_limit - first ? 0 : -CORDON_ERANGE;
}

/* The part of region S that lies in [GFN, END). */
static uint64_t part_first(const struct span *s, uint64_t gfn)
{
    return s->first > gfn ? s->first : gfn;
}

static uint64_t part_end(const struct span *s, uint64_t end)
{
    return span_end(s) < end ? span_end(s) : end;
}

/* The next region of the domain's own RAM in [GFN, END), or null. */
static const struct span *own_next(const struct cordon_domain *d, uint64_t gfn, uint64_t end)
{
    const struct span *s = span_next(&d->regions.set, gfn);

    while (s != NULL && s->first < end && region_held(region_flags(s))) {
        s = span_next(&d->regions.set, span_end(s));
    }
    return s != NULL && s->first < end ? s : NULL;
}

static bool is_logged(const struct span *s)
{
    return (region_flags(s) & CORDON_REGION_LOG) != 0;
}

static int check_regions(struct harvest *h)
{
    for (const struct span *s = own_next(h->d, h->first, h->end); s != NULL;
         s = own_next(h->d, span_end(s), h->end)) {
        if (!is_logged(s)) {
            return -CORDON_EPERM;
        }
        h->out.logged += part_end(s, h->end) - part_first(s, h->first);
    }
    return h->out.logged != 0 ? 0 : -CORDON_ENOENT;
}

/* ---- gathering ---------------------------------------------------------------------------- */

/* One region's part, in every view that tells something. */
static void gather(struct harvest *h, const struct span *s, uint64_t first, uint64_t end)
{
    const struct cordon_harvest *w = h->what;
    struct cordon_domain *d = h->d;
    struct pt_harvest p = {.base = w->gpa.v,
                           .dirty = w->dirty,
                           .used = w->used,
                           .keep = (w->flags & CORDON_LOG_KEEP) != 0};
    cordon_gpa gpa = cordon_gpa_make(first << CORDON_PAGE_SHIFT);

    pt_marks_harvest(&d->forest, 0, gpa, end - first, &p);
    h->harts |= p.cleared;
    p.cleared = false;
    for (uint32_t view = 1; view < CORDON_MAX_VIEWS && domain_devised(region_flags(s)); view++) {
        if (d->view[view].marks) {
            pt_marks_harvest(&d->forest, view, gpa, end - first, &p);
        }
    }
    h->devices |= p.cleared;
    h->out.words += p.words;
}

static void gather_hold(struct harvest *h, uint64_t gfn, uint64_t end)
{
    for (const struct span *s = own_next(h->d, gfn, end); s != NULL;
         s = own_next(h->d, span_end(s), end)) {
        if (is_logged(s)) {
            gather(h, s, part_first(s, gfn), part_end(s, end));
        }
    }
}

/* ---- what no view tells ------------------------------------------------------------------- */

static void map_fill(uint64_t *map, uint64_t bit, uint64_t end)
{
    for (; bit < end && bit % 64 != 0; bit++) {
        map[bit / 64] |= BIT64(bit % 64);
    }
    for (; end - bit >= 64; bit += 64) {
        map[bit / 64] = ~UINT64_C(0);
    }
    for (; bit < end; bit++) {
        map[bit / 64] |= BIT64(bit % 64);
    }
}

static uint64_t map_words(const struct harvest *h)
{
    return (h->end - h->first + 63) / 64;
}

static uint64_t map_count(const struct harvest *h, const uint64_t *map)
{
    uint64_t count = 0;

    for (uint64_t i = 0; map != NULL && i < map_words(h); i++) {
        if (map[i] != 0) {
            count += (uint64_t)__builtin_popcountll(map[i]);
        }
    }
    return count;
}

/* Pages that a device may have written, if no view tells, and those whose logging has ended
 * meanwhile. */
static void fill_unknown(struct harvest *h, uint32_t blind)
{
    for (const struct span *s = own_next(h->d, h->first, h->end); s != NULL;
         s = own_next(h->d, span_end(s), h->end)) {
        bool written = domain_devised(region_flags(s)) && (region_perms(s) & blind) != 0;

        if (!is_logged(s) || written) {
            uint64_t from = part_first(s, h->first) - h->first;
            uint64_t to = part_end(s, h->end) - h->first;

            if (h->what->dirty != NULL) {
                map_fill(h->what->dirty, from, to);
            }
            if (h->what->used != NULL) {
                map_fill(h->what->used, from, to);
            }
        }
    }
}

/* ---- telling hardware --------------------------------------------------------------------- */

/* Where the IOMMU had not confirmed an earlier round, this one is for everything. */
static void tell(struct harvest *h)
{
    struct cordon_domain *d = h->d;
    const struct retire_range range = {h->what->gpa, h->what->len};
    bool unsure = d->log_unsure;
    const struct retire_request req = {.ranges = &range, .count = 1, .whole = unsure};
    bool all = h->end - h->first > GONE_FENCE_PAGES;

    if (!h->harts && !h->devices && !unsure) {
        return;
    }
    port_fence(d->ctx->cookie);
    if (h->harts) {
        vmid_fence(d, &range, 1, all);
    }
    if (h->devices || unsure) {
        d->log_unsure = retire_invalidate(d, &req) != 0;
    }
}

static void harvest(struct harvest *h)
{
    uint64_t at = h->first;
    uint32_t blind;

    while (at < h->end) {
        uint64_t left = h->end - at;
        uint64_t end = at + (left < HOLD_PAGES ? left : HOLD_PAGES);

        gather_hold(h, at, end);
        at = end;
        if (at < h->end) {
            lock_give(&h->d->lock);
            lock_take(&h->d->lock);
        }
    }
    blind = log_blind(h->d);
    tell(h);
    h->out.dirty = map_count(h, h->what->dirty);
    fill_unknown(h, blind | log_blind(h->d));
    h->out.unknown = map_count(h, h->what->dirty) - h->out.dirty;
    h->out.dirty += h->out.unknown;
    h->out.used = map_count(h, h->what->used);
}

int cordon_log_harvest(cordon_domain *d, const struct cordon_harvest *what,
                       struct cordon_harvested *out)
{
    struct harvest h = {.d = d, .what = what};
    int err = out != NULL ? check_form(d, what) : -CORDON_EINVAL;

    if (err != 0) {
        return err;
    }
    h.first = what->gpa.v >> CORDON_PAGE_SHIFT;
    h.end = h.first + (what->len >> CORDON_PAGE_SHIFT);
    lock_take(&d->lock);
    err = check_regions(&h);
    if (err == 0) {
        for (unsigned i = 0; i < 2; i++) {
            uint64_t *map = i == 0 ? what->dirty : what->used;

            if (map != NULL) {
                memset(map, 0, map_words(&h) * sizeof(uint64_t));
            }
        }
        harvest(&h);
    }
    lock_give(&d->lock);
    if (err == 0) {
        *out = h.out;
    }
    return err;
}

/* ---- writes of software ------------------------------------------------------------------- */

int cordon_log_written(cordon_domain *d, cordon_gpa gpa, uint64_t len)
{
    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (range_wraps(gpa.v, len)) {
        return -CORDON_ERANGE;
    }
    uint64_t first = gpa.v >> CORDON_PAGE_SHIFT;
    uint64_t end = (gpa.v + len + CORDON_PAGE_SIZE - 1) >> CORDON_PAGE_SHIFT;

    lock_take(&d->lock);
    for (const struct span *s = own_next(d, first, len != 0 ? end : first); s != NULL;
         s = own_next(d, span_end(s), end)) {
        uint64_t from = part_first(s, first);

        if (is_logged(s)) {
            pt_marks_set(&d->forest, 0, cordon_gpa_make(from << CORDON_PAGE_SHIFT),
                         part_end(s, end) - from, false);
        }
    }
    lock_give(&d->lock);
    return 0;
}
