/* One number of many, which changes when any of them does: by it, "nothing has changed" is shown.
 */
#ifndef MIX_H
#define MIX_H

#include <stdint.h>

static inline void mix(uint64_t *h, uint64_t v)
{
    *h = (*h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    *h ^= *h >> 29;
}

#endif
