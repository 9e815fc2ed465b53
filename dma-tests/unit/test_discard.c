/* DISCARD and MARK: what goes and comes again, and what stays. */
#include "touch_bench.h"

static struct cordon_op op_discard(uint64_t gpa, uint64_t pages)
{
    return (struct cordon_op){.kind = CORDON_OP_DISCARD, .gpa = {gpa}, .len = pages * PAGE};
}

static int change(struct cordon_op op)
{
    return cordon_change(d, &op, 1);
}

/* The change is refused with ERR, and nothing has changed. */
static void refused(struct cordon_op op, int err)
{
    uint64_t before = bench_state(&b);

    assert_int_equal(change(op), err);
    assert_true(bench_state(&b) == before);
    bench_sound(&b);
}

static void test_a_discard_gives_frames_back_and_keeps_the_region(void **state)
{
    uint64_t hpa, fences;

    (void)state;
    some_present(DEMAND);
    hpa = bench_leads(d, 0, AT + 5 * PAGE, 0);
    memset(bench_word(&b, cordon_hpa_make(hpa)), 0x5a, PAGE);
    fences = b.hart_fences;
    assert_int_equal(change(op_discard(AT + 3 * PAGE, 100)), 0);
    assert_true(b.hart_fences > fences); /* told before they were free: the order checker saw it */
    assert_int_equal(bench_stats(&b).owned, 2 * PAGE);
    assert_int_equal(bench_stats(&b).revoking, 0);
    assert_int_equal(bench_frame(&b, hpa), CORDON_FRAME_FREE);
    assert_false(is_present(AT + 5 * PAGE));
    assert_true(is_present(AT));
    bench_sound(&b);
    for (uint64_t i = 3; i < 103; i++) { /* whichever frame comes again, it holds zeroes */
        struct cordon_touched out;

        assert_int_equal(touch_for(d, AT + i * PAGE, RW, &out), CORDON_TOUCH_FILLED);
        assert_int_equal(sum_of(out.hpa.v, PAGE), 0);
    }
    bench_sound(&b);
}

static void test_a_second_discard_finds_nothing(void **state)
{
    (void)state;
    some_present(DEMAND);
    assert_int_equal(change(op_discard(AT, 1024)), 0);
    assert_int_equal(change(op_discard(AT, 1024)), 0);
    assert_int_equal(bench_stats(&b).owned, 0);
    bench_sound(&b);
}

static void test_a_part_of_a_huge_page_is_discarded(void **state)
{
    (void)state;
    demand(d, AT, 1024, HUGE);
    assert_int_equal(touch(AT), CORDON_TOUCH_FILLED);
    assert_int_equal(touch(AT + BLOCK), CORDON_TOUCH_FILLED);
    assert_int_equal(change(op_discard(AT + 100 * PAGE, 500)), 0);
    assert_int_equal(bench_stats(&b).owned, 524 * PAGE);
    assert_true(is_present(AT + 99 * PAGE));
    assert_false(is_present(AT + 100 * PAGE));
    assert_false(is_present(AT + 599 * PAGE));
    assert_true(is_present(AT + 600 * PAGE));
    assert_int_equal(touch(AT + 100 * PAGE), CORDON_TOUCH_FILLED);
    bench_sound(&b);
}

static void test_what_may_not_be_discarded_is_refused(void **state)
{
    cordon_domain *borrower = bench_domain(&b);
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {AT + 5 * PAGE}, .to = {AT}, .len = PAGE, .perms = RW};
    struct cordon_op op;

    (void)state;
    some_present(DEMAND);
    bench_grant(&b, d, AT - 2 * PAGE, 2, RW, 0);
    refused(op_discard(AT - PAGE, 1), -CORDON_EPERM);
    refused(op_discard(AT - PAGE, 8), -CORDON_EPERM); /* in part */
    refused(op_discard(AT + 1020 * PAGE, 8), -CORDON_ENOENT);
    refused(op_discard(AT + 1, 1), -CORDON_EALIGN);
    refused(op_discard(AT, 0), -CORDON_ERANGE);
    op = op_discard(AT, 1);
    op.perms = CORDON_READ;
    refused(op, -CORDON_EINVAL);
    op = op_discard(AT, 1);
    op.flags = CORDON_REGION_PIN;
    refused(op, -CORDON_EINVAL);
    assert_int_equal(cordon_share(d, borrower, &share), 0);
    refused(op_discard(AT, 10), -CORDON_EBUSY);
    assert_int_equal(cordon_domain_destroy(borrower), 0);
    assert_int_equal(change(op_discard(AT, 10)), 0);
}

static void test_what_devices_reach_is_not_discarded(void **state)
{
    uint32_t view = 0;

    (void)state;
    some_present(DEMAND);
    demand(d, AT + GIB, 8, DEMAND | CORDON_REGION_NODMA);
    assert_int_equal(touch(AT + GIB), CORDON_TOUCH_FILLED);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 1024 * PAGE), 0);
    assert_int_equal(domain_view_add(d, &view), 0);
    refused(op_discard(AT, 1), -CORDON_EBUSY);
    assert_int_equal(change(op_discard(AT + GIB, 8)), 0);
    bench_sound(&b);
    domain_view_remove(d, view);
    assert_int_equal(change(op_discard(AT, 1)), 0);
}

