/*
 * A model of PCI functions for tests: configuration space with bits that stick and bits that clear,
 * BARs that size and decode as written, bridges that route by their registers, resets with a time
 * in which the function must be left alone. It can be told to lie.
 */
#ifndef DMA_TESTS_FAKE_PCI_H
#define DMA_TESTS_FAKE_PCI_H

#include "pci/host.h"
#include <cordon/port.h>

#define FPCI_ECAM UINT64_C(0x30000000)
#define FPCI_LOW UINT64_C(0x40000000) /* 32-bit window, 256 MiB */
#define FPCI_LOW_LEN UINT64_C(0x10000000)
#define FPCI_HIGH UINT64_C(0x400000000) /* 64-bit window, 4 GiB */
#define FPCI_HIGH_LEN UINT64_C(0x100000000)
#define FPCI_MAX 64
#define FPCI_REGISTER_BYTES 4096

enum fpci_kind { FPCI_PLAIN, FPCI_NVME, FPCI_E1000E, FPCI_VIRTIO };

struct fpci_fn {
    int parent; /* index of the bridge, -1: root bus */
    uint32_t devfn;
    enum fpci_kind kind;
    uint8_t config[4096], reset[4096], sticks[4096], clears[4096];
    uint64_t bar_len[6];
    uint32_t reg[FPCI_REGISTER_BYTES / 4]; /* behind BAR 0 */
    /* how it misbehaves */
    bool master_stuck; /* the bus master bit does not fall */
    bool bar_stuck;    /* BARs take no new address after a reset */
    bool reset_hangs;  /* never ready again, or its own reset never ends */
    bool reset_swaps;  /* comes back with another device id */
    bool pm_resets;    /* D3hot to D0 resets it */
    uint64_t reset_us; /* busy so long after a reset */
    uint64_t features; /* virtio */
    /* what happened to it */
    uint32_t resets;
    uint32_t commands; /* or of all command values written */
    uint64_t busy_until;
    uint32_t early; /* accesses while it was busy and had to be left alone */
    uint32_t own_reset_reads;
};

struct fpci {
    struct cordon_port_ops ops; /* first: the port's cookie */
    struct fpci_fn fn[FPCI_MAX];
    int count;
    uint8_t first_bus, last_bus;
    uint64_t now_us;
    uint32_t conflicts; /* accesses that two took */
    uint32_t stray;     /* accesses outside everything */
    /* what else answers, for tests that put an IOMMU beside it; may be null */
    void *beside;
    bool (*beside_read)(void *beside, uint64_t hpa, uint32_t width, uint64_t *value);
    bool (*beside_write)(void *beside, uint64_t hpa, uint32_t width, uint64_t value);
};

void fpci_init(struct fpci *p);
/* A host over it, with both windows, one IOMMU tuple that covers everything, and a table. */
void fpci_host(struct fpci *p, struct pci_host *h, struct pci_function *table, uint32_t capacity);

int fpci_add(struct fpci *p, int parent, uint32_t dev, uint32_t fn, uint32_t vendor,
             uint32_t device, uint32_t class_code);
int fpci_bridge(struct fpci *p, int parent, uint32_t dev, uint32_t fn);
/* FLAGS: the low bits that the register reads (type, prefetchable). LEN 0 takes the BAR away. */
void fpci_bar(struct fpci_fn *f, uint32_t index, uint64_t len, uint32_t flags);
/* A capability of BYTES at AT, put at the head of the list; its first dword's upper half is 0. */
void fpci_cap(struct fpci_fn *f, uint32_t at, uint32_t id);
void fpci_cap_pcie(struct fpci_fn *f, uint32_t at, uint32_t type, bool flr);
void fpci_cap_pm(struct fpci_fn *f, uint32_t at);
void fpci_cap_msi(struct fpci_fn *f, uint32_t at, uint32_t log2_vectors, uint32_t flags);
void fpci_cap_msix(struct fpci_fn *f, uint32_t at, uint32_t entries, uint32_t table,
                   uint32_t pending);
void fpci_cap_af(struct fpci_fn *f, uint32_t at);
void fpci_cap_virtio(struct fpci_fn *f, uint32_t at, uint32_t type, uint32_t bar, uint32_t offset,
                     uint32_t length);
/* An extended capability at AT; the one before it (0: none) points to it. */
void fpci_ext(struct fpci_fn *f, uint32_t at, uint32_t id, uint32_t before);

uint32_t fpci_get(const struct fpci_fn *f, uint32_t offset);
/* Set bytes as the device has them, now and after its reset. */
void fpci_set(struct fpci_fn *f, uint32_t offset, uint32_t value);
/* Which bits of a dword can be written, and which are cleared by writing ones. */
void fpci_sticks(struct fpci_fn *f, uint32_t offset, uint32_t bits);
void fpci_clears(struct fpci_fn *f, uint32_t offset, uint32_t bits);

/* Freeze the present state as what a reset brings back. Called by the adders. */
uint64_t fpci_bar_address(const struct fpci_fn *f, uint32_t index);

#endif
