/* First touch: what a fault brings, and what stays absent. */
#include "touch_bench.h"

/* ---- one page ----------------------------------------------------------------------------- */

static void test_a_demand_region_takes_no_memory(void **state)
{
    struct cordon_memory_stats before = bench_stats(&b);

    (void)state;
    demand(d, AT, GIB / PAGE, DEMAND); /* far more than there is */
    assert_int_equal(bench_stats(&b).owned, 0);
    assert_int_equal(bench_stats(&b).table, before.table);
    assert_false(is_present(AT));
    bench_sound(&b);
}

static void test_a_touch_brings_one_page_of_zeroes(void **state)
{
    struct cordon_touched out = {.what = 99};
    struct cordon_frame_info info;

    (void)state;
    demand(d, AT, 100, DEMAND);
    assert_int_equal(touch_for(d, AT + 5 * PAGE + 0x123, CORDON_WRITE, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(out.level, 0);
    assert_int_equal(bench_leads(d, 0, AT + 5 * PAGE, RWX), out.hpa.v);
    assert_int_equal(sum_of(out.hpa.v, PAGE), 0);
    assert_int_equal(cordon_frame_query(b.ctx, out.hpa, &info), 0);
    assert_int_equal(info.state, CORDON_FRAME_OWNED);
    assert_int_equal(info.domain, cordon_domain_number(d));
    assert_int_equal(info.gpa.v, AT + 5 * PAGE);
    assert_false(is_present(AT + 4 * PAGE));
    assert_false(is_present(AT + 6 * PAGE));
    assert_int_equal(bench_stats(&b).owned, PAGE);
    assert_int_equal(b.hart_fences, 0); /* nobody held a translation */
    bench_sound(&b);
}

static void test_a_second_touch_is_spurious(void **state)
{
    struct cordon_touched first, second;

    (void)state;
    demand(d, AT, 1, DEMAND);
    assert_int_equal(touch_for(d, AT, CORDON_READ, &first), CORDON_TOUCH_FILLED);
    assert_int_equal(touch_for(d, AT + 8, CORDON_WRITE, &second), CORDON_TOUCH_SPURIOUS);
    assert_int_equal(second.hpa.v, first.hpa.v);
    assert_int_equal(bench_stats(&b).owned, PAGE);
}

static void test_a_touch_of_what_was_granted_is_spurious(void **state)
{
    struct cordon_touched out;
    uint64_t hpa = bench_grant(&b, d, AT, 3, RW, 0).v;

    (void)state;
    assert_int_equal(touch_for(d, AT + 2 * PAGE, CORDON_WRITE, &out), CORDON_TOUCH_SPURIOUS);
    assert_int_equal(out.hpa.v, hpa + 2 * PAGE);
}

static void test_a_touch_is_refused(void **state)
{
    const struct cordon_op ops[] = {op_demand(AT, 2, CORDON_READ, DEMAND)};
    struct cordon_touched out = {.what = 99};
    uint64_t before;

    (void)state;
    assert_int_equal(cordon_change(d, ops, 1), 0);
    before = bench_state(&b);
    assert_int_equal(touch_for(d, AT, CORDON_WRITE, &out), -CORDON_EFAULT);
    assert_int_equal(touch_for(d, AT, CORDON_EXEC, &out), -CORDON_EFAULT);
    assert_int_equal(touch_for(d, AT + 2 * PAGE, 0, &out), -CORDON_ENOENT);
    assert_int_equal(touch_for(d, AT - 1, 0, &out), -CORDON_ENOENT);
    assert_int_equal(touch_for(d, UINT64_MAX, 0, &out), -CORDON_ENOENT);
    assert_int_equal(touch_for(d, AT, 8, &out), -CORDON_EINVAL);
    assert_int_equal(cordon_touch(d, cordon_gpa_make(AT), 0, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_touch(NULL, cordon_gpa_make(AT), 0, &out), -CORDON_EINVAL);
    assert_int_equal(out.what, 99);
    assert_true(bench_state(&b) == before);
}

static void test_grants_of_demand_are_checked(void **state)
{
    const struct cordon_extent e = {bench_held(&b, 1), PAGE};
    struct cordon_op op = op_demand(AT, 1, RW, DEMAND);

    (void)state;
    op.extents = &e;
    op.extent_count = 1;
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EINVAL);
    op = op_grant(AT, &e, 1, RW, CORDON_REGION_HUGE);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EINVAL);
    for (uint32_t with = CORDON_REGION_MMIO; with < CORDON_REGION_DEMAND; with <<= 1) {
        op = op_demand(AT, 1, RW, DEMAND | with);
        assert_int_equal(cordon_change(d, &op, 1),
                         with == CORDON_REGION_NODMA ? 0 : -CORDON_EINVAL);
    }
    op = op_demand(AT + PAGE, 0, RW, DEMAND);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_ERANGE);
    op = op_demand(AT, 1, RW, DEMAND);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EEXIST);
    assert_int_equal(cordon_run_free(b.ctx, e.hpa, PAGE), 0);
}

