/*
 * Reserving for a change, and undoing it. Nothing that hardware or a translation could see changes
 * here, save in ownership words: granted frames are claimed, and those that go are REVOKING.
 * [design: check, reserve, commit, retire]
 */
#include "core/ctx.h"
#include "frames/loan.h"
#include "map/txn.h"
#include "touch/promise.h"

/* ---- promises ----------------------------------------------------------------------------- */

int txn_promise(struct txn *t, uint64_t gfn, uint64_t pages, uint64_t frames)
{
    t->promises = true;
    int err = promise_tables(t->d, gfn, pages);

    if (err == 0) {
        err = promise_frames(t->d, frames);
        t->promised += err == 0 ? frames : 0;
    }
    return err;
}

/* ---- grants ------------------------------------------------------------------------------- */

/* Extents are looked at here for what no table could hold, and in the claim for whose they are and
 * whether they sum up to the operation's length. */
static int reserve_grant(struct txn *t, const struct cordon_op *op)
{
    if (op_demands(op)) {
        return region_promised(op->flags) ? txn_promise(t, op_first(op), op_pages(op), op_pages(op))
                                          : 0;
    }
    t->gone.devised |= domain_devised(op->flags);
    if (op_is_run(op) && op->extents->len == op->len) {
        struct pt_run run = op_run(t, op);

        return pt_reserve_map(&t->d->forest, &run, &t->tables);
    }
    struct pt_grant grant = op_grant(t, op);

    return pt_reserve_grant(&t->d->forest, &grant, &t->tables);
}

/* ---- revokes and changes of rights -------------------------------------------------------- */

/* The part of an operation that lies in one region. */
struct piece {
    uint64_t first, pages;
    uint32_t flags, perms;
};

static struct piece piece_at(const struct txn *t, const struct cordon_op *op, uint64_t gfn)
{
    const struct span *s =
        t->count == 1 && gfn == op_first(op) ? t->below : span_find(&t->d->regions.set, gfn);
    uint64_t end = op_first(op) + op_pages(op);

    cordon_assert(s != NULL); /* covered: checked */
    uint64_t last = span_end(s) < end ? span_end(s) : end;

    return (struct piece){gfn, last - gfn, region_flags(s), region_perms(s)};
}

/* Does another domain borrow one of these frames? */
static bool lent(const struct txn *t, const struct cordon_extent *runs, uint64_t count)
{
    bool any = false;

    for (uint64_t i = 0; i < count && t->d->lends && !any; i++) {
        any = loan_touches(t->d->ctx, runs[i].hpa, runs[i].len);
    }
    return any;
}

/* Frames that go are noted, and REVOKING from here on; *PAGES of them, if that is asked for. */
static int reserve_frames_gone(struct txn *t, struct backing b, uint64_t *pages)
{
    struct cordon_ctx *ctx = t->d->ctx;
    int err = 0;

    while (err == 0 && b.at < b.end) {
        struct frames_gone gone = gone_room(ctx, &t->gone);

        gone.count = backing_next(&b, gone.run, gone.count);
        err = lent(t, gone.run, gone.count) ? -CORDON_EBUSY : frames_revoke(ctx, &gone, t->stamp);
        gone_noted(&t->gone, gone.count);
        for (uint64_t i = 0; pages != NULL && i < gone.count; i++) {
            *pages += gone.run[i].len >> CORDON_PAGE_SHIFT;
        }
    }
    return err;
}

/* Note what goes. */
static int reserve_piece_gone(struct txn *t, const struct piece *p, bool discard,
                              uint64_t *resource_runs)
{
    struct backing b = backing_of(t->d, p->first, p->pages);
    struct cordon_extent some[BACKING_SOME];
    uint64_t n, present = 0;

    if (!region_held(p->flags)) {
        bool promised = region_promised(p->flags);
        int err = reserve_frames_gone(t, b, promised ? &present : NULL);

        if (promised) {
            t->promises = true;
            t->more += discard ? present : 0;
            t->fewer += discard ? 0 : p->pages - present;
        }
        return err;
    }
    while ((n = backing_next(&b, some, BACKING_SOME)) > 0) {
        *resource_runs += n;
    }
    return 0;
}

/* Rights of one run: a borrower's are at most those of its loan, and its owner's at least that. */
static int reserve_run_rights(const struct txn *t, const struct cordon_extent *run, bool loan,
                              uint32_t perms)
{
    if (loan && !loan_allows(t->d, run->hpa, run->len, perms)) {
        return -CORDON_EPERM;
    }
    return !loan && loan_touches(t->d->ctx, run->hpa, run->len) ? -CORDON_EBUSY : 0;
}

