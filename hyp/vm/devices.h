/* The IOMMUs of the machine, and what they report. */
#ifndef HYP_VM_DEVICES_H
#define HYP_VM_DEVICES_H

#include <cordon/cordon.h>

/* Take over and close every IOMMU: from here on no device behind one reaches memory. One that
 * cannot be taken is reported and left off; devices behind it are given to nobody. */
void devices_init(cordon_ctx *ctx);

/* The IOMMU whose device-tree phandle is given, or null. */
cordon_iommu *devices_iommu(uint32_t phandle);

uint32_t devices_iommu_count(void);

/* Collect and say the faults of devices. One hart at a time. */
void devices_poll(void);

#endif
