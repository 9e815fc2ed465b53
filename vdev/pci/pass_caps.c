/*
 * Which dwords of a function's capabilities its guest sees, and how. Capabilities stay where they
 * are; their next pointers are ours. A capability that describes something impossible is left out.
 */
#include "pci/pass.h"
#include "pci/virtio.h"

#define MSI_CONTROL_LIVE \
    (PCI_MSI_ENABLE | PCI_MSI_CAPABLE | PCI_MSI_VECTORS | PCI_MSI_64 | PCI_MSI_MASKABLE)
#define MSIX_CONTROL_LIVE (PCI_MSIX_SIZE | PCI_MSIX_MASK_ALL | PCI_MSIX_ENABLE)
#define DEVCTL_SOFT 0x79ffu  /* error reports, ordering, sizes: the guest's alone */
#define DEVCTL_FIRST 0x2810u /* [PCIe 7.5.3.4] defaults */
#define PM_VERSION_3 0x00030000u
#define ALL 0xffffffffu

static struct pass_word *word_at(struct vpci_pass *p, uint32_t offset)
{
    return &p->word[(offset - PCI_CAPS_START) / 4];
}

static uint32_t real(const struct vpci_pass *p, uint32_t offset)
{
    return pci_read(p->a->h, p->a->f->bdf, offset);
}

static void show_pm(struct vpci_pass *p, uint32_t at)
{
    word_at(p, at)->fixed = PCI_CAP_PM | PM_VERSION_3;
    word_at(p, at + PCI_PM_CONTROL)->fixed = PCI_PM_NO_SOFT_RESET; /* D0, and nothing else */
}

/* Address, data, mask and pending bits follow each other; the address has a second half or not. */
static void show_msi(struct vpci_pass *p, uint32_t at)
{
    uint32_t control = real(p, at);
    uint32_t next = at + PCI_MSI_ADDRESS;
    struct pass_word *w = word_at(p, at);

    w->fixed = PCI_CAP_MSI;
    w->live = MSI_CONTROL_LIVE;
    w->hard = PCI_MSI_ENABLE | PCI_MSI_VECTORS;
    *word_at(p, next) = (struct pass_word){.live = ~3u, .hard = ~3u};
    if ((control & PCI_MSI_64) != 0) {
        next += 4;
        *word_at(p, next) = (struct pass_word){.live = ALL, .hard = ALL};
    }
    next += 4;
    *word_at(p, next) = (struct pass_word){.live = 0xffffu, .hard = 0xffffu};
    if ((control & PCI_MSI_MASKABLE) != 0) {
        *word_at(p, next + 4) = (struct pass_word){.live = ALL, .hard = ALL};
        *word_at(p, next + 8) = (struct pass_word){.live = ALL};
    }
    p->msi = at;
}

/* Do LEN bytes of a table that starts where WORD says lie in a BAR that the guest has? */
static bool table_holds(const struct vpci_pass *p, uint32_t word, uint64_t len)
{
    uint32_t index = word & PCI_MSIX_BAR;
    uint64_t start = word & ~PCI_MSIX_BAR;

    return index < PCI_BAR_COUNT && (p->a->f->bar[index].flags & PCI_BAR_PLACED) != 0 &&
           start < p->a->f->bar[index].len && len <= p->a->f->bar[index].len - start;
}

static bool show_msix(struct vpci_pass *p, uint32_t at)
{
    uint64_t entries = ((real(p, at) & PCI_MSIX_SIZE) >> 16) + 1;
    uint32_t table = real(p, at + PCI_MSIX_TABLE);
    uint32_t pending = real(p, at + PCI_MSIX_PENDING);

    if (!table_holds(p, table, entries * PCI_MSIX_ENTRY_BYTES) ||
        !table_holds(p, pending, (entries + 63) / 64 * 8)) {
        return false;
    }
    *word_at(p, at) = (struct pass_word){.fixed = PCI_CAP_MSIX,
                                         .live = MSIX_CONTROL_LIVE,
                                         .hard = PCI_MSIX_MASK_ALL | PCI_MSIX_ENABLE};
    word_at(p, at + PCI_MSIX_TABLE)->fixed = table;
    word_at(p, at + PCI_MSIX_PENDING)->fixed = pending;
    return true;
}

/* An endpoint integrated in the guest's root complex: no link, no slot. A reset that works is
 * offered as FLR, whatever it is. */
static void show_pcie(struct vpci_pass *p, uint32_t at)
{
    uint32_t version = real(p, at) & PCI_EXP_VERSION;

    word_at(p, at)->fixed = PCI_CAP_PCIE | version | PCI_EXP_TYPE_INTEGRATED << 20;
    word_at(p, at + PCI_EXP_DEVCAP)->fixed =
        PCI_EXP_DEVCAP_ROLE_ERRORS | (p->a->reset_works ? PCI_EXP_DEVCAP_FLR : 0);
    *word_at(p, at + PCI_EXP_DEVCTL) = (struct pass_word){.soft = DEVCTL_SOFT,
                                                          .first = DEVCTL_FIRST,
                                                          .kept = DEVCTL_FIRST,
                                                          .live = PCI_EXP_DEVSTA_PENDING};
    p->flr = p->a->reset_works ? at + PCI_EXP_DEVCTL : 0;
}

/* Where virtio keeps its parts: constants of the device, read once. Its window into BARs through
 * configuration space is left out. */
static bool show_vendor(struct vpci_pass *p, uint32_t at, uint32_t bytes)
{
    uint32_t head = real(p, at);

    if (!pci_is_virtio(p->a->f) || bytes < VIRTIO_CAP_BYTES ||
        VIRTIO_CAP_TYPE(head) == VIRTIO_CAP_TYPE_PCI) {
        return false;
    }
    word_at(p, at)->fixed = head & ~0xff00u;
    for (uint32_t i = 4; i < bytes; i += 4) {
        word_at(p, at + i)->fixed = real(p, at + i);
    }
    return true;
}

/* Make the capability at AT the first one. */
static uint8_t chain(struct vpci_pass *p, uint32_t at, uint8_t next)
{
    word_at(p, at)->fixed |= (uint32_t)next << 8;
    return (uint8_t)at;
}

uint8_t vpci_pass_caps(struct vpci_pass *p)
{
    const struct pci_caps *caps = &p->a->f->caps;
    uint8_t first = 0;

    for (uint32_t i = caps->vendor_count; i-- > 0;) {
        if (show_vendor(p, caps->vendor[i], caps->vendor_bytes[i])) {
            first = chain(p, caps->vendor[i], first);
        }
    }
    if (caps->msix != 0 && show_msix(p, caps->msix)) {
        first = chain(p, caps->msix, first);
    }
    if (caps->msi != 0) {
        show_msi(p, caps->msi);
        first = chain(p, caps->msi, first);
    }
    if (caps->pm != 0) {
        show_pm(p, caps->pm);
        first = chain(p, caps->pm, first);
    }
    if (caps->pcie != 0) {
        show_pcie(p, caps->pcie);
        first = chain(p, caps->pcie, first);
    }
    return first;
}
