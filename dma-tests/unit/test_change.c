/* cordon_change: what a change does, and that one which fails half-way has done nothing. */
#include "one_domain.h"

static void test_a_claim_is_undone_across_whole_and_split_blocks(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = 4 * BLOCK, .align = BLOCK};
    cordon_hpa hpa = {0};
    uint64_t owned = bench_grant(&b, d, 0x1000, 1, RW, 0).v;

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    struct cordon_extent e[] = {{hpa, BLOCK},
                                {{hpa.v + BLOCK}, BLOCK + 5 * PAGE},
                                {{hpa.v + 3 * BLOCK + 9 * PAGE}, PAGE},
                                {{owned}, PAGE}};
    struct cordon_op op = op_grant(16 * BLOCK, e, 4, RW, CORDON_REGION_KEEP);
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    bench_sound(&b);

    /* A block that another change had split stays split when this one is undone. */
    struct cordon_extent part = {{hpa.v + 3 * BLOCK}, PAGE};
    struct cordon_op other = op_grant(0x800000, &part, 1, RW, CORDON_REGION_KEEP);

    assert_int_equal(cordon_change(d, &other, 1), 0);
    assert_int_equal(bench_revoke(d, 0x800000, 1), 0);
    before = bench_state(&b);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_run_free(b.ctx, hpa, 4 * BLOCK), 0);
}

/* Two grants out of one block that is split for them: it is joined when the last one is undone. */
static void test_a_block_split_for_two_grants_is_joined_again(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK, .align = BLOCK};
    cordon_hpa hpa = {0};

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    struct cordon_extent one = {{hpa.v + PAGE}, PAGE};
    struct cordon_extent two[] = {{{hpa.v + 2 * PAGE}, 2 * PAGE}, {{0x1000}, PAGE}};
    struct cordon_op ops[] = {op_grant(0, &one, 1, RW, 0), op_grant(0x10000, two, 2, RW, 0)};
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_change(d, ops, 2), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_run_free(b.ctx, hpa, BLOCK), 0);
}

static void test_extents_of_several_banks_and_sizes(void **state)
{
    struct map_bench two;
    const struct cordon_extent banks[] = {{{BENCH_RAM}, 8 * MIB},
                                          {{BENCH_RAM + 16 * MIB + PAGE}, 8 * MIB}};
    struct cordon_config cfg = {
        .size = sizeof(cfg), .banks = banks, .bank_count = 2, .hart_modes = 7, .vmid_bits = 4};
    struct cordon_extent e[] = {{{BENCH_RAM}, BLOCK},
                                {{BENCH_RAM + 18 * MIB}, BLOCK},
                                {{BENCH_RAM + 17 * MIB}, PAGE},
                                {{BENCH_RAM + 3 * MIB}, PAGE},
                                {{BENCH_RAM + 17 * MIB + PAGE}, 3 * PAGE},
                                {{BENCH_RAM + 4 * MIB}, BLOCK}};
    struct cordon_run_want want = {.size = sizeof(want), .len = 6 * MIB};
    cordon_hpa low, high;

    (void)state;
    bench_open_as(&two, BENCH_RAM, 32 * MIB, &cfg);
    uint64_t before = bench_state(&two);
    cordon_domain *g = bench_domain(&two);

    want.highest = BENCH_RAM + 8 * MIB;
    assert_int_equal(cordon_run_alloc(two.ctx, &want, &low), 0);
    want.highest = 0;
    want.len = 3 * MIB;
    want.align = MIB;
    assert_int_equal(cordon_run_alloc(two.ctx, &want, &high), 0);
    assert_int_equal(low.v, BENCH_RAM);
    assert_int_equal(high.v, BENCH_RAM + 17 * MIB);
    struct cordon_op op = op_grant(8 * BLOCK, e, 6, RW, CORDON_REGION_KEEP);

    assert_int_equal(cordon_change(g, &op, 1), 0);
    bench_sound(&two);
    assert_int_equal(bench_leads(g, 0, 9 * BLOCK + PAGE, RW), BENCH_RAM + 18 * MIB + PAGE);
    assert_int_equal(bench_leads(g, 0, 10 * BLOCK + PAGE, RW), BENCH_RAM + 3 * MIB);
    assert_int_equal(bench_leads(g, 0, 10 * BLOCK + 4 * PAGE, RW), BENCH_RAM + 17 * MIB + 3 * PAGE);
    assert_int_equal(bench_revoke(g, 8 * BLOCK, op.len / PAGE), 0);
    assert_int_equal(bench_frame(&two, BENCH_RAM), CORDON_FRAME_HELD);
    assert_int_equal(cordon_domain_destroy(g), 0);
    assert_int_equal(cordon_run_free(two.ctx, low, 6 * MIB), 0);
    assert_int_equal(cordon_run_free(two.ctx, high, 3 * MIB), 0);
    assert_int_equal(bench_state(&two), before);
    bench_close(&two);
}

