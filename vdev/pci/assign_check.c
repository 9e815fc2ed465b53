/* Refusals before assignment, each with its reason. */
#include "pci/assign_check.h"
#include "pci/group.h"
#include "pci/virtio.h"
#include <cordon/error.h>

static int refuse(struct pci_refusal *out, int error, enum pci_why why,
                  const struct pci_function *f, uint64_t value)
{
    *out = (struct pci_refusal){.why = why, .bdf = f->bdf, .value = value};
    return error;
}

/* Is every page of F's BARs its own? */
static int check_pages(const struct pci_host *h, const struct pci_function *f,
                       struct pci_refusal *out)
{
    for (uint32_t n = 0; n < PCI_BAR_COUNT * h->count; n++) {
        const struct pci_function *other = &h->functions[n / PCI_BAR_COUNT];
        const struct pci_bar *theirs = &other->bar[n % PCI_BAR_COUNT];

        if ((theirs->flags & PCI_BAR_PLACED) == 0) {
            continue;
        }
        for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
            const struct pci_bar *bar = &f->bar[i];

            if ((bar->flags & PCI_BAR_PLACED) != 0 && bar != theirs &&
                bar->hpa.v < theirs->hpa.v + pci_page_len(theirs->len) &&
                theirs->hpa.v < bar->hpa.v + pci_page_len(bar->len)) {
                return refuse(out, -CORDON_EPERM, PCI_WHY_BAR_SHARES_PAGE, f, i);
            }
        }
    }
    return 0;
}

static int check_iommu(const struct pci_host *h, const struct pci_function *f,
                       const struct pci_assign_config *cfg, struct pci_refusal *out)
{
    uint32_t iommu;
    uint32_t id;

    if (cfg->iommu_count == 0 && cfg->no_iommu_allowed) {
        return 0;
    }
    if (pci_device_id(h, f->bdf, &iommu, &id) != 0 || iommu >= cfg->iommu_count) {
        return refuse(out, -CORDON_ENOTSUP, PCI_WHY_NO_IOMMU, f, 0);
    }
    return pci_is_virtio(f) ? pci_virtio_check(h, f, out) : 0;
}

static int check_reset(const struct pci_host *h, const struct pci_function *f,
                       const struct pci_assign_config *cfg, struct pci_refusal *out)
{
    if (pci_reset_exists(h, f)) {
        return 0;
    }
    if (!cfg->no_reset_allowed) {
        return refuse(out, -CORDON_ENOTSUP, PCI_WHY_NO_RESET, f, 0);
    }
    if (pci_drain_method(f) == CORDON_DRAIN_RESET) {
        return refuse(out, -CORDON_ENOTSUP, PCI_WHY_NO_DRAIN, f, 0);
    }
    return 0;
}

int pci_assign_check(const struct pci_host *h, const struct pci_function *f,
                     const struct pci_assign_config *cfg, struct pci_refusal *out)
{
    int err;

    if (cfg->guest == 0 || f->guest != cfg->guest) {
        return refuse(out, -CORDON_EPERM, PCI_WHY_CLAIMED, f, f->guest);
    }
    if (f->broken.why != PCI_WHY_NONE) {
        *out = f->broken;
        return -CORDON_EPERM;
    }
    err = pci_group_check(h, f, out);
    if (err == 0) {
        err = check_pages(h, f, out);
    }
    if (err == 0) {
        err = check_reset(h, f, cfg, out);
    }
    if (err == 0) {
        err = check_iommu(h, f, cfg, out);
    }
    return err;
}
