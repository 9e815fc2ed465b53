/* Questions to a map. */
#include "core/ctx.h"
#include "pt/napot.h"

/* Questions take the domain const, but its lock is not part of what they promise to leave alone. */
static struct lock *lock_of(const struct cordon_domain *d)
{
    return &((struct cordon_domain *)(uintptr_t)d)->lock;
}

static void info_of(const struct span *s, struct cordon_region_info *out)
{
    *out = (struct cordon_region_info){
        .gpa = cordon_gpa_make(s->first << CORDON_PAGE_SHIFT),
        .len = s->pages << CORDON_PAGE_SHIFT,
        .perms = region_perms(s),
        .flags = region_flags(s),
    };
}

int cordon_region_find(const cordon_domain *d, cordon_gpa gpa, bool next,
                       struct cordon_region_info *out)
{
    if (d == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(d));
    uint64_t page = gpa.v >> CORDON_PAGE_SHIFT;
    const struct span *s =
        next ? span_next(&d->regions.set, page) : span_find(&d->regions.set, page);

    if (s != NULL) {
        info_of(s, out);
    }
    lock_give(lock_of(d));
    return s != NULL ? 0 : -CORDON_ENOENT;
}

bool domain_nearest(struct cordon_domain *d, uint64_t gpa, struct cordon_region_info *out,
                    bool *after, uint64_t *gap)
{
    struct span *below, *above;

    lock_take(&d->lock);
    span_around(&d->regions.set, gpa >> CORDON_PAGE_SHIFT, &below, &above);
    uint64_t end = below != NULL ? span_end(below) << CORDON_PAGE_SHIFT : 0;
    uint64_t start = above != NULL ? above->first << CORDON_PAGE_SHIFT : 0;
    uint64_t gap_below = gpa >= end ? gpa - end : 0;
    bool use_above = above != NULL && (below == NULL || start - gpa < gap_below);

    if (below != NULL || above != NULL) {
        info_of(use_above ? above : below, out);
        *after = use_above;
        *gap = use_above ? start - gpa : gap_below;
    }
    lock_give(&d->lock);
    return below != NULL || above != NULL;
}

static int translate(const struct cordon_domain *d, uint32_t view, cordon_gpa gpa, uint32_t access,
                     struct cordon_hit *out)
{
    struct pt_hit hit;

    if (view >= CORDON_MAX_VIEWS || (d->forest.views >> view & 1u) == 0) {
        return -CORDON_EINVAL;
    }
    int err = pt_lookup(&d->forest, view, gpa, &hit);

    if (err != 0) {
        return err;
    }
    uint64_t bytes = pt_hit_bytes(&d->forest, &hit);
    uint64_t inside = gpa.v & (pt_span(hit.level) - 1);
    uint32_t perms = (uint32_t)field_get(PTE_R | PTE_W | PTE_X, hit.pte);

    if (!hit.leaf || (access & ~perms) != 0) {
        return -CORDON_EFAULT;
    }
    *out = (struct cordon_hit){
        .hpa = cordon_hpa_make((field_get(PTE_PPN, hit.pte) << CORDON_PAGE_SHIFT) + inside),
        .span = bytes - (gpa.v & (bytes - 1)),
        .perms = perms,
        .level = hit.level,
        .shift = (uint32_t)__builtin_ctzll(bytes),
        .type = region_type_of(hit.pte),
    };
    return 0;
}

int cordon_translate(const cordon_domain *d, uint32_t view, cordon_gpa gpa, uint32_t access,
                     struct cordon_hit *out)
{
    if (d == NULL || out == NULL || (access & ~CORDON_RWX) != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(d));
    int err = translate(d, view, gpa, access, out);

    lock_give(lock_of(d));
    return err;
}
