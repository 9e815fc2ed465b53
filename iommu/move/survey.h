/*
 * Where a run could be made: by what each block would cost.
 *
 * The cost of a block is how many of its frames would have to move, as far as ownership words tell;
 * for a run of less than a block it is that of the best place in it. Words do not tell all that
 * keeps a frame where it is: whoever takes a place looks again, under the lock of each owner, and
 * comes back for the next best one.
 */
#ifndef CORDON_MOVE_SURVEY_H
#define CORDON_MOVE_SURVEY_H

#include "frames/run.h"
#include <cordon/move.h>

struct survey {
    struct cordon_ctx *ctx;
    const struct want *want;
    uint8_t *domain_kind; /* by number: what all frames of a domain are; null: nobody knows */
    uint16_t **costs;     /* pages of costs, in the order of banks and blocks */
    uint64_t cost_pages;  /* of them; 0: there is no memory for it */
    uint64_t kinds[CORDON_KINDS]; /* frames in the way of WANT, by kind */
};

/* Look at all memory. Where memory lacks for what is to be remembered, survey_best finds nothing.
 */
void survey_begin(struct survey *s, struct cordon_ctx *ctx, const struct want *want);
void survey_end(struct survey *s);

/* The place that costs least, and how much; HFN_NONE: there is none. */
uint64_t survey_best(const struct survey *s, uint64_t *cost);
/* The block that holds a frame is out of the question. */
void survey_refuse(struct survey *s, uint64_t hfn);

/* What frames are by their words: 0 free, 1 movable, 2 not. */
enum { CLASS_FREE, CLASS_MOVABLE, CLASS_FIXED };

/* All frames of a block; those that are no RAM are fixed. Takes the lock. KINDS, which may be null,
 * is added to. */
void survey_block(const struct survey *s, const struct frame_bank *bank, uint64_t index,
                  uint8_t class[BLOCK_FRAMES], uint64_t *kinds);

#endif
