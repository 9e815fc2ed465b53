/* Why a PCI function, a placement or a guest's request is refused: one word a reason, with its
 * text. */
#ifndef VDEV_PCI_WHY_H
#define VDEV_PCI_WHY_H

#include <stdint.h>

enum pci_why {
    PCI_WHY_NONE = 0,
    /* found by the scan; value: where in configuration space, or which BAR */
    PCI_WHY_MASTER_STUCK,
    PCI_WHY_CAPS_CYCLE,
    PCI_WHY_CAPS_RANGE,
    PCI_WHY_CAPS_OVERLAP,
    PCI_WHY_BAR_LIES,
    PCI_WHY_BAR_PAIR,
    PCI_WHY_BAR_UNPLACED,
    PCI_WHY_BAR_STUCK,
    PCI_WHY_HEADER,
    PCI_WHY_DEPTH,
    /* at assignment; value: the other function's bdf, a device id, a GPA ... */
    PCI_WHY_ABSENT,
    PCI_WHY_BRIDGE,
    PCI_WHY_IS_IOMMU,
    PCI_WHY_CLAIMED,
    PCI_WHY_NO_IOMMU,
    PCI_WHY_ALIAS,
    PCI_WHY_GROUP,
    PCI_WHY_BAR_SHARES_PAGE,
    PCI_WHY_VIRTIO_BYPASS,
    PCI_WHY_VIRTIO_BROKEN,
    PCI_WHY_NO_RESET,
    PCI_WHY_NO_DRAIN,
    PCI_WHY_RESET_TIMEOUT,
    PCI_WHY_RESET_LOST,
    PCI_WHY_ATTACH,
    PCI_WHY_RESOURCE,
    /* a guest moved a BAR; value: the GPA */
    PCI_WHY_ON_RAM,
    PCI_WHY_ON_INTERRUPT_FILE,
    PCI_WHY_ON_CONFIG_SPACE,
    PCI_WHY_ON_DEVICE,
    PCI_WHY_ON_BAR,
    PCI_WHY_OUTSIDE,
    PCI_WHY_MAP,
    PCI_WHY_COUNT
};

/* Why functions belong to one isolation group. */
enum pci_group_why {
    PCI_GROUP_ALONE = 0,
    PCI_GROUP_MULTIFUNCTION, /* one slot, and a function without access control */
    PCI_GROUP_BRIDGE,        /* below a bridge, or beside one, that lets peers talk */
    PCI_GROUP_CONVENTIONAL,  /* below a bridge that stands in for their requester ids */
    PCI_GROUP_SAME_ID,       /* the IOMMU sees one device id */
    PCI_GROUP_WHY_COUNT
};

/* What was refused, for reports. */
struct pci_refusal {
    enum pci_why why;
    uint32_t bdf;   /* the function */
    uint64_t value; /* see enum pci_why */
};

/* A short English phrase, static, never null: "no reset method". */
const char *pci_why_text(enum pci_why why);
const char *pci_group_why_text(enum pci_group_why why);

#endif
