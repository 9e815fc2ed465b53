/* Contiguous memory by management: see moves.c. */
#ifndef HYP_MANAGE_MOVES_H
#define HYP_MANAGE_MOVES_H

#include "channel/channel.h"
#include "vm/vm.h"

/* Make a run of WANT (length, alignment, boundary, highest), by moving if it must be, and leave it
 * free: an event "compact". Errors, no event: EINVAL, EALIGN, ERANGE. */
CORDON_MUST_CHECK int manage_compact(const uint64_t want[4]);

/* Move memory of VM that is chosen at random: how often, by which seed, how much each time: an
 * event "moved". Errors, no event: ELIMIT, EALIGN, ENOENT (it does not run). */
CORDON_MUST_CHECK int manage_move(struct vm *vm, const uint64_t what[3]);

/* What each block of RAM from FROM on is made of, on STREAM_BLOCKS, as many as one answer holds;
 * then the event "blocks" with the HPA to go on from, 0 at the end. */
void manage_send_blocks(struct channel *c, uint64_t from);

#endif
