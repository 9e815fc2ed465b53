/* What the tests of first touch share: a context with one domain, and regions to be touched. */
#ifndef TOUCH_BENCH_H
#define TOUCH_BENCH_H

#include "one_domain.h"

#include <cordon/touch.h>

#define AT (UINT64_C(3) << 30) /* where the regions of these tests stand: 2 MiB-aligned */
#define DEMAND CORDON_REGION_DEMAND
#define HUGE (CORDON_REGION_DEMAND | CORDON_REGION_HUGE)

static inline struct cordon_op op_demand(uint64_t gpa, uint64_t pages, uint32_t perms,
                                         uint32_t flags)
{
    return (struct cordon_op){
        .kind = CORDON_OP_GRANT, .flags = flags, .gpa = {gpa}, .len = pages * PAGE, .perms = perms};
}

static inline void demand(cordon_domain *of, uint64_t gpa, uint64_t pages, uint32_t flags)
{
    const struct cordon_op op = op_demand(gpa, pages, RWX, flags);

    assert_int_equal(cordon_change(of, &op, 1), 0);
}

/* Touch, and what came of it: a CORDON_TOUCH_*, or an error. */
static inline int touch_for(cordon_domain *of, uint64_t gpa, uint32_t access,
                            struct cordon_touched *out)
{
    int err = cordon_touch(of, cordon_gpa_make(gpa), access, out);

    return err != 0 ? err : (int)out->what;
}

static inline int touch(uint64_t gpa)
{
    struct cordon_touched out;

    return touch_for(d, gpa, CORDON_READ, &out);
}

static inline bool is_present(uint64_t gpa)
{
    return bench_leads(d, 0, gpa, 0) != UINT64_MAX;
}

/* Pages 0, 5, 6 and 511 of the 1024 at AT are present. */
static inline void some_present(uint32_t flags)
{
    static const uint64_t pages[] = {0, 5, 6, 511};

    demand(d, AT, 1024, flags);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        assert_int_equal(touch(AT + pages[i] * PAGE), CORDON_TOUCH_FILLED);
    }
    assert_int_equal(bench_stats(&b).owned, 4 * PAGE);
}

/* All words of LEN bytes at HPA, or-ed: 0 where they are zeroes. */
static inline uint64_t sum_of(uint64_t hpa, uint64_t len)
{
    const uint64_t *word = bench_word(&b, cordon_hpa_make(hpa));
    uint64_t sum = 0;

    for (uint64_t i = 0; i < len / sizeof(*word); i++) {
        sum |= word[i];
    }
    return sum;
}

#endif
