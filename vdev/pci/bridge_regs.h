/* Window registers of a PCI-to-PCI bridge, and the way from bus addresses to host ones. */
#ifndef VDEV_PCI_BRIDGE_REGS_H
#define VDEV_PCI_BRIDGE_REGS_H

#include "pci/host.h"

/* Note what firmware left (f->window[].bus, 0 if closed) and whether the prefetchable one is 64
 * bits. */
void bridge_windows_read(const struct pci_host *h, struct pci_function *f);

/* Program f->window and switch forwarding of memory on; I/O is closed. */
void bridge_windows_write(const struct pci_host *h, const struct pci_function *f);

/* The HPA of an address inside one of the host bridge's windows (asserted). */
cordon_hpa bus_to_hpa(const struct pci_host *h, uint64_t bus);

#endif
