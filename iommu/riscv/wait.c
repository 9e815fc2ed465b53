/* Bounded waits: see wait.h. */
#include "riscv/wait.h"

void wait_begin(struct wait *w, const struct iommu_mmio *m)
{
    w->cookie = m->cookie;
    w->start_us = cordon_port_time_us(m->cookie);
    w->limit_us = m->timeout_us;
    w->turns = (uint64_t)m->timeout_us * WAIT_TURNS_PER_US;
    w->last = false;
}

bool wait_again(struct wait *w)
{
    uint64_t now_us = cordon_port_time_us(w->cookie);

    if (w->last) {
        return false;
    }
    /* A clock that steps back is treated as one that stands still. */
    w->last = w->turns == 0 || (now_us > w->start_us && now_us - w->start_us >= w->limit_us);
    if (!w->last) {
        w->turns--;
    }
    cordon_port_relax(w->cookie);
    return true;
}

int wait_reg32(const struct iommu_mmio *m, enum iommu_reg32 reg, uint64_t mask, uint64_t want)
{
    struct wait w;

    wait_begin(&w, m);
    while ((reg_read32(m, reg) & mask) != want) {
        if (!wait_again(&w)) {
            return -CORDON_ETIMEOUT;
        }
    }
    return 0;
}

int wait_reg64(const struct iommu_mmio *m, enum iommu_reg64 reg, uint64_t mask, uint64_t want)
{
    struct wait w;

    wait_begin(&w, m);
    while ((reg_read64(m, reg) & mask) != want) {
        if (!wait_again(&w)) {
            return -CORDON_ETIMEOUT;
        }
    }
    return 0;
}
