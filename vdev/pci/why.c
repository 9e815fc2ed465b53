/* The texts of why.h. */
#include "pci/why.h"

const char *pci_why_text(enum pci_why why)
{
    static const char *const text[PCI_WHY_COUNT] = {
        [PCI_WHY_NONE] = "no reason",
        [PCI_WHY_MASTER_STUCK] = "bus mastering cannot be turned off",
        [PCI_WHY_CAPS_CYCLE] = "its capability list is a cycle",
        [PCI_WHY_CAPS_RANGE] = "its capability list leaves configuration space",
        [PCI_WHY_CAPS_OVERLAP] = "two of its capabilities overlap",
        [PCI_WHY_BAR_LIES] = "a BAR that does not size as a power of two",
        [PCI_WHY_BAR_PAIR] = "a 64-bit BAR without its upper half",
        [PCI_WHY_BAR_UNPLACED] = "no room for a BAR in the host bridge's windows",
        [PCI_WHY_BAR_STUCK] = "a BAR does not keep its address",
        [PCI_WHY_HEADER] = "an unknown header type",
        [PCI_WHY_DEPTH] = "more bridges or buses behind each other than are followed",
        [PCI_WHY_ABSENT] = "there is no such function on the machine's bus",
        [PCI_WHY_BRIDGE] = "a bridge cannot be given away",
        [PCI_WHY_IS_IOMMU] = "the IOMMU itself cannot be given away",
        [PCI_WHY_CLAIMED] = "it is claimed by another VM",
        [PCI_WHY_NO_IOMMU] = "it is not behind an IOMMU (QEMU: -M virt,iommu-sys=on)",
        [PCI_WHY_ALIAS] = "a bridge above it takes over its requester id",
        [PCI_WHY_GROUP] = "its isolation group holds a function that the VM is not given",
        [PCI_WHY_BAR_SHARES_PAGE] = "a page of its BAR also holds something else",
        [PCI_WHY_VIRTIO_BYPASS] =
            "a virtio function without ACCESS_PLATFORM (QEMU: iommu_platform=on,disable-legacy=on)",
        [PCI_WHY_VIRTIO_BROKEN] = "a virtio function without usable common configuration",
        [PCI_WHY_NO_RESET] = "no reset method",
        [PCI_WHY_NO_DRAIN] = "neither a reset method nor a known way to drain it",
        [PCI_WHY_RESET_TIMEOUT] = "its reset did not end in time",
        [PCI_WHY_RESET_LOST] = "it did not come back from reset as it was",
        [PCI_WHY_ATTACH] = "the IOMMU refused it",
        [PCI_WHY_RESOURCE] = "a BAR could not become a resource of the VM",
        [PCI_WHY_ON_RAM] = "the BAR lies on RAM",
        [PCI_WHY_ON_INTERRUPT_FILE] = "the BAR lies on an interrupt file",
        [PCI_WHY_ON_CONFIG_SPACE] = "the BAR lies on PCI configuration space",
        [PCI_WHY_ON_DEVICE] = "the BAR lies on another device",
        [PCI_WHY_ON_BAR] = "the BAR lies on another BAR",
        [PCI_WHY_OUTSIDE] = "the BAR lies outside the host bridge's windows",
        [PCI_WHY_MAP] = "the map could not take the BAR",
    };

    return (unsigned)why < PCI_WHY_COUNT ? text[why] : "unknown reason";
}

const char *pci_group_why_text(enum pci_group_why why)
{
    static const char *const text[PCI_GROUP_WHY_COUNT] = {
        [PCI_GROUP_ALONE] = "alone",
        [PCI_GROUP_MULTIFUNCTION] = "functions of one slot without access control",
        [PCI_GROUP_BRIDGE] = "below or beside a bridge without access control",
        [PCI_GROUP_CONVENTIONAL] = "below a bridge that takes over requester ids",
        [PCI_GROUP_SAME_ID] = "the IOMMU sees one device id",
    };

    return (unsigned)why < PCI_GROUP_WHY_COUNT ? text[why] : "unknown reason";
}
