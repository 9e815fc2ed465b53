/* Logging begins and ends, and devices come and go meanwhile: see log.h. */
#include "log/log.h"

#include "core/ctx.h"
#include "frames/loan.h"
#include "map/txn.h"
#include "pt/edit.h"
#include "pt/marks.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

/* ---- who marks ---------------------------------------------------------------------------- */

bool log_device_marks(const struct cordon_device *dev)
{
    return iommu_marks(dev->iommu) && dev->drain == CORDON_DRAIN_IOMMU;
}

uint32_t log_blind(const struct cordon_domain *d)
{
    uint32_t blind = d->log_unsure ? CORDON_RWX : 0;

    for (const struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        blind |= device_uses_view(dev) && !d->view[dev->view].marks ? CORDON_WRITE : 0;
        blind |= dev->undrained ? CORDON_RWX : 0;
    }
    return blind;
}

/* The views in which A and D of a region with these flags tell something. */
static uint32_t marking_views(const struct cordon_domain *d, uint32_t flags)
{
    uint32_t views = 1;

    for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
        views |= d->view[view].marks ? 1u << view : 0;
    }
    return views & domain_views_for(d, flags);
}

/* ---- ranges ------------------------------------------------------------------------------- */

/* Does anybody borrow a frame of these runs, and may write it? */
static bool run_lent(struct cordon_domain *d, const struct cordon_extent *run)
{
    struct loan_found found;

    if (!loan_touches(d->ctx, run->hpa, run->len)) {
        return false;
    }
    for (uint64_t at = 0; at < run->len; at += CORDON_PAGE_SIZE) {
        uint64_t hfn = (run->hpa.v + at) >> CORDON_PAGE_SHIFT;

        for (uint32_t n = loan_borrower(d->ctx, hfn, 1, &found); n != 0;
             n = loan_borrower(d->ctx, hfn, n + 1, &found)) {
            if ((found.perms & CORDON_WRITE) != 0) {
                return true;
            }
        }
    }
    return false;
}

static bool lent(struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    struct backing b = backing_of(d, gfn, pages);
    struct cordon_extent some[BACKING_SOME];
    uint64_t n;
    bool any = false;

    while (d->lends && !any && (n = backing_next(&b, some, BACKING_SOME)) > 0) {
        for (uint64_t i = 0; i < n; i++) {
            any |= run_lent(d, &some[i]);
        }
    }
    return any;
}

int log_reserve(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
                struct pt_pool *pool)
{
    if (lent(d, gfn, pages)) {
        return -CORDON_EBUSY;
    }
    return pt_reserve_marks(&d->forest, cordon_gpa_make(gfn << CORDON_PAGE_SHIFT), pages,
                            marking_views(d, flags), pool);
}

static void own(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t views,
                uint64_t clear, struct pt_pool *pool, struct pt_retire *retire)
{
    for (; views != 0; views &= views - 1) {
        pt_marks_own(&d->forest, (uint32_t)__builtin_ctz(views),
                     cordon_gpa_make(gfn << CORDON_PAGE_SHIFT), pages, clear, pool, retire);
    }
}

void log_start(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
               struct pt_pool *pool, struct pt_retire *retire)
{
    own(d, gfn, pages, marking_views(d, flags), PTE_D, pool, retire);
}

void log_stop(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
              struct pt_retire *retire)
{
    for (uint32_t views = marking_views(d, flags); views != 0; views &= views - 1) {
        pt_marks_set(&d->forest, (uint32_t)__builtin_ctz(views),
                     cordon_gpa_make(gfn << CORDON_PAGE_SHIFT), pages, false);
    }
    retire->downgrade = true; /* who holds a leaf without D would go on asking for it */
}

unsigned log_views(const struct cordon_domain *d, uint32_t flags)
{
    return (flags & CORDON_REGION_LOG) != 0 ? pt_members(marking_views(d, flags)) : 0;
}

void log_came(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
              struct pt_pool *pool)
{
    if ((flags & CORDON_REGION_LOG) != 0) {
        own(d, gfn, pages, marking_views(d, flags), 0, pool, &d->dead);
    }
}

bool log_note(struct cordon_domain *d, uint64_t gpa, uint32_t access)
{
    uint64_t bits = PTE_A | ((access & CORDON_WRITE) != 0 ? PTE_D : 0);

    return pt_marks_give(&d->forest, 0, cordon_gpa_make(gpa), bits) != 0;
}

/* ---- all logged regions ------------------------------------------------------------------- */

