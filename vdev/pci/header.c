/*
 * The type 0 header of a guest's function, by allow-list [PCI 6.1]. Interrupt pin, ROM, I/O and the
 * status bits do not exist; INTx is off whatever the guest says; cache line size and interrupt line
 * are the guest's to write, and mean nothing.
 */
#include "pci/vpci.h"

#define COMMAND_BITS                                                                   \
    (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
     PCI_COMMAND_INTX_OFF)

uint32_t vpci_header_read(struct vpci_function *f, uint32_t offset)
{
    switch (offset) {
    case PCI_ID:
        return f->id;
    case PCI_COMMAND:
        return f->command | (f->cap_pointer != 0 ? PCI_STATUS_CAPS : 0);
    case PCI_CLASS:
        return f->class_code_revision;
    case PCI_HEADER:
        return f->cache_line;
    case PCI_SUBSYSTEM:
        return f->subsystem;
    case PCI_CAP_POINTER:
        return f->cap_pointer;
    case PCI_INTERRUPT:
        return f->interrupt_line;
    default:
        break;
    }
    if (offset >= PCI_BAR(0) && offset < PCI_BAR(PCI_BAR_COUNT)) {
        return vpci_bar_read(f, (offset - PCI_BAR(0)) / 4);
    }
    if (offset >= PCI_CAPS_START && offset < PCI_CONFIG_BYTES && f->ops->cap_read != NULL) {
        return f->ops->cap_read(f->state, offset);
    }
    return 0;
}

/*
 * Make what is decoded, and what the function is told, follow command and BARs: away first, then
 * the function's own decoding and mastering, then the new places, so that nothing is mapped that
 * does not answer. Should the map not let a place go, the function goes on decoding it.
 */
static void follow(struct vpci_function *f)
{
    int err = vpci_bars_drop(f);
    bool held = err != 0 && vpci_bars_decoded(f);

    if (f->ops->command != NULL) {
        f->ops->command(f->state, f->command | (held ? PCI_COMMAND_MEMORY : 0));
    }
    vpci_bars_raise(f->bridge);
}

void vpci_header_write(struct vpci_function *f, uint32_t offset, uint32_t value, uint32_t mask)
{
    uint32_t bits = mask & COMMAND_BITS;

    if (offset == PCI_COMMAND) {
        f->command = (f->command & ~bits) | (value & bits);
        follow(f);
    } else if (offset == PCI_HEADER) {
        bits = mask & PCI_HEADER_CACHE_LINE;
        f->cache_line = (uint8_t)((f->cache_line & ~bits) | (value & bits));
    } else if (offset == PCI_INTERRUPT) {
        bits = mask & PCI_INTERRUPT_LINE;
        f->interrupt_line = (uint8_t)((f->interrupt_line & ~bits) | (value & bits));
    } else if (offset >= PCI_BAR(0) && offset < PCI_BAR(PCI_BAR_COUNT)) {
        vpci_bar_write(f, (offset - PCI_BAR(0)) / 4, value, mask);
        follow(f);
    } else if (offset >= PCI_CAPS_START && offset < PCI_CONFIG_BYTES && f->ops->cap_write != NULL) {
        f->ops->cap_write(f->state, offset, value, mask);
    }
}

void vpci_header_reset(struct vpci_function *f)
{
    f->command = 0;
    f->cache_line = 0;
    f->interrupt_line = 0;
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        f->bar[i].value = 0;
        f->bar[i].sizing = 0;
    }
    follow(f);
}
