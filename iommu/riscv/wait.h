/*
 * Bounded waits for an IOMMU: by time, and by turns in case that time stands still.
 *
 * A turn reads a register, which takes longer than 10 ns, so that the bound by turns never cuts a
 * wait short while the clock runs.
 */
#ifndef CORDON_RISCV_WAIT_H
#define CORDON_RISCV_WAIT_H

#include "riscv/regs.h"
#include <cordon/error.h>

#define WAIT_TIMEOUT_US_DEFAULT 1000000u
#define WAIT_TURNS_PER_US 100u

struct wait {
    void *cookie;
    uint64_t start_us;
    uint64_t limit_us;
    uint64_t turns; /* left */
    bool last; /* the bound is reached: one more look, for we may have been held up ourselves */
};

void wait_begin(struct wait *w, const struct iommu_mmio *m);

/* One more turn; false once time or turns are used up. */
CORDON_MUST_CHECK bool wait_again(struct wait *w);

/* Until the bits MASK of a register read WANT. Errors: ETIMEOUT. */
CORDON_MUST_CHECK int wait_reg32(const struct iommu_mmio *m, enum iommu_reg32 reg, uint64_t mask,
                                 uint64_t want);
CORDON_MUST_CHECK int wait_reg64(const struct iommu_mmio *m, enum iommu_reg64 reg, uint64_t mask,
                                 uint64_t want);

#endif
