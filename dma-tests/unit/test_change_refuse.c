/* cordon_change: what is refused, and that nothing changes then. */
#include "one_domain.h"

/* Cases are told apart by number in a failure. */
struct refusal {
    struct cordon_op op;
    int error;
};

static void test_operations_that_are_refused_change_nothing(void **state)
{
    cordon_domain *other = bench_domain(&b);
    const struct cordon_extent held = {bench_held(&b, 8), 8 * PAGE};
    const struct cordon_extent twice[] = {held, {held.hpa, PAGE}};
    const struct cordon_extent crooked[] = {{{held.hpa.v + 8}, PAGE}, {held.hpa, 8}};
    const struct cordon_extent empty = {held.hpa, 0}, wraps = {{0 - PAGE}, 2 * PAGE};
    const struct cordon_extent owned = {bench_grant(&b, d, 0x400000, 4, RW, 0), PAGE};
    const struct cordon_extent others = {bench_grant(&b, other, 0x400000, 4, RW, 0), PAGE};
    const struct cordon_extent root = {d->forest.root[0], PAGE};
    const struct cordon_extent hyp = {{(uint64_t)(uintptr_t)b.ctx - b.ctx->ram_offset}, PAGE};
    const struct cordon_extent mmio = {{BENCH_MMIO}, 2 * PAGE};
    const struct cordon_extent nowhere = {{0x1000}, PAGE};
    const struct cordon_extent past = {{held.hpa.v + 7 * PAGE}, 2 * PAGE};
    const uint64_t top = UINT64_C(1) << 41;
#define GRANT(gpa, e) op_grant(gpa, &(e), 1, RW, 0)
#define WITH(o, ...)                \
    ({                              \
        struct cordon_op op_ = (o); \
        __VA_ARGS__;                \
        op_;                        \
    })
    const struct refusal cases[] = {
        {WITH(GRANT(0, held), op_.kind = 0), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.kind = 4), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.reserved = 1), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.extents = NULL), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.extent_count = 0), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.perms = 0), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.perms = CORDON_WRITE), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.perms = CORDON_WRITE | CORDON_EXEC), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.perms = 8), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.flags = 16), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.flags = CORDON_REGION_PEER), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.flags = CORDON_REGION_MMIO | CORDON_REGION_NODMA), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.flags = CORDON_REGION_MMIO | CORDON_REGION_KEEP), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.len = 7 * PAGE), CORDON_EINVAL},
        {WITH(GRANT(0, held), op_.len = 9 * PAGE), CORDON_EINVAL},
        {WITH(op_grant(0, &mmio, 1, RW, CORDON_REGION_MMIO), op_.len = PAGE), CORDON_EINVAL},
        {WITH(op_grant(0, &mmio, 1, RW, CORDON_REGION_MMIO), op_.len = 3 * PAGE), CORDON_EINVAL},
        {WITH(op_grant(0, twice, 2, RW, 0), op_.len = 8 * PAGE), CORDON_EEXIST},
        {GRANT(8, held), CORDON_EALIGN},
        {WITH(GRANT(0, held), op_.len += 8), CORDON_EALIGN},
        {WITH(GRANT(0, crooked[0]), op_.len = PAGE), CORDON_EALIGN},
        {WITH(GRANT(0, crooked[1]), op_.len = PAGE), CORDON_EALIGN},
        {WITH(GRANT(0, held), op_.len = 0), CORDON_ERANGE},
        {WITH(GRANT(0, empty), op_.len = PAGE), CORDON_ERANGE},
        {WITH(GRANT(0, wraps), op_.len = 2 * PAGE), CORDON_ERANGE},
        {GRANT(top, held), CORDON_ERANGE},
        {GRANT(top - PAGE, held), CORDON_ERANGE},
        {GRANT(0 - PAGE, held), CORDON_ERANGE},
        {GRANT(0x3ff000, held), CORDON_EEXIST},
        {GRANT(0x403000, held), CORDON_EEXIST},
        {op_grant(0, twice, 2, RW, 0), CORDON_EEXIST},
        {GRANT(0, owned), CORDON_EPERM},
        {GRANT(0, others), CORDON_EPERM},
        {GRANT(0, root), CORDON_EPERM},
        {GRANT(0, hyp), CORDON_EPERM},
        {GRANT(0, nowhere), CORDON_EPERM},
        {GRANT(0, past), CORDON_EPERM},
        {WITH(op_revoke(0x400000, 1), op_.flags = 1), CORDON_EINVAL},
        {WITH(op_revoke(0x400000, 1), op_.perms = 1), CORDON_EINVAL},
        {WITH(op_revoke(0x400000, 1), op_.extents = &held), CORDON_EINVAL},
        {WITH(op_revoke(0x400000, 1), op_.extent_count = 1), CORDON_EINVAL},
        {op_revoke(0x400008, 1), CORDON_EALIGN},
        {op_revoke(0x400000, 0), CORDON_ERANGE},
        {op_revoke(top, 1), CORDON_ERANGE},
        {op_revoke(0x400000, 5), CORDON_ENOENT},
        {op_revoke(0x3ff000, 2), CORDON_ENOENT},
        {op_revoke(0, 1), CORDON_ENOENT},
        {op_protect(0x400000, 1, 0), CORDON_EINVAL},
        {op_protect(0x400000, 1, CORDON_WRITE), CORDON_EINVAL},
        {WITH(op_protect(0x400000, 1, RW), op_.flags = 2), CORDON_EINVAL},
        {WITH(op_protect(0x400000, 1, RW), op_.extents = &held), CORDON_EINVAL},
        {op_protect(0x404000, 1, RW), CORDON_ENOENT},
        {op_protect(0x400000, 6, RW), CORDON_ENOENT},
    };
    uint64_t before = bench_state(&b);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Alone, behind one that would work, and before it: others' work is undone. */
        struct cordon_op three[] = {op_protect(0x401000, 1, CORDON_READ), cases[i].op,
                                    op_revoke(0x402000, 1)};
        int err = cordon_change(d, &cases[i].op, 1);

        if (err != -cases[i].error) {
            fail_msg("case %zu: %d instead of %d", i, err, -cases[i].error);
        }
        assert_int_equal(bench_state(&b), before);
        assert_int_not_equal(cordon_change(d, three, 2), 0);
        assert_int_not_equal(cordon_change(d, three + 1, 2), 0);
        assert_int_equal(bench_state(&b), before);
        bench_sound(&b);
    }
    assert_int_equal(cordon_change(NULL, &cases[0].op, 1), -CORDON_EINVAL);
    assert_int_equal(cordon_change(d, NULL, 1), -CORDON_EINVAL);
    assert_int_equal(cordon_change(d, NULL, 0), 0);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_run_free(b.ctx, held.hpa, held.len), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
}

