/*
 * cordon_audit: the invariants re-derived from memory, and what each leaf leads to.
 *
 * Tables are read here word by word, not through the walker that the builder shares: a mistake
 * there must not hide itself.
 */
#include "audit/audit.h"
#include "core/ctx.h"
#include "frames/loan.h"
#include "riscv/audit.h"

#include <string.h>

int audit_fail(const struct audit *a, enum audit_invariant invariant, const struct audit_place *at,
               const char *text)
{
    size_t len = strlen(text);

    cordon_assert(len < sizeof(a->first->text));
    *a->first = (struct cordon_finding){
        .invariant = invariant,
        .domain = at->domain,
        .view = at->view,
        .level = at->level,
        .word = at->word,
        .value = at->value,
        .gpa = at->gpa,
        .hpa = at->hpa,
    };
    memcpy(a->first->text, text, len);
    return -CORDON_ECORRUPT;
}

/* ---- what a leaf leads to ----------------------------------------------------------------- */

/* A frame's word is not what the leaf claims: say what it is instead. */
static int wrong_frame(const struct audit *a, const struct cordon_domain *d,
                       const struct audit_place *at, uint64_t word)
{
    switch (field_get(FW_STATE, word)) {
    case CORDON_FRAME_FREE:
        return audit_fail(a, AUDIT_FREE, at, "a leaf leads to a free frame");
    case CORDON_FRAME_NONE:
        return audit_fail(a, AUDIT_HIDDEN, at, "a leaf of RAM leads to what is no RAM");
    case CORDON_FRAME_HYP:
        return audit_fail(a, AUDIT_HIDDEN, at,
                          "a leaf leads to reserved memory or the layer's own");
    case CORDON_FRAME_TABLE:
        return audit_fail(a, AUDIT_HIDDEN, at, "a leaf leads to a table or queue");
    case CORDON_FRAME_HELD:
        return audit_fail(a, AUDIT_OWNER, at, "a leaf leads to a frame that no domain was given");
    default:
        break;
    }
    if (field_get(FW_DOMAIN, word) != d->number) {
        return audit_fail(a, AUDIT_OWNER, at, "a leaf leads to a frame of another domain");
    }
    if (field_get(FW_STATE, word) == CORDON_FRAME_REVOKING) {
        return audit_fail(a, AUDIT_LEAF, at, "a leaf leads to a frame that was revoked");
    }
    return audit_fail(a, AUDIT_LEAF, at, "a leaf leads to another frame than the map's");
}

static int backing_frames(struct audit *a, const struct cordon_domain *d, const struct span *region,
                          struct audit_place at, uint64_t pages)
{
    bool keep = (region_flags(region) & CORDON_REGION_KEEP) != 0;
    uint64_t hfn = at.hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t gfn = at.gpa.v >> CORDON_PAGE_SHIFT;

    while (pages > 0) {
        const struct frame_block *b = pool_block(&a->ctx->frames, hfn);
        uint64_t word = b != NULL ? pool_word(b, hfn) : CORDON_FRAME_NONE;
        uint64_t want = (uint64_t)CORDON_FRAME_OWNED | field_put(FW_DOMAIN, d->number) |
                        (keep ? FW_KEEP : 0) | field_put(FW_GFN, gfn);
        uint64_t n = 1;

        if (word != want) {
            at.hpa = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
            at.gpa = cordon_gpa_make(gfn << CORDON_PAGE_SHIFT);
            return wrong_frame(a, d, &at, word);
        }
        if (b->words == NULL) {
            n = BLOCK_FRAMES - (hfn & (BLOCK_FRAMES - 1));
            n = n < pages ? n : pages;
        }
        hfn += n;
        gfn += n;
        pages -= n;
    }
    return 0;
}

static int backing_resources(struct audit *a, const struct cordon_domain *d, struct audit_place at,
                             uint64_t pages)
{
    uint64_t gfn = at.gpa.v >> CORDON_PAGE_SHIFT;

    while (pages > 0) {
        struct resource_holder h;

        if (pool_block(&a->ctx->frames, at.hpa.v >> CORDON_PAGE_SHIFT) != NULL) {
            return audit_fail(a, AUDIT_LEAF, &at, "a leaf of MMIO leads to RAM");
        }
        if (!resource_known(a->ctx, at.hpa)) {
            return audit_fail(a, AUDIT_HIDDEN, &at, "a leaf leads to MMIO that nobody offered");
        }
        if (!resource_holder(a->ctx, at.hpa, &h) || h.domain != d->number) {
            return audit_fail(a, AUDIT_OWNER, &at, "a leaf leads to MMIO that the domain has not");
        }
        if (h.revoking || h.gfn != gfn) {
            return audit_fail(a, AUDIT_LEAF, &at, "a leaf leads to other MMIO than the map's");
        }
        uint64_t n = h.pages < pages ? h.pages : pages;

        at.hpa = cordon_hpa_add(at.hpa, n << CORDON_PAGE_SHIFT);
        at.gpa = cordon_gpa_add(at.gpa, n << CORDON_PAGE_SHIFT);
        gfn += n;
        pages -= n;
    }
    return 0;
}

