/* Window registers of a PCI-to-PCI bridge [PCIe 7.5.1.3]. A window is closed by a base above its
 * limit. */
#include "pci/bridge_regs.h"
#include "pci/place.h"
#include <cordon/port.h>

#define WINDOW_CLOSED 0x0000fff0u /* base at the top, limit at the bottom */
#define IO_CLOSED 0x000000f0u

void bridge_windows_read(const struct pci_host *h, struct pci_function *f)
{
    uint32_t low = pci_read(h, f->bdf, PCI_BRIDGE_MEMORY);
    uint32_t high = pci_read(h, f->bdf, PCI_BRIDGE_PREFETCH);
    uint64_t low_base = (uint64_t)(low & 0xfff0u) << 16;
    uint64_t high_base = (uint64_t)(high & 0xfff0u) << 16;
    uint64_t high_limit = high & 0xfff00000u;

    f->prefetch_64 = (high & 0xfu) == PCI_BRIDGE_PREFETCH_64;
    if (f->prefetch_64) {
        high_base |= (uint64_t)pci_read(h, f->bdf, PCI_BRIDGE_PREFETCH_HIGH) << 32;
        high_limit |= (uint64_t)pci_read(h, f->bdf, PCI_BRIDGE_PREFETCH_LIMIT_HIGH) << 32;
    }
    f->window[PCI_LOW] = (struct pci_span){.bus = low_base <= (low & 0xfff00000u) ? low_base : 0};
    f->window[PCI_HIGH] = (struct pci_span){.bus = high_base <= high_limit ? high_base : 0};
}

/* Base and limit as the 16-bit pair holds them. */
static uint32_t window_pair(const struct pci_span *span)
{
    uint64_t last = span->bus + span->len - 1;

    if (span->len == 0 || !span->placed) {
        return WINDOW_CLOSED;
    }
    return ((uint32_t)span->bus >> 16 & 0xfff0u) | ((uint32_t)last & 0xfff00000u);
}

void bridge_windows_write(const struct pci_host *h, const struct pci_function *f)
{
    const struct pci_span *high = &f->window[PCI_HIGH];
    bool open = high->placed && high->len != 0;

    pci_change(h, f->bdf, PCI_BRIDGE_IO, 0xffffu, 0xffffu, IO_CLOSED);
    pci_write(h, f->bdf, PCI_BRIDGE_IO_HIGH, 0);
    pci_write(h, f->bdf, PCI_BRIDGE_MEMORY, window_pair(&f->window[PCI_LOW]));
    /* Closed while its halves disagree. */
    pci_write(h, f->bdf, PCI_BRIDGE_PREFETCH, WINDOW_CLOSED);
    pci_write(h, f->bdf, PCI_BRIDGE_PREFETCH_HIGH, open ? (uint32_t)(high->bus >> 32) : 0);
    pci_write(h, f->bdf, PCI_BRIDGE_PREFETCH_LIMIT_HIGH,
              open ? (uint32_t)((high->bus + high->len - 1) >> 32) : 0);
    pci_write(h, f->bdf, PCI_BRIDGE_PREFETCH, window_pair(high));
    pci_command(h, f->bdf, PCI_COMMAND_IO, PCI_COMMAND_MEMORY);
}

cordon_hpa bus_to_hpa(const struct pci_host *h, uint64_t bus)
{
    for (uint32_t i = 0; i < h->window_count; i++) {
        const struct pci_window *w = &h->window[i];

        if (bus >= w->bus && bus - w->bus < w->len) {
            return cordon_hpa_add(w->hpa, bus - w->bus);
        }
    }
    cordon_port_panic("a BAR was placed in a window", __FILE__, __LINE__);
}

bool pci_place_write(const struct pci_host *h, const struct pci_function *f)
{
    uint32_t count = f->bridge ? PCI_BRIDGE_BAR_COUNT : PCI_BAR_COUNT;
    bool holds = true;

    if (f->broken.why == PCI_WHY_HEADER) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct pci_bar *bar = &f->bar[i];

        pci_write(h, f->bdf, PCI_BAR(i), (uint32_t)bar->bus);
        if (bar->len != 0) {
            holds = holds &&
                    (pci_read(h, f->bdf, PCI_BAR(i)) & ~PCI_BAR_MEMORY_FLAGS) == (uint32_t)bar->bus;
        }
        if ((bar->flags & PCI_BAR_64) != 0) {
            i++;
            pci_write(h, f->bdf, PCI_BAR(i), (uint32_t)(bar->bus >> 32));
            holds = holds && pci_read(h, f->bdf, PCI_BAR(i)) == (uint32_t)(bar->bus >> 32);
        }
    }
    return holds;
}
