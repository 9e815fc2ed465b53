/*
 * A change in two phases: see update.h. [INV 4, 7]
 *
 * If hardware does not answer to the break, the make follows all the same: what goes stays
 * REVOKING, and what moves was and is the domain's own. So only EPENDING remains to say.
 */
#include "map/update.h"
#include "core/ctx.h"
#include "frames/loan.h"
#include "log/log.h"
#include "map/tell.h"
#include "port_word.h"
#include "riscv/msi.h"
#include "touch/promise.h"

struct work {
    const struct update *u;
    struct cordon_domain *d;
    struct txn out, in;
    struct pt_pool tables; /* of the moves, and of the make */
    uint32_t stamp;
    size_t reserved; /* moves */
};

/* ---- reserve ------------------------------------------------------------------------------ */

static bool is_ram(const struct update_move *m)
{
    return (m->flags & CORDON_REGION_MMIO) == 0;
}

static void move_unreserve(struct work *w, struct update_move *m)
{
    struct stretch at = runs_stretch(&m->runs, m->to);

    while (is_ram(m) && stretch_next(&m->runs, &at)) {
        for (uint64_t i = 0; i < at.count; i++) {
            frames_unreserve_split(w->d->ctx, at.runs[i].hpa, at.runs[i].len, w->stamp);
        }
    }
    runs_free(&m->runs, w->d->ctx);
}

/* Frames that are lent keep the rights of the loan and its memory type, stay open to its borrower's
 * devices, and are not logged: nobody would tell what the borrower writes. */
static bool loses(const struct update_move *m)
{
    return (m->was_perms & ~m->perms) != 0 || region_type(m->flags) != region_type(m->was_flags) ||
           (m->flags & ~m->was_flags & (CORDON_REGION_NODMA | CORDON_REGION_LOG)) != 0;
}

static int reserve_run(struct work *w, const struct update_move *m, const struct cordon_extent *e)
{
    if (!is_ram(m)) {
        w->out.held_runs++;
        return 0;
    }
    if (loses(m) && w->d->lends && loan_touches(w->d->ctx, e->hpa, e->len)) {
        return -CORDON_EBUSY;
    }
    return frames_reserve_split(w->d->ctx, e->hpa, e->len, w->stamp);
}

static int reserve_runs(struct work *w, const struct update_move *m)
{
    struct stretch at = runs_stretch(&m->runs, m->to);
    int err = 0;

    while (err == 0 && stretch_next(&m->runs, &at)) {
        for (uint64_t i = 0; i < at.count && err == 0; i++) {
            err = reserve_run(w, m, &at.runs[i]);
        }
    }
    return err;
}

static int move_reserve(struct work *w, struct update_move *m)
{
    struct pt_forest *f = &w->d->forest;
    cordon_gpa from = cordon_gpa_make(m->from << CORDON_PAGE_SHIFT);
    int err = runs_gather(&m->runs, w->d, m->from, m->pages);

    if (err != 0) {
        return err;
    }
    err = pt_reserve_change(f, from, m->pages, f->views, &w->tables);
    if (err == 0) {
        err = runs_reserve_make(w->d, m->to, m->flags, m->runs.at, m->runs.count, &w->tables);
    }
    if (err == 0 && region_promised(m->flags)) {
        w->in.promises = true;
        err = promise_tables(w->d, m->to, m->pages);
    }
    if (err == 0) {
        err = reserve_runs(w, m);
    }
    if (err != 0) {
        move_unreserve(w, m);
        return err;
    }
    gone_range(&w->out.gone, from, m->pages << CORDON_PAGE_SHIFT);
    w->out.gone.rights = true;
    w->out.gone.devised |= domain_devised(m->was_flags);
    w->in.gone.devised |= domain_devised(m->flags);
    return 0;
}

static int make_reserve(struct work *w)
{
    int err = txn_reserve(&w->in);

    for (size_t i = 0; i < w->u->in_count && err == 0; i++) {
        const struct cordon_op *op = &w->u->in[i];

        err = runs_reserve_make(w->d, op_first(op), op->flags, op->extents, op->extent_count,
                                &w->tables);
        if (err != 0) {
            txn_undo(&w->in);
        }
    }
    return err;
}