static void test_operations_must_stand_apart(void **state)
{
    uint64_t hpa = bench_held(&b, 4).v;
    struct cordon_extent e[] = {{{hpa}, 2 * PAGE}, {{hpa + 2 * PAGE}, 2 * PAGE}};
    struct cordon_op up[] = {op_grant(0x1000, &e[0], 1, RW, 0), op_grant(0x2000, &e[1], 1, RW, 0)};
    struct cordon_op down[] = {up[1], up[0]};
    struct cordon_op apart[] = {op_grant(0x9000, &e[0], 1, RW, 0),
                                op_grant(0x1000, &e[1], 1, RW, 0)};
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_change(d, up, 2), -CORDON_EINVAL);
    assert_int_equal(cordon_change(d, down, 2), -CORDON_EINVAL);
    assert_int_equal(bench_state(&b), before);
    b.record.fail_at = b.record.allocations + 1; /* the set that tells needs memory */
    assert_int_equal(cordon_change(d, apart, 2), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_change(d, apart, 2), 0);
    assert_int_equal(bench_leads(d, 0, 0x1000, RW), hpa + 2 * PAGE);
    assert_int_equal(bench_leads(d, 0, 0x9000, RW), hpa);
}

static void test_a_frame_twice_in_one_change(void **state)
{
    struct cordon_extent e = {bench_held(&b, 1), PAGE};
    struct cordon_op two[] = {op_grant(0x1000, &e, 1, RW, 0), op_grant(0x2000, &e, 1, RW, 0)};
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_change(d, two, 2), -CORDON_EEXIST);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_change(d, two, 1), 0);
    assert_int_equal(cordon_change(d, two + 1, 1), -CORDON_EPERM);
}

static void test_the_gpa_limit_is_the_first_that_is_refused(void **state)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = 0x100000};
    struct cordon_extent e = {bench_held(&b, 1), PAGE};
    struct cordon_op last = op_grant(0xff000, &e, 1, RW, CORDON_REGION_KEEP);
    struct cordon_op beyond = op_grant(0x100000, &e, 1, RW, CORDON_REGION_KEEP);
    cordon_domain *small;

    (void)state;
    assert_int_equal(cordon_domain_create(b.ctx, &cfg, &small), 0);
    assert_int_equal(cordon_change(small, &beyond, 1), -CORDON_ERANGE);
    beyond.gpa.v = 0xff000;
    beyond.len = 2 * PAGE;
    assert_int_equal(cordon_change(small, &beyond, 1), -CORDON_ERANGE);
    assert_int_equal(cordon_change(small, &last, 1), 0);
    assert_int_equal(cordon_domain_destroy(small), 0);
    assert_int_equal(cordon_run_free(b.ctx, e.hpa, PAGE), 0);
}

/* Whole blocks, parts of others, and then a frame that is somebody's: all of it is undone. */
int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_operations_that_are_refused_change_nothing),
        TEST(test_operations_must_stand_apart),
        TEST(test_a_frame_twice_in_one_change),
        TEST(test_the_gpa_limit_is_the_first_that_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
