/*
 * A host bridge of the machine: its configuration space, windows, IOMMU map, and the functions
 * found.
 *
 * Filled by the caller from the device tree; the table of functions is the caller's memory.
 * Everything here runs on one hart at boot, and later under the lock of who owns the function.
 */
#ifndef VDEV_PCI_HOST_H
#define VDEV_PCI_HOST_H

#include "pci/config.h"
#include "pci/why.h"
#include <cordon/types.h>

#define PCI_MAX_WINDOWS 8u
#define PCI_MAX_IOMMU_MAP 16u
#define PCI_MAX_VENDOR_CAPS 8u
#define PCI_NOBODY UINT32_MAX /* no function, no bridge above */

#define PCI_BDF(bus, dev, fn) (((uint32_t)(bus) << 8) | ((uint32_t)(dev) << 3) | (uint32_t)(fn))
#define PCI_BUS_OF(bdf) ((bdf) >> 8)

/* Bits of pci_bar.flags. */
#define PCI_BAR_64 1u /* takes the next register too */
#define PCI_BAR_PREFETCH 2u
#define PCI_BAR_IO 4u     /* found, never placed */
#define PCI_BAR_PLACED 8u /* bus and hpa are valid, the register holds bus */
#define PCI_BAR_KEPT 16u  /* placed by firmware */

struct pci_bar {
    uint64_t len;   /* bytes that the function decodes, a power of two; 0: no BAR here */
    uint64_t bus;   /* address in its register */
    cordon_hpa hpa; /* the same place as harts see it */
    uint32_t flags; /* PCI_BAR_... */
};

/* Offsets of capabilities in configuration space; 0: absent. */
struct pci_caps {
    uint8_t pm, msi, msix, pcie, af;
    uint8_t msi_bytes, pcie_bytes;
    uint8_t vendor_count;
    uint8_t vendor[PCI_MAX_VENDOR_CAPS];
    uint8_t vendor_bytes[PCI_MAX_VENDOR_CAPS];
    uint16_t acs, ats, sriov, pri, pasid;
};

/* What a bridge forwards down; len 0: nothing. */
struct pci_span {
    uint64_t bus;
    uint64_t len;
    uint64_t align;
    bool placed;
};
enum pci_class { PCI_LOW = 0, PCI_HIGH = 1 }; /* not prefetchable 32 bits; prefetchable 64 bits */

struct pci_function {
    uint32_t bdf;
    uint32_t parent; /* index of the bridge above in the host's table, or PCI_NOBODY */
    uint16_t vendor, device;
    uint32_t class_code;    /* 24 bits */
    uint16_t found_command; /* as firmware left it */
    bool bridge;
    bool multi;                     /* one of several functions in its slot */
    bool prefetch_64;               /* bridge: its prefetchable window has 64 bits */
    bool alias;                     /* a bridge above puts its own requester id on requests */
    uint8_t secondary, subordinate; /* bridge: buses below; 0: none */
    struct pci_caps caps;
    struct pci_bar bar[PCI_BAR_COUNT];
    struct pci_span window[2]; /* bridge, by enum pci_class */
    struct pci_refusal broken; /* why it can never be assigned */
    uint32_t group;            /* lowest index of its isolation group */
    enum pci_group_why group_why;
    uint32_t guest; /* who has claimed it, 0: nobody */
    bool assigned;  /* its bus mastering may be turned on */
};

#define PCI_WINDOW_64 1u       /* reached by 64-bit BARs only */
#define PCI_WINDOW_PREFETCH 2u /* prefetchable BARs only */

/* A memory window of `ranges`. */
struct pci_window {
    uint64_t bus;   /* PCI address */
    cordon_hpa hpa; /* the same place as harts see it */
    uint64_t len;
    uint32_t flags; /* PCI_WINDOW_... */
};

/* One tuple of `iommu-map`, its phandle resolved to a number. */
struct pci_iommu_map {
    uint32_t rid_base;
    uint32_t iommu;
    uint32_t id_base;
    uint32_t length;
};

struct pci_host {
    void *cookie; /* for the port functions */
    uint32_t segment;
    cordon_hpa ecam; /* of first_bus */
    uint8_t first_bus, last_bus;
    uint32_t window_count;
    struct pci_window window[PCI_MAX_WINDOWS];
    uint32_t rid_mask; /* `iommu-map-mask`, all ones without */
    uint32_t map_count;
    struct pci_iommu_map map[PCI_MAX_IOMMU_MAP];
    struct pci_function *functions; /* caller's memory */
    uint32_t capacity;
    uint32_t count;
};

/* Check what was filled in: alignment, wrapping, overlaps of windows with each other and with the
 * configuration space. Errors: EINVAL, EALIGN, ERANGE, EEXIST. */
CORDON_MUST_CHECK int pci_host_check(const struct pci_host *h);

/* ---- configuration space by ECAM [PCIe 7.2.2] ----------------------------------------------- */

/* One aligned 32-bit access. Beyond the host's buses or the function's space: PCI_ABSENT,
 * ignored. */
uint32_t pci_read(const struct pci_host *h, uint32_t bdf, uint32_t offset);
void pci_write(const struct pci_host *h, uint32_t bdf, uint32_t offset, uint32_t value);

/*
 * Change bits of a register whose neighbour in the same dword clears its bits when ones are written
 * (command beside status, device control beside device status): the neighbour is given zeros. BITS
 * is the mask of the register's own bits in the dword; CLEAR, then SET are applied to those. All
 * such registers lend themselves to it, so that 8 and 16 bit accesses are needed nowhere.
 */
void pci_change(const struct pci_host *h, uint32_t bdf, uint32_t offset, uint32_t bits,
                uint32_t clear, uint32_t set);

/* Clear and set command bits; INTx is always off. */
void pci_command(const struct pci_host *h, uint32_t bdf, uint32_t clear, uint32_t set);

/* The function with this bus:device.function, or null. */
struct pci_function *pci_find(const struct pci_host *h, uint32_t bdf);

/* Does F stand anywhere below the bridge with this index? Parents come first in the table. */
bool pci_is_below(const struct pci_host *h, const struct pci_function *f, uint32_t bridge);

/* Registers of a BAR: OFFSET is inside its length (asserted), decoding must be on. */
uint32_t pci_bar_read32(const struct pci_host *h, const struct pci_bar *bar, uint64_t offset);
void pci_bar_write32(const struct pci_host *h, const struct pci_bar *bar, uint64_t offset,
                     uint32_t value);

/* Let an assigned function, or the IOMMU's own, master the bus, with the bridges above it; or stop
 * it. A bridge goes on while any function below it is assigned. */
void pci_master(const struct pci_host *h, struct pci_function *f, bool on);

/* Length in whole pages. */
static inline uint64_t pci_page_len(uint64_t len)
{
    return (len + CORDON_PAGE_SIZE - 1) & ~(CORDON_PAGE_SIZE - 1);
}

#endif