static void moves_unreserve(struct work *w)
{
    while (w->reserved > 0) {
        move_unreserve(w, &w->u->moves[--w->reserved]);
    }
    if (w->in.promises) {
        promise_undo(w->d, w->in.spare);
    }
    pt_pool_free(&w->d->forest, &w->tables);
    span_trim(&w->d->regions.set);
}

/* The resources' lock is taken last of all, and held until the commit has marked what goes. */
static int reserve(struct work *w)
{
    const struct update *u = w->u;
    int err = 0;

    while (w->reserved < u->move_count && err == 0) {
        err = move_reserve(w, &u->moves[w->reserved]);
        w->reserved += err == 0;
    }
    if (err == 0) {
        err = make_reserve(w);
    }
    if (err != 0) {
        moves_unreserve(w);
        return err;
    }
    err = span_reserve(&w->d->regions.set,
                       (u->out_count + u->in_count + 2 * u->move_count) * REGION_NODES_PER_OP);
    if (err == 0) {
        err = txn_reserve(&w->out);
    }
    if (err != 0) {
        txn_undo(&w->in);
        moves_unreserve(w);
    }
    return err;
}

/* ---- commit ------------------------------------------------------------------------------- */

static void resources_move(struct work *w)
{
    struct cordon_ctx *ctx = w->d->ctx;

    for (size_t i = 0; i < w->u->move_count; i++) {
        const struct update_move *m = &w->u->moves[i];
        uint64_t gfn = m->to;

        for (uint64_t k = 0; k < m->runs.count && !is_ram(m); k++) {
            uint64_t pages = m->runs.at[k].len >> CORDON_PAGE_SHIFT;

            resource_move(ctx, m->runs.at[k].hpa.v >> CORDON_PAGE_SHIFT, pages, w->d->number, gfn);
            gfn += pages;
        }
    }
}

static int commit_break(struct work *w)
{
    struct cordon_domain *d = w->d;

    gone_commit(d, &w->out.gone);
    if (w->out.resources) {
        txn_commit_marks(&w->out);
        resources_move(w);
        resource_reserve_end(d->ctx);
    }
    txn_commit_in_order(&w->out);
    for (size_t i = 0; i < w->u->move_count; i++) {
        const struct update_move *m = &w->u->moves[i];

        pt_unmap(&d->forest, cordon_gpa_make(m->from << CORDON_PAGE_SHIFT), m->pages,
                 d->forest.views, &w->tables, &d->dead);
        if ((m->was_flags & CORDON_REGION_FILE) != 0) {
            msi_unlead(d, m->from, m->runs.at, m->runs.count);
        }
    }
    port_fence(d->ctx->cookie);
    int err = gone_retire(d, &w->out.gone);

    gone_clear(d->ctx, &w->out.gone);
    pt_pool_free(&d->forest, &w->out.tables);
    return err;
}

static void move_owners(struct work *w, const struct update_move *m)
{
    struct stretch at = runs_stretch(&m->runs, m->to);

    while (is_ram(m) && stretch_next(&m->runs, &at)) {
        const struct frames_claim place = {.extents = at.runs,
                                           .count = at.count,
                                           .gfn = at.gfn,
                                           .pages = at.pages,
                                           .domain = w->d->number,
                                           .keep = (m->flags & CORDON_REGION_KEEP) != 0};

        frames_move(w->d->ctx, &place);
    }
}

/* The frames' words and the regions say what is. */
static void commit_map(struct work *w)
{
    struct regions *r = &w->d->regions;

    txn_commit_regions(&w->out);
    for (size_t i = 0; i < w->u->move_count; i++) {
        const struct update_move *m = &w->u->moves[i];

        regions_remove(r, m->from, m->pages, span_find(&r->set, m->from));
    }
    for (size_t i = 0; i < w->u->move_count; i++) {
        const struct update_move *m = &w->u->moves[i];
        struct span *below, *above;

        move_owners(w, m);
        span_around(&r->set, m->to, &below, &above);
        regions_insert(r, m->to, m->pages, region_attr(m->perms, m->flags), below, above);
    }
}

