/* Building functions of the PCI model, and what stands behind their BAR 0. */
#include "fake_pci.h"
#include "fake_pci_regs.h"

uint32_t fpci_get(const struct fpci_fn *f, uint32_t offset)
{
    const uint8_t *at = &f->config[offset];

    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put(uint8_t *bytes, uint32_t offset, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) {
        bytes[offset + i] = (uint8_t)(value >> (8 * i));
    }
}

void fpci_set(struct fpci_fn *f, uint32_t offset, uint32_t value)
{
    put(f->config, offset, value);
    put(f->reset, offset, value);
}

void fpci_sticks(struct fpci_fn *f, uint32_t offset, uint32_t bits)
{
    put(f->sticks, offset, bits);
}

void fpci_clears(struct fpci_fn *f, uint32_t offset, uint32_t bits)
{
    put(f->clears, offset, bits);
}

int fpci_add(struct fpci *p, int parent, uint32_t dev, uint32_t fn, uint32_t vendor,
             uint32_t device, uint32_t class_code)
{
    struct fpci_fn *f = &p->fn[p->count];

    *f = (struct fpci_fn){.parent = parent, .devfn = dev << 3 | fn, .reset_us = 90000};
    fpci_set(f, PCI_ID, vendor | device << 16);
    fpci_set(f, PCI_CLASS, class_code << 8 | 1);
    fpci_set(f, PCI_SUBSYSTEM, 0x56781234u);
    fpci_set(f, PCI_INTERRUPT, 0x00000100u);
    fpci_sticks(f, PCI_COMMAND, 0x00000547u);
    fpci_clears(f, PCI_COMMAND, 0xf9000000u);
    fpci_sticks(f, PCI_HEADER, 0x000000ffu);
    fpci_sticks(f, PCI_INTERRUPT, 0x000000ffu);
    fpci_sticks(f, PCI_ROM, 0xffff0001u);
    return p->count++;
}

int fpci_bridge(struct fpci *p, int parent, uint32_t dev, uint32_t fn)
{
    int index = fpci_add(p, parent, dev, fn, 0x1b36, 0x000c, 0x060400);
    struct fpci_fn *f = &p->fn[index];

    fpci_set(f, PCI_HEADER, 0x00010000u);
    fpci_set(f, PCI_SUBSYSTEM, 0);
    fpci_sticks(f, PCI_BUSES, 0x00ffffffu);
    fpci_sticks(f, PCI_BRIDGE_IO, 0x0000f0f0u);
    fpci_clears(f, PCI_BRIDGE_IO, 0xf9000000u);
    fpci_sticks(f, PCI_BRIDGE_MEMORY, 0xfff0fff0u);
    fpci_set(f, PCI_BRIDGE_PREFETCH, 0x00010001u);
    fpci_sticks(f, PCI_BRIDGE_PREFETCH, 0xfff0fff0u);
    fpci_sticks(f, PCI_BRIDGE_PREFETCH_HIGH, 0xffffffffu);
    fpci_sticks(f, PCI_BRIDGE_PREFETCH_LIMIT_HIGH, 0xffffffffu);
    fpci_sticks(f, PCI_BRIDGE_CONTROL, 0x00ff00ffu);
    return index;
}

void fpci_bar(struct fpci_fn *f, uint32_t index, uint64_t len, uint32_t flags)
{
    uint64_t mask = ~(len - 1);

    f->bar_len[index] = len;
    fpci_set(f, PCI_BAR(index), flags);
    fpci_sticks(f, PCI_BAR(index), (uint32_t)mask & ~0xfu);
    if ((flags & PCI_BAR_TYPE) == PCI_BAR_TYPE_64) {
        fpci_set(f, PCI_BAR(index + 1), 0);
        fpci_sticks(f, PCI_BAR(index + 1), (uint32_t)(mask >> 32));
    }
}

void fpci_cap(struct fpci_fn *f, uint32_t at, uint32_t id)
{
    uint32_t next = fpci_get(f, PCI_CAP_POINTER) & 0xffu;

    fpci_set(f, at, id | next << 8);
    fpci_set(f, PCI_CAP_POINTER, at);
    fpci_set(f, PCI_COMMAND, fpci_get(f, PCI_COMMAND) | PCI_STATUS_CAPS);
}

static void cap_upper(struct fpci_fn *f, uint32_t at, uint32_t upper)
{
    fpci_set(f, at, fpci_get(f, at) | upper);
}

void fpci_cap_pcie(struct fpci_fn *f, uint32_t at, uint32_t type, bool flr)
{
    fpci_cap(f, at, PCI_CAP_PCIE);
    cap_upper(f, at, 0x00020000u | type << 20);
    fpci_set(f, at + PCI_EXP_DEVCAP, 0x00008002u | (flr ? PCI_EXP_DEVCAP_FLR : 0));
    fpci_set(f, at + PCI_EXP_DEVCTL, 0x00002010u);
    fpci_sticks(f, at + PCI_EXP_DEVCTL, 0x00007fffu);
    fpci_clears(f, at + PCI_EXP_DEVCTL, 0x000f0000u);
}

