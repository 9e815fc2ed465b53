/* Who may be given apart from whom: device ids, isolation groups, claims. */
#ifndef VDEV_PCI_GROUP_H
#define VDEV_PCI_GROUP_H

#include "pci/host.h"

/* The id by which IOMMU number *IOMMU knows the function [devicetree pci-iommu binding].
 * Errors: ENOENT (no tuple covers it: it is not behind an IOMMU). */
CORDON_MUST_CHECK int pci_device_id(const struct pci_host *h, uint32_t bdf, uint32_t *iommu,
                                    uint32_t *id);

/*
 * Turn access control on wherever it exists, then gather functions into groups: f->group is the
 * lowest table index of the group, f->group_why why F is not alone. After pci_scan.
 */
void pci_groups_make(struct pci_host *h);

/* GUEST (not 0) wants the function. Errors: ENOENT, EBUSY (another guest has claimed it, or a claim
 * of the same guest exists), EPERM (a bridge, the IOMMU, or broken for ever); OUT says why on
 * error. */
CORDON_MUST_CHECK int pci_claim(struct pci_host *h, uint32_t bdf, uint32_t guest,
                                struct pci_refusal *out);
void pci_unclaim(struct pci_host *h, uint32_t bdf);

/* May F be given, once all claims are made? Errors: EPERM (a bridge takes over its requester id;
 * its group holds a function that is not its guest's: OUT->value is that one's bdf; F->group_why
 * says why they are one group). */
CORDON_MUST_CHECK int pci_group_check(const struct pci_host *h, const struct pci_function *f,
                                      struct pci_refusal *out);

#endif