/* What was written through the caches is there for who reads past them, and the other way. */
static void flush_moved(struct work *w, const struct update_move *m)
{
    for (uint64_t i = 0; i < m->runs.count; i++) {
        if (m->runs.at[i].hpa.v != BACKING_HOLE) {
            cordon_port_flush(w->d->ctx->cookie, m->runs.at[i].hpa, m->runs.at[i].len);
        }
    }
}

static void move_leaves(struct work *w, const struct update_move *m)
{
    struct stretch at = runs_stretch(&m->runs, m->to);

    if (region_type(m->flags) != region_type(m->was_flags)) {
        flush_moved(w, m);
    }

    while (stretch_next(&m->runs, &at)) {
        const struct pt_grant grant = {.gpa = cordon_gpa_make(at.gfn << CORDON_PAGE_SHIFT),
                                       .extents = at.runs,
                                       .count = at.count,
                                       .perms = m->perms,
                                       .views = domain_views_for(w->d, m->flags),
                                       .type = region_type(m->flags)};

        pt_map_grant(&w->d->forest, &grant, &w->tables, &w->d->dead);
    }
    if ((m->flags & CORDON_REGION_FILE) != 0) {
        msi_lead(w->d, m->to, m->runs.at, m->runs.count);
    }
    log_came(w->d, m->to, m->pages, m->flags, &w->tables);
}

static int commit_make(struct work *w)
{
    struct cordon_domain *d = w->d;

    gone_commit(d, &w->in.gone);
    for (size_t i = 0; i < w->u->move_count; i++) {
        move_leaves(w, &w->u->moves[i]);
    }
    for (size_t i = 0; i < w->u->in_count; i++) {
        const struct cordon_op *op = &w->u->in[i];
        const struct pt_grant grant = op_grant(&w->in, op);

        if (!op_demands(op)) {
            pt_map_grant(&d->forest, &grant, &w->tables, &d->dead);
        }
        if ((op->flags & CORDON_REGION_FILE) != 0) {
            msi_lead(d, op_first(op), op->extents, op->extent_count);
        }
        log_came(d, op_first(op), op_pages(op), op->flags, &w->tables);
    }
    port_fence(d->ctx->cookie);
    span_around(&d->regions.set, w->u->in_count == 1 ? op_first(w->u->in) : 0, &w->in.below,
                &w->in.above);
    txn_commit_regions(&w->in);
    txn_commit_promises(&w->out);
    txn_commit_promises(&w->in);
    span_trim(&d->regions.set);
    int err = gone_retire(d, &w->in.gone);

    pt_pool_free(&d->forest, &w->in.tables);
    pt_pool_free(&d->forest, &w->tables);
    for (size_t i = 0; i < w->u->move_count; i++) {
        runs_free(&w->u->moves[i].runs, d->ctx);
    }
    return err;
}

static int carry_out(struct work *w)
{
    int err = reserve(w);

    if (err != 0) {
        return err;
    }
    err = commit_break(w);
    commit_map(w);
    int made = commit_make(w);

    return err != 0 ? err : made;
}

int update_do(const struct update *u)
{
    struct work w = {.u = u, .d = u->d};
    int err = update_check(u);

    if (err == 0) {
        txn_begin(&w.out, u->d, u->out, u->out_count, false);
        err = txn_check(&w.out);
    }
    if (err != 0) {
        return err;
    }
    txn_begin(&w.in, u->d, u->in, u->in_count, false);
    w.in.kinds = 1u << CORDON_OP_GRANT;
    w.stamp = w.out.stamp;
    if (!tell_anybody(u->d)) {
        return carry_out(&w);
    }
    struct tell tell = tell_begin(u->d);

    err = tell_asked(&tell, update_tell(&tell, u));
    if (err == 0) {
        err = carry_out(&w);
        tell_end(&tell, err);
    }
    return err;
}
