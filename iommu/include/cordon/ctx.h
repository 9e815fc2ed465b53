/*
 * A context: the memory of one machine, who owns each page of it, and what is allocated from it.
 *
 * All that the layer keeps lives inside the RAM it is given, in frames that no view can reach. It
 * reaches a frame at HPA + ram_offset. Contexts share nothing: many may live in one process.
 *
 * Threads: calls may come from any thread or hart at once, save three kinds. Calls about one device
 * (add, attach, detach, drained, remove) come from one at a time; what closes a handle comes after
 * every other call about it; and what the caller passes stays as it is while a call runs. Locks are
 * held while hardware is waited for, as long as its timeout; a question to a domain then waits too.
 */
#ifndef CORDON_CTX_H
#define CORDON_CTX_H

#include <cordon/types.h>

typedef struct cordon_ctx cordon_ctx;

/* G-stage modes as bits, for hardware that has several [Priv hgatp.MODE; IOMMU iohgatp.MODE]. */
#define CORDON_MODE_SV39X4 1u
#define CORDON_MODE_SV48X4 2u
#define CORDON_MODE_SV57X4 4u

/* Do not keep what can move apart from what cannot: for measuring what that is worth. */
#define CORDON_CTX_MIXED 1u

/* Every hart has Svnapot: leaves of 64 KiB are made where 16 pages allow it, in a domain's views as
 * long as each IOMMU that walks one was seen to know them too (cordon_iommu_info). */
#define CORDON_CTX_NAPOT 2u

/* Every hart has Svpbmt and Zicbom, so that guests may read and write past the caches: regions may
 * have a memory type, and cordon_port_flush is called for what comes into a map. */
#define CORDON_CTX_PBMT 4u

struct cordon_config {
    uint32_t size;  /* sizeof(struct cordon_config) */
    uint32_t flags; /* CORDON_CTX_* */
    void *cookie;   /* for the port functions; in host builds a struct cordon_port_ops * or null */
    uint64_t ram_offset; /* host pointer of a frame = HPA + ram_offset (modulo 2^64) */
    const struct cordon_extent *banks;    /* RAM, ascending, not overlapping */
    const struct cordon_extent *reserved; /* RAM never to be touched: firmware, images, DT */
    uint32_t bank_count;
    uint32_t reserved_count;
    uint32_t hart_modes; /* CORDON_MODE_* that hgatp accepts on every hart; not 0 */
    uint32_t vmid_bits;  /* width of hgatp.VMID, 0 to 14: as many domains run at once */
    uint64_t seed;       /* for balance and scatter; any value; equal seeds give equal layouts */
};

/* Lay a context over the RAM in CFG. Nothing of CFG is kept but its values. The context is freed by
 * cordon_ctx_destroy; memory itself stays the caller's.
 * Errors: EINVAL, EALIGN, ERANGE (bank wraps or overlaps), ELIMIT, ENOMEM (RAM too small). */
CORDON_API CORDON_MUST_CHECK int cordon_ctx_create(const struct cordon_config *cfg,
                                                   cordon_ctx **out);

/* Forget a context. Errors: EBUSY (a domain, device or IOMMU still exists; nothing changed). */
CORDON_API CORDON_MUST_CHECK int cordon_ctx_destroy(cordon_ctx *ctx);

/* ---- frames ------------------------------------------------------------------------------- */

enum cordon_frame_state {
    CORDON_FRAME_NONE = 0, /* no RAM of this context */
    CORDON_FRAME_FREE,
    CORDON_FRAME_HYP,     /* reserved, or the layer's own; never reachable, never given away */
    CORDON_FRAME_HELD,    /* allocated by the caller, in no view: may be granted or freed */
    CORDON_FRAME_TABLE,   /* a page table, MSI table, directory or queue */
    CORDON_FRAME_OWNED,   /* in the map of DOMAIN at GPA */
    CORDON_FRAME_REVOKING /* gone from DOMAIN's map; hardware not yet proven quiet */
};

struct cordon_frame_info {
    uint32_t state;  /* enum cordon_frame_state */
    uint32_t domain; /* for OWNED and REVOKING */
    cordon_gpa gpa;  /* for OWNED and REVOKING */
};

/* Who owns the frame that holds HPA. Constant time. Errors: none but EINVAL for null pointers; an
 * address that is not RAM answers NONE. */