static const struct cordon_domain *domain_numbered(const struct cordon_ctx *ctx, uint64_t number)
{
    const struct cordon_domain *d = ctx->domains;

    while (d != NULL && d->number != number) {
        d = d->next;
    }
    return d;
}

/* Is this frame's owner who lends it, and may the leaf's rights, and the memory type of the region
 * that BORROWS it, be had of it? */
static int backing_lent(const struct audit *a, const struct audit_place *at, uint32_t owner,
                        uint32_t perms, const struct span *borrows)
{
    uint64_t word = frames_word(a->ctx, at->hpa);
    const struct cordon_domain *d = domain_numbered(a->ctx, owner);

    if (d == NULL || field_get(FW_STATE, word) != CORDON_FRAME_OWNED ||
        field_get(FW_DOMAIN, word) != owner) {
        return audit_fail(a, AUDIT_OWNER, at, "a borrowed frame is not its lender's");
    }
    const struct span *region = span_find(&d->regions.set, field_get(FW_GFN, word));

    if (region == NULL || region_held(region_flags(region))) {
        return audit_fail(a, AUDIT_OWNER, at, "a borrowed frame is not in its owner's map");
    }
    if ((field_get(PTE_R | PTE_W | PTE_X, at->value) & ~(uint64_t)perms) != 0 ||
        (perms & ~region_perms(region)) != 0) {
        return audit_fail(a, AUDIT_OWNER, at, "a leaf has rights that its frame's owner has not");
    }
    if (region_type(region_flags(region)) != region_type(region_flags(borrows))) {
        return audit_fail(a, AUDIT_OWNER, at, "a borrowed frame of another memory type");
    }
    return 0;
}

static int backing_loans(const struct audit *a, const struct cordon_domain *d,
                         const struct span *region, struct audit_place at, uint64_t pages)
{
    int err = 0;

    for (; pages > 0 && err == 0; pages--) {
        struct loan_found l;

        if (!loan_find(a->ctx, d->number, at.hpa.v >> CORDON_PAGE_SHIFT, &l)) {
            return audit_fail(a, AUDIT_OWNER, &at, "a leaf leads to a frame that nobody lends");
        }
        if (l.gfn != at.gpa.v >> CORDON_PAGE_SHIFT) {
            return audit_fail(a, AUDIT_LEAF, &at, "a leaf leads to another borrowed frame");
        }
        err = backing_lent(a, &at, l.owner, l.perms, region);
        at.hpa = cordon_hpa_add(at.hpa, CORDON_PAGE_SIZE);
        at.gpa = cordon_gpa_add(at.gpa, CORDON_PAGE_SIZE);
    }
    return err;
}

int audit_backing(struct audit *a, const struct cordon_domain *d, const struct span *region,
                  const struct audit_place *at, uint64_t pages)
{
    bool mmio = (region_flags(region) & CORDON_REGION_MMIO) != 0;
    bool held = region_held(region_flags(region));

    if (at->view == 0) {
        a->frames += held ? 0 : pages;
        a->resources += held ? pages : 0;
    }
    if (held && !mmio) {
        return backing_loans(a, d, region, *at, pages);
    }
    return mmio ? backing_resources(a, d, *at, pages) : backing_frames(a, d, region, *at, pages);
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int audit_domain(struct audit *a, const struct cordon_domain *d)
{
    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        int err = (d->forest.views >> view & 1u) != 0 ? audit_view(a, d, view) : 0;

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static int audit_all(struct audit *a)
{
    int err = 0;

    for (const struct cordon_domain *d = a->ctx->domains; d != NULL && err == 0; d = d->next) {
        err = audit_domain(a, d);
    }
    if (err == 0) {
        err = audit_frames(a);
    }
    if (err == 0) {
        err = audit_owned(a);
    }
    if (err == 0) {
        err = audit_vmids(a);
    }
    return err == 0 ? iommu_audit(a->ctx, a->first) : err;
}

int cordon_audit(const cordon_ctx *ctx, struct cordon_finding *first)
{
    if (ctx == NULL || first == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    /* Only locks are written to. */
    struct audit a = {.ctx = (struct cordon_ctx *)(uintptr_t)ctx, .first = first};

    lock_take(&a.ctx->lock);
    for (struct cordon_domain *d = a.ctx->domains; d != NULL; d = d->next) {
        lock_take(&d->lock);
    }
    int err = audit_all(&a);

    for (struct cordon_domain *d = a.ctx->domains; d != NULL; d = d->next) {
        lock_give(&d->lock);
    }
    lock_give(&a.ctx->lock);
    return err;
}
