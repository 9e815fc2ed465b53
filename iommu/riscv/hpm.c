/*
 * Performance counters [IOMMU 5.19 to 5.23].
 *
 * A counter that is not taken is inhibited, and is set up only then. OF stays set in each selector,
 * so that none interrupts: a wrap loses nothing, for a value's low bits say how far it has gone.
 */
#include <cordon/hpm.h>

#include "core/handle.h"
#include "riscv/iommu.h"

#define GSCID_BITS 16
#define IDT_EVENTS \
    (BIT64(CORDON_HPM_TLB_MISS) | BIT64(CORDON_HPM_FIRST_WALK) | BIT64(CORDON_HPM_SECOND_WALK))

/* The counters that are taken count; no other. */
static void let_count(const struct cordon_iommu *iommu)
{
    reg_write32(&iommu->mmio, REG32_IOCOUNTINH, ~iommu->hpm.taken);
}

void hpm_find(struct cordon_iommu *iommu)
{
    const struct iommu_mmio *m = &iommu->mmio;
    struct hpm *hpm = &iommu->hpm;

    if ((iommu->info.capabilities & CAP_HPM) == 0) {
        return;
    }
    *hpm = (struct hpm){.taken = 1u << HPM_CYCLES, .mask = UINT64_MAX};
    let_count(iommu);
    for (uint32_t n = 1; n <= HPM_COUNTERS; n++) {
        uint64_t bits;

        reg_write64(m, REG64_IOHPMEVT(n), 0);
        reg_write64(m, REG64_IOHPMCTR(n), UINT64_MAX);
        bits = reg_read64(m, REG64_IOHPMCTR(n)); /* one that is not there stays 0 */
        if (bits != 0) {
            hpm->found |= UINT32_C(1) << n;
            hpm->mask &= bits;
            iommu->info.hpm_counters++;
        }
    }
}

static bool is_sound(const struct cordon_hpm_select *what)
{
    uint32_t by = what->flags & (CORDON_HPM_DV_GSCV | CORDON_HPM_IDT);

    if (what->size != sizeof(*what) || what->event < CORDON_HPM_UNTRANSLATED ||
        what->event > CORDON_HPM_SECOND_WALK || (what->flags & ~CORDON_HPM_DMASK) != by) {
        return false;
    }
    switch (by) {
    case 0:
        return what->flags == 0 && what->did_gscid == 0;
    case CORDON_HPM_DV_GSCV:
        return what->did_gscid >> DDT_DEVICE_ID_BITS == 0;
    case CORDON_HPM_DV_GSCV | CORDON_HPM_IDT: /* others would not be counted [IOMMU 5.23] */
        return what->did_gscid >> GSCID_BITS == 0 && (BIT64(what->event) & IDT_EVENTS) != 0;
    default:
        return false;
    }
}

static uint64_t select_word(const struct cordon_hpm_select *what)
{
    const uint32_t by = CORDON_HPM_DV_GSCV | CORDON_HPM_IDT;

    return IOHPMEVT_OF | (uint64_t)(what->flags & by) << IOHPMEVT_PV_PSCV_SHIFT |
           (uint64_t)what->did_gscid << IOHPMEVT_DID_GSCID_SHIFT |
           (what->flags & CORDON_HPM_DMASK) << IOHPMEVT_DMASK_SHIFT | what->event;
}

/* Set up a counter that is free. */
static int take(struct cordon_iommu *iommu, uint64_t word, uint32_t *counter)
{
    const struct iommu_mmio *m = &iommu->mmio;
    struct hpm *hpm = &iommu->hpm;
    uint32_t left = hpm->found & ~hpm->taken, n;

    if (left == 0) {
        return -CORDON_ELIMIT;
    }
    n = (uint32_t)__builtin_ctz(left);
    reg_write64(m, REG64_IOHPMEVT(n), word);
    if (reg_read64(m, REG64_IOHPMEVT(n)) != word) { /* WARL */
        reg_write64(m, REG64_IOHPMEVT(n), 0);
        return -CORDON_ENOTSUP;
    }
    reg_write64(m, REG64_IOHPMCTR(n), 0);
    hpm->total[n] = 0;
    hpm->taken |= UINT32_C(1) << n;
    let_count(iommu);
    *counter = n;
    return 0;
}

/* A read may be two of 32 bits, the upper half first [IOMMU 5]: one with a carry in
 * between says too little. */
static uint64_t counter_now(const struct cordon_iommu *iommu, uint32_t n)
{
    uint64_t first = reg_read64(&iommu->mmio, REG64_IOHPMCTR(n));
    uint64_t second = reg_read64(&iommu->mmio, REG64_IOHPMCTR(n));

    return first > second ? first : second;
}

/* Lock what counter N, which counts, is of. */
static int counter_open(cordon_iommu *iommu, uint32_t n)
{
    int err = 0;

    if (iommu == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(iommu, HANDLE_IOMMU)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&iommu->lock);
    if (iommu->hpm.taken == 0) {
        err = -CORDON_ENOTSUP;
    } else if (n > HPM_COUNTERS || (iommu->hpm.taken >> n & 1) == 0) {
        err = -CORDON_ENOENT;
    }
    if (err) {
        lock_give(&iommu->lock);
    }
    return err;
}

int cordon_hpm_begin(cordon_iommu *iommu, const struct cordon_hpm_select *what, uint32_t *counter)
{
    int err;

    if (what == NULL || counter == NULL) {
        return -CORDON_EINVAL;
    }
    err = counter_open(iommu, HPM_CYCLES); /* which are always there */
    if (err) {
        return err;
    }
    err = is_sound(what) ? take(iommu, select_word(what), counter) : -CORDON_EINVAL;
    lock_give(&iommu->lock);
    return err;
}

int cordon_hpm_read(cordon_iommu *iommu, uint32_t counter, uint64_t *value)
{
    int err = value != NULL ? counter_open(iommu, counter) : -CORDON_EINVAL;
    uint64_t *total;

    if (err) {
        return err;
    }
    total = &iommu->hpm.total[counter];
    *total += (counter_now(iommu, counter) - *total) &
              (counter == HPM_CYCLES ? IOHPMCYCLES_COUNTER : iommu->hpm.mask);
    *value = *total;
    lock_give(&iommu->lock);
    return 0;
}

int cordon_hpm_end(cordon_iommu *iommu, uint32_t counter)
{
    int err = counter_open(iommu, counter);

    if (err) {
        return err;
    }
    if (counter != HPM_CYCLES) {
        iommu->hpm.taken &= ~(UINT32_C(1) << counter);
        let_count(iommu);
        reg_write64(&iommu->mmio, REG64_IOHPMEVT(counter), 0);
    }
    lock_give(&iommu->lock);
    return 0;
}
