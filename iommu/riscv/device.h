/*
 * Devices: known to an IOMMU, attached to at most one domain (INV 5), and awaited when they leave.
 *
 *   known --attach--> attached --detach--> [unconfirmed] --> [undrained] --> known
 *
 * Unconfirmed: the context is gone, but the IOMMU has not yet said that it forgot it; view and
 * GSCID stay. Undrained: the device may still use addresses that were translated before; the
 * domain's frames stay. A device leaves the domain's list when it is neither.
 */
#ifndef CORDON_RISCV_DEVICE_H
#define CORDON_RISCV_DEVICE_H

#include "map/domain.h"

struct cordon_device {
    uint64_t mark; /* HANDLE_DEVICE */
    struct cordon_iommu *iommu;
    struct cordon_device *next;        /* the IOMMU's list, under its lock */
    struct cordon_device *domain_next; /* the domain's list, under its lock */
    struct cordon_domain *domain;      /* null: none; written under both locks */
    uint32_t device_id;
    uint32_t drain; /* enum cordon_drain */
    uint32_t view;
    bool own_view;
    bool trial; /* asks what its IOMMU knows: its faults are answers */
    bool attached;
    bool unconfirmed;
    bool undrained; /* drains by reset, and something was taken from it since its last one */
    char name[32];
};

/*
 * The GSCID of a view. Domain numbers are unique while a domain lives, and a domain lives while a
 * view of it is known to an IOMMU: so no two views ever have the same one, and none needs to be
 * allocated. View 1 has the domain's number.
 */
static inline uint16_t device_gscid(uint32_t domain, uint32_t view)
{
    cordon_assert(domain > 0 && domain < CORDON_MAX_DOMAINS);
    cordon_assert(view > 0 && view < CORDON_MAX_VIEWS);
    return (uint16_t)((view - 1) * CORDON_MAX_DOMAINS + domain);
}

static inline uint32_t device_gscid_domain(uint16_t gscid)
{
    return gscid % CORDON_MAX_DOMAINS;
}

/* True while the device's context is valid, or could still be used by its IOMMU. */
static inline bool device_uses_view(const struct cordon_device *dev)
{
    return dev->attached || dev->unconfirmed;
}

/* Ask the IOMMU again to forget a withdrawn context; then view and GSCID are given back, and a
 * device that needs no drain leaves the domain. The caller holds the domain's lock. Errors:
 * EPENDING. */
CORDON_MUST_CHECK int device_confirm(struct cordon_device *dev);

/* The context that an attached device must have. */
struct dc device_context(const struct cordon_device *dev);

/* Copy the name of a device, empty if it is not known. */
void device_name(struct cordon_iommu *iommu, uint32_t device_id, char name[32]);

/* Fill in the nearest region of a domain, if there is one. */
void device_nearest(struct cordon_ctx *ctx, uint32_t domain, cordon_gpa gpa,
                    struct cordon_fault *out);

/* Free what devices of an IOMMU lived in; none is left. */
void device_slabs_free(struct cordon_iommu *iommu);

#endif
