/*
 * What the map asks of the IOMMU driver: when translations went away, invalidate, fence, wait,
 * drain; and when a domain goes, let go of what the driver keeps for it.
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
    bool whole; /* invalidate every translation of the domain's GSCIDs (AV=0): non-leaf words or
                   superpages changed, or the ranges are too many for page-wise commands */
    bool again; /* nothing was revoked since the last request: a device that was reset since then
                   counts as drained. What earlier requests could not end is ended, if it can be */
};

/*
 * For each GSCID of D and each IOMMU that serves it: IOTINVAL.GVMA as asked, then IOFENCE.C PR PW,
 * wait for completion, bounded. MSI table entries that lead to files which D holds no more are
 * cleared before. Then drains: 0 when no device of D can still reach what was revoked; EPENDING
 * when an IOMMU did not answer (it is marked so and tried again by the next call), or when a device
 * that drains by reset has not been reset since (cordon_device_drained). The caller holds D's lock;
 * the stores are done, a fence is not needed.
 */
CORDON_MUST_CHECK int retire_devices(struct cordon_domain *d, const struct retire_request *req);

/* The same without drains: what IOMMUs have cached is gone. Errors: EPENDING. */
CORDON_MUST_CHECK int retire_invalidate(struct cordon_domain *d, const struct retire_request *req);

/* Free the MSI table of a domain that is about to go: it has no device. */
void msi_forget(struct cordon_domain *d);

#endif
