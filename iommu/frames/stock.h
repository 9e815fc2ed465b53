/*
 * The stock: one short run of frames, cut off the free lists ahead of the touches that will take
 * them one by one, so that not each touch pays for splitting and for the lists.
 *
 * Its frames are FREE and counted so; their words say that they are on no list. They go back when
 * anything else finds too little: see stock_drain's callers. The pool's lock is held for all of
 * this.
 */
#ifndef CORDON_FRAMES_STOCK_H
#define CORDON_FRAMES_STOCK_H

#include "frames/pool.h"

#define STOCK_ORDER 5u

/* Cut a new run off, as large as the smallest hole allows; the stock is empty. ENOMEM. */
CORDON_MUST_CHECK int stock_fill(struct frame_pool *p, bool promised);

/* Put what is left of it back on the free lists. */
void stock_drain(struct frame_pool *p);

/* Take a frame, PROMISED or not, and write WORD, which says OWNED. HFN_NONE: there is none. */
static inline uint64_t stock_take(struct frame_pool *p, uint64_t word, bool promised)
{
    if ((!promised && !pool_keeps(p, 1, 1)) ||
        (p->stock_left == 0 && stock_fill(p, promised) != 0)) {
        return HFN_NONE;
    }
    p->promised -= promised;
    *p->stock_word++ = word;
    p->stock_left--;
    pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_OWNED, 1);
    return p->stock++;
}

#endif
