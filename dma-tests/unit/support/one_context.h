/* What the tests of a context without domains share: it, over 24 MiB, which is sound afterwards. */
#ifndef ONE_CONTEXT_H
#define ONE_CONTEXT_H

#include "map_bench.h"

#define RAM (24 * MIB)

static struct map_bench b;

static inline int setup(void **state)
{
    (void)state;
    bench_open(&b, RAM);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

#endif