/* ---- 2 MiB -------------------------------------------------------------------------------- */

static void test_a_huge_touch_brings_2_mib(void **state)
{
    struct cordon_touched out;

    (void)state;
    demand(d, AT, 3 * 512, HUGE);
    assert_int_equal(touch_for(d, AT + BLOCK + 7 * PAGE, CORDON_READ, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(out.level, 1);
    assert_int_equal(bench_leads(d, 0, AT + BLOCK, RWX), out.hpa.v - 7 * PAGE);
    assert_int_equal(bench_leads(d, 0, AT + 2 * BLOCK - PAGE, RWX), out.hpa.v + 504 * PAGE);
    assert_int_equal(sum_of(out.hpa.v - 7 * PAGE, BLOCK), 0);
    assert_int_equal(bench_stats(&b).owned, BLOCK);
    assert_false(is_present(AT));
    assert_false(is_present(AT + 2 * BLOCK));
    assert_int_equal(touch(AT + BLOCK), CORDON_TOUCH_SPURIOUS);
    bench_sound(&b);
}

static void test_a_huge_touch_stays_inside_its_region(void **state)
{
    struct cordon_touched out;

    (void)state;
    demand(d, AT + PAGE, 512 + 511, HUGE);
    assert_int_equal(touch_for(d, AT + 9 * PAGE, 0, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(out.level, 0); /* the region begins inside these 2 MiB */
    assert_int_equal(touch_for(d, AT + BLOCK, 0, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(out.level, 1);
    assert_int_equal(touch_for(d, AT + BLOCK + 511 * PAGE, 0, &out), CORDON_TOUCH_SPURIOUS);
    assert_int_equal(bench_stats(&b).owned, BLOCK + PAGE);
    bench_sound(&b);
}

static void test_a_huge_touch_keeps_what_is_present(void **state)
{
    const struct cordon_op ops[] = {op_demand(AT, 512, RW, DEMAND)};
    struct cordon_touched one, out;

    (void)state;
    assert_int_equal(cordon_change(d, ops, 1), 0);
    assert_int_equal(touch_for(d, AT + 3 * PAGE, 0, &one), CORDON_TOUCH_FILLED);
    assert_int_equal(bench_revoke(d, AT + 256 * PAGE, 256), 0);
    assert_int_equal(bench_revoke(d, AT, 2), 0);
    demand(d, AT + 512 * PAGE, 512, HUGE);
    assert_int_equal(touch_for(d, AT + 4 * PAGE, 0, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(out.level, 0);
    assert_int_equal(bench_leads(d, 0, AT + 3 * PAGE, 0), one.hpa.v);
    bench_sound(&b);
}

static void test_a_huge_touch_takes_one_frame_where_no_run_is_free(void **state)
{
    struct cordon_extent held[4096];
    size_t count = 4096, odd = 0;
    uint64_t len = bench_stats(&b).free - 8 * MIB;
    struct cordon_touched out;

    (void)state;
    while (bench_stats(&b).largest_free >= BLOCK) { /* all blocks are broken into */
        const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE, .align = BLOCK};

        assert_true(odd < count);
        held[odd].len = PAGE;
        assert_int_equal(cordon_run_alloc(b.ctx, &want, &held[odd++].hpa), 0);
    }
    assert_true(len > 0);
    demand(d, AT, 512, HUGE);
    assert_int_equal(touch_for(d, AT, 0, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(out.level, 0);
    bench_sound(&b);
    while (odd > 0) {
        assert_int_equal(cordon_run_free(b.ctx, held[--odd].hpa, PAGE), 0);
    }
}

/* ---- memory that runs out ----------------------------------------------------------------- */

static void test_a_full_machine_refuses_and_nothing_else_changes(void **state)
{
    uint64_t filled = 0, before;

    (void)state;
    demand(d, AT, 64 * MIB / PAGE, DEMAND);
    while (touch(AT + filled * PAGE) == CORDON_TOUCH_FILLED) {
        filled++;
    }
    before = bench_state(&b);
    assert_int_equal(touch(AT + filled * PAGE), -CORDON_ENOMEM);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 64 * MIB), -CORDON_ENOMEM);
    assert_true(bench_state(&b) == before);
    assert_int_equal(bench_stats(&b).free, 0);
    assert_int_equal(bench_stats(&b).owned, filled * PAGE);
    bench_sound(&b);
    assert_int_equal(bench_revoke(d, AT, 1), 0); /* one is free again, and goes on */
    assert_int_equal(touch(AT + filled * PAGE), CORDON_TOUCH_FILLED);
}

static void give_back_held(void)
{
    for (uint64_t at = BENCH_RAM; at < BENCH_RAM + b.size; at += PAGE) {
        if (bench_frame(&b, at) == CORDON_FRAME_HELD) {
            assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(at), PAGE), 0);
        }
    }
}

static void test_frames_of_the_stock_are_free(void **state)
{
    struct cordon_memory_stats before = bench_stats(&b), after;

    (void)state;
    demand(d, AT, 2, DEMAND);
    assert_int_equal(touch(AT), CORDON_TOUCH_FILLED);
    assert_true(b.ctx->frames.stock_left > 0);
    assert_int_equal(bench_frame(&b, b.ctx->frames.stock << CORDON_PAGE_SHIFT), CORDON_FRAME_FREE);
    after = bench_stats(&b);
    assert_int_equal(before.free - after.free,
                     PAGE + (after.table - before.table) + (after.hyp - before.hyp));
    for (uint64_t left = after.free; left > 0; left -= PAGE) { /* who wants all of it gets it */
        struct cordon_extent e;
        size_t one = 1;

        assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 1, left, &e, &one), 0);
    }
    assert_int_equal(bench_stats(&b).free, 0);
    assert_int_equal(b.ctx->frames.stock_left, 0);
    bench_sound(&b);
    give_back_held();
}

static void test_a_run_takes_frames_of_the_stock(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK - PAGE};
    cordon_hpa run, last = {0};

    (void)state;
    demand(d, AT, 2, DEMAND);
    assert_int_equal(touch(AT), CORDON_TOUCH_FILLED);
    while (bench_stats(&b).largest_free >= BLOCK) {
        last = bench_held(&b, 512);
    }
    while (bench_stats(&b).free > 0) {
        (void)bench_held(&b, 1);
    }
    assert_int_equal(cordon_run_free(b.ctx, last, BLOCK), 0);
    assert_int_equal(touch(AT + PAGE), CORDON_TOUCH_FILLED);
    assert_true(b.ctx->frames.stock_left > 0);
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &run), 0);
    assert_int_equal(run.v, last.v + PAGE);
    bench_sound(&b);
    give_back_held();
}