CORDON_API CORDON_MUST_CHECK int cordon_frame_query(const cordon_ctx *ctx, cordon_hpa hpa,
                                                    struct cordon_frame_info *out);

#define CORDON_FRAMES_QUERY 256u /* frames at a time */

/* The same for COUNT frames, from the one that holds HPA on, at one moment: the lock that whoever
 * allocates waits for is taken once. Errors: EINVAL (also: COUNT is 0, or beyond
 * CORDON_FRAMES_QUERY). */
CORDON_API CORDON_MUST_CHECK int cordon_frames_query(const cordon_ctx *ctx, cordon_hpa hpa,
                                                     struct cordon_frame_info *out, uint32_t count);

/* What an allocation must satisfy. All zero: anywhere, page-aligned. */
struct cordon_run_want {
    uint32_t size;     /* sizeof(struct cordon_run_want) */
    uint32_t flags;    /* CORDON_RUN_* */
    uint64_t len;      /* bytes, whole pages, not 0 */
    uint64_t align;    /* power of two, 0 or >= page size */
    uint64_t boundary; /* power of two that the run may not cross; 0: none; >= len */
    uint64_t highest;  /* highest HPA of the run's last byte; 0: no limit */
};

#define CORDON_RUN_NOZERO 1u /* leave the old contents (simulations only; else scrubbed) */
#define CORDON_RUN_FIXED \
    2u /* for the caller's own use: it will be in no map, or never move there */

/* Allocate one run, contiguous in HPA; its frames become HELD and read as zero.
 * Errors: EINVAL, EALIGN, ERANGE, ENOMEM (no run satisfies WANT). */
CORDON_API CORDON_MUST_CHECK int cordon_run_alloc(cordon_ctx *ctx,
                                                  const struct cordon_run_want *want,
                                                  cordon_hpa *out);

/* Give HELD frames back. LEN in bytes. All of the range must be HELD. Errors, nothing changed:
 * EALIGN, ERANGE, EPERM (some frame is not HELD), ENOMEM (part of a block that nobody has split
 * yet, and no memory for its words). */
CORDON_API CORDON_MUST_CHECK int cordon_run_free(cordon_ctx *ctx, cordon_hpa hpa, uint64_t len);

/*
 * Allocate LEN bytes in pieces, HELD and zeroed, shuffled by SEED: PIECES says which sizes (bit n:
 * 2^n pages, n up to 18; 0 means largest first, unshuffled, pieces that touch in one extent). Each
 * piece stands at a multiple of its size in the sum of those before it, so that large ones can be
 * large leaves. Holes are left between pieces while there is room, for who scatters next to fill.
 * Writes at most *COUNT extents, then the number written. Errors, nothing allocated: EINVAL (also:
 * LEN cannot be made of these sizes), EALIGN, ERANGE, ENOMEM, ELIMIT (more than *COUNT extents are
 * needed; OUT may have been written to).
 */
CORDON_API CORDON_MUST_CHECK int cordon_scatter_alloc(cordon_ctx *ctx, uint64_t len,
                                                      uint32_t pieces, uint64_t seed,
                                                      struct cordon_extent *out, size_t *count);

/* ---- resources ---------------------------------------------------------------------------- */

/* An MMIO range that a domain may be given: a BAR, a guest interrupt file. Not RAM, overlaps no
 * other resource, not the layer's own registers. Errors: EINVAL, EALIGN, ERANGE, EEXIST, EPERM,
 * ENOMEM. */
CORDON_API CORDON_MUST_CHECK int cordon_resource_add(cordon_ctx *ctx, cordon_hpa hpa, uint64_t len);

/* Offer a range no more. Errors: ENOENT (no resource starts there), EBUSY (a domain has some of
 * it). */
CORDON_API CORDON_MUST_CHECK int cordon_resource_remove(cordon_ctx *ctx, cordon_hpa hpa);

struct cordon_memory_stats {
    uint64_t total, free, held, hyp, table, owned, revoking; /* bytes */
    uint64_t largest_free; /* bytes, the longest aligned free run */
    uint64_t ownership;    /* bytes of ownership words, in use */
};

/* How much memory is in which state at this moment. Constant time. */
CORDON_API void cordon_memory_stats(const cordon_ctx *ctx, struct cordon_memory_stats *out);

#endif
