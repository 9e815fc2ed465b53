/*
 * MMIO that domains may hold: which ranges exist, and who has which page of them at which GPA.
 *
 * A page of a resource stands at one GPA of one domain at most. What was revoked stays taken until
 * hardware is proven quiet. Frames that a domain borrows are held in the same way: see loan.h.
 * Lock order: domain, then resources, then frames.
 */
#ifndef CORDON_FRAMES_RESOURCE_H
#define CORDON_FRAMES_RESOURCE_H

#include "core/lock.h"
#include "map/span.h"

struct resources {
    struct lock lock;
    struct span_set ranges;   /* attr: enum resource_kind */
    struct span_set holdings; /* attr: RESOURCE_*, value: GFN */
    uint64_t revoking;        /* holdings marked so */
};

enum resource_kind {
    RESOURCE_OFFERED = 1, /* cordon_resource_add */
    RESOURCE_OWN = 2      /* registers of the layer itself: nobody may have them */
};

#define RESOURCE_DOMAIN 0xfffu    /* of a holding's attr: the domain's number */
#define RESOURCE_REVOKING 0x1000u /* gone from the map; hardware not yet proven quiet */

/* How much a revoke may need: each end of a run may cut a holding. */
#define RESOURCE_NODES_PER_RUN 2u

void resources_init(struct resources *r, struct cordon_ctx *ctx, uint64_t seed);
void resources_clear(struct resources *r);

/* Registers that the layer itself drives (an IOMMU's page): no resource may overlap them.
 * Errors: EEXIST, ENOMEM. */
CORDON_MUST_CHECK int resource_own_add(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len);
void resource_own_remove(struct cordon_ctx *ctx, cordon_hpa hpa);

/* Take COUNT extents for a domain, from GFN on, in order. All or nothing.
 * Errors: EPERM (BAD: the first page that is no resource or taken), ENOMEM. */
CORDON_MUST_CHECK int resource_claim(struct cordon_ctx *ctx, const struct cordon_extent *e,
                                     uint64_t count, uint32_t domain, uint64_t gfn,
                                     cordon_hpa *bad);
/* Undo a claim of the same extents. */
void resource_unclaim(struct cordon_ctx *ctx, const struct cordon_extent *e, uint64_t count);

/* Set nodes aside for revoking RUNS runs, and keep the resources' lock until resource_reserve_end,
 * so that nobody else takes them. ENOMEM, the lock not taken. */
CORDON_MUST_CHECK int resource_reserve(struct cordon_ctx *ctx, uint64_t runs);
void resource_reserve_end(struct cordon_ctx *ctx);
/* A run that a domain holds becomes REVOKING; between the two above. FIRST is its page number, or
 * loan_key's. */
void resource_revoke(struct cordon_ctx *ctx, uint64_t first, uint64_t pages, uint32_t domain);
/* A run that a domain holds stands at GFN from here on; between the same two. */
void resource_move(struct cordon_ctx *ctx, uint64_t first, uint64_t pages, uint32_t domain,
                   uint64_t gfn);
void resource_revoke_domain(struct cordon_ctx *ctx, uint32_t domain);
/* Everything that a domain has REVOKING is free for others. Linear in holdings. */
void resource_release_domain(struct cordon_ctx *ctx, uint32_t domain);

/* Who has the page at HPA. False: nobody, or no resource. */
struct resource_holder {
    uint32_t domain;
    bool revoking;
    uint64_t gfn;
    uint64_t pages; /* from there to the end of the holding */
};
bool resource_holder(struct cordon_ctx *ctx, cordon_hpa hpa, struct resource_holder *out);
/* True if the page is part of an offered resource. */
bool resource_known(struct cordon_ctx *ctx, cordon_hpa hpa);

#endif
