/* Performance counters of one IOMMU; see cordon/hpm.h for what they are. */
#ifndef CORDON_RISCV_HPM_H
#define CORDON_RISCV_HPM_H

#include <stdint.h>

#define HPM_CYCLES 0u
#define HPM_COUNTERS 31u /* of events, from 1 on */

struct cordon_iommu;

/* Bit n of a set is counter n. Under the IOMMU's lock. */
struct hpm {
    uint32_t found;
    uint32_t taken;
    uint64_t mask;                    /* the bits that every counter has */
    uint64_t total[HPM_COUNTERS + 1]; /* as it was read last; its low bits are the counter's */
};

/* Stop what firmware had counted, and find out which counters there are. As the IOMMU comes up. */
void hpm_find(struct cordon_iommu *iommu);

#endif
