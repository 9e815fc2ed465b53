/* Stalls: see stall.h. */
#include "lib/stall.h"

bool stall_look(struct stall *s, uint64_t now, bool moved)
{
    uint64_t passed = now - s->last < s->step ? now - s->last : s->step;

    s->last = now;
    s->idle = moved ? 0 : s->idle + passed;
    return s->idle > s->patience;
}
