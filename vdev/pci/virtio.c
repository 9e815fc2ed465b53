/* The one question to a virtio function, through its common configuration [VIRTIO 4.1.4.3]. */
#include "pci/virtio.h"
#include <cordon/error.h>

bool pci_is_virtio(const struct pci_function *f)
{
    return f->vendor == VIRTIO_VENDOR && f->device >= VIRTIO_DEVICE_FIRST &&
           f->device <= VIRTIO_DEVICE_LAST;
}

/* The first virtio capability of a type, at least BYTES long; 0: none. */
static uint32_t cap_find(const struct pci_host *h, const struct pci_function *f, uint32_t type,
                         uint32_t bytes)
{
    for (uint32_t i = 0; i < f->caps.vendor_count; i++) {
        uint32_t at = f->caps.vendor[i];

        if (f->caps.vendor_bytes[i] >= bytes && VIRTIO_CAP_TYPE(pci_read(h, f->bdf, at)) == type) {
            return at;
        }
    }
    return 0;
}

/* Where the common configuration is: a BAR's index and an offset into it, checked. */
static bool common_find(const struct pci_host *h, const struct pci_function *f, uint32_t *bar,
                        uint32_t *offset)
{
    uint32_t at = cap_find(h, f, VIRTIO_CAP_TYPE_COMMON, VIRTIO_CAP_BYTES);

    if (at == 0) {
        return false;
    }
    uint32_t index = pci_read(h, f->bdf, at + VIRTIO_CAP_BAR) & 0xffu;
    uint32_t start = pci_read(h, f->bdf, at + VIRTIO_CAP_OFFSET);
    uint32_t len = pci_read(h, f->bdf, at + VIRTIO_CAP_LENGTH);

    if (index >= PCI_BAR_COUNT || (f->bar[index].flags & PCI_BAR_PLACED) == 0 ||
        (start & 3u) != 0 || len < VIRTIO_COMMON_BYTES || start > f->bar[index].len ||
        len > f->bar[index].len - start) {
        return false;
    }
    *bar = index;
    *offset = start;
    return true;
}

int pci_virtio_check(const struct pci_host *h, const struct pci_function *f,
                     struct pci_refusal *out)
{
    uint32_t index;
    uint32_t offset;

    if (!common_find(h, f, &index, &offset)) {
        *out = (struct pci_refusal){.why = PCI_WHY_VIRTIO_BROKEN, .bdf = f->bdf};
        return -CORDON_EHW;
    }
    const struct pci_bar *bar = &f->bar[index];

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

/* ---- reset ---------------------------------------------------------------------------------- */

bool pci_virtio_can_reset(const struct pci_host *h, const struct pci_function *f)
{
    uint32_t index;
    uint32_t offset;

    return pci_is_virtio(f) && common_find(h, f, &index, &offset);
}

void pci_virtio_reset(const struct pci_host *h, const struct pci_function *f)
{
    uint32_t index;
    uint32_t offset;

    if (common_find(h, f, &index, &offset)) {
        pci_command(h, f->bdf, 0, PCI_COMMAND_MEMORY);
        pci_bar_write32(h, &f->bar[index], offset + VIRTIO_COMMON_STATUS, 0);
    }
}

bool pci_virtio_is_reset(const struct pci_host *h, const struct pci_function *f)
{
    uint32_t index;
    uint32_t offset;

    return common_find(h, f, &index, &offset) &&
           (pci_bar_read32(h, &f->bar[index], offset + VIRTIO_COMMON_STATUS) & 0xffu) == 0;
}