static void test_each_allocation_of_a_discard_may_fail(void **state)
{
    uint64_t tried = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    demand(d, AT, 1024, HUGE);
    assert_int_equal(touch(AT), CORDON_TOUCH_FILLED);
    while (err == -CORDON_ENOMEM) {
        uint64_t before = bench_state(&b);

        b.record.fail_at = b.record.allocations + 1 + tried++;
        err = change(op_discard(AT + 7 * PAGE, 9));
        b.record.fail_at = 0;
        assert_true(err == 0 || bench_state(&b) == before);
        bench_sound(&b);
    }
    assert_int_equal(err, 0);
    assert_true(tried >= 3); /* a table to split the leaf, words to split the block */
}

static void test_a_discard_is_one_change_with_others(void **state)
{
    const struct cordon_extent e = {bench_held(&b, 1), PAGE};
    const struct cordon_op ops[] = {op_discard(AT, 600), op_protect(AT + 600 * PAGE, 10, RW),
                                    op_revoke(AT + 700 * PAGE, 10),
                                    op_grant(AT + GIB, &e, 1, RW, 0)};
    const struct cordon_op bad[] = {op_discard(AT, 600), op_revoke(AT + GIB + PAGE, 1)};
    uint64_t before;

    (void)state;
    some_present(DEMAND);
    before = bench_state(&b);
    assert_int_equal(cordon_change(d, bad, 2), -CORDON_ENOENT);
    assert_true(bench_state(&b) == before);
    assert_int_equal(cordon_change(d, ops, 4), 0);
    assert_int_equal(bench_stats(&b).owned, PAGE);
    bench_sound(&b);
}

/* ---- MARK --------------------------------------------------------------------------------- */

static uint32_t flags_at(uint64_t gpa)
{
    struct cordon_region_info r = {.len = 0};

    assert_int_equal(cordon_region_find(d, cordon_gpa_make(gpa), false, &r), 0);
    return r.flags;
}

static void test_pinning_fills_and_keeps(void **state)
{
    (void)state;
    some_present(DEMAND);
    assert_int_equal(change(op_mark(AT + 2 * PAGE, 600, CORDON_REGION_PIN)), 0);
    assert_int_equal(bench_stats(&b).owned, 601 * PAGE);
    assert_int_equal(flags_at(AT + 2 * PAGE), DEMAND | CORDON_REGION_PIN);
    assert_int_equal(flags_at(AT + 601 * PAGE), DEMAND | CORDON_REGION_PIN);
    assert_int_equal(flags_at(AT + PAGE), DEMAND);
    assert_int_equal(flags_at(AT + 602 * PAGE), DEMAND);
    bench_sound(&b);
    refused(op_discard(AT, 4), -CORDON_EPERM);
    assert_int_equal(change(op_discard(AT, 2)), 0);
    assert_int_equal(change(op_mark(AT + 2 * PAGE, 2, 0)), 0);
    assert_int_equal(change(op_discard(AT, 4)), 0);
    assert_int_equal(bench_stats(&b).owned, 598 * PAGE);
    assert_int_equal(change(op_mark(AT, 1024, 0)), 0); /* one region again */
    assert_int_equal(flags_at(AT), DEMAND);
    assert_int_equal(bench_revoke(d, AT, 1024), 0); /* a revoke takes pinned frames too */
    bench_sound(&b);
}

static void test_a_part_of_a_huge_page_is_pinned(void **state)
{
    (void)state;
    demand(d, AT, 1024, HUGE);
    assert_int_equal(touch(AT), CORDON_TOUCH_FILLED);
    assert_int_equal(change(op_mark(AT + 400 * PAGE, 300, CORDON_REGION_PIN)), 0);
    bench_sound(&b); /* no leaf goes on from one region into another */
    assert_int_equal(bench_stats(&b).owned, 700 * PAGE); /* and nothing came beside it */
    assert_int_equal(change(op_mark(AT + 450 * PAGE, 1, 0)), 0);
    bench_sound(&b);
}

static void test_frames_are_granted_pinned(void **state)
{
    const struct cordon_extent other = {bench_held(&b, 1), PAGE};
    const struct cordon_remap replace = {.size = sizeof(replace),
                                         .gpa = {AT},
                                         .to = {AT},
                                         .len = PAGE,
                                         .extents = &other,
                                         .extent_count = 1};
    struct cordon_op op = op_demand(AT + PAGE, 1, RW, DEMAND | CORDON_REGION_PIN);

    (void)state;
    bench_grant(&b, d, AT, 1, RW, CORDON_REGION_PIN);
    assert_int_equal(cordon_remap(d, &replace), -CORDON_EPERM);
    assert_int_equal(change(op), -CORDON_EINVAL); /* what is absent cannot be pinned */
    assert_int_equal(change(op_mark(AT, 1, 0)), 0);
    assert_int_equal(cordon_remap(d, &replace), 0);
    bench_sound(&b);
}

