/* A PCI host bridge in the device tree [PCI Bus Binding 2.1; Linux: host-generic-pci,
 * pci-iommu]. */
#include <cordon/error.h>
#include <libfdt.h>

#include "core/devtree.h"
#include "pci/machine_pci.h"
#include "vm/devices.h"

#define RANGE_CELLS 7u /* 3 of the PCI address, 2 of the host's, 2 of the length */
#define MAP_CELLS 4u
#define SPACE_SHIFT 24u /* in the first cell: prefetchable, and which address space */
#define SPACE_MASK 3u
#define SPACE_MEMORY_32 2u
#define SPACE_MEMORY_64 3u
#define SPACE_PREFETCH (1u << 30)

/* A property of whole entries of CELLS; *COUNT of them. Null: absent. */
static const uint8_t *entries(const void *fdt, int node, const char *name, uint32_t cells,
                              uint32_t *count)
{
    int len = 0;
    const uint8_t *words = fdt_getprop(fdt, node, name, &len);

    *count = words != NULL ? (uint32_t)len / 4 / cells : 0;
    return words;
}

static int read_windows(const void *fdt, int node, struct pci_host *host)
{
    uint32_t count;
    const uint8_t *at = entries(fdt, node, "ranges", RANGE_CELLS, &count);

    if (fdt_address_cells(fdt, node) != 3 || fdt_size_cells(fdt, node) != 2 ||
        fdt_address_cells(fdt, fdt_parent_offset(fdt, node)) != 2) {
        return -CORDON_EINVAL;
    }
    for (uint32_t i = 0; i < count; i++, at += RANGE_CELLS * 4) {
        uint32_t kind = (uint32_t)devtree_cells(at, 1);
        uint32_t space = kind >> SPACE_SHIFT & SPACE_MASK;

        if (space != SPACE_MEMORY_32 && space != SPACE_MEMORY_64) {
            continue; /* I/O is not offered */
        }
        if (host->window_count == PCI_MAX_WINDOWS) {
            return -CORDON_ELIMIT;
        }
        host->window[host->window_count++] =
            (struct pci_window){.bus = devtree_cells(at + 4, 2),
                                .hpa = cordon_hpa_make(devtree_cells(at + 12, 2)),
                                .len = devtree_cells(at + 20, 2),
                                .flags = (space == SPACE_MEMORY_64 ? PCI_WINDOW_64 : 0) |
                                         ((kind & SPACE_PREFETCH) != 0 ? PCI_WINDOW_PREFETCH : 0)};
    }
    return 0;
}

/* Tuples of length 0 say nothing; one whose IOMMU is not known to us covers functions that then
 * have none, which is what it is left out for. */
static int read_iommu_map(const void *fdt, int node, struct pci_host *host)
{
    uint32_t count;
    const uint8_t *at = entries(fdt, node, "iommu-map", MAP_CELLS, &count);

    if (devtree_u32(fdt, node, "iommu-map-mask", &host->rid_mask) != 0) {
        host->rid_mask = UINT32_MAX;
    }
    for (uint32_t i = 0; i < count; i++, at += MAP_CELLS * 4) {
        struct pci_iommu_map map = {.rid_base = (uint32_t)devtree_cells(at, 1),
                                    .id_base = (uint32_t)devtree_cells(at + 8, 1),
                                    .length = (uint32_t)devtree_cells(at + 12, 1)};

        if (map.length == 0 || !devices_number((uint32_t)devtree_cells(at + 4, 1), &map.iommu)) {
            continue;
        }
        if (host->map_count == PCI_MAX_IOMMU_MAP) {
            return -CORDON_ELIMIT;
        }
        host->map[host->map_count++] = map;
    }
    return 0;
}

static int read_buses(const void *fdt, int node, struct pci_host *host)
{
    uint32_t count;
    const uint8_t *at = entries(fdt, node, "bus-range", 1, &count);
    uint64_t address, len, buses;
    int err = devtree_reg(fdt, node, 0, &address, &len);

    if (err != 0) {
        return err;
    }
    buses = len >> 20;
    if (buses == 0) {
        return -CORDON_EINVAL;
    }
    host->ecam = cordon_hpa_make(address);
    host->last_bus = (uint8_t)(buses > 256 ? 255 : buses - 1);
    if (count == 2) {
        uint64_t first = devtree_cells(at, 1), last = devtree_cells(at + 4, 1);

        if (first > last || last > 255 || last - first >= buses) {
            return -CORDON_EINVAL;
        }
        host->first_bus = (uint8_t)first;
        host->last_bus = (uint8_t)last;
    }
    return 0;
}

int host_from_tree(const void *fdt, int node, struct pci_host *host)
{
    int err = read_buses(fdt, node, host);

    if (err == 0) {
        err = read_windows(fdt, node, host);
    }
    if (err == 0) {
        err = read_iommu_map(fdt, node, host);
    }
    return err;
}
