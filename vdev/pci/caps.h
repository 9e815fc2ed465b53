/* Capability lists: what a function has, and where. */
#ifndef VDEV_PCI_CAPS_H
#define VDEV_PCI_CAPS_H

#include "pci/host.h"

/*
 * Walk both lists of F into f->caps. A list that is a cycle, leaves configuration space, or holds
 * capabilities that overlap makes the function broken (f->broken), with no capabilities at all. The
 * first capability of a kind counts.
 */
void pci_caps_walk(const struct pci_host *h, struct pci_function *f);

/* Switch off what a device could use to speak past its requester id or translation: ATS, page
 * requests, process ids, virtual functions. */
void pci_caps_close(const struct pci_host *h, const struct pci_function *f);

#endif
