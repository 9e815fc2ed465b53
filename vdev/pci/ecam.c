/*
 * Configuration space of the machine, reached at ECAM + (bus << 20 | device << 15 | function <<
 * 12). Always 32 bits at a time [PCIe 7.2.2]: reads have no side effects, and see pci_change for
 * writes.
 */
#include "pci/host.h"
#include <cordon/error.h>
#include <cordon/port.h>

static bool ranges_meet(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static uint64_t ecam_len(const struct pci_host *h)
{
    return ((uint64_t)h->last_bus - h->first_bus + 1) << 20;
}

static int window_check(const struct pci_host *h, uint32_t index)
{
    const struct pci_window *w = &h->window[index];

    if (w->len == 0 || w->bus + w->len < w->bus || w->hpa.v + w->len < w->hpa.v) {
        return -CORDON_ERANGE;
    }
    if (((w->bus | w->hpa.v | w->len) & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_EALIGN;
    }
    if ((w->flags & PCI_WINDOW_64) == 0 && w->bus + w->len > UINT64_C(1) << 32) {
        return -CORDON_ERANGE;
    }
    if (ranges_meet(w->hpa.v, w->len, h->ecam.v, ecam_len(h))) {
        return -CORDON_EEXIST;
    }
    for (uint32_t i = 0; i < index; i++) {
        const struct pci_window *other = &h->window[i];

        if (ranges_meet(w->bus, w->len, other->bus, other->len) ||
            ranges_meet(w->hpa.v, w->len, other->hpa.v, other->len)) {
            return -CORDON_EEXIST;
        }
    }
    return 0;
}

int pci_host_check(const struct pci_host *h)
{
    if (h->functions == NULL || h->capacity == 0 || h->window_count > PCI_MAX_WINDOWS ||
        h->map_count > PCI_MAX_IOMMU_MAP || h->last_bus < h->first_bus) {
        return -CORDON_EINVAL;
    }
    if ((h->ecam.v & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_EALIGN;
    }
    if (h->ecam.v + ecam_len(h) < h->ecam.v) {
        return -CORDON_ERANGE;
    }
    for (uint32_t i = 0; i < h->window_count; i++) {
        int err = window_check(h, i);

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* Where a register stands; false beyond the host's buses or the function's 4 KiB. */
static bool ecam_reg(const struct pci_host *h, uint32_t bdf, uint32_t offset, cordon_hpa *reg)
{
    uint32_t bus = PCI_BUS_OF(bdf);

    if (bus < h->first_bus || bus > h->last_bus || offset >= PCI_CONFIG_EXTENDED_BYTES) {
        return false;
    }
    cordon_assert((offset & 3u) == 0);
    *reg = cordon_hpa_add(h->ecam, ((uint64_t)(bus - h->first_bus) << 20) |
                                       ((uint64_t)(bdf & 0xffu) << 12) | offset);
    return true;
}

uint32_t pci_read(const struct pci_host *h, uint32_t bdf, uint32_t offset)
{
    cordon_hpa reg;

    return ecam_reg(h, bdf, offset, &reg) ? cordon_port_read32(h->cookie, reg) : PCI_ABSENT;
}

void pci_write(const struct pci_host *h, uint32_t bdf, uint32_t offset, uint32_t value)
{
    cordon_hpa reg;

    if (ecam_reg(h, bdf, offset, &reg)) {
        cordon_port_write32(h->cookie, reg, value);
    }
}

void pci_change(const struct pci_host *h, uint32_t bdf, uint32_t offset, uint32_t bits,
                uint32_t clear, uint32_t set)
{
    uint32_t value = pci_read(h, bdf, offset) & bits;

    pci_write(h, bdf, offset, ((value & ~clear) | set) & bits);
}

void pci_command(const struct pci_host *h, uint32_t bdf, uint32_t clear, uint32_t set)
{
    pci_change(h, bdf, PCI_COMMAND, 0xffffu, clear, set | PCI_COMMAND_INTX_OFF);
}

struct pci_function *pci_find(const struct pci_host *h, uint32_t bdf)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->functions[i].bdf == bdf) {
            return &h->functions[i];
        }
    }
    return NULL;
}

uint32_t pci_bar_read32(const struct pci_host *h, const struct pci_bar *bar, uint64_t offset)
{
    cordon_assert((bar->flags & PCI_BAR_PLACED) != 0 && offset + 4 <= bar->len);
    return cordon_port_read32(h->cookie, cordon_hpa_add(bar->hpa, offset));
}

void pci_bar_write32(const struct pci_host *h, const struct pci_bar *bar, uint64_t offset,
                     uint32_t value)
{
    cordon_assert((bar->flags & PCI_BAR_PLACED) != 0 && offset + 4 <= bar->len);
    cordon_port_write32(h->cookie, cordon_hpa_add(bar->hpa, offset), value);
}

bool pci_is_below(const struct pci_host *h, const struct pci_function *f, uint32_t bridge)
{
    uint32_t at = f->parent;

    while (at != PCI_NOBODY && at > bridge) {
        at = h->functions[at].parent;
    }
    return at == bridge;
}

/* Does anything below the bridge need it to forward requests up? */
static bool is_needed(const struct pci_host *h, uint32_t bridge)
{
    for (uint32_t i = bridge + 1; i < h->count; i++) {
        const struct pci_function *f = &h->functions[i];

        if ((f->assigned || f->class_code == PCI_CLASS_IOMMU) && pci_is_below(h, f, bridge)) {
            return true;
        }
    }
    return false;
}

void pci_master(const struct pci_host *h, struct pci_function *f, bool on)
{
    cordon_assert(!f->bridge && (!on || f->assigned || f->class_code == PCI_CLASS_IOMMU));
    if (!on) {
        pci_command(h, f->bdf, PCI_COMMAND_MASTER, 0);
        (void)pci_read(h, f->bdf, PCI_COMMAND); /* pushes what it had already posted */
    }
    for (uint32_t at = f->parent; at != PCI_NOBODY; at = h->functions[at].parent) {
        bool keep = on || is_needed(h, at);

        pci_command(h, h->functions[at].bdf, PCI_COMMAND_MASTER, keep ? PCI_COMMAND_MASTER : 0);
    }
    if (on) {
        pci_command(h, f->bdf, 0, PCI_COMMAND_MASTER);
    }
}
