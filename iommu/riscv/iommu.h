/*
 * One IOMMU: its registers, queues, directory and devices.
 *
 * Lives in a page of the layer's own. LOCK guards directory, command queue, counters and the list
 * of devices; it is the last lock in the order, and is held while the IOMMU is waited for. The
 * fault queue has a gate of its own (fq.h), since it is emptied by interrupt handlers.
 */
#ifndef CORDON_RISCV_IOMMU_H
#define CORDON_RISCV_IOMMU_H

#include "core/lock.h"
#include "riscv/cq.h"
#include "riscv/ddt.h"
#include "riscv/fq.h"
#include "riscv/hpm.h"
#include "riscv/wait.h"
#include <cordon/device.h>

struct device_slab;

#define IOMMU_DEVICE_LISTS 64u /* by the low bits of the id */

struct cordon_iommu {
    uint64_t mark; /* HANDLE_IOMMU */
    struct cordon_ctx *ctx;
    struct cordon_iommu *next; /* the context's list, under its lock */
    struct iommu_mmio mmio;
    struct cordon_iommu_info info;
    uint32_t index; /* 0..CORDON_MAX_IOMMUS-1, unique in the context */
    uint32_t max_device_id;
    bool open; /* it protects; false while it comes up and after it was turned off */

    struct lock lock;
    struct cq cq;
    struct ddt ddt;
    struct cordon_device *devices[IOMMU_DEVICE_LISTS];
    uint32_t device_count;
    struct device_slab *slabs;
    uint32_t contexts; /* valid device contexts */
    struct hpm hpm;

    struct fq fq;
};

/* Frames of a queue of 2^LOG2 entries of 2^ENTRY_SHIFT bytes, as an order. */
unsigned iommu_queue_order(uint32_t log2, uint32_t entry_shift);

/* Tell the IOMMU where a queue lies. *LOG2 becomes smaller if it supports no such length.
 * Errors: ENOTSUP (it cannot hold the address). */
CORDON_MUST_CHECK int iommu_queue_base(const struct cordon_iommu *iommu, enum iommu_reg64 reg,
                                       cordon_hpa base, uint32_t *log2);

/* True if the IOMMU can reach a table of 2^ORDER frames at HPA [IOMMU capabilities.PAS]. */
bool iommu_can_reach(const struct cordon_iommu *iommu, cordon_hpa hpa, unsigned order);

/* True if it sets A and D of second-stage leaves itself, where a context allows it (tc.GADE). */
static inline bool iommu_marks(const struct cordon_iommu *iommu)
{
    return (iommu->info.capabilities & CAP_AMO_HWAD) != 0;
}

/* Allocate 2^ORDER zeroed frames that the IOMMU can reach. Errors: ENOMEM, ENOTSUP. */
CORDON_MUST_CHECK int iommu_alloc_table(const struct cordon_iommu *iommu, unsigned order,
                                        cordon_hpa *out);

#endif
