/* What the tests of leaves, their sizes and their memory types share, over one domain. */
#ifndef LEAF_BENCH_H
#define LEAF_BENCH_H

#include "one_domain.h"

#include <cordon/log.h>

static inline void change(struct cordon_op op)
{
    assert_int_equal(cordon_change(d, &op, 1), 0);
    bench_sound(&b);
}

/* A run of whole blocks, so that its leaves can be of 2 MiB. */
static inline cordon_hpa grant_blocks(uint64_t gpa, uint64_t blocks, uint32_t perms, uint32_t flags)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .len = blocks * BLOCK, .align = BLOCK};
    struct cordon_extent e = {.len = want.len};

    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    change(op_grant(gpa, &e, 1, perms, flags));
    return e.hpa;
}

static inline struct cordon_hit hit_at(const cordon_domain *of, uint64_t gpa)
{
    struct cordon_hit hit;

    assert_int_equal(cordon_translate(of, 0, cordon_gpa_make(gpa), 0, &hit), 0);
    return hit;
}

static inline struct cordon_coalesced coalesce(uint64_t gpa, uint64_t len, uint64_t budget)
{
    const struct cordon_coalesce what = {
        .size = sizeof(what), .gpa = cordon_gpa_make(gpa), .len = len, .budget = budget};
    struct cordon_coalesced out;

    assert_int_equal(cordon_coalesce(d, &what, &out), 0);
    bench_sound(&b);
    return out;
}

#endif
