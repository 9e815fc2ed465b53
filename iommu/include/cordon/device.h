/*
 * IOMMUs, devices, MSIs and faults.
 *
 * From cordon_iommu_add on, a device reaches memory only through the view of the domain that it is
 * attached to; a device that is attached to none reaches nothing.
 */
#ifndef CORDON_DEVICE_H
#define CORDON_DEVICE_H

#include <cordon/map.h>

typedef struct cordon_iommu cordon_iommu;
typedef struct cordon_device cordon_device;

struct cordon_iommu_config {
    uint32_t size;          /* sizeof(struct cordon_iommu_config) */
    uint32_t flags;         /* 0 */
    cordon_hpa base;        /* its 4 KiB register page */
    uint32_t cq_log2;       /* command queue entries, log2, 1..15; 0: default */
    uint32_t fq_log2;       /* fault queue entries, log2, 1..15; 0: default */
    uint32_t timeout_us;    /* bound of each wait; 0: default */
    uint32_t max_device_id; /* widest device id that will be used; decides directory levels */
};

/* What an IOMMU makes of 64 KiB leaves [Priv Svnapot; IOMMU 2.3]. No capability tells: where the
 * context has CORDON_CTX_NAPOT, cordon_iommu_add asks the debug registers to translate through
 * tables made for it, of which one word is right and one reserved. */
enum cordon_napot {
    CORDON_NAPOT_UNTRIED = 0, /* the harts have none, or the IOMMU has no debug registers */
    CORDON_NAPOT_KNOWN = 1,   /* it led where it should, and refused what it should */
    CORDON_NAPOT_IGNORED = 2  /* it did not: no view that it walks has such leaves */
};

/* What the hardware says of itself, and what firmware had left. */
struct cordon_iommu_info {
    uint64_t capabilities;     /* [IOMMU 5.3] */
    uint32_t directory_levels; /* 1..3 */
    uint32_t extended;         /* 1: 64-byte device contexts with MSI tables, 0: 32-byte */
    uint32_t modes;            /* CORDON_MODE_* it can walk */
    uint32_t found_mode;       /* ddtp.iommu_mode found at entry: 0 Off, else it was on */
    uint32_t napot;            /* enum cordon_napot */
    uint32_t hpm_counters;     /* event counters: cordon/hpm.h */
};

/*
 * Take an IOMMU over and close it: queues up, a directory in which no entry is valid, all caches
 * flushed, whatever firmware had left turned off first. Bare is never used.
 * Errors: EINVAL, EEXIST, ENOTSUP (version, no second stage, device ids too wide), ETIMEOUT, EHW,
 * ENOMEM, ELIMIT. After an error the IOMMU is Off; only if it did not answer even to being turned
 * off (ETIMEOUT) may it still read its tables and queues: their frames are never used again then.
 */
CORDON_API CORDON_MUST_CHECK int cordon_iommu_add(cordon_ctx *ctx,
                                                  const struct cordon_iommu_config *cfg,
                                                  cordon_iommu **out);

/* What was found out about an IOMMU when it was taken over. */
CORDON_API void cordon_iommu_info(const cordon_iommu *iommu, struct cordon_iommu_info *out);

/* Turn it off for good and free its memory. Errors: EBUSY (a device exists), ETIMEOUT (memory is
 * kept). */
CORDON_API CORDON_MUST_CHECK int cordon_iommu_remove(cordon_iommu *iommu);

enum cordon_drain {
    CORDON_DRAIN_IOMMU = 1, /* IOFENCE ends its DMA: it translates when it accesses */
    CORDON_DRAIN_RESET = 2  /* only its reset does: it may hold translated addresses */
};

struct cordon_device_config {
    uint32_t size;      /* sizeof(struct cordon_device_config) */
    uint32_t device_id; /* as the IOMMU sees it, up to 24 bits */
    uint32_t drain;     /* enum cordon_drain */
    uint32_t reserved;  /* 0 */
    char name[32];      /* for reports, NUL-terminated */
};

/* Make a device known; it stays without a valid context. Errors: EINVAL, ERANGE, EEXIST, ENOMEM. */
CORDON_API CORDON_MUST_CHECK int cordon_device_add(cordon_iommu *iommu,
                                                   const struct cordon_device_config *cfg,
                                                   cordon_device **out);

/* Forget a device. Errors: EBUSY (attached, or its domain still waits for it to drain). */
CORDON_API CORDON_MUST_CHECK int cordon_device_remove(cordon_device *dev);

#define CORDON_ATTACH_OWN_VIEW 1u /* a view, GSCID and MSI table of its own */

