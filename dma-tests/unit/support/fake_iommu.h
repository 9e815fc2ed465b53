/*
 * A RISC-V IOMMU for unit tests: small, strict, and able to misbehave on purpose.
 *
 * Written from the specification alone; it shares nothing with the driver. Whatever the driver does
 * that the specification leaves UNSPECIFIED or calls illegal is a violation, kept with its reason.
 * It caches contexts and translations, so that a forgotten invalidation shows, and can be told to
 * be slow, not to answer, to stop with an error, or to drop records.
 */
#ifndef FAKE_IOMMU_H
#define FAKE_IOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_LOG 4096u
#define FAKE_CACHE 64u

/* capabilities: version 1.0, Sv39x4, MSI_FLAT, IGS both, PAS 56 */
#define FAKE_CAPABILITIES 0x3820420010ull
#define FAKE_CAP_SVPBMT (1ull << 15)
#define FAKE_CAP_SV48X4 (1ull << 18)
#define FAKE_CAP_SV57X4 (1ull << 19)
#define FAKE_CAP_MSI_FLAT (1ull << 22)
#define FAKE_CAP_AMO_HWAD (1ull << 24)
#define FAKE_CAP_ATS (1ull << 25)
#define FAKE_CAP_END (1ull << 27)
#define FAKE_CAP_IGS (3ull << 28)
#define FAKE_CAP_DBG (1ull << 31)
#define FAKE_CAP_PAS (63ull << 32)

enum fake_event_kind { FAKE_WRITE, FAKE_COMMAND };

/* What the driver did, in order: register writes, and commands when they were executed. */
struct fake_event {
    enum fake_event_kind kind;
    uint32_t reg;
    uint64_t value; /* command: first word */
    uint64_t more;  /* command: second word */
};

/* [Priv Svnapot] */
enum fake_napot {
    FAKE_NAPOT_KNOWN,   /* 16 pages; another size is a fault */
    FAKE_NAPOT_RANGE,   /* the same, and said to be a range of 64 KiB */
    FAKE_NAPOT_IGNORED, /* N says nothing */
    FAKE_NAPOT_ANY_SIZE /* 16 pages, whatever size it says */
};

/* An answer that is on its way: BUSY until LEFT more reads, for ever if STUCK. */
struct fake_answer {
    bool busy;
    bool stuck;
    uint32_t left;
};

struct fake_queue {
    uint64_t base;
    uint32_t head;
    uint32_t tail;
    uint32_t csr;
    uint32_t csr_next; /* what a write under way will make of en and ie */
    struct fake_answer answer;
};

struct fake_entry {
    bool valid;
    uint32_t device_id;
    uint64_t gscid;
    uint64_t page;
    uint64_t dc[8];
};

struct fake_iommu {
    uint64_t base;
    uint8_t *ram;
    uint64_t ram_hpa;
    uint64_t ram_len;

    /* what kind of hardware it is */
    uint64_t capabilities;
    uint32_t ddtp_modes;   /* bit n: iommu_mode n can be written */
    uint32_t log2_max;     /* of queues */
    uint32_t fctl_fixed;   /* bits of fctl that cannot be changed */
    uint32_t icvec_bits;   /* writable bits of each field */
    bool ddtp_ignores_off; /* leaves ddtp as found when asked to go Off */
    enum fake_napot napot; /* what it makes of 64 KiB leaves */

    /* registers */
    uint32_t fctl;
    uint64_t ddtp, ddtp_next;
    struct fake_answer ddtp_answer;
    struct fake_queue cq, fq, pq;
    uint32_t ipsr;
    uint64_t icvec;
    uint32_t msi_ctl[16];
    uint64_t tr_iova, tr_ctl, tr_response; /* [IOMMU 5.24 to 5.26] */
    struct fake_answer tr_answer;
    uint32_t asked; /* debug translations so far */

    /* misbehaviour */
    uint32_t operations;                   /* counted: ddtp writes, csr writes, cqt writes */
    uint32_t never_at;                     /* this operation is never answered; 0: none */
    uint32_t never_from;                   /* and none from this one on; 0: none */
    uint32_t delay;                        /* reads before an answer */
    uint32_t commands;                     /* fetched so far */
    uint32_t ill_at, fault_at, timeout_at; /* the command that stops the queue; 0: none */
    uint32_t ill_from;                     /* every command from this one on does */
    struct fake_answer doorbell;

    /* what it saw */
    struct fake_event log[FAKE_LOG];
    uint32_t logged;
    uint32_t violations;
    char violation[160];
    struct fake_entry contexts[FAKE_CACHE];
    struct fake_entry pages[FAKE_CACHE];
};

void fake_init(struct fake_iommu *f, uint64_t base, uint8_t *ram, uint64_t ram_hpa,
               uint64_t ram_len);

/* As in struct cordon_port_ops. */
uint64_t fake_read(struct fake_iommu *f, uint64_t hpa, uint32_t width);
void fake_write(struct fake_iommu *f, uint64_t hpa, uint32_t width, uint64_t value);

/* Nothing is answered from here on. */
void fake_answer_none(struct fake_iommu *f);
/* Whatever was stuck is answered now, and nothing is refused any more. */
void fake_answer_all(struct fake_iommu *f);

/* ---- commands: fake_command.c ------------------------------------------------------------- */

/* Fetch and execute what stands in the queue, until it is empty or an error stops it. */
void fake_run_commands(struct fake_iommu *f);
/* How often a command was executed whose first word under MASK is WORD. */
uint32_t fake_count(const struct fake_iommu *f, uint64_t mask, uint64_t word);
void fake_violate(struct fake_iommu *f, const char *why);
void fake_log(struct fake_iommu *f, enum fake_event_kind kind, uint32_t reg, uint64_t value,
              uint64_t more);

/* ---- traffic: fake_traffic.c -------------------------------------------------------------- */

/* Pointer to LEN bytes of RAM at HPA, null outside. */
void *fake_ram(const struct fake_iommu *f, uint64_t hpa, uint64_t len);

/* A device asks for PAGE: 0 if its context lets it walk a table (and then its context and the page
 * are cached), else the cause. Nothing is recorded. A cached context is believed. */
uint32_t fake_access(struct fake_iommu *f, uint32_t device_id, uint64_t page);
/* What tr_response says of a read by DEVICE_ID at GPA. */
uint64_t fake_debug(struct fake_iommu *f, uint32_t device_id, uint64_t gpa);
/* The root that the last successful fake_access led to, and its MSI words. */
const struct fake_entry *fake_context(const struct fake_iommu *f, uint32_t device_id);
/* True while a translation of PAGE under GSCID is cached. */
bool fake_holds_page(const struct fake_iommu *f, uint64_t gscid, uint64_t page);
void fake_drop(struct fake_entry *cache, bool by_device, uint32_t device_id, bool by_gscid,
               uint64_t gscid, bool by_page, uint64_t page);

/* Record a fault as the hardware does: into the queue, or dropped when it is full or in error. */
void fake_fault(struct fake_iommu *f, uint32_t cause, uint32_t ttyp, uint32_t device_id,
                uint64_t iova);

#endif
