/* cordon_remap: a range moves to another GPA, or gets other frames, as a change in two phases. */
#include "core/ctx.h"
#include "map/update.h"

struct remap {
    struct cordon_domain *d;
    const struct cordon_remap *what;
    uint64_t from, to, pages; /* page numbers */
    uint32_t perms, flags;    /* of the region */
};

/* ---- checks ------------------------------------------------------------------------------- */

static bool in_width(const struct cordon_domain *d, uint64_t first, uint64_t pages)
{
    return pages != 0 && first < d->gfn_limit && pages <= d->gfn_limit - first;
}

static int check_form(const struct cordon_domain *d, const struct cordon_remap *w)
{
    if (d == NULL || w == NULL || w->size != sizeof(*w) || w->flags != 0 ||
        (w->extents == NULL) != (w->extent_count == 0) ||
        (w->extents == NULL) != (w->to.v != w->gpa.v)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(w->gpa.v | w->to.v | w->len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t pages = w->len >> CORDON_PAGE_SHIFT;

    return in_width(d, w->gpa.v >> CORDON_PAGE_SHIFT, pages) &&
                   in_width(d, w->to.v >> CORDON_PAGE_SHIFT, pages)
               ? 0
               : -CORDON_ERANGE;
}

/* One region of the domain's own RAM holds all of the range. */
static int check_region(struct remap *r)
{
    const struct span *s = span_find(&r->d->regions.set, r->from);

    if (s == NULL || !regions_cover(&r->d->regions, r->from, r->pages)) {
        return -CORDON_ENOENT;
    }
    if (span_end(s) - r->from < r->pages) {
        return -CORDON_EINVAL;
    }
    r->perms = region_perms(s);
    r->flags = region_flags(s);
    if (region_held(r->flags)) {
        return -CORDON_EPERM;
    }
    /* Frames of a DEMAND region come from the pool alone, and with PIN they stay. */
    bool own = (r->flags & (CORDON_REGION_DEMAND | CORDON_REGION_PIN)) != 0;

    return own && r->what->extents != NULL ? -CORDON_EPERM : 0;
}

/* ---- the change --------------------------------------------------------------------------- */

static int move(const struct remap *r)
{
    struct update_move one = {.from = r->from,
                              .to = r->to,
                              .pages = r->pages,
                              .perms = r->perms,
                              .flags = r->flags,
                              .was_perms = r->perms,
                              .was_flags = r->flags};
    const struct update u = {.d = r->d, .moves = &one, .move_count = 1};

    /* Not onto itself, either: update_do would let what leaves make room. */
    return span_clear_of(&r->d->regions.set, r->to, r->pages) ? update_do(&u) : -CORDON_EEXIST;
}

static int replace(const struct remap *r)
{
    const struct cordon_remap *w = r->what;
    const struct cordon_op out = {.kind = CORDON_OP_REVOKE, .gpa = w->gpa, .len = w->len};
    const struct cordon_op in = {.kind = CORDON_OP_GRANT,
                                 .flags = r->flags,
                                 .gpa = w->gpa,
                                 .len = w->len,
                                 .perms = r->perms,
                                 .extents = w->extents,
                                 .extent_count = w->extent_count};
    const struct update u = {.d = r->d, .out = &out, .out_count = 1, .in = &in, .in_count = 1};

    return update_do(&u);
}

int cordon_remap(cordon_domain *d, const struct cordon_remap *what)
{
    int err = check_form(d, what);

    if (err != 0) {
        return err;
    }
    struct remap r = {.d = d,
                      .what = what,
                      .from = what->gpa.v >> CORDON_PAGE_SHIFT,
                      .to = what->to.v >> CORDON_PAGE_SHIFT,
                      .pages = what->len >> CORDON_PAGE_SHIFT};

    lock_take(&d->lock);
    err = check_region(&r);
    if (err == 0) {
        err = what->extents == NULL ? move(&r) : replace(&r);
    }
    lock_give(&d->lock);
    return err;
}
