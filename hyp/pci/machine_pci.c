/* The machine's PCI host bridges: see machine_pci.h. */
#include "pci/machine_pci.h"

#include <libfdt.h>

#include "core/console.h"
#include "core/devtree.h"
#include "core/machine.h"
#include "core/memory.h"
#include "pci/group.h"
#include "pci/place.h"
#include "pci/scan.h"
#include "vm/devices.h"

struct cordon_lock machine_pci_lock;

static struct {
    struct pci_host host[MACHINE_PCI_HOSTS];
    uint32_t count;
} pci;

struct pci_host *machine_pci_host(uint32_t segment)
{
    for (uint32_t i = 0; i < pci.count; i++) {
        if (pci.host[i].segment == segment) {
            return &pci.host[i];
        }
    }
    return NULL;
}

static void say_found(const struct pci_host *h, const struct pci_scan_report *scan,
                      const struct pci_place_report *place)
{
    log_line("PCI segment %u: %u functions on %u buses, %u BARs placed (%u by firmware), "
             "%u without room",
             h->segment, scan->functions, scan->buses, place->placed, place->kept, place->unplaced);
    if (scan->masters != 0) {
        log_line("PCI segment %u: firmware had left %u functions mastering the bus, the first is "
                 "%02x:%02x.%x: all are off it now",
                 h->segment, scan->masters, PCI_BUS_OF(scan->first_master),
                 scan->first_master >> 3 & 31, scan->first_master & 7);
    }
    if (scan->dropped != 0) {
        log_line("PCI segment %u: %u functions more than the limit of %u: off, and given to nobody",
                 h->segment, scan->dropped, h->capacity);
    }
}

static int scan_host(struct pci_host *h)
{
    struct pci_scan_report scan;
    struct pci_place_report place;
    uint64_t bytes = MACHINE_PCI_FUNCTIONS * sizeof(struct pci_function);
    cordon_hpa table;
    volatile void *ignored;
    int err = arena_alloc((bytes + CORDON_PAGE_SIZE - 1) >> CORDON_PAGE_SHIFT, &table);

    if (err == 0) {
        err = mmio_map(h->ecam, (uint64_t)(h->last_bus - h->first_bus + 1) << 20, &ignored);
    }
    if (err != 0) {
        return err;
    }
    h->functions = memory_ptr(table);
    h->capacity = MACHINE_PCI_FUNCTIONS;
    err = pci_scan(h, &scan);
    if (err != 0 && err != -CORDON_ELIMIT) {
        return err;
    }
    pci_place(h, &place);
    pci_groups_make(h);
    say_found(h, &scan, &place);
    return 0;
}

/* An IOMMU that is itself a function of this host: its registers are in BAR 0 [IOMMU 6.1]. */
static void take_pci_iommu(cordon_ctx *ctx, const void *fdt, int node, struct pci_host *h)
{
    int len;
    const void *reg = fdt_getprop(fdt, node, "reg", &len);
    uint32_t bdf = reg != NULL && len >= 4 ? (uint32_t)devtree_cells(reg, 1) >> 8 & 0xffff : 0;
    struct pci_function *f = reg != NULL ? pci_find(h, bdf) : NULL;

    if (f == NULL || (f->bar[0].flags & PCI_BAR_PLACED) == 0) {
        log_line("PCI segment %u: the IOMMU function that the device tree names is not there",
                 h->segment);
        return;
    }
    pci_command(h, bdf, 0, PCI_COMMAND_MEMORY);
    pci_master(h, f, true);
    devices_add(ctx, fdt_get_phandle(fdt, node), f->bar[0].hpa);
}

static bool is_pci_iommu(const void *fdt, int node)
{
    return fdt_node_check_compatible(fdt, node, "riscv,pci-iommu") == 0;
}

/* IOMMUs below a host bridge get their numbers before its iommu-map is read, their registers after
 * its BARs are placed. */
static void number_iommus(const void *fdt, int bridge)
{
    int node;

    fdt_for_each_subnode(node, fdt, bridge)
    {
        if (is_pci_iommu(fdt, node)) {
            devices_expect(fdt_get_phandle(fdt, node));
        }
    }
}

static void open_host(cordon_ctx *ctx, const void *fdt, int bridge)
{
    struct pci_host *h = &pci.host[pci.count];
    int node;
    int err;

    *h = (struct pci_host){0};
    if (devtree_u32(fdt, bridge, "linux,pci-domain", &h->segment) != 0) {
        h->segment = pci.count;
    }
    number_iommus(fdt, bridge);
    err = machine_pci_host(h->segment) != NULL ? -CORDON_EEXIST : host_from_tree(fdt, bridge, h);
    if (err == 0) {
        err = scan_host(h);
    }
    if (err != 0) {
        log_line("PCI segment %u at 0x%lx: %s: its functions are given to nobody", h->segment,
                 h->ecam.v, cordon_strerror(err));
        return;
    }
    pci.count++;
    fdt_for_each_subnode(node, fdt, bridge)
    {
        if (is_pci_iommu(fdt, node)) {
            take_pci_iommu(ctx, fdt, node, h);
        }
    }
}

void machine_pci_init(cordon_ctx *ctx)
{
    const void *fdt = machine.fdt;

    cordon_lock_init(&machine_pci_lock);
    for (int node = fdt_node_offset_by_compatible(fdt, -1, "pci-host-ecam-generic"); node >= 0;
         node = fdt_node_offset_by_compatible(fdt, node, "pci-host-ecam-generic")) {
        if (!devtree_enabled(fdt, node)) {
            continue;
        }
        if (pci.count == MACHINE_PCI_HOSTS) {
            log_line("more PCI host bridges than the limit of %u: the rest is given to nobody",
                     MACHINE_PCI_HOSTS);
            return;
        }
        open_host(ctx, fdt, node);
    }
}
