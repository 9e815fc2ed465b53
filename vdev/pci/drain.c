/*
 * How to know that a device's DMA is over. A device that translates each access is drained by the
 * IOMMU alone; one that may keep translated addresses (QEMU's block and virtio devices map host
 * memory when a request comes in) only by its reset. What is not known here is taken for the second
 * kind.
 */
#include "pci/reset.h"
#include <cordon/device.h>

#define ANY 0xffffu

static const struct {
    uint16_t vendor, device;
    uint32_t drain;
} known[] = {
    {VIRTIO_VENDOR, ANY, CORDON_DRAIN_RESET}, {0x1234, 0x11e8, CORDON_DRAIN_IOMMU}, /* QEMU edu */
    {0x8086, 0x100e, CORDON_DRAIN_IOMMU}, /* 82540EM, QEMU e1000 */
    {0x8086, 0x10d3, CORDON_DRAIN_IOMMU}, /* 82574L, QEMU e1000e */
    {0x8086, 0x10c9, CORDON_DRAIN_IOMMU}, /* 82576, QEMU igb */
    {0x8086, 0x10ca, CORDON_DRAIN_IOMMU}, /* 82576 virtual function */
};

uint32_t pci_drain_method(const struct pci_function *f)
{
    if (f->class_code == PCI_CLASS_NVME) {
        return CORDON_DRAIN_RESET;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].vendor == f->vendor &&
            (known[i].device == ANY || known[i].device == f->device)) {
            return known[i].drain;
        }
    }
    return CORDON_DRAIN_RESET;
}