/* ---- done --------------------------------------------------------------------------------- */

static void test_extents_back_a_region_in_order(void **state)
{
    uint64_t hpa = bench_held(&b, 6).v;
    struct cordon_extent e[] = {{{hpa + 4 * PAGE}, 2 * PAGE},
                                {{hpa}, PAGE},
                                {{hpa + PAGE}, PAGE},
                                {{hpa + 2 * PAGE}, 2 * PAGE}};
    struct cordon_op op = op_grant(0x8000, e, 4, CORDON_READ | CORDON_EXEC, 0);
    const uint64_t want[] = {4, 5, 0, 1, 2, 3};
    struct cordon_region_info r;

    (void)state;
    assert_int_equal(cordon_change(d, &op, 1), 0);
    for (uint64_t i = 0; i < 6; i++) {
        struct cordon_frame_info info;

        assert_int_equal(bench_leads(d, 0, 0x8000 + i * PAGE + 5, CORDON_READ | CORDON_EXEC),
                         hpa + want[i] * PAGE + 5);
        assert_int_equal(bench_leads(d, 0, 0x8000 + i * PAGE, CORDON_WRITE), UINT64_MAX);
        assert_int_equal(cordon_frame_query(b.ctx, cordon_hpa_make(hpa + want[i] * PAGE), &info),
                         0);
        assert_int_equal(info.state, CORDON_FRAME_OWNED);
        assert_int_equal(info.domain, cordon_domain_number(d));
        assert_int_equal(info.gpa.v, 0x8000 + i * PAGE);
    }
    assert_int_equal(bench_leads(d, 0, 0x7fff, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 0xe000, 0), UINT64_MAX);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(0x9abc), false, &r), 0);
    assert_int_equal(r.gpa.v, 0x8000);
    assert_int_equal(r.len, 6 * PAGE);
    assert_int_equal(r.perms, CORDON_READ | CORDON_EXEC);
}

static void test_large_extents_become_large_leaves(void **state)
{
    struct cordon_hit hit;

    (void)state;
    struct cordon_run_want want = {.size = sizeof(want), .len = 2 * BLOCK, .align = BLOCK};
    struct cordon_extent e = {.len = 2 * BLOCK};

    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    struct cordon_op op = op_grant(16 * BLOCK, &e, 1, RWX, 0);
    uint64_t words = bench_stats(&b).ownership;

    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(bench_stats(&b).ownership, words); /* one word a block */
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(16 * BLOCK + PAGE), 0, &hit), 0);
    assert_int_equal(hit.level, 1);
    assert_int_equal(hit.span, BLOCK - PAGE);
    assert_int_equal(hit.hpa.v, e.hpa.v + PAGE);

    /* A page out of it: the rest stays where it was, with words of its own. */
    assert_int_equal(bench_revoke(d, 16 * BLOCK + 3 * PAGE, 1), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(d, 0, 16 * BLOCK + 2 * PAGE, RWX), e.hpa.v + 2 * PAGE);
    assert_int_equal(bench_leads(d, 0, 16 * BLOCK + 3 * PAGE, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 16 * BLOCK + 4 * PAGE, RWX), e.hpa.v + 4 * PAGE);
    assert_int_equal(bench_frame(&b, e.hpa.v + 3 * PAGE), CORDON_FRAME_FREE);
    assert_int_equal(bench_frame(&b, e.hpa.v + 2 * PAGE), CORDON_FRAME_OWNED);
}

static void test_keep_makes_them_held_and_leaves_contents(void **state)
{
    uint64_t kept = bench_grant(&b, d, 0x10000, 2, RW, CORDON_REGION_KEEP).v;
    uint64_t lost = bench_grant(&b, d, 0x20000, 2, RW, 0).v;

    (void)state;
    memset(frames_ptr(b.ctx, cordon_hpa_make(kept)), 0x42, PAGE);
    assert_int_equal(bench_revoke(d, 0x10000, 2), 0);
    assert_int_equal(bench_revoke(d, 0x20000, 2), 0);
    assert_int_equal(bench_frame(&b, kept), CORDON_FRAME_HELD);
    assert_int_equal(bench_frame(&b, kept + PAGE), CORDON_FRAME_HELD);
    assert_int_equal(*(uint8_t *)frames_ptr(b.ctx, cordon_hpa_make(kept)), 0x42);
    assert_int_equal(bench_frame(&b, lost), CORDON_FRAME_FREE);
    assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(kept), 2 * PAGE), 0);
}