static void test_marks_are_refused(void **state)
{
    cordon_domain *borrower = bench_domain(&b);
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {AT + 5 * PAGE}, .to = {AT}, .len = PAGE, .perms = RW};
    const struct cordon_op lent = op_mark(AT, 1, CORDON_REGION_PIN);
    const struct cordon_extent mmio = {{BENCH_MMIO}, PAGE};
    const struct cordon_op registers = op_grant(AT + GIB, &mmio, 1, RW, CORDON_REGION_MMIO);

    (void)state;
    some_present(DEMAND);
    assert_int_equal(cordon_change(d, &registers, 1), 0);
    assert_int_equal(cordon_share(d, borrower, &share), 0);
    refused(op_mark(AT, 1, CORDON_REGION_NODMA), -CORDON_EINVAL);
    refused(op_mark(AT + 1020 * PAGE, 5, CORDON_REGION_PIN), -CORDON_ENOENT);
    refused(op_mark(AT + GIB, 1, CORDON_REGION_PIN), -CORDON_EPERM);
    assert_int_equal(cordon_change(borrower, &lent, 1), -CORDON_EPERM);
    assert_int_equal(cordon_domain_destroy(borrower), 0);
}

static void test_a_pin_that_memory_does_not_suffice_for_changes_nothing(void **state)
{
    (void)state;
    demand(d, AT, 8192, DEMAND); /* all there is */
    assert_int_equal(touch(AT + 3 * PAGE), CORDON_TOUCH_FILLED);
    (void)bench_held(&b, 1); /* settles where the stock is */
    refused(op_mark(AT, 8192, CORDON_REGION_PIN), -CORDON_ENOMEM);
    assert_int_equal(change(op_mark(AT, 4096, CORDON_REGION_PIN)), 0);
    assert_int_equal(bench_stats(&b).owned, 4096 * PAGE);
    bench_sound(&b);
    for (uint64_t at = BENCH_RAM; at < BENCH_RAM + b.size; at += PAGE) {
        if (bench_frame(&b, at) == CORDON_FRAME_HELD) {
            assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(at), PAGE), 0);
        }
    }
}

static void test_each_allocation_of_a_pin_may_fail(void **state)
{
    uint64_t tried = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    demand(d, AT, 600, DEMAND);
    while (err == -CORDON_ENOMEM) {
        uint64_t before = bench_state(&b);

        b.record.fail_at = b.record.allocations + 1 + tried++;
        err = change(op_mark(AT + 480 * PAGE, 64, CORDON_REGION_PIN));
        b.record.fail_at = 0;
        assert_true(err == 0 || bench_state(&b) == before);
        bench_sound(&b);
    }
    assert_int_equal(err, 0);
    assert_true(tried >= 3);
}

/* Turns at D's lock since it was made. */
static uint64_t turns(void)
{
    return d->lock.next;
}

static void test_others_get_turns_while_much_is_pinned(void **state)
{
    const uint64_t pages = 2048, a_turn = 64;

    (void)state;
    demand(d, AT, pages, DEMAND);
    uint64_t before = turns();

    assert_int_equal(change(op_mark(AT, pages, CORDON_REGION_PIN)), 0);
    assert_true(turns() - before >= pages / a_turn);
    assert_int_equal(bench_stats(&b).owned, pages * PAGE);
    assert_int_equal(flags_at(AT + (pages - 1) * PAGE), DEMAND | CORDON_REGION_PIN);
    bench_sound(&b);
}

/* What came ahead stays, as after any touch. */
static void test_each_allocation_of_a_large_pin_may_fail_and_nothing_is_pinned(void **state)
{
    uint64_t tried = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    demand(d, AT, 600, DEMAND);
    while (err == -CORDON_ENOMEM) {
        assert_int_equal(flags_at(AT), DEMAND);
        assert_int_equal(change(op_discard(AT, 600)), 0);
        b.record.fail_at = b.record.allocations + 1 + tried++;
        err = change(op_mark(AT, 600, CORDON_REGION_PIN));
        b.record.fail_at = 0;
        bench_sound(&b);
    }
    assert_int_equal(err, 0);
    assert_true(tried >= 3);
    assert_int_equal(flags_at(AT), DEMAND | CORDON_REGION_PIN);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_discard_gives_frames_back_and_keeps_the_region),
        T(test_a_second_discard_finds_nothing),
        T(test_a_part_of_a_huge_page_is_discarded),
        T(test_what_may_not_be_discarded_is_refused),
        T(test_what_devices_reach_is_not_discarded),
        T(test_each_allocation_of_a_discard_may_fail),
        T(test_a_discard_is_one_change_with_others),
        T(test_pinning_fills_and_keeps),
        T(test_a_part_of_a_huge_page_is_pinned),
        T(test_frames_are_granted_pinned),
        T(test_marks_are_refused),
        T(test_a_pin_that_memory_does_not_suffice_for_changes_nothing),
        T(test_each_allocation_of_a_pin_may_fail),
        T(test_others_get_turns_while_much_is_pinned),
        T(test_each_allocation_of_a_large_pin_may_fail_and_nothing_is_pinned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
