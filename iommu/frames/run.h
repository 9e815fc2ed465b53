/* What a run must satisfy, in frames; and how one is cut out of the free lists. */
#ifndef CORDON_FRAMES_RUN_H
#define CORDON_FRAMES_RUN_H

#include "frames/pool.h"

struct want {
    uint64_t pages;
    uint64_t align;    /* in pages, at least 1 */
    uint64_t boundary; /* in pages; 0: none */
    uint64_t end;      /* the run's end, as an HFN, is at most this */
    enum frame_kind kind;
};

/* EINVAL, EALIGN, ERANGE: see cordon_run_alloc. */
CORDON_MUST_CHECK int want_check(const struct cordon_run_want *w, struct want *out);

/* The first place in the frames [FIRST, END) that satisfies W, or HFN_NONE. */
uint64_t want_place(const struct want *w, uint64_t first, uint64_t end);

/* Take a run that satisfies W off the free lists: HELD. The caller holds the lock. ENOMEM. */
CORDON_MUST_CHECK int run_take(struct cordon_ctx *ctx, const struct want *w, uint64_t *hfn);

/* Take [FIRST, FIRST + PAGES), all free, off the lists; what sticks out of its runs stays. The meta
 * pool has two frames; with blocks in part that are split already it needs none. */
void run_carve(struct frame_pool *p, uint64_t first, uint64_t pages, enum frame_kind kind);

#endif
