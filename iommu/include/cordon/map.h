/*
 * The map: what stands at each guest physical address of one guest, and the views made from it.
 *
 * A domain is one map and its views: the G-stage (view 0), and device views, each with a GSCID of
 * its own; while it runs, it has a VMID (cordon/harts.h). Every change is one transaction over an
 * array of operations: it is checked, all memory that it could need is reserved, and then it is
 * committed, which cannot fail. On any error but EPENDING nothing has changed, in any view.
 */
#ifndef CORDON_MAP_H
#define CORDON_MAP_H

#include <cordon/ctx.h>

typedef struct cordon_domain cordon_domain;

struct cordon_domain_config {
    uint32_t size;      /* sizeof(struct cordon_domain_config) */
    uint32_t modes;     /* CORDON_MODE_* that may be chosen; 0: whatever hart and IOMMUs have */
    uint64_t gpa_limit; /* first GPA that the map will never hold; decides the smallest mode */
};

/* An empty domain. Its number (1..4095) is its name in reports. Errors: EINVAL, ERANGE, ENOTSUP (no
 * mode covers gpa_limit on all hardware), ELIMIT (numbers), ENOMEM. */
CORDON_API CORDON_MUST_CHECK int cordon_domain_create(cordon_ctx *ctx,
                                                      const struct cordon_domain_config *cfg,
                                                      cordon_domain **out);

/* Revoke all, then free the domain. Errors: EBUSY (a device is attached, a hart runs it, another
 * domain borrows frames of it, or it has a listener or a space; nothing changed), EPENDING (all is
 * revoked, the domain lives on until cordon_retire succeeds; then call again). */
CORDON_API CORDON_MUST_CHECK int cordon_domain_destroy(cordon_domain *d);

/* The number of a domain, 1..4095: its name in reports and in cordon_frame_info. */
CORDON_API uint32_t cordon_domain_number(const cordon_domain *d);

/* MODE and PPN of view 0's root as they stand in hgatp, and VMID 0: whoever looks at its tables
 * needs no more. What a hart is given is cordon_domain_enter's to say. [Priv 18.2.10] */
CORDON_API uint64_t cordon_domain_hgatp(const cordon_domain *d);

/* ---- changes ------------------------------------------------------------------------------ */

/* Every page of gpa..gpa+len must stand in the map, but for GRANT none. */
enum cordon_op_kind {
    CORDON_OP_GRANT = 1,   /* a new region: extents back gpa.. in order */
    CORDON_OP_REVOKE = 2,  /* take the range out of the map */
    CORDON_OP_PROTECT = 3, /* change its rights */
    CORDON_OP_DISCARD = 4, /* DEMAND regions: their frames go as in REVOKE, the regions stay */
    CORDON_OP_MARK = 5     /* the CORDON_REGION_MARKS of the range become FLAGS: RAM of D's own */
};

/* Region flags, for GRANT. */
#define CORDON_REGION_MMIO 1u  /* the extents are resources; not in device views */
#define CORDON_REGION_NODMA 2u /* RAM that no device view may hold */
#define CORDON_REGION_PEER 4u  /* with MMIO: device views hold it too (peer-to-peer) */
#define CORDON_REGION_KEEP 8u  /* on revoke the frames become HELD instead of FREE */

/* RAM whose frames come at first touch, and go with DISCARD: see cordon/touch.h. */
#define CORDON_REGION_DEMAND 32u
/* RAM whose frames never move, and that no DISCARD takes. A GRANT has it with frames; DEMAND
 * regions get it with MARK, which fills them first. */
#define CORDON_REGION_PIN 64u
/* With DEMAND: a touch fills an aligned 2 MiB where it fits and is free, else one frame. */
#define CORDON_REGION_HUGE 1024u
/* With DEMAND: the pool keeps frames and tables for all that is absent, so that no touch finds it
 * empty. Without, memory may be promised to nobody and run out: overcommit. */
#define CORDON_REGION_PROMISED 2048u

/* With MMIO: the pages are interrupt files. Where they stand in the MSI window, the domain's MSI
 * tables lead there; they follow when the region moves or goes, or the window comes. */
#define CORDON_REGION_FILE 4096u

/* RAM of a memory type of its own, one of the two, where the context has CORDON_CTX_PBMT: harts do
 * not cache it, and access it as main memory (NC) or as I/O (IO), unless the guest's own tables say
 * a type. Not with MMIO, whose registers the machine knows best, nor with DEMAND: what is not
 * cached is there for devices, whose DMA cannot wait. Views of devices whose IOMMU has Svpbmt say
 * it too; all others leave it to the IOMMU, so that none meets bits that it reserves. [Priv Svpbmt]
 */
#define CORDON_REGION_NC 256u
#define CORDON_REGION_IO 512u
#define CORDON_REGION_TYPES (CORDON_REGION_NC | CORDON_REGION_IO)

/* A flag that cordon_region_find tells, and no GRANT takes: RAM of another domain; cordon_share. */
#define CORDON_REGION_SHARED 16u

