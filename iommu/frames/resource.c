/*
 * MMIO ranges and their holders.
 */
#include "frames/resource.h"
#include "core/ctx.h"
#include "frames/loan.h"

void resources_init(struct resources *r, struct cordon_ctx *ctx, uint64_t seed)
{
    lock_init(&r->lock);
    span_set_init(&r->ranges, ctx, seed);
    span_set_init(&r->holdings, ctx, ~seed);
    r->revoking = 0;
}

void resources_clear(struct resources *r)
{
    span_set_clear(&r->ranges);
    span_set_clear(&r->holdings);
}

/* ---- ranges ------------------------------------------------------------------------------- */

static int range_add(struct cordon_ctx *ctx, uint64_t first, uint64_t pages, uint32_t kind)
{
    struct resources *r = &ctx->resources;
    int err = 0;

    lock_take(&r->lock);
    if (!span_clear_of(&r->ranges, first, pages)) {
        const struct span *hit = span_next(&r->ranges, first);

        err =
            hit->attr == RESOURCE_OWN && kind == RESOURCE_OFFERED ? -CORDON_EPERM : -CORDON_EEXIST;
    } else {
        err = span_reserve(&r->ranges, 1);
    }
    if (err == 0) {
        (void)span_insert(&r->ranges, first, pages, kind, 0);
    }
    span_trim(&r->ranges);
    lock_give(&r->lock);
    return err;
}

/* Remove the range of KIND that starts at FIRST. */
static int range_remove(struct cordon_ctx *ctx, uint64_t first, uint32_t kind)
{
    struct resources *r = &ctx->resources;
    int err = 0;

    lock_take(&r->lock);
    struct span *s = span_find(&r->ranges, first);

    if (s == NULL || s->first != first || s->attr != kind) {
        err = -CORDON_ENOENT;
    } else if (!span_clear_of(&r->holdings, s->first, s->pages)) {
        err = -CORDON_EBUSY;
    } else {
        span_remove(&r->ranges, s);
        span_trim(&r->ranges);
    }
    lock_give(&r->lock);
    return err;
}

/* True if a range touches RAM of the context. */
static bool touches_ram(const struct frame_pool *p, uint64_t first, uint64_t pages)
{
    for (uint32_t i = 0; i < p->bank_count; i++) {
        if (first < p->bank[i].end && first + pages > p->bank[i].first) {
            return true;
        }
    }
    return false;
}

