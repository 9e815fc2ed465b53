/* PCI for guests without an operating system whose RAM begins at 2 GiB: one bus, and edu on it. */
#ifndef DMA_TESTS_GUEST_BARE_PCI_H
#define DMA_TESTS_GUEST_BARE_PCI_H

#include <stdint.h>

#define ECAM UINT64_C(0x10000000)
#define BARS UINT64_C(0x20000000) /* 512 MiB for 32-bit BARs */
#define SLOT_BYTES 0x8000u
#define COMMAND 0x04u
#define BAR0 0x10u
#define DECODE 2u
#define MASTER 4u
#define EDU_ID 0x010000edu
#define EDU_BUFFER 0x40000u

static inline volatile uint32_t *pci_reg(uint32_t slot, uint32_t offset)
{
    return (volatile uint32_t *)(ECAM + (uint64_t)slot * SLOT_BYTES + offset);
}

static inline volatile uint32_t *edu_reg(uint64_t bar, uint32_t offset)
{
    return (volatile uint32_t *)(bar + offset);
}

/* Put BAR 0 of SLOT at ADDRESS, with decoding and mastering on. */
static inline void pci_place(uint32_t slot, uint64_t address)
{
    *pci_reg(slot, COMMAND) = 0;
    *pci_reg(slot, BAR0) = (uint32_t)address;
    *pci_reg(slot, COMMAND) = DECODE | MASTER;
}

/* Fetch LEN bytes from the bus address, and wait for the end. */
static inline void edu_fetch(uint64_t bar, uint64_t address, uint32_t len)
{
    *(volatile uint64_t *)(bar + 0x80) = address;
    *(volatile uint64_t *)(bar + 0x88) = EDU_BUFFER;
    *(volatile uint64_t *)(bar + 0x90) = len;
    *(volatile uint64_t *)(bar + 0x98) = 1;
    while ((*(volatile uint64_t *)(bar + 0x98) & 1) != 0) {
    }
}

#endif