static void test_neighbours_that_say_the_same_are_one_region(void **state)
{
    struct cordon_region_info r;

    (void)state;
    (void)bench_grant(&b, d, 0x10000, 1, RW, 0);
    (void)bench_grant(&b, d, 0x12000, 1, RW, 0);
    (void)bench_grant(&b, d, 0x11000, 1, RW, 0);
    (void)bench_grant(&b, d, 0x13000, 1, RWX, 0);
    (void)bench_grant(&b, d, 0x14000, 1, RWX, CORDON_REGION_NODMA);
    assert_int_equal(d->regions.set.count, 3);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(0), true, &r), 0);
    assert_int_equal(r.gpa.v, 0x10000);
    assert_int_equal(r.len, 3 * PAGE);
    struct cordon_op op = op_protect(0x13000, 1, RW);

    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(d->regions.set.count, 2);
    op = op_protect(0x11000, 1, CORDON_READ);
    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(d->regions.set.count, 4);
    assert_int_equal(bench_leads(d, 0, 0x11000, CORDON_WRITE), UINT64_MAX);
    assert_int_not_equal(bench_leads(d, 0, 0x12000, CORDON_WRITE), UINT64_MAX);
}

static void test_all_kinds_in_one_change(void **state)
{
    uint64_t was = bench_grant(&b, d, 0x100000, 16, RW, 0).v;
    struct cordon_extent e = {bench_held(&b, 2), 2 * PAGE};
    struct cordon_op ops[] = {op_protect(0x100000, 4, CORDON_READ),
                              op_grant(0x200000, &e, 1, RW, 0), op_revoke(0x104000, 4),
                              op_protect(0x108000, 1, RWX), op_revoke(0x10a000, 1)};

    (void)state;
    assert_int_equal(cordon_change(d, ops, 5), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(d, 0, 0x103000, CORDON_READ), was + 3 * PAGE);
    assert_int_equal(bench_leads(d, 0, 0x103000, RW), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 0x104000, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 0x108000, RWX), was + 8 * PAGE);
    assert_int_equal(bench_leads(d, 0, 0x109000, RW), was + 9 * PAGE);
    assert_int_equal(bench_leads(d, 0, 0x10a000, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 0x201000, RW), e.hpa.v + PAGE);
}

/* ---- memory that does not come ------------------------------------------------------------- */

static void scenario_setup(uint64_t *view)
{
    uint32_t v = 0;

    (void)bench_grant(&b, d, 4 * BLOCK, 512 + 7, RWX, 0);
    (void)bench_grant(&b, d, 7 * BLOCK, 3, RW, CORDON_REGION_NODMA);
    assert_int_equal(domain_view_add(d, &v), 0);
    *view = v;
}

/* A change that splits superpages in both views, unshares, opens new tables, cuts regions and
 * blocks. */
static void test_each_allocation_may_fail_and_nothing_has_changed(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = 3 * BLOCK, .align = BLOCK};
    struct cordon_extent e[2], mmio = {{BENCH_MMIO}, 3 * PAGE};
    uint64_t view, n = 0;
    cordon_hpa held;
    int err = -CORDON_ENOMEM;

    (void)state;
    scenario_setup(&view);
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &held), 0);
    e[0] = (struct cordon_extent){{held.v + 5 * PAGE}, BLOCK}; /* cuts two whole blocks */
    e[1] = (struct cordon_extent){{held.v + 2 * BLOCK + 100 * PAGE}, 9 * PAGE};
    struct cordon_op ops[] = {op_revoke(4 * BLOCK + 17 * PAGE, 3),
                              op_grant(40 * BLOCK + PAGE, e, 2, RW, CORDON_REGION_NODMA),
                              op_protect(4 * BLOCK + 200 * PAGE, 9, CORDON_READ),
                              op_grant(UINT64_C(1) << 35, &mmio, 1, RW, CORDON_REGION_MMIO),
                              op_revoke(7 * BLOCK + PAGE, 1)};
    uint64_t before = bench_state(&b);

    while (err != 0) {
        b.record.fail_at = b.record.allocations + ++n;
        err = cordon_change(d, ops, 5);
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(bench_state(&b), before);
            bench_sound(&b);
        }
        assert_true(n < 1000);
    }
    b.record.fail_at = 0;
    assert_true(n > 10);
    bench_sound(&b);
    domain_view_remove(d, (uint32_t)view);
    assert_int_equal(cordon_run_free(b.ctx, held, 5 * PAGE), 0);
}

/* Frames are REVOKING before all is reserved. A block stays whole, whose leaves lie in two tables,
 * wherever it stands in a list of runs. */