static int reserve_rights(struct txn *t, const struct piece *p, uint32_t perms)
{
    bool loan = (p->flags & CORDON_REGION_SHARED) != 0;
    struct cordon_extent some[BACKING_SOME];
    uint64_t n;
    int err = 0;

    t->gone.rights |= (p->perms & ~perms) != 0;
    t->writes_go |= (p->perms & ~perms & CORDON_WRITE) != 0 && (p->flags & CORDON_REGION_LOG) != 0;
    if (!loan && (!t->d->lends || (p->perms & ~perms) == 0)) {
        return 0;
    }
    struct backing b = backing_of(t->d, p->first, p->pages);

    while (err == 0 && (n = backing_next(&b, some, BACKING_SOME)) > 0) {
        for (uint64_t i = 0; i < n && err == 0; i++) {
            err = reserve_run_rights(t, &some[i], loan, perms);
        }
    }
    return err;
}

static int reserve_change(struct txn *t, const struct cordon_op *op, uint64_t *resource_runs)
{
    uint64_t gfn = op_first(op);
    uint64_t end = gfn + op_pages(op);
    int err = 0;

    if (op->kind != CORDON_OP_MARK) {
        err =
            pt_reserve_change(&t->d->forest, op->gpa, op_pages(op), t->d->forest.views, &t->tables);
    }
    gone_range(&t->gone, op->gpa, op->len);
    while (gfn < end && err == 0) {
        struct piece p = piece_at(t, op, gfn);

        t->gone.devised |= domain_devised(p.flags);
        if (op->kind == CORDON_OP_REVOKE || op->kind == CORDON_OP_DISCARD) {
            t->gone.rights = true;
            err = reserve_piece_gone(t, &p, op->kind == CORDON_OP_DISCARD, resource_runs);
        } else {
            err = reserve_rights(t, &p, op->perms);
        }
        gfn = p.first + p.pages;
    }
    return err;
}

/* ---- claims ------------------------------------------------------------------------------- */

/* Does a grant of this change stand at GFN? */
static bool granted_here(const struct txn *t, uint64_t gfn)
{
    for (size_t i = 0; i < t->count; i++) {
        uint64_t first = op_first(&t->ops[i]);

        if (t->ops[i].kind == CORDON_OP_GRANT && gfn >= first &&
            gfn - first < op_pages(&t->ops[i])) {
            return true;
        }
    }
    return false;
}

/* Why a claim was refused: the same page twice in this change, or another's. */
static int refusal(const struct txn *t, const struct cordon_op *op, cordon_hpa bad)
{
    struct cordon_ctx *ctx = t->d->ctx;
    struct resource_holder holder;

    if ((op->flags & CORDON_REGION_MMIO) != 0) {
        bool held = resource_holder(ctx, bad, &holder);
        bool ours = held && holder.domain == t->d->number && !holder.revoking &&
                    granted_here(t, holder.gfn);

        return ours || (!held && resource_known(ctx, bad)) ? -CORDON_EEXIST : -CORDON_EPERM;
    }
    uint64_t word = frames_word_locked(ctx, bad);
    uint64_t state = field_get(FW_STATE, word);
    uint64_t gfn = field_get(FW_GFN, word);
    /* What goes in the same breath still stands in the map. */
    bool stands = state == CORDON_FRAME_OWNED ||
                  (state == CORDON_FRAME_REVOKING && regions_cover(&t->d->regions, gfn, 1));
    bool ours = stands && field_get(FW_DOMAIN, word) == t->d->number && granted_here(t, gfn);

    /* What this grant itself had claimed is HELD again by now. */
    return ours || state == CORDON_FRAME_HELD ? -CORDON_EEXIST : -CORDON_EPERM;
}

static struct frames_claim claim_of(const struct txn *t, const struct cordon_op *op)
{
    return (struct frames_claim){
        .extents = op->extents,
        .count = op->extent_count,
        .gfn = op_first(op),
        .pages = op_pages(op),
        .domain = t->d->number,
        .stamp = t->stamp,
        .keep = (op->flags & CORDON_REGION_KEEP) != 0,
    };
}

static int claim_resources(struct txn *t, const struct cordon_op *op, cordon_hpa *bad)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < op->extent_count; i++) {
        sum += op->extents[i].len; /* without carry: the tables' reserve has looked */
    }
    if (sum != op->len) {
        return -CORDON_EINVAL;
    }
    return resource_claim(t->d->ctx, op->extents, op->extent_count, t->d->number, op_first(op),
                          bad);
}

