/*
 * Does an IOMMU know 64 KiB leaves? [Priv Svnapot; IOMMU 2.3, and 5.24 to 5.26: debug translation]
 *
 * The specification has every IOMMU know them and no capability tell, and there are some that do
 * not: QEMU 10.0.2's takes such a word for one of 4 KiB, and leads all 16 pages to one. So it is
 * tried, when the IOMMU has come up and no device is known to it: the widest device id is attached
 * to a domain with two such leaves, which can only be read, and hold zeroes. One of them is given a
 * size that is reserved. Then the debug registers are asked where some addresses lead. If there is
 * such a device, and it masters the bus already, zeroes are all that it reaches meanwhile.
 */
#ifndef CORDON_RISCV_NAPOT_H
#define CORDON_RISCV_NAPOT_H

#include "riscv/iommu.h"

/* Fill in info.napot of an IOMMU that is open. One that does not answer, or for which there is no
 * memory, stays untried; what it may still walk is never used again. An audit in between may find
 * the reserved words. */
void napot_try(struct cordon_iommu *iommu);

#endif
