/*
 * Frames of one domain that move, a batch at a time. [INV 4, 7, 9; design, section 5]
 *
 * Where they go to is taken off the free lists first, and where they came from is kept: both are
 * ISOLATED, neither free for others nor in a map, so that what a run is to be made of cannot be
 * lost again on the way.
 */
#ifndef CORDON_MOVE_MOVE_H
#define CORDON_MOVE_MOVE_H

#include "frames/frames.h"
#include "frames/pool.h"
#include "map/domain.h"
#include <cordon/move.h>

#define MOVE_PAGES 16u /* absent at one time, at most; but for a large leaf */

/* An isolated frame: the layer's own, and of one call's alone. */
#define FW_ISOLATED(call) ((uint64_t)CORDON_FRAME_HYP | (call) << 3)

/* One leaf, of 4 KiB or of 2 MiB: what it holds, and by which frames. */
struct move_leaf {
    uint64_t gfn, from, to;
    uint64_t *word;
    uint64_t pte;
};

/* Frames that are to move: OWNED by the domain whose lock is held, and movable. */
struct move_batch {
    struct cordon_domain *d;
    uint64_t isolated; /* the word of isolated frames */
    unsigned level;    /* 1: one large leaf, whose block is whole */
    uint32_t count;
    struct move_leaf leaf[MOVE_PAGES];
};

/* What keeps a frame that is OWNED by D, by its word, where it is; or CORDON_KIND_MOVABLE. The same
 * for all of a run of PAGES whose GPAs follow: the first kind that is not MOVABLE. */
enum cordon_frame_kind move_kind(const struct cordon_domain *d, uint64_t hfn, uint64_t word);
enum cordon_frame_kind move_kind_of_run(const struct cordon_domain *d, uint64_t hfn, uint64_t gfn,
                                        uint64_t pages);

/* The kind of a frame, by its word alone, that is not OWNED. */
enum cordon_frame_kind move_kind_of_state(uint64_t word);

#define MOVE_PATIENCE_US 1000000u /* of one call, with whoever holds domains for longer */

/* The domain of this number, locked, and held by nobody; null: there is none, or it was held for
 * longer than the PATIENCE that is left of MOVE_PATIENCE_US (*HELD); then none is left. */
struct cordon_domain *move_lock(struct cordon_ctx *ctx, uint32_t number, uint64_t *patience,
                                bool *held);

/* A number for the words of one call's isolated frames. */
uint64_t move_call(struct cordon_ctx *ctx);

/*
 * Move the batch (GFN and FROM of each are given): their old frames are ISOLATED afterwards.
 * Errors: ENOMEM (no frame was moved; large leaves may have been split), EPENDING (all were moved,
 * but their old frames stay REVOKING).
 */
CORDON_MUST_CHECK int move_batch(struct move_batch *b, struct cordon_moves *told);

/* Is there a free block that a whole one could move to? */
bool move_large_ready(const struct cordon_ctx *ctx);

/* The free frames of a run in one block become ISOLATED; the caller holds the lock. ENOMEM. */
CORDON_MUST_CHECK int isolate_free(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages,
                                   uint64_t isolated);
/* Isolated frames of a run are FREE again; others of it are left alone. Takes the lock. */
void isolated_free(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint64_t isolated);
/* All of a run is ISOLATED: it becomes HELD. False: something is not, nothing has changed. Takes
 * the lock. */
bool isolated_hold(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, uint64_t isolated);

#endif
