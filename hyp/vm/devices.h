/* The IOMMUs of the machine, and what they report. */
#ifndef HYP_VM_DEVICES_H
#define HYP_VM_DEVICES_H

#include <cordon/cordon.h>

/* Take over and close every IOMMU, and take every PCI function off the bus: from here on no device
 * behind an IOMMU reaches memory. One that cannot be taken is reported and left off; devices behind
 * it are given to nobody. */
void devices_init(cordon_ctx *ctx);

/* An IOMMU with this phandle will be added, once the PCI function that it is has a place. */
void devices_expect(uint32_t phandle);
void devices_add(cordon_ctx *ctx, uint32_t phandle, cordon_hpa base);

/* The number of the IOMMU with this phandle, by which the list below is indexed. False: none. */
bool devices_number(uint32_t phandle, uint32_t *number);

/* All IOMMUs by number; null where one could not be taken over. */
cordon_iommu *const *devices_iommus(uint32_t *count);

/* How many were taken over. */
uint32_t devices_iommu_count(void);

/* Collect the faults of devices, and tell of them (fault_report.h). One hart at a time. */
void devices_poll(void);

/* Collect what the IOMMUs hold now, and say everything that was only counted so far: before a VM's
 * end is told, and before the machine's. Any hart. */
void devices_settle(void);

#endif
