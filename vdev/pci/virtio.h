/* Virtio functions obey the IOMMU only if they say so. */
#ifndef VDEV_PCI_VIRTIO_H
#define VDEV_PCI_VIRTIO_H

#include "pci/host.h"

bool pci_is_virtio(const struct pci_function *f);

/*
 * Ask a virtio function whether it offers ACCESS_PLATFORM [VIRTIO 6.1]: without it, it uses physical
 * addresses and passes the IOMMU by. Decodes only during the call. Errors: EPERM (it does not offer it),
 * EHW (its common configuration is not where it could be); OUT says why.
 */
CORDON_MUST_CHECK int pci_virtio_check(const struct pci_host *h, const struct pci_function *f,
                                       struct pci_refusal *out);

#endif