/* A flag that no GRANT takes, only MARK; and all that MARK says anew. */
#define CORDON_REGION_LOG 128u /* dirty and access logging: cordon/log.h */
#define CORDON_REGION_MARKS (CORDON_REGION_LOG | CORDON_REGION_PIN)

struct cordon_op {
    uint32_t kind;                       /* enum cordon_op_kind */
    uint32_t flags;                      /* CORDON_REGION_* for GRANT and MARK, else 0 */
    cordon_gpa gpa;                      /* page-aligned */
    uint64_t len;                        /* bytes, whole pages; for GRANT the sum of the extents */
    uint32_t perms;                      /* CORDON_READ.. for GRANT and PROTECT, else 0 */
    uint32_t reserved;                   /* 0 */
    const struct cordon_extent *extents; /* GRANT only; read during the call */
    uint64_t extent_count;
};

/*
 * Carry out OPS as one transaction. The operations must not overlap each other in GPA (EINVAL).
 * GRANT takes HELD frames, or resources that no domain has (a resource page may stand at one GPA
 * only). With DEMAND it takes no extents (null and 0), only a length: no frame stands there until
 * somebody touches the page (cordon_touch) or the range is filled (cordon_populate). A domain that
 * has devices takes no such region that they would see, for DMA cannot wait for a frame (EBUSY).
 *
 * Order: grants claim frames, write leaves in each view, fence, enter the map; revokes mark frames
 * REVOKING, clear leaves in every view, fence, invalidate harts and IOMMUs once for the whole
 * batch, wait, drain; only then are frames FREE (or HELD). DISCARD is a revoke of what is present:
 * the next touch brings zeroes; of what is absent nothing is told. MARK with PIN fills what is
 * absent, or is refused (ENOMEM) before anything came; more than 64 pages come ahead of the change,
 * a part under each hold of the domain's lock, and stay where others take the rest meanwhile.
 *
 * Where the context has CORDON_CTX_PBMT, caches are flushed of what comes into a map, and of what
 * is HELD after it went: a guest may read past them.
 *
 * Errors, nothing changed: EINVAL, EALIGN, ERANGE, EEXIST (GRANT over a region or twice the same
 * frame), ENOTSUP (a memory type without CORDON_CTX_PBMT), ENOENT (any other kind over a hole),
 * EPERM (frame not HELD, resource unknown or taken; PROTECT of borrowed frames beyond the rights of
 * the loan; DISCARD of what is not DEMAND, or has PIN; MARK of MMIO or borrowed frames), EBUSY
 * (REVOKE or DISCARD of frames that another domain borrows, PROTECT that takes a right from them,
 * or LOG where it may write; DISCARD of what a device view holds), ENOMEM (GRANT with PROMISED too:
 * what is free does not suffice), ELIMIT. Error with the map changed: EPENDING, the revoked frames
 * stay REVOKING (hardware did not answer, or a device that drains by reset is attached); see
 * cordon_retire.
 */
CORDON_API CORDON_MUST_CHECK int cordon_change(cordon_domain *d, const struct cordon_op *ops,
                                               size_t count);

/* What cordon_remap is to do. */
struct cordon_remap {
    uint32_t size;                       /* sizeof(struct cordon_remap) */
    uint32_t flags;                      /* 0 */
    cordon_gpa gpa;                      /* the range as it stands, page-aligned */
    cordon_gpa to;                       /* where it shall stand; GPA: where it is */
    uint64_t len;                        /* bytes, whole pages */
    const struct cordon_extent *extents; /* HELD frames to back it, in order; null: the same */
    uint64_t extent_count;               /* 0 with null */
};

/*
 * Move a range to another GPA, with its frames, or give it other frames where it is: one
 * transaction. Rights and flags stay; they must be the same all over the range.
 *
 * Break before make: leaves are cleared in every view, fenced, harts and IOMMUs told, waited for;
 * only then are the new leaves written. In between, accesses fault. Frames that were replaced are
 * FREE (or HELD) after the wait, not before. Frames that others borrow may move, for the borrower
 * they are where they were; they cannot be replaced.
 *
 * Errors, nothing changed: EINVAL (also: both another GPA and other frames, or neither; extents do
 * not sum up to LEN; differing rights or flags in the range), EALIGN, ERANGE, ENOENT (a hole in the
 * range), EEXIST (something stands at TO, the range itself included), EPERM (MMIO or borrowed
 * frames; extents that are not HELD, or for a DEMAND or PIN region), EBUSY (others borrow what
 * would be replaced), ENOMEM. Error with the map changed: EPENDING, as cordon_change.
 */
CORDON_API CORDON_MUST_CHECK int cordon_remap(cordon_domain *d, const struct cordon_remap *what);

/* What cordon_share is to do. */
struct cordon_share {
    uint32_t size;     /* sizeof(struct cordon_share) */
    uint32_t flags;    /* CORDON_REGION_NODMA: the borrower's devices do not reach it; else 0 */
    cordon_gpa gpa;    /* in the owner's map, page-aligned */
    cordon_gpa to;     /* in the borrower's map, page-aligned */
    uint64_t len;      /* bytes, whole pages */
    uint32_t perms;    /* CORDON_READ.., at most the owner's */
    uint32_t reserved; /* 0 */
};

