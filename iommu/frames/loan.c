/* Loans of frames: see loan.h. */
#include "frames/loan.h"
#include "core/ctx.h"
#include "frames/owner.h"

#define FIRST_LOAN loan_key(1, 0) /* below are pages of MMIO */

_Static_assert(CORDON_MAX_DOMAINS == 1u << 12, "a domain's number fits into a loan's attr");

void loan_note(struct cordon_ctx *ctx, enum port_note note, const struct span *s)
{
    uint64_t word = (uint64_t)CORDON_FRAME_OWNED | field_put(FW_DOMAIN, s->attr & RESOURCE_DOMAIN) |
                    field_put(FW_GFN, s->value & (FW_GFN >> __builtin_ctzll(FW_GFN)));
    uint64_t n;

    if (s->first < FIRST_LOAN) {
        return;
    }
    for (uint64_t i = 0; i < s->pages; i += n) {
        n = s->pages - i < BLOCK_FRAMES ? s->pages - i : BLOCK_FRAMES;
        part_note(ctx->cookie, note, loan_hfn(s) + i, n, word + i * FW_GFN_ONE);
    }
}

/* ---- claimed ------------------------------------------------------------------------------ */

static void drop(struct cordon_ctx *ctx, const struct loan *l, uint64_t count)
{
    struct resources *r = &ctx->resources;

    for (uint64_t i = 0; i < count; i++) {
        struct span *s =
            span_find(&r->holdings, loan_key(l->borrower, l->runs[i].hpa.v >> CORDON_PAGE_SHIFT));

        cordon_assert(s != NULL && (s->attr & LOAN_COMING) != 0);
        span_remove(&r->holdings, s);
    }
    span_trim(&r->holdings);
}

int loan_claim(struct cordon_ctx *ctx, const struct loan *l)
{
    struct resources *r = &ctx->resources;
    uint32_t attr = l->borrower | LOAN_COMING | (uint32_t)field_put(LOAN_PERMS, l->perms) |
                    (uint32_t)field_put(LOAN_OWNER, l->owner);
    uint64_t gfn = l->gfn, done = 0;

    lock_take(&r->lock);
    int err = span_reserve(&r->holdings, l->count);

    for (; done < l->count && err == 0; done++) {
        uint64_t first = loan_key(l->borrower, l->runs[done].hpa.v >> CORDON_PAGE_SHIFT);
        uint64_t pages = l->runs[done].len >> CORDON_PAGE_SHIFT;

        if (!span_clear_of(&r->holdings, first, pages)) {
            err = -CORDON_EEXIST;
            break;
        }
        (void)span_insert(&r->holdings, first, pages, attr, gfn);
        gfn += pages;
    }
    if (err != 0) {
        drop(ctx, l, done);
    }
    span_trim(&r->holdings);
    lock_give(&r->lock);
    return err;
}

void loan_unclaim(struct cordon_ctx *ctx, const struct loan *l)
{
    lock_take(&ctx->resources.lock);
    drop(ctx, l, l->count);
    lock_give(&ctx->resources.lock);
}

void loan_settle(struct cordon_ctx *ctx, const struct loan *l)
{
    struct resources *r = &ctx->resources;

    lock_take(&r->lock);
    for (uint64_t i = 0; i < l->count; i++) {
        struct span *s =
            span_find(&r->holdings, loan_key(l->borrower, l->runs[i].hpa.v >> CORDON_PAGE_SHIFT));

        cordon_assert(s != NULL && (s->attr & LOAN_COMING) != 0);
        s->attr &= ~LOAN_COMING;
        loan_note(ctx, PORT_NOTE_LEND, s);
    }
    lock_give(&r->lock);
}

/* ---- questions ---------------------------------------------------------------------------- */

static struct loan_found found(const struct span *s, uint64_t hfn)
{
    uint64_t inside = hfn - loan_hfn(s);

    return (struct loan_found){
        .owner = (uint32_t)field_get(LOAN_OWNER, s->attr),
        .perms = (uint32_t)field_get(LOAN_PERMS, s->attr),
        .gfn = s->value + inside,
        .pages = s->pages - inside,
    };
}

/* The next loan, by borrower from FROM on, of a frame in the run; skips from borrower to borrower.
 */
static const struct span *next_touching(const struct resources *r, uint64_t hfn, uint64_t pages,
                                        uint32_t from)
{
    uint64_t borrower = from > 0 ? from : 1;

    while (borrower < CORDON_MAX_DOMAINS) {
        uint64_t key = loan_key((uint32_t)borrower, hfn);
        const struct span *s = span_next(&r->holdings, key);
        uint64_t whose = s != NULL ? s->first >> LOAN_BORROWER_SHIFT : CORDON_MAX_DOMAINS;

        if (whose == borrower && s->first < key + pages) {
            return s;
        }
        borrower = whose > borrower ? whose : borrower + 1;
    }
    return NULL;
}

bool loan_touches(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len)
{
    lock_take(&ctx->resources.lock);
    bool touches = next_touching(&ctx->resources, hpa.v >> CORDON_PAGE_SHIFT,
                                 len >> CORDON_PAGE_SHIFT, 1) != NULL;

    lock_give(&ctx->resources.lock);
    return touches;
}

bool loan_of_owner(struct cordon_ctx *ctx, uint32_t owner)
{
    const struct span_set *set = &ctx->resources.holdings;
    bool any = false;

    lock_take(&ctx->resources.lock);
    for (const struct span *s = span_next(set, FIRST_LOAN); s != NULL && !any;
         s = span_next(set, span_end(s))) {
        any = field_get(LOAN_OWNER, s->attr) == owner;
    }
    lock_give(&ctx->resources.lock);
    return any;
}

bool loan_allows(const struct cordon_domain *d, cordon_hpa hpa, uint64_t len, uint32_t perms)
{
    struct resources *r = &d->ctx->resources;
    uint64_t at = loan_key(d->number, hpa.v >> CORDON_PAGE_SHIFT);
    uint64_t end = at + (len >> CORDON_PAGE_SHIFT);
    bool allows = true;

    lock_take(&r->lock);
    while (at < end && allows) {
        const struct span *s = span_find(&r->holdings, at);

        cordon_assert(s != NULL);
        allows = (perms & ~(uint32_t)field_get(LOAN_PERMS, s->attr)) == 0;
        at = span_end(s);
    }
    lock_give(&r->lock);
    return allows;
}

bool loan_find(struct cordon_ctx *ctx, uint32_t borrower, uint64_t hfn, struct loan_found *out)
{
    struct resources *r = &ctx->resources;

    lock_take(&r->lock);
    const struct span *s = span_find(&r->holdings, loan_key(borrower, hfn));
    bool holds = s != NULL && (s->attr & (RESOURCE_REVOKING | LOAN_COMING)) == 0;

    if (holds) {
        *out = found(s, hfn);
    }
    lock_give(&r->lock);
    return holds;
}

uint32_t loan_borrower(struct cordon_ctx *ctx, uint64_t hfn, uint32_t from, struct loan_found *out)
{
    struct resources *r = &ctx->resources;
    uint32_t borrower = 0;

    lock_take(&r->lock);
    const struct span *s = next_touching(r, hfn, 1, from);

    if (s != NULL) {
        borrower = s->attr & RESOURCE_DOMAIN;
        *out = found(s, hfn);
    }
    lock_give(&r->lock);
    return borrower;
}
