/*
 * What the map asks of the IOMMU driver when translations went away: invalidate, fence, wait, drain.
 */
#ifndef CORDON_RISCV_RETIRE_H
#define CORDON_RISCV_RETIRE_H

#include <cordon/device.h>

/* A batch of GPA ranges of one domain whose leaves changed or went. */
struct retire_range {
    cordon_gpa gpa;
    uint64_t len; /* bytes */
};

struct retire_request {
    const struct retire_range *ranges; /* may be null when WHOLE */
    size_t count;
    bool whole;   /* invalidate every translation of the domain's GSCIDs (AV=0): non-leaf words or
                     superpages changed, or the ranges are too many for page-wise commands */
};

/*
 * For each GSCID of D and each IOMMU that serves it: IOTINVAL.GVMA as asked, then IOFENCE.C PR PW, wait
 * for completion, bounded. Then drains: 0 when no device of D can still reach what was revoked;
 * EPENDING when an IOMMU did not answer (it is marked so and tried again by the next call), or when a
 * device that drains by reset is attached or undrained. The caller holds D's lock.
 */
CORDON_MUST_CHECK int retire_devices(struct cordon_domain *d, const struct retire_request *req);

#endif
