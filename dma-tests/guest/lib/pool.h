/* The contiguous pool of this guest, sampled by DMA both ways. */
#ifndef GUEST_POOL_H
#define GUEST_POOL_H

#include "lib/own.h"
#include "lib/waves.h"

/*
 * Map GPA..GPA+LEN through /dev/mem and have edu copy its first, last and every 128th page out and
 * in. Prints one line: pages sampled, how many were right out of memory and into it, and of how
 * many runs of host memory the pool consists. Each sampled page keeps what edu wrote: whoever sees
 * the machine's RAM can find it in the host run.
 */
void pool_sample(const struct own *own, struct worker *w, size_t workers, uint64_t gpa,
                 uint64_t len);

#endif
