/* Invariants 2, 5 and 6 where IOMMUs are concerned, re-derived from memory. */
#ifndef CORDON_RISCV_AUDIT_H
#define CORDON_RISCV_AUDIT_H

#include <cordon/map.h>

/*
 * INV 5: ddtp leads to our directory; every valid device context belongs to an attached device. INV
 * 6: it says exactly what its view does, and its second stage is never Bare. INV 2: the MSI table
 * of each device view holds exactly what was set, and leads only to files that its domain holds.
 *
 * The caller holds the context's lock, and no domain changes meanwhile; locks of IOMMUs are taken
 * here. Returns 0, or ECORRUPT with FIRST filled in. cordon_audit calls it.
 */
CORDON_MUST_CHECK int iommu_audit(const struct cordon_ctx *ctx, struct cordon_finding *first);

#endif
