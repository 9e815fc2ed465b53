/* What the tests of two IOMMUs share: a fake machine with them, and a domain without devices. */
#ifndef TWO_IOMMUS_H
#define TWO_IOMMUS_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

static struct fake_machine machine;
static struct fake_iommu *const fake = &machine.iommu[0];
static cordon_iommu *iommu[2];
static cordon_domain *domain;

static inline int setup(void **state)
{
    (void)state;
    machine_open(&machine);
    iommu[0] = machine_iommu(&machine, 0, 0xffff);
    iommu[1] = machine_iommu(&machine, 1, 0xffff);
    domain = machine_domain(&machine);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    machine_sound(&machine);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    assert_int_equal(cordon_iommu_remove(iommu[0]), 0);
    assert_int_equal(cordon_iommu_remove(iommu[1]), 0);
    machine_close(&machine);
    return 0;
}

#endif
