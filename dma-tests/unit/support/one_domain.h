/* What the tests of one domain share: it, in a context of 32 MiB, which is sound afterwards. */
#ifndef ONE_DOMAIN_H
#define ONE_DOMAIN_H

#include "map_bench.h"

static struct map_bench b;
static cordon_domain *d;

/* FLAGS of the context: CORDON_CTX_*. */
static inline int one_domain_open(uint32_t flags)
{
    bench_open_flags(&b, 32 * MIB, flags);
    d = bench_domain(&b);
    return 0;
}

static inline int setup(void **state)
{
    (void)state;
    return one_domain_open(0);
}

static inline int teardown(void **state)
{
    (void)state;
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
    return 0;
}

#endif
