/*
 * Capability lists [PCI 6.7; PCIe 7.6.3]. Both are written by the device, so each step is checked:
 * the pointer is inside, the place was not seen before, the length fits, and no dword has two
 * owners.
 */
#include "pci/caps.h"

#define CAP_DWORDS (PCI_CONFIG_BYTES / 4)
#define EXT_DWORDS (PCI_CONFIG_EXTENDED_BYTES / 4)

/* What has been taken of configuration space, a bit a dword. */
struct taken {
    uint64_t bits[EXT_DWORDS / 64];
};

static bool taken_get(const struct taken *t, uint32_t dword)
{
    return (t->bits[dword / 64] >> (dword % 64) & 1) != 0;
}

/* Take [OFFSET, OFFSET+BYTES); false if some of it is taken. The range was checked. */
static bool taken_add(struct taken *t, uint32_t offset, uint32_t bytes)
{
    uint32_t first = offset / 4;
    uint32_t end = (offset + bytes + 3) / 4;

    for (uint32_t i = first; i < end; i++) {
        if (taken_get(t, i)) {
            return false;
        }
        t->bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
    return true;
}

static void broken(struct pci_function *f, enum pci_why why, uint32_t where)
{
    f->broken = (struct pci_refusal){.why = why, .bdf = f->bdf, .value = where};
    f->caps = (struct pci_caps){0};
}

static uint32_t msi_bytes(uint32_t head)
{
    uint32_t bytes = (head & PCI_MSI_64) != 0 ? 14 : 10;

    if ((head & PCI_MSI_MASKABLE) != 0) {
        bytes = (head & PCI_MSI_64) != 0 ? 24 : 20;
    }
    return bytes;
}

static uint32_t vendor_bytes(uint32_t head)
{
    uint32_t bytes = (head >> 16) & 0xffu; /* its own length byte [PCI 6.8.1.10] */

    return bytes < 4 ? 4 : bytes;
}

static uint32_t cap_bytes(uint32_t head)
{
    switch (head & 0xffu) {
    case PCI_CAP_PM:
        return PCI_PM_BYTES;
    case PCI_CAP_MSI:
        return msi_bytes(head);
    case PCI_CAP_MSIX:
        return PCI_MSIX_BYTES;
    case PCI_CAP_PCIE:
        return (head & PCI_EXP_VERSION) >> 16 >= 2 ? PCI_EXP_BYTES_V2 : PCI_EXP_BYTES_V1;
    case PCI_CAP_AF:
        return PCI_AF_BYTES;
    case PCI_CAP_VENDOR:
        return vendor_bytes(head);
    default:
        return 4; /* unknown: only its head is known to be its own */
    }
}

static void cap_note(struct pci_caps *caps, uint32_t head, uint8_t at, uint8_t bytes)
{
    switch (head & 0xffu) {
    case PCI_CAP_PM:
        caps->pm = caps->pm != 0 ? caps->pm : at;
        break;
    case PCI_CAP_MSI:
        if (caps->msi == 0) {
            caps->msi = at;
            caps->msi_bytes = bytes;
        }
        break;
    case PCI_CAP_MSIX:
        caps->msix = caps->msix != 0 ? caps->msix : at;
        break;
    case PCI_CAP_PCIE:
        if (caps->pcie == 0) {
            caps->pcie = at;
            caps->pcie_bytes = bytes;
        }
        break;
    case PCI_CAP_AF:
        caps->af = caps->af != 0 ? caps->af : at;
        break;
    case PCI_CAP_VENDOR:
        if (caps->vendor_count < PCI_MAX_VENDOR_CAPS) {
            caps->vendor[caps->vendor_count] = at;
            caps->vendor_bytes[caps->vendor_count] = bytes;
            caps->vendor_count++;
        }
        break;
    default:
        break;
    }
}

static void walk_first(const struct pci_host *h, struct pci_function *f)
{
    struct taken taken = {{0}};
    struct taken heads = {{0}};
    uint32_t at = pci_read(h, f->bdf, PCI_CAP_POINTER) & 0xfcu;

    while (at != 0) {
        if (at < PCI_CAPS_START) {
            broken(f, PCI_WHY_CAPS_RANGE, at);
            return;
        }
        if (!taken_add(&heads, at, 4)) {
            broken(f, PCI_WHY_CAPS_CYCLE, at);
            return;
        }
        uint32_t head = pci_read(h, f->bdf, at);
        uint32_t bytes = cap_bytes(head);

        if (head == PCI_ABSENT || at + bytes > PCI_CONFIG_BYTES) {
            broken(f, PCI_WHY_CAPS_RANGE, at);
            return;
        }
        if (!taken_add(&taken, at, bytes)) {
            broken(f, PCI_WHY_CAPS_OVERLAP, at);
            return;
        }
        cap_note(&f->caps, head, (uint8_t)at, (uint8_t)bytes);
        at = (head >> 8) & 0xfcu;
    }
}

static void ext_note(struct pci_caps *caps, uint32_t head, uint16_t at)
{
    switch (head & 0xffffu) {
    case PCI_EXT_ACS:
        caps->acs = caps->acs != 0 ? caps->acs : at;
        break;
    case PCI_EXT_ATS:
        caps->ats = caps->ats != 0 ? caps->ats : at;
        break;
    case PCI_EXT_SRIOV:
        caps->sriov = caps->sriov != 0 ? caps->sriov : at;
        break;
    case PCI_EXT_PRI:
        caps->pri = caps->pri != 0 ? caps->pri : at;
        break;
    case PCI_EXT_PASID:
        caps->pasid = caps->pasid != 0 ? caps->pasid : at;
        break;
    default:
        break;
    }
}

static void walk_extended(const struct pci_host *h, struct pci_function *f)
{
    struct taken heads = {{0}};
    uint32_t at = PCI_EXT_START;
    uint32_t head = pci_read(h, f->bdf, at);

    if (head == 0 || head == PCI_ABSENT) {
        return; /* none */
    }
    while (at != 0) {
        if (at < PCI_EXT_START || at + 12 > PCI_CONFIG_EXTENDED_BYTES) {
            broken(f, PCI_WHY_CAPS_RANGE, at);
            return;
        }
        if (!taken_add(&heads, at, 4)) {
            broken(f, PCI_WHY_CAPS_CYCLE, at);
            return;
        }
        head = pci_read(h, f->bdf, at);
        if (head == PCI_ABSENT) {
            broken(f, PCI_WHY_CAPS_RANGE, at);
            return;
        }
        ext_note(&f->caps, head, (uint16_t)at);
        at = (head >> 20) & 0xffcu;
    }
}

void pci_caps_walk(const struct pci_host *h, struct pci_function *f)
{
    f->caps = (struct pci_caps){0};
    if ((pci_read(h, f->bdf, PCI_COMMAND) & PCI_STATUS_CAPS) == 0) {
        return;
    }
    walk_first(h, f);
    if (f->caps.pcie != 0) {
        walk_extended(h, f);
    }
}

void pci_caps_close(const struct pci_host *h, const struct pci_function *f)
{
    if (f->caps.ats != 0) {
        pci_change(h, f->bdf, f->caps.ats + PCI_ATS_WORD, 0xffff0000u, PCI_ATS_ENABLE, 0);
    }
    if (f->caps.pri != 0) {
        pci_change(h, f->bdf, f->caps.pri + PCI_PRI_WORD, 0xffffu, PCI_PRI_ENABLE, 0);
    }
    if (f->caps.pasid != 0) {
        pci_change(h, f->bdf, f->caps.pasid + PCI_PASID_WORD, 0xffff0000u, PCI_PASID_ENABLE, 0);
    }
    if (f->caps.sriov != 0) {
        pci_change(h, f->bdf, f->caps.sriov + PCI_SRIOV_WORD, 0xffffu,
                   PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY, 0);
    }
}
