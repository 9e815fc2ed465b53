/*
 * An IOMMU's own performance counters [IOMMU 5.19 to 5.23; capabilities.HPM]: how many requests
 * came, how many of them its caches could not answer, and how many words of tables were read for
 * these. Counting reads and changes no table, no context and no cache.
 *
 * A counter counts one event from cordon_hpm_begin to cordon_hpm_end. How many an IOMMU has, it
 * says in cordon_iommu_info: 1 to 31, or 0, and then all of this is refused. Counters may be
 * narrower than 64 bits: their values are put together here, as long as cordon_hpm_read looks more
 * often than they wrap around.
 */
#ifndef CORDON_HPM_H
#define CORDON_HPM_H

#include <cordon/device.h>

/* [IOMMU 5.23, table of standard events]. A walk is counted for each word that it reads. */
enum cordon_hpm_event {
    CORDON_HPM_UNTRANSLATED = 1, /* untranslated requests: what devices usually make */
    CORDON_HPM_TRANSLATED = 2,   /* requests with addresses that ATS had translated */
    CORDON_HPM_ATS = 3,          /* ATS translation requests */
    CORDON_HPM_TLB_MISS = 4,
    CORDON_HPM_DDT_WALK = 5,   /* device directory */
    CORDON_HPM_PDT_WALK = 6,   /* process directory */
    CORDON_HPM_FIRST_WALK = 7, /* first-stage (VS-stage) tables */
    CORDON_HPM_SECOND_WALK = 8 /* second-stage (G-stage) tables */
};

/* Filters. Without any, all that passes the IOMMU is counted. */
#define CORDON_HPM_DMASK 1u   /* DID_GSCID's low bits up to its lowest 0, that one too, are any */
#define CORDON_HPM_DV_GSCV 2u /* only what is of DID_GSCID */
#define CORDON_HPM_IDT 4u     /* which is a GSCID, not a device id: only for events 4, 7 and 8 */

struct cordon_hpm_select {
    uint32_t size;      /* sizeof(struct cordon_hpm_select) */
    uint32_t event;     /* enum cordon_hpm_event */
    uint32_t flags;     /* CORDON_HPM_DV_GSCV ... */
    uint32_t did_gscid; /* 24 bits; a GSCID 16; 0 without DV_GSCV. The GSCID of a domain's common
                           device view is cordon_domain_number */
};

/*
 * Count WHAT from now on, from 0: *COUNTER is the number of its counter, 1..31.
 * Errors: EINVAL (no such event, filters that do not go together, an id too wide), EHANDLE, ENOTSUP
 * (no counters, or this IOMMU cannot count that), ELIMIT (all of them are taken).
 */
CORDON_API CORDON_MUST_CHECK int cordon_hpm_begin(cordon_iommu *iommu,
                                                  const struct cordon_hpm_select *what,
                                                  uint32_t *counter);

/* What COUNTER has counted since it was begun; 0: the IOMMU's clock cycles (iohpmcycles), which
 * are always counted. It goes on. Errors: EINVAL, EHANDLE, ENOENT (not begun), ENOTSUP. */
CORDON_API CORDON_MUST_CHECK int cordon_hpm_read(cordon_iommu *iommu, uint32_t counter,
                                                 uint64_t *value);

/* Give a counter back; 0 goes on. Errors: EINVAL (null), EHANDLE, ENOENT (not begun), ENOTSUP. */
CORDON_API CORDON_MUST_CHECK int cordon_hpm_end(cordon_iommu *iommu, uint32_t counter);

#endif