void fpci_cap_pm(struct fpci_fn *f, uint32_t at)
{
    fpci_cap(f, at, PCI_CAP_PM);
    cap_upper(f, at, 0xfe030000u);
    fpci_sticks(f, at + PCI_PM_CONTROL, 0x00000103u);
    fpci_clears(f, at + PCI_PM_CONTROL, PCI_PM_PME_STATUS);
}

void fpci_cap_msi(struct fpci_fn *f, uint32_t at, uint32_t log2_vectors, uint32_t flags)
{
    uint32_t data = at + ((flags & PCI_MSI_64) != 0 ? 12u : 8u);

    fpci_cap(f, at, PCI_CAP_MSI);
    cap_upper(f, at, flags | log2_vectors << 17);
    fpci_sticks(f, at, PCI_MSI_ENABLE | PCI_MSI_VECTORS);
    fpci_sticks(f, at + PCI_MSI_ADDRESS, 0xfffffffcu);
    if ((flags & PCI_MSI_64) != 0) {
        fpci_sticks(f, at + 8, 0xffffffffu);
    }
    fpci_sticks(f, data, 0xffffu);
    if ((flags & PCI_MSI_MASKABLE) != 0) {
        fpci_sticks(f, data + 4, 0xffffffffu);
    }
}

void fpci_cap_msix(struct fpci_fn *f, uint32_t at, uint32_t entries, uint32_t table,
                   uint32_t pending)
{
    fpci_cap(f, at, PCI_CAP_MSIX);
    cap_upper(f, at, (entries - 1) << 16);
    fpci_sticks(f, at, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
    fpci_set(f, at + PCI_MSIX_TABLE, table);
    fpci_set(f, at + PCI_MSIX_PENDING, pending);
}

void fpci_cap_af(struct fpci_fn *f, uint32_t at)
{
    fpci_cap(f, at, PCI_CAP_AF);
    cap_upper(f, at, 0x03060000u);
}

void fpci_cap_virtio(struct fpci_fn *f, uint32_t at, uint32_t type, uint32_t bar, uint32_t offset,
                     uint32_t length)
{
    fpci_cap(f, at, PCI_CAP_VENDOR);
    cap_upper(f, at, 0x00100000u | type << 24);
    fpci_set(f, at + VIRTIO_CAP_BAR, bar);
    fpci_set(f, at + VIRTIO_CAP_OFFSET, offset);
    fpci_set(f, at + VIRTIO_CAP_LENGTH, length);
}

void fpci_ext(struct fpci_fn *f, uint32_t at, uint32_t id, uint32_t before)
{
    fpci_set(f, at, id | 0x00010000u);
    if (before != 0) {
        fpci_set(f, before, (fpci_get(f, before) & 0x000fffffu) | at << 20);
    }
}

struct fpci_places fpci_places_of(const struct fpci_fn *f)
{
    struct fpci_places places = {0};
    uint32_t at = fpci_get(f, PCI_CAP_POINTER) & 0xfcu;

    for (uint32_t turn = 0; turn < 48 && at >= PCI_CAPS_START; turn++) {
        uint32_t head = fpci_get(f, at);

        places.pcie = (head & 0xffu) == PCI_CAP_PCIE ? at : places.pcie;
        places.pm = (head & 0xffu) == PCI_CAP_PM ? at : places.pm;
        places.af = (head & 0xffu) == PCI_CAP_AF ? at : places.af;
        at = (head >> 8) & 0xfcu;
    }
    return places;
}

uint32_t fpci_register_read(struct fpci_fn *f, uint64_t offset)
{
    if (offset >= FPCI_REGISTER_BYTES) {
        return 0;
    }
    if (f->kind == FPCI_E1000E && offset == 0 && !f->reset_hangs && f->own_reset_reads++ > 0) {
        f->reg[0] &= ~FPCI_E1000E_RST;
    }
    if (f->kind == FPCI_VIRTIO && offset == VIRTIO_COMMON_FEATURE) {
        return f->reg[0] < 2 ? (uint32_t)(f->features >> (32 * f->reg[0])) : 0;
    }
    return f->reg[offset / 4];
}

void fpci_register_write(struct fpci *p, struct fpci_fn *f, uint64_t offset, uint32_t value)
{
    (void)p;
    if (offset >= FPCI_REGISTER_BYTES) {
        return;
    }
    if (f->kind == FPCI_VIRTIO && offset == VIRTIO_COMMON_STATUS) {
        if (!f->reset_hangs) {
            f->reg[offset / 4] = value & 0xffff00ffu; /* the generation is read-only */
            f->resets += (value & 0xffu) == 0 ? 1 : 0;
        }
        return;
    }
    f->reg[offset / 4] = value;
    if (f->kind == FPCI_E1000E && offset == 0 && (value & FPCI_E1000E_RST) != 0) {
        f->own_reset_reads = 0;
        f->resets++;
    }
    if (f->kind == FPCI_NVME && offset == FPCI_NVME_CC && !f->reset_hangs) {
        f->reg[FPCI_NVME_CSTS / 4] = value & 1u;
        f->resets += (value & 1u) == 0 ? 1 : 0;
    }
}