/*
 * Make a range of OWNER's RAM reachable in BORROWER's map too, in one transaction. The frames stay
 * OWNER's: OWNED, with its number and GPA. A frame stands at one GPA of a borrower at most; any
 * number of domains may borrow it. What is absent of a DEMAND region is filled first, a part under
 * each hold of OWNER's lock, and stays filled whatever becomes of the loan. The borrower revokes as
 * it does its own (cordon_change), in part too, and may change its rights up to PERMS.
 *
 * As long as anybody borrows a frame, or its hardware is not proven quiet since, OWNER's revoke of
 * it, replacement, loss of rights, and end are refused: EBUSY. So a frame is scrubbed and used
 * again only after its last user is gone, and no change waits for another domain's devices. Who
 * holds both handles takes a frame back by revoking it in each borrower (cordon_frame_borrower
 * tells them), then in OWNER.
 *
 * Errors, nothing changed: EINVAL (also: one domain as both; two memory types in the range, which
 * is the borrower's too), EHANDLE (domains of two contexts), EALIGN, ERANGE, ENOENT (a hole in the
 * owner's range), EPERM (not RAM of OWNER's own: MMIO, borrowed; rights beyond OWNER's; devices
 * where OWNER's are not allowed), EBUSY (rights to write to what is logged: the borrower's writes
 * are not), EEXIST (something stands at TO, or BORROWER has one of the frames), ENOMEM. Error with
 * the map changed: EPENDING, as cordon_change; the loan holds.
 */
CORDON_API CORDON_MUST_CHECK int cordon_share(cordon_domain *owner, cordon_domain *borrower,
                                              const struct cordon_share *what);

/* Who borrows a frame. */
struct cordon_borrower {
    uint32_t domain; /* its number */
    uint32_t perms;  /* of the loan */
    cordon_gpa gpa;  /* in its map */
};

/* The borrower of the frame that holds HPA with the lowest number from FIRST on; go on at its
 * number
 * + 1. Hardware of a borrower whose map has it no more may still reach the frame; it is told too.
 * Errors: EINVAL, ENOENT (there is none). */
CORDON_API CORDON_MUST_CHECK int cordon_frame_borrower(const cordon_ctx *ctx, cordon_hpa hpa,
                                                       uint32_t first, struct cordon_borrower *out);

/* Try again to retire what EPENDING left. Errors: EPENDING. */
CORDON_API CORDON_MUST_CHECK int cordon_retire(cordon_domain *d);

/* ---- questions ---------------------------------------------------------------------------- */

struct cordon_region_info {
    cordon_gpa gpa;
    uint64_t len; /* bytes */
    uint32_t perms;
    uint32_t flags;
};

/* The region that holds GPA, or else the nearest above it when NEXT. Errors: ENOENT. */
CORDON_API CORDON_MUST_CHECK int cordon_region_find(const cordon_domain *d, cordon_gpa gpa,
                                                    bool next, struct cordon_region_info *out);

struct cordon_hit {
    cordon_hpa hpa; /* of the byte asked for */
    uint64_t span;  /* bytes from there to the end of the leaf */
    uint32_t perms; /* of the leaf */
    uint32_t level; /* 0: 4 KiB or 64 KiB, 1: 2 MiB, 2: 1 GiB */
    uint32_t shift; /* log2 of the leaf's bytes: 12, 16, 21 or 30 */
    uint32_t type;  /* of the leaf: CORDON_REGION_NC or _IO; 0: as the machine has it */
};

/* Where GPA leads in a view (0: G-stage), checked for ACCESS (CORDON_READ..; 0: any leaf).
 * Errors: EINVAL (no such view), ERANGE (beyond the mode's width), EFAULT. */
CORDON_API CORDON_MUST_CHECK int cordon_translate(const cordon_domain *d, uint32_t view,
                                                  cordon_gpa gpa, uint32_t access,
                                                  struct cordon_hit *out);

/* ---- audit -------------------------------------------------------------------------------- */

/* What an audit found first. INVARIANT is the number in docs/architecture.md. */
struct cordon_finding {
    uint32_t invariant;
    uint32_t domain, view, level;
    cordon_hpa word; /* the HPA of the word that breaks it, 0 if none */
    uint64_t value;  /* what stands there */
    cordon_gpa gpa;
    cordon_hpa hpa;
    char text[128]; /* one sentence, NUL-terminated */
};

/* Re-derive the invariants 1 to 6 from memory, for the whole context; linear in frames' words,
 * regions and tables. Of 4 it sees free frames that a leaf leads to or that were written to, and
 * counts by which a table would be freed too early. Returns 0, or ECORRUPT with FIRST filled in. */
CORDON_API CORDON_MUST_CHECK int cordon_audit(const cordon_ctx *ctx, struct cordon_finding *first);

#endif
