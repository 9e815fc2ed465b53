/*
 * Views of a domain: which regions each holds, and how one comes and goes.
 */
#include "core/ctx.h"
#include "log/log.h"
#include "map/domain.h"
#include "touch/promise.h"
#include "touch/touch.h"

bool domain_devised(uint32_t region_flags)
{
    if ((region_flags & CORDON_REGION_MMIO) != 0) {
        return (region_flags & CORDON_REGION_PEER) != 0;
    }
    return (region_flags & CORDON_REGION_NODMA) == 0;
}

uint32_t domain_views_for(const struct cordon_domain *d, uint32_t region_flags)
{
    return domain_devised(region_flags) ? d->forest.views : d->forest.views & 1u;
}

/* Link the parts of the map between regions that device views do not hold. */
static int view_fill(struct cordon_domain *d, uint32_t view)
{
    uint64_t from = 0;
    uint64_t end = d->gfn_limit;

    for (const struct span *s = span_next(&d->regions.set, 0); s != NULL;
         s = span_next(&d->regions.set, span_end(s))) {
        if (domain_devised(region_flags(s))) {
            continue;
        }
        if (s->first > from) {
            int err = pt_view_link(&d->forest, 0, view, cordon_gpa_make(from << CORDON_PAGE_SHIFT),
                                   (s->first - from) << CORDON_PAGE_SHIFT);
            if (err != 0) {
                return err;
            }
        }
        from = span_end(s);
    }
    if (from == end) {
        return 0;
    }
    return pt_view_link(&d->forest, 0, view, cordon_gpa_make(from << CORDON_PAGE_SHIFT), 0);
}

/* Its tables, where regions have a memory type, are its own, and say none. */
static int view_untype(struct cordon_domain *d, uint32_t view)
{
    int err = 0;

    for (const struct span *s = span_next(&d->regions.set, 0); s != NULL && err == 0;
         s = span_next(&d->regions.set, span_end(s))) {
        cordon_gpa gpa = cordon_gpa_make(s->first << CORDON_PAGE_SHIFT);
        struct pt_pool tables = {.count = 0};

        if (!domain_devised(region_flags(s)) || region_type(region_flags(s)) == 0) {
            continue;
        }
        err = pt_reserve_change(&d->forest, gpa, s->pages, 1u << view, &tables);
        if (err == 0) {
            pt_untype(&d->forest, gpa, s->pages, 1u << view, &tables, &d->dead);
            pt_pool_free(&d->forest, &tables);
        }
    }
    return err;
}

/* No IOMMU knows the view: see cordon_device_detach. */
static void view_drop(struct cordon_domain *d, uint32_t view)
{
    pt_view_remove(&d->forest, view, &d->dead);
    if (!d->pending) {
        promise_dead_free(d);
    }
}

static int view_add(struct cordon_domain *d, bool typed, uint32_t *view)
{
    uint32_t free_views = ~d->forest.views & ((1u << CORDON_MAX_VIEWS) - 1u);

    if (free_views == 0) {
        return -CORDON_ELIMIT;
    }
    if (!touch_all_present(d)) {
        return -CORDON_EBUSY;
    }
    uint32_t number = (uint32_t)__builtin_ctz(free_views);
    int err = pt_view_add(&d->forest, number);

    if (err != 0) {
        return err;
    }
    d->forest.typed |= (uint32_t)typed << number;
    err = view_fill(d, number);
    if (err == 0 && !typed) {
        err = view_untype(d, number);
    }
    if (err == 0) {
        err = log_view_fill(d, number);
    }
    if (err != 0) {
        view_drop(d, number);
        return err;
    }
    *view = number;
    return 0;
}

int domain_view_add(struct cordon_domain *d, uint32_t *view)
{
    return view_add(d, false, view);
}

int domain_view_add_typed(struct cordon_domain *d, uint32_t *view)
{
    return view_add(d, true, view);
}

void domain_view_remove(struct cordon_domain *d, uint32_t view)
{
    log_view_fold(d, view);
    view_drop(d, view);
}
