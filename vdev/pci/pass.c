/* The guest's face of an assigned function: see pass.h. */
#include "pci/pass.h"
#include <cordon/error.h>
#include <cordon/port.h>

static struct pass_word *word_at(struct vpci_pass *p, uint32_t offset)
{
    return &p->word[(offset - PCI_CAPS_START) / 4];
}

static uint32_t pass_cap_read(void *state, uint32_t offset)
{
    struct vpci_pass *p = state;
    const struct pass_word *w = word_at(p, offset);
    uint32_t value = w->fixed | (w->kept & w->soft);

    if (w->live != 0) {
        value |= pci_read(p->a->h, p->a->f->bdf, offset) & w->live;
    }
    return value;
}

/* More vectors than the function can have are cut to what it can. */
static uint32_t msi_clamp(const struct vpci_pass *p, uint32_t value)
{
    uint32_t control = pci_read(p->a->h, p->a->f->bdf, p->msi);
    uint32_t capable = (control & PCI_MSI_CAPABLE) << 3; /* moved to where VECTORS stands */

    if ((value & PCI_MSI_VECTORS) <= capable) {
        return value;
    }
    return (value & ~PCI_MSI_VECTORS) | capable;
}

/* As after power-on for the guest, then the real thing, which goes on while the guest runs. */
static void reset_begin(struct vpci_pass *p)
{
    vpci_header_reset(&p->fn);
    if (vpci_bars_decoded(&p->fn)) {
        return; /* the map did not let a BAR go: it must not fall silent under it */
    }
    for (uint32_t i = 0; i < PASS_WORDS; i++) {
        p->word[i].kept = p->word[i].first;
    }
    if (pci_assign_reset(p->a) == 0) {
        p->resets++;
    }
}

static void pass_cap_write(void *state, uint32_t offset, uint32_t value, uint32_t mask)
{
    struct vpci_pass *p = state;
    struct pass_word *w = word_at(p, offset);
    uint32_t soft = w->soft & mask;
    uint32_t hard = w->hard & mask;

    if (offset == p->flr && (value & mask & PCI_EXP_DEVCTL_FLR) != 0) {
        reset_begin(p);
        return;
    }
    w->kept = (w->kept & ~soft) | (value & soft);
    if (hard != 0) {
        if (offset == p->msi) {
            value = msi_clamp(p, value);
        }
        pci_change(p->a->h, p->a->f->bdf, offset, 0xffffffffu, hard, value & hard);
    }
}

/* The real command register: memory and bus mastering as the guest enabled them, nothing else
 * ever. */
static void pass_command(void *state, uint32_t command)
{
    struct vpci_pass *p = state;
    const struct pci_assignment *a = p->a;

    if (a->stage != PCI_STAGE_ASSIGNED) {
        return; /* off the bus, and stays so */
    }
    if ((command & PCI_COMMAND_MASTER) == 0) {
        pci_master(a->h, a->f, false);
    }
    pci_command(a->h, a->f->bdf, PCI_COMMAND_MEMORY, command & PCI_COMMAND_MEMORY);
    if ((command & PCI_COMMAND_MASTER) != 0) {
        pci_master(a->h, a->f, true);
    }
}

/* While it is being reset, and for ever if it did not come back, there is nothing to be seen. */
static bool pass_absent(void *state)
{
    struct vpci_pass *p = state;

    return pci_assign_reset_poll(p->a) != 0;
}

static const struct vpci_ops pass_ops = {
    .absent = pass_absent,
    .cap_read = pass_cap_read,
    .cap_write = pass_cap_write,
    .command = pass_command,
};

static void bars_init(struct vpci_pass *p)
{
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        const struct pci_bar *real = &p->a->f->bar[i];

        if ((real->flags & PCI_BAR_PLACED) != 0) {
            p->fn.bar[i] = (struct vpci_bar){.len = pci_page_len(real->len),
                                             .flags = real->flags & (PCI_BAR_64 | PCI_BAR_PREFETCH),
                                             .hpa = real->hpa};
        }
    }
}

void vpci_pass_init(struct vpci_pass *p, struct pci_assignment *a)
{
    const struct pci_function *f = a->f;

    cordon_assert(a->stage == PCI_STAGE_ASSIGNED && !f->bridge);
    *p = (struct vpci_pass){.a = a};
    p->fn = (struct vpci_function){.ops = &pass_ops,
                                   .state = p,
                                   .id = pci_read(a->h, f->bdf, PCI_ID),
                                   .class_code_revision = pci_read(a->h, f->bdf, PCI_CLASS),
                                   .subsystem = pci_read(a->h, f->bdf, PCI_SUBSYSTEM)};
    bars_init(p);
    p->fn.cap_pointer = vpci_pass_caps(p);
}
