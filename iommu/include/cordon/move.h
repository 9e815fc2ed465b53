/*
 * Contiguous memory under pressure: frames that move, runs that are made by moving, and what of the
 * memory could move.
 *
 * A frame can move if a domain owns it, in a region that no device view holds (and no device that
 * was detached may still write to), that is neither CORDON_REGION_PIN nor CORDON_REGION_KEEP, and
 * if nobody borrows it. Everything else never moves. Whoever remembers HPAs of frames that can
 * move pins them.
 *
 * A frame moves under its domain's lock, a few at a time: leaves are cleared, harts are told and
 * waited for, the contents are copied, harts are made to fetch instructions anew, and the new
 * leaves are written. An access in between faults; a question to the domain, or another change of
 * it, waits. The frames that were left are scrubbed before anybody else sees them.
 */
#ifndef CORDON_MOVE_H
#define CORDON_MOVE_H

#include <cordon/map.h>

/* What a frame is to who would like to have its place. */
enum cordon_frame_kind {
    CORDON_KIND_FREE = 0,
    CORDON_KIND_MOVABLE,
    CORDON_KIND_PINNED,   /* in a region that is PIN or KEEP */
    CORDON_KIND_DEVICE,   /* a device may reach it */
    CORDON_KIND_LENT,     /* another domain borrows it */
    CORDON_KIND_REVOKING, /* hardware has not let go of it yet */
    CORDON_KIND_HELD,     /* allocated, in no map */
    CORDON_KIND_TABLE,
    CORDON_KIND_HYP /* reserved, or the layer's own */
};

#define CORDON_KINDS 9u

/* A block of 2 MiB, or the part of it that is RAM. */
struct cordon_block_info {
    cordon_hpa hpa;               /* of its first byte */
    uint64_t len;                 /* bytes of RAM in it */
    uint32_t fixed;               /* 1: it is kept for what never moves */
    uint32_t pages[CORDON_KINDS]; /* frames of each enum cordon_frame_kind */
};

/* The block that holds HPA, or else the first one above. Go on at its HPA + 2 MiB. Others may
 * change it meanwhile: each frame is told as it was at some moment of the call. Errors: EINVAL,
 * ENOENT (there is no RAM there or above). */
CORDON_API CORDON_MUST_CHECK int cordon_block_query(const cordon_ctx *ctx, cordon_hpa hpa,
                                                    struct cordon_block_info *out);

/* What was moved. */
struct cordon_moves {
    uint64_t pages;      /* frames that moved */
    uint64_t large;      /* of these, in 2 MiB leaves that stayed large */
    uint64_t stops;      /* times that pages were absent for a moment */
    uint64_t longest_us; /* the longest of them, in microseconds */
};

/* What cordon_run_make did, or why it could not. */
struct cordon_run_made {
    cordon_hpa hpa; /* of the run; 0: there is none */
    struct cordon_moves moves;
    uint64_t places;              /* that were tried, and had to be given up */
    uint64_t kinds[CORDON_KINDS]; /* frames in the way of WANT anywhere in its range, if it was
                                     looked for: PINNED and LENT as far as they were met */
};

/*
 * A run as cordon_run_alloc gives it; where no free one satisfies WANT, frames that can move make
 * room for one. BUDGET: bytes that may be moved for it at most, 0: any number. The place where the
 * least has to move is taken.
 *
 * OUT is written on every return but EINVAL, EALIGN and ERANGE. On errors what was moved stays
 * where it went; nothing else has changed. Errors: as cordon_run_alloc; ENOMEM (no place in which
 * all could move, or not enough free memory elsewhere to take it), ELIMIT (more than BUDGET would
 * have to move), EPENDING (hardware did not answer: the frames of one domain that were on their
 * way have moved, and their old places stay REVOKING; see cordon_retire).
 */
CORDON_API CORDON_MUST_CHECK int cordon_run_make(cordon_ctx *ctx,
                                                 const struct cordon_run_want *want,
                                                 uint64_t budget, struct cordon_run_made *out);

/*
 * Give the pages of [GPA, GPA+LEN) of D other frames with the same contents; what is absent stays
 * so. OUT, which may be null, is written on every return but EINVAL, EALIGN and ERANGE.
 *
 * On errors what was moved stays where it went. Errors: EINVAL, EALIGN, ERANGE, ENOENT (a hole in
 * the range), EPERM (a frame that cannot move), EBUSY (D is held), ENOMEM, EPENDING (as
 * cordon_run_make).
 */
CORDON_API CORDON_MUST_CHECK int cordon_relocate(cordon_domain *d, cordon_gpa gpa, uint64_t len,
                                                 struct cordon_moves *out);

/* What was moved of D's frames so far, whoever asked for it. Errors: EINVAL, EHANDLE. */
CORDON_API CORDON_MUST_CHECK int cordon_domain_moves(const cordon_domain *d,
                                                     struct cordon_moves *out);

/*
 * Hold a domain: while it is held, none of its frames moves. For who reaches guest memory at
 * addresses of the host, between the question where it is and the last access. Each hold is ended
 * by one cordon_let_go, soon: who wants to move a frame waits, 1 s at most in one call; then
 * it looks for another place, or is refused. A closed handle, or null, is ignored.
 */
CORDON_API void cordon_hold(cordon_domain *d);

/* End one hold of a domain. One that nobody holds, a closed handle, or null, is ignored. */
CORDON_API void cordon_let_go(cordon_domain *d);

#endif
