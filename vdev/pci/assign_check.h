/* What must be true of a function before it is given away; changes nothing. */
#ifndef VDEV_PCI_ASSIGN_CHECK_H
#define VDEV_PCI_ASSIGN_CHECK_H

#include "pci/assign.h"

/* Errors as pci_assign_begin; OUT says why. */
CORDON_MUST_CHECK int pci_assign_check(const struct pci_host *h, const struct pci_function *f,
                                       const struct pci_assign_config *cfg,
                                       struct pci_refusal *out);

#endif
