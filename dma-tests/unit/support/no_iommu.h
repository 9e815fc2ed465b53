/* What the tests share that add IOMMUs themselves: a fake machine, dropped if a test has not closed
 * it. */
#ifndef NO_IOMMU_H
#define NO_IOMMU_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"

static struct fake_machine machine;
static struct fake_iommu *const fake = &machine.iommu[0];

static inline int setup(void **state)
{
    (void)state;
    machine_open(&machine);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    if (machine.ram != NULL) {
        machine_drop(&machine);
    }
    return 0;
}

#endif
