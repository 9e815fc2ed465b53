/*
 * Domains: made and undone.
 */
#include "map/domain.h"
#include "core/ctx.h"
#include "frames/loan.h"
#include "map/gone.h"
#include "riscv/device.h"
#include "touch/promise.h"

#define HGATP_MODE GENMASK64(63, 60)
#define HGATP_PPN GENMASK64(43, 0)
#define MODES_ALL (CORDON_MODE_SV39X4 | CORDON_MODE_SV48X4 | CORDON_MODE_SV57X4)

_Static_assert(sizeof(struct cordon_domain) <= CORDON_PAGE_SIZE, "a domain lives in one page");

/* ---- numbers ------------------------------------------------------------------------------ */

/* Unique while the domain lives. 0: none is left. */
static uint32_t number_take(struct cordon_ctx *ctx)
{
    for (uint32_t n = 1; n < CORDON_MAX_DOMAINS; n++) {
        uint64_t bit = BIT64(n % 64);

        if ((ctx->numbers[n / 64] & bit) == 0) {
            ctx->numbers[n / 64] |= bit;
            return n;
        }
    }
    return 0;
}

/* ---- create ------------------------------------------------------------------------------- */

static int enlist(struct cordon_domain *d, const struct cordon_domain_config *cfg,
                  const struct pt_fmt **fmt)
{
    struct cordon_ctx *ctx = d->ctx;
    uint32_t modes = cfg->modes != 0 ? cfg->modes : MODES_ALL;
    int err = 0;

    lock_take(&ctx->lock);
    *fmt = pt_fmt_choose(modes & ctx->hart_modes & ctx->device_modes, cfg->gpa_limit);
    if (*fmt == NULL) {
        err = -CORDON_ENOTSUP;
    } else {
        d->number = number_take(ctx);
        err = d->number != 0 ? 0 : -CORDON_ELIMIT;
    }
    lock_give(&ctx->lock);
    return err;
}

static void number_give(struct cordon_ctx *ctx, uint32_t number)
{
    lock_take(&ctx->lock);
    ctx->numbers[number / 64] &= ~BIT64(number % 64);
    lock_give(&ctx->lock);
}

static int domain_build(struct cordon_domain *d, const struct cordon_domain_config *cfg)
{
    struct cordon_ctx *ctx = d->ctx;
    const struct pt_fmt *fmt;
    int err = enlist(d, cfg, &fmt);

    if (err != 0) {
        return err;
    }
    err = pt_forest_init(&d->forest, ctx, fmt);
    if (err != 0) {
        number_give(ctx, d->number);
        return err;
    }
    d->forest.napot = ctx->napot;
    lock_init(&d->lock);
    span_set_init(&d->regions.set, ctx, ctx->seed ^ d->number * UINT64_C(0x2545f4914f6cdd1d));
    d->gfn_limit = cfg->gpa_limit >> CORDON_PAGE_SHIFT;
    d->mark = HANDLE_DOMAIN;
    lock_take(&ctx->lock);
    d->next = ctx->domains;
    ctx->domains = d;
    lock_give(&ctx->lock);
    return 0;
}

