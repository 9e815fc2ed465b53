/* Work for a guest that a hypervisor should not be felt in: each says what it took. */
#ifndef BENCH_GUEST_WORK_H
#define BENCH_GUEST_WORK_H

#include <stdint.h>

/* The argument with which a child of work_storm is started: it ends at once. */
#define WORK_NOTHING "nothing"

/* COUNT times a child that starts this program anew. */
int work_storm(uint64_t count);

/* COUNT reads anywhere in MIB of memory that was written before. */
int work_walk(uint64_t mib, uint64_t count);

/* COUNT times a page that is mapped, written and given back. */
int work_map(uint64_t count);

#endif
