/*
 * Dirty and access logging, and coalescing.
 *
 * A region is logged while it has CORDON_REGION_LOG (CORDON_OP_MARK sets and takes it). Its leaves
 * in the G-stage are then 4 KiB ones of the G-stage's own, with D clear until something writes: a
 * hart with Svadu sets it, on any other the store faults, and cordon_touch sets it. Device views
 * keep their tables. Where an IOMMU updates A and D itself (capabilities.AMO_HWAD) and the device
 * holds no translated addresses (CORDON_DRAIN_IOMMU), its view is logged likewise; whatever any
 * other device may write counts as dirty at each harvest. [Priv 12.3.1, 18.5.1; IOMMU DC.tc.GADE]
 */
#ifndef CORDON_LOG_H
#define CORDON_LOG_H

#include <cordon/map.h>

#define CORDON_LOG_KEEP 1u /* only look: what is found stays for the next harvest */

/* What to harvest. Bit i of word i / 64 of a map is page GPA + i * 4096. */
struct cordon_harvest {
    uint32_t size;   /* sizeof(struct cordon_harvest) */
    uint32_t flags;  /* CORDON_LOG_KEEP or 0 */
    cordon_gpa gpa;  /* page-aligned */
    uint64_t len;    /* bytes, whole pages */
    uint64_t *dirty; /* (len / 4096 + 63) / 64 words, overwritten whole; null: not asked for */
    uint64_t *used;  /* the same for accesses of any kind; not both are null */
};

struct cordon_harvested {
    uint64_t logged;  /* pages of the range that are logged */
    uint64_t dirty;   /* of these, bits in the map DIRTY */
    uint64_t unknown; /* of these, dirty only because a device may have written them */
    uint64_t used;    /* bits in the map USED */
    uint64_t words;   /* leaf words that were read, over all views */
};

/*
 * Tell which logged pages of a range were written, or used, since they were last harvested or their
 * logging began, and begin anew for these, in one call: what happens after it has returned is seen
 * by the next one. Harts, and IOMMUs whose views had bits, are told once for the whole range,
 * before it returns. Pages of holes, of MMIO and of other domains' frames read as 0, and so do
 * absent pages. USED costs a fault for each page on harts without Svadu, from the first harvest
 * that asks for it.
 *
 * The domain's lock is held for at most 65,536 pages at a time. Where a range's logging is stopped
 * while it is harvested, its pages count as dirty. An IOMMU that does not answer is no error: what
 * its devices may write counts as dirty (UNKNOWN) until it does.
 *
 * Errors, nothing changed: EINVAL, EALIGN, ERANGE, ENOENT (nothing in the range is logged), EPERM
 * (part of it is the domain's RAM, and not logged).
 */
CORDON_API CORDON_MUST_CHECK int cordon_log_harvest(cordon_domain *d,
                                                    const struct cordon_harvest *what,
                                                    struct cordon_harvested *out);

/* Software has written to LEN bytes at GPA, through no view: their pages, where they are logged,
 * are dirty. Any bytes; holes do not matter. Errors: EINVAL, ERANGE. */
CORDON_API CORDON_MUST_CHECK int cordon_log_written(cordon_domain *d, cordon_gpa gpa, uint64_t len);

/* What to coalesce. */
struct cordon_coalesce {
    uint32_t size;   /* sizeof(struct cordon_coalesce) */
    uint32_t flags;  /* 0 */
    cordon_gpa gpa;  /* page-aligned */
    uint64_t len;    /* bytes, whole pages */
    uint64_t budget; /* tables to look at in this call, about; 0: 512. 32 leaves count as one */
};

struct cordon_coalesced {
    cordon_gpa next; /* go on here; behind the range at its end */
    uint64_t looked; /* tables of 512 words that were looked at */
    uint64_t napot;  /* leaves of 64 KiB that were made, where there are such: CORDON_CTX_NAPOT */
    uint64_t mega;   /* leaves of 2 MiB that were made */
    uint64_t giga;   /* leaves of 1 GiB that were made */
};

/*
 * Make large leaves again out of small ones that stand and lead one behind the other with the same
 * rights, in every view, inside one region, and not logged. One word is stored for each: no
 * translation goes or changes for an instant. Harts and IOMMUs are told once, and then the tables
 * are freed. Bounded work; call again at OUT->next while that is inside the range.
 *
 * Errors, nothing changed: EINVAL, EALIGN, ERANGE. Error with the leaves coalesced and OUT not
 * written: EPENDING (tables are freed later; see cordon_retire).
 */
CORDON_API CORDON_MUST_CHECK int cordon_coalesce(cordon_domain *d,
                                                 const struct cordon_coalesce *what,
                                                 struct cordon_coalesced *out);

#endif
