/* The one question to a virtio function, through its common configuration [VIRTIO 4.1.4.3]. */
#include "pci/virtio.h"
#include <cordon/error.h>

bool pci_is_virtio(const struct pci_function *f)
{
    return f->vendor == VIRTIO_VENDOR && f->device >= VIRTIO_DEVICE_FIRST &&
           f->device <= VIRTIO_DEVICE_LAST;
}

/* The BAR that holds the common configuration, checked; null if none does. */
static const struct pci_bar *common_find(const struct pci_host *h, const struct pci_function *f,
                                         uint32_t *offset)
{
    for (uint32_t i = 0; i < f->caps.vendor_count; i++) {
        uint32_t at = f->caps.vendor[i];

        if (f->caps.vendor_bytes[i] < VIRTIO_CAP_BYTES ||
            VIRTIO_CAP_TYPE(pci_read(h, f->bdf, at)) != VIRTIO_CAP_TYPE_COMMON) {
            continue;
        }
        uint32_t index = pci_read(h, f->bdf, at + VIRTIO_CAP_BAR) & 0xffu;
        uint32_t start = pci_read(h, f->bdf, at + VIRTIO_CAP_OFFSET);
        uint32_t len = pci_read(h, f->bdf, at + VIRTIO_CAP_LENGTH);

        if (index >= PCI_BAR_COUNT || (f->bar[index].flags & PCI_BAR_PLACED) == 0 ||
            (start & 3u) != 0 || len < VIRTIO_COMMON_BYTES || start > f->bar[index].len ||
            len > f->bar[index].len - start) {
            return NULL;
        }
        *offset = start;
        return &f->bar[index];
    }
    return NULL;
}

int pci_virtio_check(const struct pci_host *h, const struct pci_function *f,
                     struct pci_refusal *out)
{
    uint32_t offset;
    const struct pci_bar *bar = common_find(h, f, &offset);

    if (bar == NULL) {
        *out = (struct pci_refusal){.why = PCI_WHY_VIRTIO_BROKEN, .bdf = f->bdf};
        return -CORDON_EHW;
    }
    pci_command(h, f->bdf, 0, PCI_COMMAND_MEMORY);
    pci_bar_write32(h, bar, offset + VIRTIO_COMMON_FEATURE_SELECT, VIRTIO_F_ACCESS_PLATFORM / 32);
    uint32_t high = pci_bar_read32(h, bar, offset + VIRTIO_COMMON_FEATURE);

    pci_command(h, f->bdf, PCI_COMMAND_MEMORY, 0);
    if (high == PCI_ABSENT || (high >> (VIRTIO_F_ACCESS_PLATFORM % 32) & 1) == 0) {
        *out = (struct pci_refusal){.why = PCI_WHY_VIRTIO_BYPASS, .bdf = f->bdf};
        return -CORDON_EPERM;
    }
    return 0;
}