/* The first logged region from GFN on that device views hold, or null. */
static const struct span *logged_next(const struct cordon_domain *d, uint64_t gfn)
{
    const struct span *s = span_next(&d->regions.set, gfn);

    while (s != NULL &&
           ((region_flags(s) & CORDON_REGION_LOG) == 0 || !domain_devised(region_flags(s)))) {
        s = span_next(&d->regions.set, span_end(s));
    }
    return s;
}

static cordon_gpa span_gpa(const struct span *s)
{
    return cordon_gpa_make(s->first << CORDON_PAGE_SHIFT);
}

/* VIEW says of all that is logged in [GFN, END) that it is dirty; or of what may be written. */
static void part_dirty(struct cordon_domain *d, uint32_t view, uint64_t gfn, uint64_t end,
                       bool writable)
{
    for (const struct span *s = logged_next(d, gfn); s != NULL && s->first < end;
         s = logged_next(d, span_end(s))) {
        uint64_t first = s->first > gfn ? s->first : gfn;
        uint64_t last = span_end(s) < end ? span_end(s) : end;

        pt_marks_set(&d->forest, view, cordon_gpa_make(first << CORDON_PAGE_SHIFT), last - first,
                     writable);
    }
}

static void all_dirty(struct cordon_domain *d, uint32_t view, bool writable)
{
    part_dirty(d, view, 0, d->gfn_limit, writable);
}

/* ---- views that come and go --------------------------------------------------------------- */

int log_view_fill(struct cordon_domain *d, uint32_t view)
{
    struct pt_forest *f = &d->forest;

    for (const struct span *s = logged_next(d, 0); s != NULL; s = logged_next(d, span_end(s))) {
        struct pt_pool pool = {.count = 0};
        struct pt_retire unknown = {.count = 0}; /* to no hardware: nothing is to be retired */
        int err = pt_reserve_marks(f, span_gpa(s), s->pages, 1u << view, &pool);

        if (err != 0) {
            return err;
        }
        pt_marks_own(f, view, span_gpa(s), s->pages, 0, &pool, &unknown);
        pt_pool_free(f, &pool);
        cordon_assert(unknown.count == 0);
    }
    all_dirty(d, view, false);
    return 0;
}

void log_view_trust(struct cordon_domain *d, uint32_t view)
{
    struct pt_pool none = {.count = 0};
    struct pt_retire unknown = {.count = 0};

    for (const struct span *s = logged_next(d, 0); s != NULL; s = logged_next(d, span_end(s))) {
        pt_marks_own(&d->forest, view, span_gpa(s), s->pages, PTE_D, &none, &unknown);
    }
    d->view[view].marks = true;
}

void log_view_blind(struct cordon_domain *d, uint32_t view)
{
    if (d->view[view].marks) {
        all_dirty(d, view, false);
    }
    d->view[view].marks = false;
}

void log_till_now(struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    if (log_blind(d) != 0) {
        part_dirty(d, 0, gfn, gfn + pages, true);
    }
}

void log_device_quiet(struct cordon_domain *d)
{
    all_dirty(d, 0, false);
}

#define FOLD_PAGES 64u

/* The G-stage is given what up to 64 pages of a view say. */
static void fold_some(struct cordon_domain *d, uint32_t view, cordon_gpa gpa, uint64_t pages)
{
    uint64_t dirty = 0, used = 0;
    struct pt_harvest h = {.base = gpa.v, .dirty = &dirty, .used = &used, .keep = true};

    pt_marks_harvest(&d->forest, view, gpa, pages, &h);
    for (unsigned i = 0; i < pages; i++) {
        uint64_t bits = ((dirty >> i & 1u) != 0 ? PTE_D : 0) | ((used >> i & 1u) != 0 ? PTE_A : 0);

        if (bits != 0) {
            (void)pt_marks_give(&d->forest, 0, cordon_gpa_add(gpa, i * CORDON_PAGE_SIZE), bits);
        }
    }
}

void log_view_fold(struct cordon_domain *d, uint32_t view)
{
    bool marks = d->view[view].marks;

    d->view[view].marks = false;
    if (!marks) {
        all_dirty(d, 0, true);
        return;
    }
    for (const struct span *s = logged_next(d, 0); s != NULL; s = logged_next(d, span_end(s))) {
        for (uint64_t at = 0; at < s->pages; at += FOLD_PAGES) {
            uint64_t left = s->pages - at;

            fold_some(d, view, cordon_gpa_add(span_gpa(s), at << CORDON_PAGE_SHIFT),
                      left < FOLD_PAGES ? left : FOLD_PAGES);
        }
    }
}