int cordon_domain_create(cordon_ctx *ctx, const struct cordon_domain_config *cfg,
                         cordon_domain **out)
{
    if (ctx == NULL || cfg == NULL || out == NULL || cfg->size != sizeof(*cfg) ||
        (cfg->modes & ~MODES_ALL) != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (cfg->gpa_limit == 0 || !is_aligned(cfg->gpa_limit, CORDON_PAGE_SIZE)) {
        return -CORDON_ERANGE;
    }
    struct cordon_domain *d = pool_page_alloc(ctx);

    if (d == NULL) {
        return -CORDON_ENOMEM;
    }
    d->ctx = ctx;
    int err = domain_build(d, cfg);

    if (err != 0) {
        pool_page_free(ctx, d);
        return err;
    }
    *out = d;
    return 0;
}

/* ---- destroy ------------------------------------------------------------------------------ */

static bool device_attached(const struct cordon_domain *d)
{
    for (const struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        if (dev->attached) {
            return true;
        }
    }
    return false;
}

/* Take everything out of the map and of every view. Whole regions of all views need no table more.
 */
static void revoke_everything(struct cordon_domain *d)
{
    struct pt_pool none = {.count = 0};

    d->regions.last = NULL;
    promise_end(d);
    (void)frames_revoke_domain(d->ctx, d->number);
    resource_revoke_domain(d->ctx, d->number);
    while (d->regions.set.root != NULL) {
        struct span *s = d->regions.set.root;

        pt_unmap(&d->forest, cordon_gpa_make(s->first << CORDON_PAGE_SHIFT), s->pages,
                 d->forest.views, &none, &d->dead);
        span_remove(&d->regions.set, s);
    }
    span_trim(&d->regions.set);
}

struct cordon_domain *domain_lock(struct cordon_ctx *ctx, uint32_t number)
{
    struct cordon_domain *d;

    lock_take(&ctx->lock);
    for (d = ctx->domains; d != NULL && d->number != number; d = d->next) {
    }
    if (d != NULL) {
        lock_take(&d->lock); /* the context's lock comes first, as in an audit */
    }
    lock_give(&ctx->lock);
    return d;
}

/* Nobody finds it any more, and who had found it before has let go of it. */
static void delist(struct cordon_domain *d)
{
    struct cordon_domain **at;

    lock_take(&d->ctx->lock);
    for (at = &d->ctx->domains; *at != d; at = &(*at)->next) {
        cordon_assert(*at != NULL);
    }
    *at = d->next;
    lock_give(&d->ctx->lock);
    lock_take(&d->lock);
    lock_give(&d->lock);
    number_give(d->ctx, d->number);
}

int cordon_domain_destroy(cordon_domain *d)
{
    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->lock);
    d->lends = d->lends && loan_of_owner(d->ctx, d->number);
    if (device_attached(d) || d->lends || d->listeners != NULL || d->spaces != 0 ||
        vmid_running(d)) {
        lock_give(&d->lock);
        return -CORDON_EBUSY;
    }
    bool again = d->regions.set.root == NULL;

    revoke_everything(d);
    int err = gone_retire_all(d, again);

    lock_give(&d->lock);
    if (err != 0) {
        return err;
    }
    cordon_assert(d->devices == NULL);
    vmid_forget(d);
    delist(d);
    msi_forget(d);
    pt_forest_free(&d->forest);
    span_set_clear(&d->regions.set);
    d->mark = 0;
    pool_page_free(d->ctx, d);
    return 0;
}

int cordon_retire(cordon_domain *d)
{
    int err = 0;

    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->lock);
    if (d->pending) {
        err = gone_retire_all(d, true);
    }
    lock_give(&d->lock);
    return err;
}

/* ---- names -------------------------------------------------------------------------------- */

uint32_t cordon_domain_number(const cordon_domain *d)
{
    return d != NULL && handle_is(d, HANDLE_DOMAIN) ? d->number : 0;
}

uint64_t cordon_domain_hgatp(const cordon_domain *d)
{
    if (d == NULL || !handle_is(d, HANDLE_DOMAIN)) {
        return 0;
    }
    return field_put(HGATP_MODE, d->forest.fmt->mode) |
           field_put(HGATP_PPN, d->forest.root[0].v >> CORDON_PAGE_SHIFT);
}

/* ---- MSI window ---------------------------------------------------------------------------- */

/* The lowest page at or above FROM whose bits outside of MASK are those of BASE. */
static uint64_t masked_next(uint64_t from, uint64_t base, uint64_t mask)
{
    uint64_t fixed = base & ~mask;
    uint64_t wrong = (from & ~mask) ^ fixed;

    if (wrong == 0) {
        return from;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(wrong);
    uint64_t below = BIT64(top) - 1;

    if ((fixed & BIT64(top)) != 0) {
        return (from & ~below & mask) | fixed; /* rises at the highest wrong bit */
    }
    /* It must fall there: some free bit above that is 0 has to rise instead. */
    uint64_t risable = mask & ~from & ~(below | BIT64(top));

    if (risable == 0) {
        return UINT64_MAX;
    }
    uint64_t rise = risable & -risable;

    return (from & mask & ~(rise - 1)) | rise | fixed;
}

bool domain_msi_touches(const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    if (!d->msi.set) {
        return false;
    }
    uint64_t next = masked_next(gfn, d->msi.base.v >> CORDON_PAGE_SHIFT, d->msi.mask);

    return next != UINT64_MAX && next - gfn < pages;
}
