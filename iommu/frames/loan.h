/*
 * Frames of one domain that others may reach: loans. [design INV 2: save where both maps say so]
 *
 * A frame keeps its one owner, its word and its GPA there; lending writes no ownership word. What a
 * domain borrows it holds as it holds MMIO, in the same set: a holding under a key of its own, made
 * of the borrower's number and the frame's. So a loan that was revoked stays, as MMIO does, until
 * hardware is proven quiet, and until then its owner cannot take the frame away, nor the borrower's
 * rights: that is refused (EBUSY). Frames are thus never in a map whose owner has let go of them,
 * and no change ever waits for, or locks, two domains.
 */
#ifndef CORDON_FRAMES_LOAN_H
#define CORDON_FRAMES_LOAN_H

#include "core/bits.h"
#include "map/domain.h"
#include "port_word.h"

/* In a loan's attr, above RESOURCE_*. */
#define LOAN_COMING 0x2000u /* claimed; not in the borrower's map yet */
#define LOAN_PERMS GENMASK64(18, 16)
#define LOAN_OWNER GENMASK64(31, 20)
#define LOAN_BORROWER_SHIFT 44u /* of a key; frame numbers are below */

static inline uint64_t loan_key(uint32_t borrower, uint64_t hfn)
{
    return (uint64_t)borrower << LOAN_BORROWER_SHIFT | hfn;
}

static inline uint64_t loan_hfn(const struct span *s)
{
    return s->first & (BIT64(LOAN_BORROWER_SHIFT) - 1);
}

/* The number under which a page of a region that D holds is held. */
static inline uint64_t loan_page(const struct cordon_domain *d, uint32_t flags, cordon_hpa hpa)
{
    uint64_t page = hpa.v >> CORDON_PAGE_SHIFT;

    return (flags & CORDON_REGION_SHARED) != 0 ? loan_key(d->number, page) : page;
}

/* A loan as it is asked for. */
struct loan {
    const struct cordon_extent *runs;
    uint64_t count;
    uint64_t gfn; /* the borrower's */
    uint32_t owner, borrower;
    uint32_t perms;
};

/* All or nothing; COMING until loan_settle. The owner's lock is held. Errors: EEXIST (the borrower
 * has one of the frames, or had and its hardware is not yet quiet), ENOMEM. */
CORDON_MUST_CHECK int loan_claim(struct cordon_ctx *ctx, const struct loan *l);
void loan_unclaim(struct cordon_ctx *ctx, const struct loan *l);
/* It stands in the borrower's map, whose lock is held. */
void loan_settle(struct cordon_ctx *ctx, const struct loan *l);

/* Does anybody borrow one of these frames? The owner's lock is held. */
bool loan_touches(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len);
/* Does anybody borrow a frame of this domain? Linear in loans. */
bool loan_of_owner(struct cordon_ctx *ctx, uint32_t owner);
/* May borrower D have these rights to frames that it borrows? */
bool loan_allows(const struct cordon_domain *d, cordon_hpa hpa, uint64_t len, uint32_t perms);

/* The loan of a frame to a domain. False: there is none. */
struct loan_found {
    uint32_t owner, perms;
    uint64_t gfn;   /* of the borrower */
    uint64_t pages; /* from there to the end of the loan */
};
bool loan_find(struct cordon_ctx *ctx, uint32_t borrower, uint64_t hfn, struct loan_found *out);
/* The first borrower of a frame whose number is at least FROM; 0: none. */
uint32_t loan_borrower(struct cordon_ctx *ctx, uint64_t hfn, uint32_t from, struct loan_found *out);

/* Tell the recorder, if there is one, what becomes of a holding, if it is a loan. */
void loan_note(struct cordon_ctx *ctx, enum port_note note, const struct span *s);

#endif
