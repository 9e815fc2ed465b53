/*
 * The machine's PCI host bridges: found in the device tree, scanned, their BARs placed, and every
 * function kept off the bus until it is given to a guest.
 */
#ifndef HYP_PCI_MACHINE_PCI_H
#define HYP_PCI_MACHINE_PCI_H

#include <cordon/cordon.h>
#include <cordon/lock.h>

#include "pci/host.h"

#define MACHINE_PCI_HOSTS 4u
#define MACHINE_PCI_FUNCTIONS 256u /* of a host bridge */

/* Read the device tree, scan and place; take over the IOMMUs that are PCI functions. What is wrong
 * is said, and its host bridge or function is given to nobody. On the first hart, once platform
 * IOMMUs are closed. */
void machine_pci_init(cordon_ctx *ctx);

/* The host bridge of SEGMENT, or null. */
struct pci_host *machine_pci_host(uint32_t segment);

/* Whoever assigns or releases functions holds this. */
extern struct cordon_lock machine_pci_lock;

/* host_dt.c: what NODE (pci-host-ecam-generic) says, all but the functions. Errors: EINVAL, ELIMIT,
 * ENOENT; pci_scan checks the rest. */
CORDON_MUST_CHECK int host_from_tree(const void *fdt, int node, struct pci_host *host);

#endif
