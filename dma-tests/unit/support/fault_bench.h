/* What the tests of faults share: one IOMMU with a small fault queue, and faults of it. */
#ifndef UNIT_SUPPORT_FAULT_BENCH_H
#define UNIT_SUPPORT_FAULT_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "riscv/iommu.h"

#define FQ_LOG2 4u
#define BUDGET 1000u

#define LOAD_FAULT 21u
#define STORE_FAULT 23u
#define TTYP_READ 2u
#define TTYP_WRITE 3u

static struct fake_machine machine;
static struct fake_iommu *const fake = &machine.iommu[0];
static cordon_iommu *iommu;
static struct cordon_fault reports[200];

static inline int setup(void **state)
{
    struct cordon_iommu_config cfg = machine_iommu_config(0);

    (void)state;
    machine_open(&machine);
    cfg.fq_log2 = FQ_LOG2;
    cfg.max_device_id = 0xffffff;
    assert_int_equal(cordon_iommu_add(machine.ctx, &cfg, &iommu), 0);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
    return 0;
}

static inline struct cordon_fault_stats stats(void)
{
    struct cordon_fault_stats s;

    cordon_faults_stats(iommu, &s);
    return s;
}

/* One fault, polled at once. */
static inline void fault(uint32_t cause, uint32_t ttyp, uint32_t device_id, uint64_t iova)
{
    fake_fault(fake, cause, ttyp, device_id, iova);
    assert_int_equal(cordon_faults_poll(iommu, BUDGET), 1);
}

#endif
