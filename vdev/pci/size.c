/*
 * How large each BAR is: all ones are written, and what sticks is read back [PCI 6.2.5.1]. A device
 * may answer anything, so only one answer is believed: ones from the size upwards.
 */
#include "pci/place.h"

/* What a memory BAR answered, 64 bits; false if that is no power of two of 16 bytes or more. */
static bool mask_len(uint64_t mask, uint64_t *len)
{
    uint64_t size = ~mask + 1;

    if (mask == 0 || size == 0 || (size & (size - 1)) != 0 || size < 16) {
        return false;
    }
    *len = size;
    return true;
}

static void lies(struct pci_function *f, enum pci_why why, uint32_t index)
{
    if (f->broken.why == PCI_WHY_NONE) {
        f->broken = (struct pci_refusal){.why = why, .bdf = f->bdf, .value = index};
    }
}

/* Write all ones, see what sticks, put the old value back. Decoding is off. */
static uint32_t probe(const struct pci_host *h, uint32_t bdf, uint32_t reg, uint32_t *old)
{
    *old = pci_read(h, bdf, reg);
    pci_write(h, bdf, reg, 0xffffffffu);
    uint32_t sticks = pci_read(h, bdf, reg);

    pci_write(h, bdf, reg, *old);
    return sticks;
}

/* Returns how many registers the BAR takes. */
static uint32_t bar_size(const struct pci_host *h, struct pci_function *f, uint32_t i,
                         uint32_t count)
{
    struct pci_bar *bar = &f->bar[i];
    uint32_t old;
    uint32_t old_high = 0;
    uint32_t high = 0xffffffffu;
    uint32_t low = probe(h, f->bdf, PCI_BAR(i), &old);
    uint32_t registers = 1;

    if (low == 0) {
        return 1; /* no BAR */
    }
    if ((low & PCI_BAR_IS_IO) != 0) {
        bar->flags = PCI_BAR_IO;
        return 1;
    }
    if ((low & PCI_BAR_TYPE) == PCI_BAR_TYPE_64) {
        if (i + 1 == count) {
            lies(f, PCI_WHY_BAR_PAIR, i);
            return 1;
        }
        high = probe(h, f->bdf, PCI_BAR(i + 1), &old_high);
        bar->flags = PCI_BAR_64;
        registers = 2;
    } else if ((low & PCI_BAR_TYPE) != PCI_BAR_TYPE_32) {
        lies(f, PCI_WHY_BAR_LIES, i);
        return 1;
    }
    bar->flags |= (low & PCI_BAR_IS_PREFETCH) != 0 ? PCI_BAR_PREFETCH : 0;
    if (!mask_len((uint64_t)high << 32 | (low & ~PCI_BAR_MEMORY_FLAGS), &bar->len)) {
        bar->flags = 0;
        lies(f, PCI_WHY_BAR_LIES, i);
    } else {
        bar->bus = (uint64_t)old_high << 32 | (old & ~PCI_BAR_MEMORY_FLAGS);
    }
    return registers;
}

void pci_size(const struct pci_host *h, struct pci_function *f)
{
    uint32_t count = f->bridge ? PCI_BRIDGE_BAR_COUNT : PCI_BAR_COUNT;

    pci_command(h, f->bdf, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 0);
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        f->bar[i] = (struct pci_bar){0};
    }
    if (f->broken.why == PCI_WHY_HEADER) {
        return;
    }
    for (uint32_t i = 0; i < count;) {
        i += bar_size(h, f, i, count);
    }
    pci_write(h, f->bdf, f->bridge ? PCI_BRIDGE_ROM : PCI_ROM, 0);
}
