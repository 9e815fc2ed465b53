/*
 * A function of the machine as its guest sees it: configuration space by allow-list.
 *
 * Identity is the function's. Of its capabilities the guest finds power management (always in D0),
 * MSI, MSI-X, PCI Express, and those that virtio needs; each dword of them says which bits come
 * from the hardware, which the guest may write there, and which it may write into memory of ours.
 * Everything else reads as zero: SR-IOV, ATS, PRI, PASID, ARI, AER, vital product data, ROM, INTx.
 */
#ifndef VDEV_PCI_PASS_H
#define VDEV_PCI_PASS_H

#include "pci/assign.h"
#include "pci/vpci.h"

#define PASS_WORDS ((PCI_CONFIG_BYTES - PCI_CAPS_START) / 4)

/* One dword of the capabilities. A bit is in at most one of LIVE, SOFT and FIXED. */
struct pass_word {
    uint32_t fixed; /* reads so */
    uint32_t live;  /* reads as the hardware says */
    uint32_t hard;  /* of LIVE: writes go to the hardware */
    uint32_t soft;  /* of the guest alone */
    uint32_t first; /* SOFT after reset */
    uint32_t kept;  /* SOFT now */
};

struct vpci_pass {
    struct vpci_function fn;
    struct pci_assignment *a;
    struct pass_word word[PASS_WORDS];
    uint32_t flr;    /* offset of the dword with the FLR bit; 0: no reset to offer */
    uint32_t msi;    /* offset of the dword with MSI's control; 0: none */
    uint32_t resets; /* asked for by the guest and begun */
};

/* Make the guest's face of an assigned function (stage ASSIGNED). A is kept. */
void vpci_pass_init(struct vpci_pass *p, struct pci_assignment *a);

/* The capabilities' dwords, chained. Returns the first one's offset, 0 for none. In pass_caps.c. */
uint8_t vpci_pass_caps(struct vpci_pass *p);

#endif
