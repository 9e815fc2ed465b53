/*
 * Giving a function to a guest, and taking it back.
 *
 * Assign: off the bus, reset, known to the IOMMU and attached, BARs made resources; then the guest
 * may be shown it (pass.h). Release is the reverse, with proof that its DMA is over before anything
 * else gets its frames. Calls for functions of one host are serialized by the caller.
 */
#ifndef VDEV_PCI_ASSIGN_H
#define VDEV_PCI_ASSIGN_H

#include "pci/reset.h"
#include <cordon/device.h>

struct pci_assign_config {
    cordon_ctx *ctx;
    cordon_domain *domain;
    cordon_iommu *const *iommus; /* by the numbers of the host's iommu map */
    uint32_t iommu_count;        /* 0: a machine without */
    uint32_t guest;              /* as in pci_claim */
    uint32_t attach_flags;       /* CORDON_ATTACH_... */
    bool no_reset_allowed;       /* a function without reset is given all the same */
    bool no_iommu_allowed;       /* on a machine without any IOMMU: no isolation */
    char name[32];               /* for reports, NUL-terminated */
};

enum pci_stage {
    PCI_STAGE_FREE = 0,
    PCI_STAGE_BEGUN, /* off the bus, its reset going on */
    PCI_STAGE_ASSIGNED,
    PCI_STAGE_RESETTING, /* assigned; the guest asked for a reset that is going on */
    PCI_STAGE_LOST,      /* assigned; did not come back from that */
    PCI_STAGE_LEAVING    /* off the bus; hardware has not yet said that all is over */
};

struct pci_assignment {
    enum pci_stage stage;
    struct pci_host *h;
    struct pci_function *f;
    struct pci_assign_config cfg;
    struct pci_reset reset;
    bool reset_works;       /* by reset.kind; false: it has none, and that was allowed */
    bool resetting;         /* one that the guest asked for goes on: the function is left alone */
    bool attached;          /* has a context */
    bool drained;           /* its DMA is proven over */
    cordon_device *dev;     /* null on a machine without IOMMU */
    uint32_t resources;     /* BARs that are resources, a bit each */
    struct pci_refusal why; /* the last refusal */
};

/*
 * Check everything that can be checked, take the function off the bus and start its reset. Time
 * passes while other things are done; pci_assign_finish waits for what is left. Errors, nothing
 * changed but a->why: ENOENT, EBUSY (assigned), EPERM (claim, group, page sharing, virtio without
 * ACCESS_PLATFORM), ENOTSUP (not behind an IOMMU, no reset, no way to drain), EHW.
 */
CORDON_MUST_CHECK int pci_assign_begin(struct pci_assignment *a, struct pci_host *h, uint32_t bdf,
                                       const struct pci_assign_config *cfg);

/*
 * Wait for the reset, bounded; attach; make the BARs resources. Errors: ETIMEOUT, EHW, ENOTSUP
 * (reset), those of cordon_device_add, cordon_device_attach and cordon_resource_add. All is undone
 * then, and the stage is FREE; unless the IOMMU does not confirm that, when it is LEAVING: see
 * pci_release.
 */
CORDON_MUST_CHECK int pci_assign_finish(struct pci_assignment *a);

/*
 * Take it back from any stage, the guest seeing it no more. Errors: EPENDING, ETIMEOUT, EHW (its
 * DMA is not proven over: frames stay REVOKING), EBUSY (a BAR is still in a map). It is off the bus
 * then, the stage is LEAVING, and the call may be made again.
 */
CORDON_MUST_CHECK int pci_release(struct pci_assignment *a);

/* The guest wants a reset: begin it, and go on with it. The context stays. 0 from poll: over, and
 * the device drained. Errors: ENOTSUP, EBUSY (not yet), or lost (stage LOST, off the bus). */
CORDON_MUST_CHECK int pci_assign_reset(struct pci_assignment *a);
CORDON_MUST_CHECK int pci_assign_reset_poll(struct pci_assignment *a);

/*
 * Policy after faults: off the bus and out of the IOMMU at once, whatever the guest does; it sees
 * nothing there any more. Stage LOST until pci_release. The caller holds the lock of the guest's
 * bridge. Errors: EINVAL (not assigned), EPENDING (done, but the IOMMU has not confirmed it).
 */
CORDON_MUST_CHECK int pci_quarantine(struct pci_assignment *a);

#endif
