/*
 * cordon_share: first the loan, under the owner's lock, then the borrower's map, under its own. In
 * between the loan is COMING: the owner cannot take the frames away, the borrower has not got them.
 * So no two domains are ever locked at once. [INV 2]
 */
#include "core/ctx.h"
#include "frames/loan.h"
#include "frames/runs.h"
#include "touch/touch.h"

static int check_form(const struct cordon_domain *owner, const struct cordon_domain *borrower,
                      const struct cordon_share *s)
{
    if (owner == NULL || borrower == NULL || s == NULL || s->size != sizeof(*s) ||
        s->reserved != 0 || (s->flags & ~CORDON_REGION_NODMA) != 0 ||
        (s->perms & ~CORDON_RWX) != 0 || owner == borrower) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(owner, HANDLE_DOMAIN) || !handle_is(borrower, HANDLE_DOMAIN) ||
        owner->ctx != borrower->ctx) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(s->gpa.v | s->to.v | s->len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t first = s->gpa.v >> CORDON_PAGE_SHIFT, pages = s->len >> CORDON_PAGE_SHIFT;

    return pages == 0 || first >= owner->gfn_limit || pages > owner->gfn_limit - first
               ? -CORDON_ERANGE
               : 0;
}

/* The range is RAM of the owner's own, with the rights that are asked for, and of one memory TYPE.
 */
static int check_owner(const struct cordon_domain *owner, const struct cordon_share *s,
                       uint32_t *type)
{
    uint64_t at = s->gpa.v >> CORDON_PAGE_SHIFT;
    uint64_t end = at + (s->len >> CORDON_PAGE_SHIFT);

    if (!regions_cover(&owner->regions, at, end - at)) {
        return -CORDON_ENOENT;
    }
    *type = region_flags(span_find(&owner->regions.set, at)) & CORDON_REGION_TYPES;
    while (at < end) {
        const struct span *r = span_find(&owner->regions.set, at);
        uint32_t flags = region_flags(r);

        if (region_held(flags) || (s->perms & ~region_perms(r)) != 0 ||
            (flags & ~s->flags & CORDON_REGION_NODMA) != 0) {
            return -CORDON_EPERM;
        }
        if ((flags & CORDON_REGION_LOG) != 0 && (s->perms & CORDON_WRITE) != 0) {
            return -CORDON_EBUSY; /* the borrower's writes are not logged */
        }
        if ((flags & CORDON_REGION_TYPES) != *type) {
            return -CORDON_EINVAL;
        }
        at = span_end(r);
    }
    return 0;
}

/* What is lent is there: it is filled before, a part under each hold of the owner's lock. */
static int fill(struct cordon_domain *owner, const struct cordon_share *s)
{
    uint64_t gfn = s->gpa.v >> CORDON_PAGE_SHIFT, end = gfn + (s->len >> CORDON_PAGE_SHIFT);
    uint32_t type;

    lock_take(&owner->lock);
    int err = check_owner(owner, s, &type);
    bool absent = err == 0 && touch_absent(owner, gfn, end) != end;

    lock_give(&owner->lock);
    return absent ? touch_range(owner, gfn, end) : err;
}

/* The owner's half. The caller frees RUNS if it succeeds. */
static int lend(struct cordon_domain *owner, const struct cordon_share *s, struct runs *runs,
                struct loan *loan, uint32_t *type)
{
    uint64_t gfn = s->gpa.v >> CORDON_PAGE_SHIFT, end = gfn + (s->len >> CORDON_PAGE_SHIFT);
    int err = check_owner(owner, s, type);

    while (err == 0 && gfn < end) {
        err = touch_some(owner, &gfn, end); /* what went again meanwhile */
    }
    if (err == 0) {
        err = runs_gather(runs, owner, s->gpa.v >> CORDON_PAGE_SHIFT, s->len >> CORDON_PAGE_SHIFT);
    }
    if (err != 0) {
        return err;
    }
    loan->runs = runs->at;
    loan->count = runs->count;
    err = loan_claim(owner->ctx, loan);
    if (err != 0) {
        runs_free(runs, owner->ctx);
        return err;
    }
    owner->lends = true;
    return 0;
}

/* The borrower's half. */
static int borrow(struct cordon_domain *borrower, const struct cordon_share *s,
                  const struct loan *loan, uint32_t type)
{
    const struct cordon_op op = {
        .kind = CORDON_OP_GRANT,
        .flags = s->flags | type | CORDON_REGION_SHARED,
        .gpa = s->to,
        .len = s->len,
        .perms = s->perms,
        .extents = loan->runs,
        .extent_count = loan->count,
    };
    int err;

    lock_take(&borrower->lock);
    err = txn_do(borrower, &op, 1, true);
    if (err == 0 || err == -CORDON_EPENDING) {
        loan_settle(borrower->ctx, loan);
    }
    lock_give(&borrower->lock);
    return err;
}

int cordon_share(cordon_domain *owner, cordon_domain *borrower, const struct cordon_share *what)
{
    struct runs runs;
    uint32_t type = 0;
    int err = check_form(owner, borrower, what);

    if (err != 0) {
        return err;
    }
    struct loan loan = {.gfn = what->to.v >> CORDON_PAGE_SHIFT,
                        .owner = owner->number,
                        .borrower = borrower->number,
                        .perms = what->perms};

    err = fill(owner, what);
    if (err != 0) {
        return err;
    }
    lock_take(&owner->lock);
    err = lend(owner, what, &runs, &loan, &type);
    lock_give(&owner->lock);
    if (err != 0) {
        return err;
    }
    err = borrow(borrower, what, &loan, type);
    if (err != 0 && err != -CORDON_EPENDING) {
        loan_unclaim(borrower->ctx, &loan);
    }
    runs_free(&runs, borrower->ctx);
    return err;
}

int cordon_frame_borrower(const cordon_ctx *ctx, cordon_hpa hpa, uint32_t first,
                          struct cordon_borrower *out)
{
    struct loan_found found;

    if (ctx == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    /* Only the lock is written to. */
    uint32_t borrower = loan_borrower((struct cordon_ctx *)(uintptr_t)ctx,
                                      hpa.v >> CORDON_PAGE_SHIFT, first, &found);

    if (borrower == 0) {
        return -CORDON_ENOENT;
    }
    *out = (struct cordon_borrower){
        .domain = borrower,
        .perms = found.perms,
        .gpa = cordon_gpa_make(found.gfn << CORDON_PAGE_SHIFT),
    };
    return 0;
}