int cordon_resource_add(cordon_ctx *ctx, cordon_hpa hpa, uint64_t len)
{
    if (ctx == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(hpa.v | len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t first = hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = len >> CORDON_PAGE_SHIFT;

    if (len == 0 || range_wraps(hpa.v, len) || first + pages > HFN_LIMIT) {
        return -CORDON_ERANGE;
    }
    if (touches_ram(&ctx->frames, first, pages)) {
        return -CORDON_EPERM;
    }
    return range_add(ctx, first, pages, RESOURCE_OFFERED);
}

int cordon_resource_remove(cordon_ctx *ctx, cordon_hpa hpa)
{
    if (ctx == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(hpa.v, CORDON_PAGE_SIZE)) {
        return -CORDON_ENOENT;
    }
    return range_remove(ctx, hpa.v >> CORDON_PAGE_SHIFT, RESOURCE_OFFERED);
}

int resource_own_add(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len)
{
    return range_add(ctx, hpa.v >> CORDON_PAGE_SHIFT, len >> CORDON_PAGE_SHIFT, RESOURCE_OWN);
}

void resource_own_remove(struct cordon_ctx *ctx, cordon_hpa hpa)
{
    int err = range_remove(ctx, hpa.v >> CORDON_PAGE_SHIFT, RESOURCE_OWN);

    cordon_assert(err == 0);
}

/* ---- holdings ----------------------------------------------------------------------------- */

/* The first page of the range that is not offered or is taken, or its end. */
static uint64_t first_unfit(const struct resources *r, uint64_t first, uint64_t pages)
{
    uint64_t end = first + pages;
    uint64_t at = first;

    while (at < end) {
        const struct span *range = span_find(&r->ranges, at);

        if (range == NULL || range->attr != RESOURCE_OFFERED) {
            break;
        }
        at = span_end(range);
    }
    end = at < end ? at : end;
    const struct span *held = span_next(&r->holdings, first);

    if (held != NULL && held->first < end) {
        return held->first > first ? held->first : first;
    }
    return end;
}

static void holdings_drop(struct resources *r, const struct cordon_extent *e, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct span *s = span_find(&r->holdings, e[i].hpa.v >> CORDON_PAGE_SHIFT);

        cordon_assert(s != NULL && s->pages == e[i].len >> CORDON_PAGE_SHIFT);
        span_remove(&r->holdings, s);
    }
    span_trim(&r->holdings);
}

int resource_claim(struct cordon_ctx *ctx, const struct cordon_extent *e, uint64_t count,
                   uint32_t domain, uint64_t gfn, cordon_hpa *bad)
{
    struct resources *r = &ctx->resources;
    uint64_t done = 0;

    lock_take(&r->lock);
    int err = span_reserve(&r->holdings, count);

    for (; done < count && err == 0; done++) {
        uint64_t first = e[done].hpa.v >> CORDON_PAGE_SHIFT;
        uint64_t pages = e[done].len >> CORDON_PAGE_SHIFT;
        uint64_t unfit = first_unfit(r, first, pages);

        if (unfit < first + pages) {
            *bad = cordon_hpa_make(unfit << CORDON_PAGE_SHIFT);
            err = -CORDON_EPERM;
            break;
        }
        (void)span_insert(&r->holdings, first, pages, domain, gfn);
        gfn += pages;
    }
    if (err != 0) {
        holdings_drop(r, e, done);
    }
    span_trim(&r->holdings);
    lock_give(&r->lock);
    return err;
}

void resource_unclaim(struct cordon_ctx *ctx, const struct cordon_extent *e, uint64_t count)
{
    lock_take(&ctx->resources.lock);
    holdings_drop(&ctx->resources, e, count);
    lock_give(&ctx->resources.lock);
}

int resource_reserve(struct cordon_ctx *ctx, uint64_t runs)
{
    struct resources *r = &ctx->resources;

    lock_take(&r->lock);
    int err = span_reserve(&r->holdings, runs * RESOURCE_NODES_PER_RUN);

    if (err != 0) {
        span_trim(&r->holdings);
        lock_give(&r->lock);
    }
    return err; /* the lock stays taken until resource_reserve_end, and with it the nodes */
}

void resource_reserve_end(struct cordon_ctx *ctx)
{
    span_trim(&ctx->resources.holdings);
    lock_give(&ctx->resources.lock);
}

/* Make a boundary at PAGE, if one holding has both sides. */
static void holding_cut(struct resources *r, uint64_t page)
{
    struct span *s = span_find(&r->holdings, page);

    if (s == NULL || s->first == page) {
        return;
    }
    uint64_t low = page - s->first;

    (void)span_insert(&r->holdings, page, s->pages - low, s->attr, s->value + low);
    s->pages = low;
}

static bool held_by(const struct span *s, uint32_t domain, uint32_t revoking)
{
    return (s->attr & (RESOURCE_DOMAIN | RESOURCE_REVOKING)) == (domain | revoking);
}

static void revoke(struct cordon_ctx *ctx, struct span *s)
{
    s->attr |= RESOURCE_REVOKING;
    ctx->resources.revoking++;
    loan_note(ctx, PORT_NOTE_RECALL, s);
}

void resource_revoke(struct cordon_ctx *ctx, uint64_t first, uint64_t pages, uint32_t domain)
{
    struct resources *r = &ctx->resources;
    uint64_t at = first;
    uint64_t end = at + pages;

    holding_cut(r, at);
    holding_cut(r, end);
    while (at < end) {
        struct span *s = span_find(&r->holdings, at);

        cordon_assert(s != NULL && held_by(s, domain, 0));
        revoke(ctx, s);
        at = span_end(s);
    }
}

void resource_move(struct cordon_ctx *ctx, uint64_t first, uint64_t pages, uint32_t domain,
                   uint64_t gfn)
{
    struct resources *r = &ctx->resources;
    uint64_t end = first + pages;

    holding_cut(r, first);
    holding_cut(r, end);
    for (uint64_t at = first; at < end;) {
        struct span *s = span_find(&r->holdings, at);

        cordon_assert(s != NULL && held_by(s, domain, 0));
        s->value = gfn + (at - first);
        at = span_end(s);
    }
}

void resource_revoke_domain(struct cordon_ctx *ctx, uint32_t domain)
{
    struct resources *r = &ctx->resources;

    lock_take(&r->lock);
    for (struct span *s = span_next(&r->holdings, 0); s != NULL;
         s = span_next(&r->holdings, span_end(s))) {
        if (held_by(s, domain, 0)) {
            revoke(ctx, s);
        }
    }
    lock_give(&r->lock);
}

void resource_release_domain(struct cordon_ctx *ctx, uint32_t domain)
{
    struct resources *r = &ctx->resources;
    uint64_t at = 0;

    lock_take(&r->lock);
    while (r->revoking > 0) {
        struct span *s = span_next(&r->holdings, at);

        if (s == NULL) {
            break;
        }
        at = span_end(s);
        if (held_by(s, domain, RESOURCE_REVOKING)) {
            loan_note(ctx, PORT_NOTE_RETURN, s);
            r->revoking--;
            span_remove(&r->holdings, s);
        }
    }
    span_trim(&r->holdings);
    lock_give(&r->lock);
}

bool resource_holder(struct cordon_ctx *ctx, cordon_hpa hpa, struct resource_holder *out)
{
    struct resources *r = &ctx->resources;
    uint64_t page = hpa.v >> CORDON_PAGE_SHIFT;

    lock_take(&r->lock);
    const struct span *s = span_find(&r->holdings, page);

    if (s != NULL) {
        out->domain = s->attr & RESOURCE_DOMAIN;
        out->revoking = (s->attr & RESOURCE_REVOKING) != 0;
        out->gfn = s->value + (page - s->first);
        out->pages = span_end(s) - page;
    }
    lock_give(&r->lock);
    return s != NULL;
}

bool resource_known(struct cordon_ctx *ctx, cordon_hpa hpa)
{
    struct resources *r = &ctx->resources;

    lock_take(&r->lock);
    const struct span *s = span_find(&r->ranges, hpa.v >> CORDON_PAGE_SHIFT);
    bool known = s != NULL && s->attr == RESOURCE_OFFERED;

    lock_give(&r->lock);
    return known;
}
