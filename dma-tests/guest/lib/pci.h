/* PCI functions from user space, through sysfs: configuration space and BARs. */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pci {
    char name[16]; /* 0000:00:01.0 */
    int config;    /* file descriptor of its configuration space */
};

/* Open a function; it is enabled, with bus mastering on. Exits with a message when it cannot be
 * opened. */
struct pci pci_named(const char *name);

/* Open up to MAX functions with this vendor and device id, in the order of their names. Returns how
 * many. */
size_t pci_open(uint16_t vendor, uint16_t device, struct pci *out, size_t max);

/* Map a memory BAR, whole. *LEN becomes its size. Exits with a message when it cannot be mapped. */
volatile void *pci_map(const struct pci *p, unsigned bar, size_t *len);

uint32_t pci_read(const struct pci *p, unsigned offset, unsigned width);
void pci_write(const struct pci *p, unsigned offset, unsigned width, uint32_t value);

/* Offset of the first capability with this id, 0: none. */
unsigned pci_capability(const struct pci *p, uint8_t id);

/* Have its messages (MSI) be DATA, sent to ADDRESS; and have it send none. Exits with a message if
 * it has no MSI. */
void pci_message_on(const struct pci *p, uint64_t address, uint16_t data);
void pci_message_off(const struct pci *p);

#endif
