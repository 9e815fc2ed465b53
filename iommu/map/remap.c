/*
 * cordon_remap: a range moves to another GPA, or gets other frames. [INV 4, 7]
 *
 * Everything is reserved before anything changes. The break is told to harts and IOMMUs, and waited
 * for, before the make; if they do not answer, the make follows all the same: what was replaced
 * stays REVOKING, and what moved was and is the domain's own, so that only EPENDING remains to say.
 */
#include "core/ctx.h"
#include "map/loan.h"
#include "map/log.h"
#include "map/promise.h"
#include "map/runs.h"
#include "map/tell.h"
#include "port_word.h"

struct remap {
    struct cordon_domain *d;
    const struct cordon_remap *what;
    uint64_t from, to, pages; /* page numbers */
    uint32_t perms, flags;    /* of the region */
    uint32_t stamp;
    struct runs runs;
    struct pt_pool tables;
    struct gone gone;
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

/* ---- to another place --------------------------------------------------------------------- */

/* Blocks that are taken apart get their words; or are whole again. */
static int split_owners(struct remap *r)
{
    struct stretch at = runs_stretch(&r->runs, r->to);
    int err = 0;

    while (err == 0 && stretch_next(&r->runs, &at)) {
        for (uint64_t i = 0; i < at.count && err == 0; i++) {
            err = frames_reserve_split(r->d->ctx, at.runs[i].hpa, at.runs[i].len, r->stamp);
        }
    }
    return err;
}

static void join_owners(struct remap *r)
{
    struct stretch at = runs_stretch(&r->runs, r->to);

    while (stretch_next(&r->runs, &at)) {
        for (uint64_t i = 0; i < at.count; i++) {
            frames_unreserve_split(r->d->ctx, at.runs[i].hpa, at.runs[i].len, r->stamp);
        }
    }
}

static void move_undo(struct remap *r)
{
    join_owners(r);
    if (region_promised(r->flags)) {
        promise_settle(r->d);
    }
    pt_pool_free(&r->d->forest, &r->tables);
    span_trim(&r->d->regions.set);
    runs_free(&r->runs, r->d->ctx);
}

static int move_reserve(struct remap *r)
{
    struct pt_forest *f = &r->d->forest;
    int err = runs_gather(&r->runs, r->d, r->from, r->pages);

    if (err != 0) {
        return err;
    }
    err = span_reserve(&r->d->regions.set, REGION_NODES_PER_OP * 2);
    if (err == 0) {
        err = pt_reserve_change(f, r->what->gpa, r->pages, f->views, &r->tables);
    }
    if (err == 0) {
        err = runs_reserve_make(r->d, r->to, r->flags, r->runs.at, r->runs.count, &r->tables);
    }
    if (err == 0 && region_promised(r->flags)) {
        err = promise_tables(r->d, r->to, r->pages);
    }
    if (err == 0) {
        err = split_owners(r);
    }
    if (err != 0) {
        move_undo(r);
    }
    return err;
}

static int move_break(struct remap *r)
{
    struct pt_forest *f = &r->d->forest;

    gone_commit(r->d, &r->gone);
    r->gone.rights = true;
    r->gone.devised = domain_devised(r->flags);
    gone_range(&r->gone, r->what->gpa, r->what->len);
    pt_unmap(f, r->what->gpa, r->pages, f->views, &r->tables, &r->d->dead);
    port_fence(r->d->ctx->cookie);
    return gone_retire(r->d, &r->gone);
}

/* The frames' words and the regions say the new place. */
static void move_owners(struct remap *r)
{
    struct regions *regions = &r->d->regions;
    struct span *below, *above;
    struct stretch at = runs_stretch(&r->runs, r->to);

    while (stretch_next(&r->runs, &at)) {
        const struct frames_claim place = {.extents = at.runs,
                                           .count = at.count,
                                           .gfn = at.gfn,
                                           .pages = at.pages,
                                           .domain = r->d->number,
                                           .keep = (r->flags & CORDON_REGION_KEEP) != 0};

        frames_move(r->d->ctx, &place);
    }
    regions_remove(regions, r->from, r->pages, span_find(&regions->set, r->from));
    span_around(&regions->set, r->to, &below, &above);
    regions_insert(regions, r->to, r->pages, region_attr(r->perms, r->flags), below, above);
    span_trim(&regions->set);
}

static int move_make(struct remap *r)
{
    struct stretch at = runs_stretch(&r->runs, r->to);

    gone_begin(&r->gone);
    gone_commit(r->d, &r->gone);
    r->gone.devised = domain_devised(r->flags);
    while (stretch_next(&r->runs, &at)) {
        const struct pt_grant grant = {.gpa = cordon_gpa_make(at.gfn << CORDON_PAGE_SHIFT),
                                       .extents = at.runs,
                                       .count = at.count,
                                       .perms = r->perms,
                                       .views = domain_views_for(r->d, r->flags)};

        pt_map_grant(&r->d->forest, &grant, &r->tables, &r->d->dead);
    }
    port_fence(r->d->ctx->cookie);
    return gone_retire(r->d, &r->gone);
}

static int move(struct remap *r)
{
    if (!span_clear_of(&r->d->regions.set, r->to, r->pages) ||
        domain_msi_touches(r->d, r->to, r->pages)) {
        return -CORDON_EEXIST;
    }
    int err = move_reserve(r);

    if (err != 0) {
        return err;
    }
    err = move_break(r);
    move_owners(r);
    int made = move_make(r);

    if (region_promised(r->flags)) {
        promise_settle(r->d);
    }
    pt_pool_free(&r->d->forest, &r->tables);
    runs_free(&r->runs, r->d->ctx);
    if (made == 0 && (r->flags & CORDON_REGION_LOG) != 0) {
        made = log_settle(r->d, r->to, r->pages, r->flags);
    }
    return err != 0 ? err : made;
}

/* ---- other frames ------------------------------------------------------------------------- */

/* OUT revokes the old frames, IN grants the new ones; the region stays. */
static int replace_reserve(const struct remap *r, struct txn *out, struct txn *in)
{
    int err = txn_check(out);

    if (err == 0) {
        err = txn_reserve(out);
    }
    if (err != 0) {
        return err;
    }
    in->kinds = 1u << CORDON_OP_GRANT;
    err = txn_reserve(in);
    if (err == 0) {
        err = runs_reserve_make(r->d, r->to, r->flags, r->what->extents, r->what->extent_count,
                                &in->tables);
        if (err != 0) {
            txn_undo(in);
        }
    }
    if (err != 0) {
        txn_undo(out);
    }
    return err;
}

static int replace_half(struct remap *r, struct txn *t)
{
    txn_commit_tables(t, t->ops);
    port_fence(r->d->ctx->cookie);
    int err = gone_retire(r->d, &t->gone);

    gone_clear(r->d->ctx, &t->gone);
    pt_pool_free(&r->d->forest, &t->tables);
    return err;
}

static int replace(struct remap *r)
{
    const struct cordon_remap *w = r->what;
    const struct cordon_op op_out = {.kind = CORDON_OP_REVOKE, .gpa = w->gpa, .len = w->len};
    const struct cordon_op op_in = {.kind = CORDON_OP_GRANT,
                                    .flags = r->flags,
                                    .gpa = w->gpa,
                                    .len = w->len,
                                    .perms = r->perms,
                                    .extents = w->extents,
                                    .extent_count = w->extent_count};
    struct txn out, in;

    txn_begin(&out, r->d, &op_out, 1, false);
    txn_begin(&in, r->d, &op_in, 1, false);
    int err = replace_reserve(r, &out, &in);

    if (err != 0) {
        return err;
    }
    gone_commit(r->d, &out.gone);
    err = replace_half(r, &out);
    gone_commit(r->d, &in.gone);
    int made = replace_half(r, &in);

    span_trim(&r->d->regions.set);
    if (made == 0 && (r->flags & CORDON_REGION_LOG) != 0) {
        made = log_settle(r->d, r->to, r->pages, r->flags);
    }
    return err != 0 ? err : made;
}

static int carry_out(struct remap *r)
{
    return r->what->extents == NULL ? move(r) : replace(r);
}

/* What stood goes, and the same comes, there or with other frames. */
static int told(struct remap *r)
{
    struct tell tell = tell_begin(r->d);
    int err = tell_removed(&tell, r->what->gpa, r->what->len);

    if (err == 0) {
        err = tell_added(&tell, r->what->to, r->what->len, r->perms, r->flags);
    }
    err = tell_asked(&tell, err);
    if (err == 0) {
        err = carry_out(r);
        tell_end(&tell, err);
    }
    return err;
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

    gone_begin(&r.gone);
    lock_take(&d->lock);
    err = check_region(&r);
    if (err == 0) {
        r.stamp = txn_stamp(d);
        err = tell_anybody(d) ? told(&r) : carry_out(&r);
    }
    lock_give(&d->lock);
    return err;
}