static void test_each_allocation_of_a_touch_may_fail(void **state)
{
    (void)state;
    for (uint32_t flags = DEMAND; flags <= HUGE; flags += CORDON_REGION_HUGE) {
        uint64_t gpa = flags == DEMAND ? AT : AT + 8 * GIB, tried = 0;
        int came = -CORDON_ENOMEM;

        demand(d, gpa, 512, flags);
        while (came == -CORDON_ENOMEM) {
            struct cordon_memory_stats before = bench_stats(&b);

            b.record.fail_at = b.record.allocations + 1 + tried++;
            came = touch(gpa + 5 * PAGE);
            b.record.fail_at = 0;
            if (came == -CORDON_ENOMEM) {
                struct cordon_memory_stats after = bench_stats(&b);

                assert_int_equal(after.owned, before.owned);
                assert_int_equal(after.table, before.table);
                assert_int_equal(after.free + after.hyp, before.free + before.hyp);
                assert_false(is_present(gpa + 5 * PAGE));
            }
            bench_sound(&b);
        }
        assert_int_equal(came, CORDON_TOUCH_FILLED);
        assert_true(tried > 1); /* the touch itself, and a table */
    }
}

/* ---- populate ----------------------------------------------------------------------------- */

static void test_populate_fills_what_is_absent(void **state)
{
    struct cordon_touched out;
    uint64_t hpa;

    (void)state;
    hpa = bench_grant(&b, d, AT - 4 * PAGE, 4, RW, 0).v;
    demand(d, AT, 700, DEMAND);
    demand(d, AT + 700 * PAGE, 1024, HUGE);
    assert_int_equal(touch_for(d, AT + 3 * PAGE, 0, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT - 2 * PAGE), (2 + 1724) * PAGE), 0);
    for (uint64_t i = 0; i < 1724; i++) {
        assert_true(is_present(AT + i * PAGE));
    }
    assert_int_equal(bench_leads(d, 0, AT - 2 * PAGE, 0), hpa + 2 * PAGE);
    assert_int_equal(bench_leads(d, 0, AT + 3 * PAGE, 0), out.hpa.v);
    assert_int_equal(bench_stats(&b).owned, (1724 + 4) * PAGE);
    bench_sound(&b);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 1724 * PAGE), 0); /* again: nothing */
    assert_int_equal(bench_stats(&b).owned, (1724 + 4) * PAGE);
}

