/* Whether nothing moves any more, by a clock that goes on while the machine as a whole is held up.
 */
#ifndef DPDK_LIB_STALL_H
#define DPDK_LIB_STALL_H

#include <stdbool.h>
#include <stdint.h>

struct stall {
    uint64_t patience; /* so long nothing may move: times are in one unit, of any length */
    uint64_t step;     /* what lies between two looks counts for so much at most */
    uint64_t last;     /* look */
    uint64_t idle;     /* since something moved */
};

/* A look at NOW. True: nothing has moved for longer than PATIENCE. */
bool stall_look(struct stall *s, uint64_t now, bool moved);

#endif