static void test_a_revoke_is_undone_when_the_change_is_refused_later(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK, .align = BLOCK};
    const struct cordon_extent table = {d->forest.root[0], PAGE};
    struct cordon_extent e[20];

    (void)state;
    for (size_t n = 1; n < 20; n++) {
        uint64_t held = bench_held(&b, 2 * n).v, before;
        const struct cordon_op ops[] = {op_revoke(BLOCK, n + BLOCK / PAGE),
                                        op_grant(GIB, &table, 1, RW, 0)};

        for (size_t i = 0; i < n; i++) {
            e[i] = (struct cordon_extent){{held + 2 * i * PAGE}, PAGE};
        }
        e[n].len = BLOCK;
        assert_int_equal(cordon_run_alloc(b.ctx, &want, &e[n].hpa), 0);
        const struct cordon_op grant = op_grant(BLOCK, e, n + 1, RW, 0); /* sums up E */

        assert_int_equal(cordon_change(d, &grant, 1), 0);
        before = bench_state(&b);
        assert_int_equal(cordon_change(d, ops, 2), -CORDON_EPERM);
        assert_int_equal(bench_state(&b), before);
        bench_sound(&b);
        assert_int_equal(cordon_change(d, ops, 1), 0);
    }
}

/* The list of what goes is a help, not a need: without a page for it, frames are found by their
 * words. */
static void test_a_revoke_needs_no_memory_to_remember(void **state)
{
    struct cordon_extent e[64];
    uint64_t hpa = bench_held(&b, 128).v;

    (void)state;
    for (uint64_t i = 0; i < 64; i++) {
        e[i] = (struct cordon_extent){{hpa + 2 * i * PAGE}, PAGE};
    }
    struct cordon_op op = op_grant(0x1000, e, 64, RW, CORDON_REGION_KEEP);
    uint64_t before = bench_state(&b);

    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(cordon_change(d, &op, 1), 0);
        b.record.fail_at = n == 0 ? 0 : b.record.allocations + 1;
        assert_int_equal(bench_revoke(d, 0x1000, 64), 0);
        b.record.fail_at = 0;
        bench_sound(&b);
        assert_int_equal(bench_state(&b), before);
    }
    assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(hpa), 128 * PAGE), 0);
}

static void test_a_map_of_more_runs_than_the_list_holds_goes_too(void **state)
{
    static struct cordon_extent e[4096];
    size_t count = 4096;
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_scatter_alloc(b.ctx, 4096 * PAGE, 1, 3, e, &count), 0);
    struct cordon_op op = op_grant(0x1000, e, count, RW, 0);

    assert_int_equal(cordon_change(d, &op, 1), 0);
    bench_sound(&b);
    assert_int_equal(bench_revoke(d, 0x1000, 4096), 0);
    assert_int_equal(bench_state(&b), before);
}

static void test_exhausted_memory_refuses_and_recovers(void **state)
{
    static struct cordon_extent e[8192];
    size_t count = 0;
    cordon_hpa hpa;

    (void)state;
    (void)bench_grant(&b, d, 0, 600, RW, 0);
    while (count < 8192 && frames_alloc(b.ctx, 0, &hpa) == 0) {
        e[count++] = (struct cordon_extent){hpa, PAGE};
    }
    struct cordon_op far = op_grant(UINT64_C(1) << 40, e, 1, RW, CORDON_REGION_KEEP);
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_change(d, &far, 1), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(bench_revoke(d, 0, 600), 0); /* giving back works with nothing left */
    assert_int_equal(cordon_change(d, &far, 1), 0);
    assert_int_equal(bench_revoke(d, UINT64_C(1) << 40, 1), 0);
    while (count > 0) {
        frames_free(b.ctx, e[--count].hpa, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_claim_is_undone_across_whole_and_split_blocks),
        TEST(test_a_block_split_for_two_grants_is_joined_again),
        TEST(test_extents_of_several_banks_and_sizes),
        TEST(test_extents_back_a_region_in_order),
        TEST(test_large_extents_become_large_leaves),
        TEST(test_keep_makes_them_held_and_leaves_contents),
        TEST(test_neighbours_that_say_the_same_are_one_region),
        TEST(test_all_kinds_in_one_change),
        TEST(test_each_allocation_may_fail_and_nothing_has_changed),
        TEST(test_a_revoke_is_undone_when_the_change_is_refused_later),
        TEST(test_a_revoke_needs_no_memory_to_remember),
        TEST(test_a_map_of_more_runs_than_the_list_holds_goes_too),
        TEST(test_exhausted_memory_refuses_and_recovers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