static void test_populate_is_refused(void **state)
{
    uint64_t before;

    (void)state;
    demand(d, AT, 4, DEMAND);
    demand(d, AT + 8 * PAGE, 4, DEMAND);
    before = bench_state(&b);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 12 * PAGE), -CORDON_ENOENT);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT + 1), PAGE), -CORDON_EALIGN);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 0), -CORDON_ERANGE);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), -PAGE), -CORDON_ERANGE);
    assert_int_equal(cordon_populate(NULL, cordon_gpa_make(AT), PAGE), -CORDON_EINVAL);
    assert_true(bench_state(&b) == before);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_demand_region_takes_no_memory),
        T(test_a_touch_brings_one_page_of_zeroes),
        T(test_a_second_touch_is_spurious),
        T(test_a_touch_of_what_was_granted_is_spurious),
        T(test_a_touch_is_refused),
        T(test_grants_of_demand_are_checked),
        T(test_a_huge_touch_brings_2_mib),
        T(test_a_huge_touch_stays_inside_its_region),
        T(test_a_huge_touch_keeps_what_is_present),
        T(test_a_huge_touch_takes_one_frame_where_no_run_is_free),
        T(test_a_full_machine_refuses_and_nothing_else_changes),
        T(test_frames_of_the_stock_are_free),
        T(test_a_run_takes_frames_of_the_stock),
        T(test_each_allocation_of_a_touch_may_fail),
        T(test_populate_fills_what_is_absent),
        T(test_populate_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
