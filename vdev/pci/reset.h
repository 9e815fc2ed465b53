/*
 * Resetting one function, without ever blocking: begin, then poll until it is over.
 *
 * Methods in order: function-level reset; the same by Advanced Features; power management (only if
 * its BARs are seen to be cleared by it: some devices promise a reset there and do none); the
 * device's own (NVMe CC.EN, 82574 CTRL.RST, virtio status); the bus below its bridge, if it is
 * alone there.
 */
#ifndef VDEV_PCI_RESET_H
#define VDEV_PCI_RESET_H

#include "pci/host.h"

enum pci_reset_kind {
    PCI_RESET_NONE = 0,
    PCI_RESET_FLR,
    PCI_RESET_AF,
    PCI_RESET_PM,
    PCI_RESET_DEVICE,
    PCI_RESET_BUS,
    PCI_RESET_KIND_COUNT
};

struct pci_reset {
    struct pci_host *h;
    struct pci_function *f;
    enum pci_reset_kind kind; /* the method at work, or that worked; NONE: none did */
    uint32_t step;
    bool acted;        /* the step's action is done, its waiting began */
    uint64_t since_us; /* when */
    uint32_t devctl;   /* device control as it was */
};

/* Is there any method worth trying? A promise only: PM shows its worth when used. */
bool pci_reset_exists(const struct pci_host *h, const struct pci_function *f);

/* Take F off the bus and start: the reset is under way on return, unless requests are still
 * pending.
 * Errors: ENOTSUP (no method). */
CORDON_MUST_CHECK int pci_reset_begin(struct pci_reset *r, struct pci_host *h,
                                      struct pci_function *f);

/*
 * Go on as far as possible without waiting. 0: over; the function is itself again, off the bus,
 * decoding off, its BARs restored, its messages off. Errors: EBUSY (not yet), ETIMEOUT, ENOTSUP
 * (what was tried did nothing), EHW (it came back as something else, or does not take its
 * configuration). After an error but EBUSY it is over.
 */
CORDON_MUST_CHECK int pci_reset_poll(struct pci_reset *r);

/* Poll until it is over; bounded by the sum of the steps' bounds. Errors as pci_reset_poll. */
CORDON_MUST_CHECK int pci_reset_wait(struct pci_reset *r);

/* What a reset leaves to be done, for a function that has none too: everything off, BARs written,
 * DEVCTL (payload and request size) as the link knows it. Errors: EHW (not the same function, or it
 * does not take its configuration). */
CORDON_MUST_CHECK int pci_restore(const struct pci_host *h, const struct pci_function *f,
                                  uint32_t devctl);

/* "FLR", "none" ... Static. */
const char *pci_reset_name(enum pci_reset_kind kind);

/* How DMA of F is known to be over: a cordon_drain value [CORDON_DRAIN_IOMMU for devices known to
 * translate when they access, CORDON_DRAIN_RESET for all others]. In drain.c. */
uint32_t pci_drain_method(const struct pci_function *f);

/* One step of a method. Without DONE it is over once SETTLE_US have passed. */
struct pci_reset_step {
    void (*act)(const struct pci_reset *r);
    bool (*done)(const struct pci_reset *r);
    uint64_t settle_us; /* the function is left alone for so long */
    uint64_t bound_us;  /* then DONE is asked for so long */
    bool soft;          /* a DONE that never comes is no failure */
};

/* The device's own steps, or null; COUNT is written. In reset_device.c. */
const struct pci_reset_step *pci_reset_device(const struct pci_host *h,
                                              const struct pci_function *f, uint32_t *count);

#endif
