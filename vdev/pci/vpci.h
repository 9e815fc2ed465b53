/*
 * PCI as a guest sees it: one bus, slots of ours, virtual BARs.
 *
 * The bridge answers three ranges of the guest's bus: its configuration space (ECAM) and the
 * windows for BARs. A BAR that the guest has placed and enabled is mapped straight through, so the
 * windows see only what nothing answers (all ones) and the BARs of emulated functions.
 *
 * All of a bridge's state is under its lock. Who waits for the lock calls cordon_port_relax, for
 * the holder may be waiting for that hart's fence.
 */
#ifndef VDEV_PCI_VPCI_H
#define VDEV_PCI_VPCI_H

#include "bus/bus.h"
#include "pci/host.h"
#include <cordon/lock.h>
#include <cordon/map.h>

#define VPCI_SLOTS 32u
#define VPCI_MAX_AVOID 8u

struct vpci_function;
struct vpci_bridge;

/* What a function adds to the common header. Called under the bridge's lock, but for bar_read and
 * bar_write. Offsets of capabilities are multiples of 4 in [0x40, 0x100). MASK has ones in the
 * bytes that are written. */
struct vpci_ops {
    bool (*absent)(void *state); /* reads give all ones for now; null: never */
    uint32_t (*cap_read)(void *state, uint32_t offset);
    void (*cap_write)(void *state, uint32_t offset, uint32_t value, uint32_t mask);
    void (*command)(void *state, uint32_t command); /* what the guest has enabled, filtered */
    uint64_t (*bar_read)(void *state, uint32_t bar, uint64_t offset, unsigned width);
    void (*bar_write)(void *state, uint32_t bar, uint64_t offset, unsigned width, uint64_t value);
};

struct vpci_bar {
    uint64_t len;    /* as the guest sizes it, whole pages; 0: none */
    uint32_t flags;  /* PCI_BAR_64, PCI_BAR_PREFETCH */
    bool trapped;    /* answered by ops, not mapped */
    cordon_hpa hpa;  /* what stands behind it */
    uint64_t value;  /* where the guest put it, aligned to len; 0: nowhere */
    uint32_t sizing; /* halves that hold all ones, a bit each: the guest asks for the size */
    bool decoded;
    uint64_t at;      /* where it is decoded */
    enum pci_why why; /* why it is not, though enabled */
    uint64_t why_at;
};

struct vpci_stats {
    uint64_t placed;  /* times that a BAR came to stand somewhere */
    uint64_t refused; /* times that one could not */
    struct pci_refusal last;
};

struct vpci_function {
    const struct vpci_ops *ops;
    void *state;
    struct vpci_bridge *bridge; /* null: in no slot */
    uint32_t slot;
    uint32_t id, class_code_revision, subsystem; /* as the registers read */
    uint32_t command;
    uint8_t cap_pointer, cache_line, interrupt_line;
    struct vpci_bar bar[PCI_BAR_COUNT];
    struct vpci_stats stats;
};

/* Guest addresses that no BAR may cover, and what to say of it. */
struct vpci_avoid {
    cordon_gpa gpa;
    uint64_t len;
    enum pci_why why;
};

struct vpci_window {
    cordon_gpa gpa;
    uint64_t len; /* 0: none */
};

struct vpci_config {
    cordon_domain *domain;
    void *cookie; /* for cordon_port_relax */
    cordon_gpa ecam;
    uint64_t ecam_len;       /* 1 MiB a bus; only bus 0 has functions */
    struct vpci_window low;  /* below 4 GiB */
    struct vpci_window high; /* 64-bit BARs only */
    struct vpci_avoid avoid[VPCI_MAX_AVOID];
    uint32_t avoid_count;
};

struct vpci_bridge {
    struct cordon_lock lock;
    struct vpci_config cfg;
    struct vpci_function *slot[VPCI_SLOTS];
};

/* Errors: EINVAL, EALIGN, ERANGE (wraps; the low window is not below 4 GiB), EEXIST (overlap). */
CORDON_MUST_CHECK int vpci_bridge_init(struct vpci_bridge *b, const struct vpci_config *cfg);

/* Put the bridge on the guest's bus. Errors: those of vbus_add; BUS may then hold some of it. */
CORDON_MUST_CHECK int vpci_bridge_bus(struct vpci_bridge *b, struct vbus *bus);

/* Show a function in SLOT. Errors: ERANGE (no such slot), EEXIST (taken), EBUSY (shown already). */
CORDON_MUST_CHECK int vpci_insert(struct vpci_bridge *b, uint32_t slot, struct vpci_function *f);

/* Take a function away: its BARs leave the map, the guest reads all ones. Errors: those of
 * cordon_change, nothing changed; EPENDING (gone, but see cordon_retire). */
CORDON_MUST_CHECK int vpci_remove(struct vpci_function *f);

void vpci_lock(struct vpci_bridge *b);
void vpci_unlock(struct vpci_bridge *b);

/* ---- common header: header.c ---------------------------------------------------------------- */

uint32_t vpci_header_read(struct vpci_function *f, uint32_t offset);
void vpci_header_write(struct vpci_function *f, uint32_t offset, uint32_t value, uint32_t mask);
/* As after a reset: nothing enabled, no BAR anywhere. */
void vpci_header_reset(struct vpci_function *f);

/* ---- BARs: bar.c ---------------------------------------------------------------------------- */

uint32_t vpci_bar_read(const struct vpci_function *f, uint32_t index);
void vpci_bar_write(struct vpci_function *f, uint32_t index, uint32_t value, uint32_t mask);

/* Take BARs of F out of the map that are not wanted where they are. Errors: of cordon_change; they
 * are still decoded then, but for EPENDING. */
CORDON_MUST_CHECK int vpci_bars_drop(struct vpci_function *f);
/* Decode every BAR of the bus that is wanted and may be. */
void vpci_bars_raise(struct vpci_bridge *b);
bool vpci_bars_decoded(const struct vpci_function *f);

#endif
