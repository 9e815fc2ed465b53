/* Where BARs stand on the machine's bus. */
#ifndef VDEV_PCI_PLACE_H
#define VDEV_PCI_PLACE_H

#include "pci/host.h"

struct pci_place_report {
    uint32_t placed;   /* memory BARs that have a place */
    uint32_t kept;     /* of these, where firmware had put them */
    uint32_t unplaced; /* memory BARs without room; their functions are broken */
    uint32_t io;       /* I/O BARs: never placed */
};

/*
 * Size every BAR and give each a place of whole pages in the windows, so that no page holds two;
 * what firmware placed so is kept. Bridges get the windows that what is below needs. On return
 * registers hold the places, expansion ROMs are off, and only bridges decode.
 */
void pci_place(struct pci_host *h, struct pci_place_report *report);

/* Fill in f->bar from what the registers answer; decoding is off from then on. In size.c. */
void pci_size(const struct pci_host *h, struct pci_function *f);

/* Write F's places into its registers, and read them back. False if one does not hold. */
bool pci_place_write(const struct pci_host *h, const struct pci_function *f);

#endif
