/* Virtio functions obey the IOMMU only if they say so. */
#ifndef VDEV_PCI_VIRTIO_H
#define VDEV_PCI_VIRTIO_H

#include "pci/host.h"

bool pci_is_virtio(const struct pci_function *f);

/*
 * Ask a virtio function whether it offers ACCESS_PLATFORM [VIRTIO 6.1]: without it, it uses
 * physical addresses and passes the IOMMU by. Decodes only during the call. Errors: EPERM (it does
 * not offer it), EHW (its common configuration is not where it could be); OUT says why.
 */
CORDON_MUST_CHECK int pci_virtio_check(const struct pci_host *h, const struct pci_function *f,
                                       struct pci_refusal *out);

/*
 * The device's own reset [VIRTIO 2.4]: its status is set to 0, and it has ended all requests once
 * that reads back. The status is a byte, written here with the three beside it, which are read-only
 * or lose nothing by a 0; QEMU's capability for narrow accesses from configuration space is no way:
 * it aborts on machines whose PCI window is an alias. Decodes from pci_virtio_reset on.
 */
bool pci_virtio_can_reset(const struct pci_host *h, const struct pci_function *f);
void pci_virtio_reset(const struct pci_host *h, const struct pci_function *f);
bool pci_virtio_is_reset(const struct pci_host *h, const struct pci_function *f);

#endif
