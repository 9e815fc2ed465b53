/*
 * A software RISC-V IOMMU for hosts, register by register from the specification, version 1.0.
 *
 * A judge: it shares no code with the layer that it judges. Memory is one flat buffer of the
 * caller. Every call on one model takes that model's one lock, so models may be used from many
 * threads; callbacks run under the lock and must not call the model again. A null model is no
 * argument for any call but destroy; it is not looked for.
 *
 * Left out, with their capability bits 0: process directories, ATS and PRI, MRIF, Sv32,
 * big-endian tables, T2GPA, QOSID, NL, S. A context that uses them is misconfigured (cause 259), a
 * request with a process id is refused (260) unless PDTV is set and the directory Bare, a table
 * entry in MRIF mode is misconfigured (263), and an ATS command is illegal.
 *
 * Of performance counters there are 7, of 40 bits; iohpmcycles goes on with each event.
 */
#ifndef CORDON_MODEL_H
#define CORDON_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORDON_MODEL_API __attribute__((visibility("default")))

/* Errors of the calls themselves. Positive returns are fault causes of the specification. */
enum cordon_model_error {
    CORDON_MODEL_EINVAL = -1,  /* a bad argument, size or alignment */
    CORDON_MODEL_ENOMEM = -2,  /* the host has no memory */
    CORDON_MODEL_ENOTSUP = -3, /* a capability that the model does not have */
};

enum cordon_model_access {
    CORDON_MODEL_READ = 1,
    CORDON_MODEL_WRITE = 2,
    CORDON_MODEL_EXEC = 4, /* read for execute */
};

/* Flags of a model: which caches it does without. */
enum cordon_model_flag {
    CORDON_MODEL_NO_DC_CACHE = 1,
    CORDON_MODEL_NO_STAGE_CACHE = 2, /* first and second stage */
    CORDON_MODEL_NO_MSI_CACHE = 4,
};

/* version 1.0, Sv39/48/57 and their x4 forms, MSI_FLAT, IGS both, HPM, DBG, PAS 56 */
#define CORDON_MODEL_CAPABILITIES 0x38e04e0e10ull

typedef struct cordon_model cordon_model;

struct cordon_model_config {
    uint32_t size;          /* sizeof(struct cordon_model_config) */
    uint32_t flags;         /* enum cordon_model_flag */
    void *ram;              /* the caller's, 8-byte aligned; must outlive the model */
    uint64_t ram_hpa;       /* address of its first byte on the bus, 4 KiB aligned */
    uint64_t ram_len;       /* bytes, a multiple of 4 KiB, not 0 */
    uint64_t capabilities;  /* 0: CORDON_MODEL_CAPABILITIES. Also possible: Svpbmt, AMO_HWAD */
    uint32_t cache_entries; /* of each stage's cache: 0 (4096) or a power of two in 64..65536 */
    uint32_t reserved;      /* 0 */
    void *user;             /* passed to the callbacks */
    /* An access outside memory: 0 if something answered, else it is an access fault. May be NULL.
     */
    int (*mmio)(void *user, uint64_t hpa, void *data, uint32_t len, bool write);
    /* Wire VECTOR went up or down (fctl.WSI = 1). May be NULL. */
    void (*wire)(void *user, uint32_t vector, bool level);
};

/* One request of a device. */
struct cordon_model_request {
    uint32_t size;      /* sizeof(struct cordon_model_request) */
    uint32_t device_id; /* 24 bits */
    uint64_t iova;
    uint32_t access;     /* one of enum cordon_model_access, or READ | WRITE */
    uint32_t process_id; /* 20 bits, 0 unless HAS_PROCESS */
    uint32_t has_process;
    uint32_t reserved; /* 0 */
};

/* Where it goes. */
struct cordon_model_target {
    uint64_t hpa;
    uint32_t page_shift; /* log2 of the size of the smallest page on the way */
    uint32_t is_msi;     /* 1: through the MSI table */
    uint32_t pbmt;       /* memory type, 0..2 */
    uint32_t reserved;
};

/* What is held back, until cordon_model_release. */
enum cordon_model_hold {
    CORDON_MODEL_HOLD_COMMANDS = 1,  /* the command queue stands still */
    CORDON_MODEL_HOLD_REGISTERS = 2, /* ddtp, cqcsr and fqcsr stay busy */
    CORDON_MODEL_HOLD_DEBUG = 4,     /* tr_req_ctl stays busy */
};

/* What the model has counted. */
struct cordon_model_stats {
    uint32_t size;       /* sizeof(struct cordon_model_stats), set by the caller */
    uint32_t violations; /* things that software did and the specification leaves UNSPECIFIED */
    uint64_t translations, walks, dc_loads, commands, fences, faults, records, dropped;
    uint64_t suppressed; /* faults that DTF kept quiet */
    char violation[80];  /* the last one, "" if none */
};

/* Make a model, as after reset. ENOTSUP: CAPABILITIES holds a bit that it lacks. */
CORDON_MODEL_API int cordon_model_create(const struct cordon_model_config *config,
                                         cordon_model **out);
/* NULL is accepted. Engines of it must be gone. */
CORDON_MODEL_API void cordon_model_destroy(cordon_model *model);
/* Reset [IOMMU 5]: everything off, caches empty, nothing held, nothing in flight. */
CORDON_MODEL_API void cordon_model_reset(cordon_model *model);

/* Registers [IOMMU 5]: OFFSET in the 4 KiB page, WIDTH 4 or 8 bytes. An access that the
 * specification leaves UNSPECIFIED counts as a violation, reads 0, and writes nothing. */
CORDON_MODEL_API uint64_t cordon_model_read(cordon_model *model, uint32_t offset, uint32_t width);
CORDON_MODEL_API void cordon_model_write(cordon_model *model, uint32_t offset, uint32_t width,
                                         uint64_t value);

/* Translate without moving data; faults go to the fault queue [IOMMU 2.3]. 0, a cause, or an error;
 * OUT is written on success only. */
CORDON_MODEL_API int cordon_model_translate(cordon_model *model,
                                            const struct cordon_model_request *request,
                                            struct cordon_model_target *out);
/* DMA of LEN bytes at the request's IOVA: a write takes from DATA, a read fills it. Pages are taken
 * in order; the first fault stops it, and DONE (may be NULL) tells the bytes moved before. */
CORDON_MODEL_API int cordon_model_dma(cordon_model *model,
                                      const struct cordon_model_request *request, void *data,
                                      size_t len, size_t *done);

/* Hold back what MASK says (enum cordon_model_hold), and let go of the rest, which then completes.
 */
CORDON_MODEL_API void cordon_model_hold(cordon_model *model, uint32_t mask);
/* Execute at most COUNT held commands; returns how many there were. */
CORDON_MODEL_API uint32_t cordon_model_step(cordon_model *model, uint32_t count);
/* Late answers: what is held completes after READS more register reads. 0: only by hold(0). */
CORDON_MODEL_API void cordon_model_late(cordon_model *model, uint32_t reads);
/* The next COUNT IOFENCE.C time out (cmd_to), or the next COUNT fetches fail (cqmf). */
CORDON_MODEL_API void cordon_model_fail_fences(cordon_model *model, uint32_t count);
CORDON_MODEL_API void cordon_model_fail_fetches(cordon_model *model, uint32_t count);

/* Bytes of the public struct called NAME, of this header and of cordon_sg.h; 0: there is none. */
CORDON_MODEL_API uint32_t cordon_model_size_of(const char *name);

CORDON_MODEL_API int cordon_model_stats_get(cordon_model *model, struct cordon_model_stats *stats);

#endif