static int claim_op(struct txn *t, const struct cordon_op *op)
{
    cordon_hpa bad;
    int err;

    if ((op->flags & (CORDON_REGION_SHARED | CORDON_REGION_DEMAND)) != 0) {
        return 0; /* cordon_share has done it, or frames come later */
    }
    if ((op->flags & CORDON_REGION_MMIO) != 0) {
        err = claim_resources(t, op, &bad);
    } else {
        struct frames_claim claim = claim_of(t, op);

        err = frames_claim(t->d->ctx, &claim, &bad);
    }
    return err == -CORDON_EPERM ? refusal(t, op, bad) : err;
}

static void unclaim_op(struct txn *t, const struct cordon_op *op)
{
    struct frames_claim claim = claim_of(t, op);

    if (op->kind != CORDON_OP_GRANT ||
        (op->flags & (CORDON_REGION_SHARED | CORDON_REGION_DEMAND)) != 0) {
        return;
    }
    if ((op->flags & CORDON_REGION_MMIO) != 0) {
        resource_unclaim(t->d->ctx, op->extents, op->extent_count);
    } else {
        frames_unclaim(t->d->ctx, &claim, claim.pages);
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Frames that were to go stay; all that stand in the range are OWNED, or were until they were
 * marked for this. */
static void unrevoke_op(struct txn *t, const struct cordon_op *op)
{
    uint64_t gfn = op_first(op);
    uint64_t end = gfn + op_pages(op);

    bool goes = op->kind == CORDON_OP_REVOKE || op->kind == CORDON_OP_DISCARD;

    while (goes && gfn < end) {
        struct piece p = piece_at(t, op, gfn);
        struct backing b = backing_of(t->d, p.first, p.pages);
        struct cordon_extent some[BACKING_SOME];
        uint64_t n;

        while (!region_held(p.flags) && (n = backing_next(&b, some, BACKING_SOME)) > 0) {
            frames_unrevoke(t->d->ctx, some, n, t->stamp);
        }
        gfn = p.first + p.pages;
    }
}

void txn_undo(struct txn *t)
{
    while (t->claimed > 0) {
        unclaim_op(t, &t->ops[--t->claimed]);
    }
    for (size_t i = 0; i < t->count; i++) {
        unrevoke_op(t, &t->ops[i]);
    }
    if (t->promises) {
        promise_fewer(t->d, t->promised);
        promise_undo(t->d, t->spare);
    }
    gone_clear(t->d->ctx, &t->gone);
    pt_pool_free(&t->d->forest, &t->tables);
    span_trim(&t->d->regions.set);
}

/* A guest, or one of two that share it, may read past the caches: memory says what they do. */
static void flush_claims(const struct txn *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct cordon_op *op = &t->ops[i];
        bool mmio = (op->flags & CORDON_REGION_MMIO) != 0;

        for (uint64_t k = 0; k < op->extent_count && !mmio; k++) {
            cordon_port_flush(t->d->ctx->cookie, op->extents[k].hpa, op->extents[k].len);
        }
    }
}

static int reserve_claims(struct txn *t)
{
    int err = 0;

    while (err == 0 && t->claimed < t->count) {
        const struct cordon_op *op = &t->ops[t->claimed];

        err = op->kind == CORDON_OP_GRANT ? claim_op(t, op) : 0;
        t->claimed += err == 0;
    }
    if (err == 0 && t->d->ctx->pbmt) {
        flush_claims(t);
    }
    return err;
}

static int reserve_ops(struct txn *t)
{
    uint64_t resource_runs = t->held_runs;
    int err = span_reserve(&t->d->regions.set, t->count * REGION_NODES_PER_OP);

    for (size_t i = 0; i < t->count && err == 0; i++) {
        if (t->ops[i].kind == CORDON_OP_GRANT) {
            err = reserve_grant(t, &t->ops[i]);
        } else if (t->ops[i].kind == CORDON_OP_MARK) {
            err = mark_reserve(t, &t->ops[i]);
        } else {
            err = reserve_change(t, &t->ops[i], &resource_runs);
        }
    }
    if (err == 0 && txn_has(t, CORDON_OP_GRANT)) {
        err = reserve_claims(t);
    }
    if (err == 0 && resource_runs > 0) {
        err = resource_reserve(t->d->ctx, resource_runs);
        t->resources = err == 0;
    }
    return err;
}

int txn_reserve(struct txn *t)
{
    int err = reserve_ops(t);

    if (err != 0) {
        txn_undo(t);
    }
    return err;
}
