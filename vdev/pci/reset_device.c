/*
 * Devices that are reset by registers of their own. NVMe: CC.EN to 0, then CSTS.RDY falls [NVMe
 * Base
 * 3.1.3]. Intel 82574: CTRL.RST, which clears itself [82574 datasheet 10.2.2.1]. Virtio: device
 * status [VIRTIO 2.4].
 */
#include "pci/reset.h"
#include "pci/virtio.h"

#define MS UINT64_C(1000)

#define NVME_CC 0x14u
#define NVME_CC_EN 0x1u
#define NVME_CSTS 0x1cu
#define NVME_CSTS_RDY 0x1u
#define NVME_BYTES 0x1000u
#define NVME_BOUND (15000 * MS) /* less than the longest that CAP.TO can ask for */

#define E1000E_CTRL 0x0u
#define E1000E_CTRL_RST 0x04000000u
#define E1000E_IMC 0xd8u /* interrupt mask clear */
#define E1000E_BYTES 0x100u
#define E1000E_SETTLE (10 * MS)
#define E1000E_BOUND (1000 * MS)
#define VIRTIO_BOUND (1000 * MS)

static void decode_on(const struct pci_reset *r)
{
    pci_command(r->h, r->f->bdf, 0, PCI_COMMAND_MEMORY);
}

static void nvme_act(const struct pci_reset *r)
{
    const struct pci_bar *bar = &r->f->bar[0];

    decode_on(r);
    uint32_t cc = pci_bar_read32(r->h, bar, NVME_CC);

    pci_bar_write32(r->h, bar, NVME_CC, cc & ~NVME_CC_EN);
}

static bool nvme_done(const struct pci_reset *r)
{
    return (pci_bar_read32(r->h, &r->f->bar[0], NVME_CSTS) & NVME_CSTS_RDY) == 0;
}

static void e1000e_act(const struct pci_reset *r)
{
    const struct pci_bar *bar = &r->f->bar[0];

    decode_on(r);
    uint32_t ctrl = pci_bar_read32(r->h, bar, E1000E_CTRL);

    pci_bar_write32(r->h, bar, E1000E_IMC, 0xffffffffu);
    pci_bar_write32(r->h, bar, E1000E_CTRL, ctrl | E1000E_CTRL_RST);
}

static bool e1000e_done(const struct pci_reset *r)
{
    return (pci_bar_read32(r->h, &r->f->bar[0], E1000E_CTRL) & E1000E_CTRL_RST) == 0;
}

static void virtio_act(const struct pci_reset *r)
{
    pci_virtio_reset(r->h, r->f);
}

static bool virtio_done(const struct pci_reset *r)
{
    return pci_virtio_is_reset(r->h, r->f);
}

static const struct pci_reset_step nvme_steps[] = {
    {nvme_act, nvme_done, 0, NVME_BOUND, false},
};
static const struct pci_reset_step e1000e_steps[] = {
    {e1000e_act, e1000e_done, E1000E_SETTLE, E1000E_BOUND, false},
};
static const struct pci_reset_step virtio_steps[] = {
    {virtio_act, virtio_done, 0, VIRTIO_BOUND, false},
};

static bool bar0_holds(const struct pci_function *f, uint64_t bytes)
{
    return (f->bar[0].flags & PCI_BAR_PLACED) != 0 && f->bar[0].len >= bytes;
}

const struct pci_reset_step *pci_reset_device(const struct pci_host *h,
                                              const struct pci_function *f, uint32_t *count)
{
    *count = 1;
    if (f->class_code == PCI_CLASS_NVME && bar0_holds(f, NVME_BYTES)) {
        return nvme_steps;
    }
    if (f->vendor == 0x8086u && f->device == 0x10d3u && bar0_holds(f, E1000E_BYTES)) {
        return e1000e_steps;
    }
    if (pci_virtio_can_reset(h, f)) {
        return virtio_steps;
    }
    *count = 0;
    return NULL;
}
