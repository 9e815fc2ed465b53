/*
 * Harts that run a guest: which VMID a domain has there, and who is told when its map changes.
 *
 * A VMID belongs to a domain that runs. It is taken at the first entry and kept as long as there
 * are enough; when they have run out, a new generation begins: domains that run on some hart keep
 * theirs, all others lose theirs, and every hart that could remember one forgets everything. So any
 * number of domains may live, and as many run at once as there are VMIDs. [Priv 18.2.10]
 *
 * The layer remembers for each domain which harts may hold translations of it, and tells those
 * alone. A hart that puts a domain's tables in force without asking here is told nothing.
 */
#ifndef CORDON_HARTS_H
#define CORDON_HARTS_H

#include <cordon/map.h>

#define CORDON_MAX_HARTS 64u /* harts are 0..63, as their caller numbers them */

/* What a hart needs to know before it runs a domain. */
struct cordon_entry {
    uint32_t size;   /* sizeof(struct cordon_entry) */
    uint32_t forget; /* 1: after hgatp is written and before the guest's first instruction the hart
                        executes hfence.gvma for this VMID, hfence.vvma and fence.i; else 0 */
    uint64_t hgatp;  /* MODE, VMID and PPN, valid until the hart leaves */
};

/*
 * HART is about to run D: D has a VMID from here on until no hart runs it, and HART is told of each
 * change of D's map. From any hart; waits for other harts when a generation of VMIDs begins.
 * Errors, nothing changed: EINVAL (also: no such hart), EHANDLE, EBUSY (HART runs something),
 * ELIMIT (as many domains run as there are VMIDs, and D is none of them). [Priv 18.2.10, 18.3.2]
 */
CORDON_API CORDON_MUST_CHECK int cordon_domain_enter(cordon_domain *d, uint32_t hart,
                                                     struct cordon_entry *out);

/* HART does not run D any more: another value stands in its hgatp. What it remembers of D it may
 * keep, and is told of changes until it has forgotten all. Errors: EINVAL, EHANDLE, ENOENT (it does
 * not run D). */
CORDON_API CORDON_MUST_CHECK int cordon_domain_leave(cordon_domain *d, uint32_t hart);

/* How often harts were told of a domain's changes, since it was made. */
struct cordon_fence_stats {
    uint64_t asked;  /* changes that took something away */
    uint64_t nobody; /* of these, so many found no hart that could remember */
    uint64_t ranges; /* calls of the port for a range */
    uint64_t whole;  /* calls of the port for all of a VMID */
    uint64_t harts;  /* harts told, over all these calls */
};

/* How often harts were told of changes of D. Errors: EINVAL, EHANDLE. */
CORDON_API CORDON_MUST_CHECK int cordon_domain_fences(const cordon_domain *d,
                                                      struct cordon_fence_stats *out);

/* The VMIDs of a context. */
struct cordon_vmid_stats {
    uint32_t bits;       /* as configured */
    uint32_t running;    /* domains that run on some hart */
    uint64_t harts;      /* bit h: hart h may hold translations of some domain */
    uint64_t generation; /* from 1; its changes are roll-overs */
    uint64_t given;      /* VMIDs so far, over all generations */
};

/* What the VMIDs of a context are at this moment. Errors: EINVAL, EHANDLE. */
CORDON_API CORDON_MUST_CHECK int cordon_vmid_stats(const cordon_ctx *ctx,
                                                   struct cordon_vmid_stats *out);

#endif