/*
 * Publish a context for DEV that leads to a view of D: the domain's common device view, or one of
 * its own. The caller has quiesced and reset the device before.
 * Errors: EHANDLE (of two contexts), EBUSY (attached already; or a page of a DEMAND region that
 * the view would hold is absent: cordon_populate comes first), ELIMIT (views, GSCIDs), ENOMEM,
 * ENOTSUP (mode; or its IOMMU lacks Svpbmt, and the common view has devices behind one that has it,
 * and so may say memory types: it can have one of its own), ETIMEOUT, EHW.
 */
CORDON_API CORDON_MUST_CHECK int cordon_device_attach(cordon_domain *d, cordon_device *dev,
                                                      uint32_t flags);

/*
 * Withdraw the context, invalidate, and wait. The caller has taken the device off the bus before. A
 * device that drains by reset leaves the domain only with cordon_device_drained.
 * Errors: ENOENT (not attached), EPENDING (context gone; IOMMU did not confirm: frames stay).
 */
CORDON_API CORDON_MUST_CHECK int cordon_device_detach(cordon_device *dev);

/* The caller states that DEV's reset has completed, and that it is still off the bus: none of its
 * DMA is in flight. Frames that waited for it are freed. Errors: EPENDING (others are still
 * awaited). */
CORDON_API CORDON_MUST_CHECK int cordon_device_drained(cordon_device *dev);

/* ---- MSIs --------------------------------------------------------------------------------- */

/*
 * Say where the guest's interrupt files stand: pages A with (A >> 12 & ~MASK) == (BASE >> 12 &
 * ~MASK) are MSI targets, numbered by the bits of MASK [IOMMU msi_addr_mask]. Before the first
 * attach. With base-format contexts (no MSI tables) MSIs are refused: ENOTSUP.
 * Errors: EINVAL, EBUSY (a device is attached or a file set), EEXIST (RAM region there), ENOMEM.
 */
CORDON_API CORDON_MUST_CHECK int cordon_msi_window(cordon_domain *d, cordon_gpa base,
                                                   uint64_t mask);

/* Lead MSIs for file INDEX to the guest interrupt file at HPA, a resource that D owns (granted) or
 * that no domain has; HPA 0 takes it away. Files that are granted with CORDON_REGION_FILE at their
 * place in the window need no such call. Errors: ENOENT (no window), ERANGE, EALIGN, EPERM,
 * ENOMEM; EPENDING (the entry has changed, the old file stays D's until cordon_retire succeeds). */
CORDON_API CORDON_MUST_CHECK int cordon_msi_set(cordon_domain *d, uint32_t index, cordon_hpa file);

/* ---- faults ------------------------------------------------------------------------------- */

/* A fault as people ask for it. COUNT equal ones (same device, cause, page) make one report. */
struct cordon_fault {
    uint32_t device_id;
    uint32_t domain;        /* 0: the device had none */
    uint32_t cause;         /* [IOMMU table of causes] */
    uint32_t access;        /* CORDON_READ.. ; 0: not said */
    cordon_iova iova;       /* of the first one */
    uint64_t span;          /* bytes from the lowest to the highest address seen, both included */
    uint64_t count;         /* records that this stands for */
    uint32_t has_nearest;   /* the nearest region of DOMAIN: */
    uint32_t nearest_after; /* 1: it begins after the address, 0: it ends before */
    cordon_gpa nearest;     /* its first byte */
    uint64_t nearest_len;
    uint64_t nearest_gap; /* bytes between */
    char device[32];      /* name, or empty */
};

struct cordon_fault_stats {
    uint64_t records;    /* taken from the queue */
    uint64_t overflows;  /* times that the hardware said it dropped records */
    uint64_t suppressed; /* records that found no room among the reports: counted, not kept */
};

/* Empty the hardware's fault queue into reports, recover from overflow, re-arm. Bounded work:
 * returns the number of records taken, at most BUDGET. Safe from an interrupt handler. */
CORDON_API uint32_t cordon_faults_poll(cordon_iommu *iommu, uint32_t budget);

/* Take up to COUNT reports, oldest first. Returns how many were written. */
CORDON_API size_t cordon_faults_take(cordon_iommu *iommu, struct cordon_fault *out, size_t count);

/* What has been counted since the IOMMU was taken over. */
CORDON_API void cordon_faults_stats(const cordon_iommu *iommu, struct cordon_fault_stats *out);

/* The name of a cause ("store guest-page fault"), static. */
CORDON_API const char *cordon_cause_name(uint32_t cause);

#endif
