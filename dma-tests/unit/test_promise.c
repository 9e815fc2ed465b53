/* PROMISED regions: a touch does not run out, whatever others do, and everything is counted. */
#include "touch_bench.h"

#define PROMISED (CORDON_REGION_DEMAND | CORDON_REGION_PROMISED)
#define HELD_MOST 8192u

static cordon_hpa held[HELD_MOST];
static size_t held_count;

static uint64_t promised(void)
{
    return b.ctx->frames.promised;
}

/* Take every frame that can be had, in runs of 2^ORDER pages and then smaller. */
static void take_all(unsigned order)
{
    for (;;) {
        const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE << order};

        if (cordon_run_alloc(b.ctx, &want, &held[held_count]) == 0) {
            held[held_count].v |= order; /* below the page */
            assert_true(++held_count < HELD_MOST);
        } else if (order-- == 0) {
            return;
        }
    }
}

static void give_back(size_t to)
{
    while (held_count > to) {
        cordon_hpa run = held[--held_count];
        uint64_t order = run.v % PAGE;

        run.v -= order;
        assert_int_equal(cordon_run_free(b.ctx, run, PAGE << order), 0);
    }
}

static void fill_all(cordon_domain *of, uint64_t gpa, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        struct cordon_touched out;

        assert_int_equal(touch_for(of, gpa + i * PAGE, 0, &out), CORDON_TOUCH_FILLED);
    }
}

static void test_a_promise_is_made_or_refused(void **state)
{
    struct cordon_memory_stats before = bench_stats(&b);
    struct cordon_op op = op_demand(AT, before.free / PAGE, RWX, PROMISED);

    (void)state;
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_ENOMEM); /* nothing is left for tables */
    assert_int_equal(bench_stats(&b).table, before.table);
    assert_int_equal(promised(), 0);
    demand(d, AT, 4000, PROMISED);
    assert_int_equal(promised(), 4000);
    assert_int_equal(bench_stats(&b).owned, 0);
    bench_sound(&b);
    op = op_demand(AT + GIB, 4000, RWX, PROMISED);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_ENOMEM);
    op.flags = DEMAND; /* without a promise it is overcommit, and allowed */
    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(promised(), 4000);
    op = op_grant(0, NULL, 0, RW, CORDON_REGION_PROMISED);
    op.len = PAGE;
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EINVAL);
    bench_sound(&b);
}

/* Whatever others take, in whatever sizes, all of the promise is kept. */
static void test_a_promise_is_kept(void **state)
{
    (void)state;
    for (unsigned order = 0; order <= 9; order += 3) {
        for (uint64_t gpa = AT; gpa <= AT + 3 * PAGE; gpa += 3 * PAGE) {
            demand(d, gpa, 1500, PROMISED);
            take_all(order);
            assert_true(bench_stats(&b).free >= 1500 * PAGE);
            assert_true(bench_stats(&b).free < (1500 + 1024 + 512) * PAGE);
            fill_all(d, gpa, 1500);
            assert_int_equal(promised(), 0);
            bench_sound(&b);
            assert_int_equal(bench_revoke(d, gpa, 1500), 0);
            give_back(0);
        }
    }
}

static void test_others_find_no_memory_that_is_promised(void **state)
{
    struct cordon_touched out;
    cordon_domain *other;
    uint64_t filled = 0;

    (void)state;
    demand(d, AT, 1000, PROMISED);
    other = bench_domain(&b);
    demand(other, AT, 8192, DEMAND);
    while (touch_for(other, AT + filled * PAGE, 0, &out) == CORDON_TOUCH_FILLED) {
        filled++;
    }
    assert_true(filled > 4096);
    demand(other, 0, 1024, HUGE);
    assert_int_equal(touch_for(other, 0, 0, &out), -CORDON_ENOMEM);
    assert_int_equal(promised(), 1000);
    fill_all(d, AT, 1000);
    assert_int_equal(cordon_domain_destroy(other), 0);
    bench_sound(&b);
}

static void test_a_promise_follows_what_comes_and_goes(void **state)
{
    struct cordon_op ops[] = {
        {.kind = CORDON_OP_DISCARD, .gpa = {AT + 6 * PAGE}, .len = 600 * PAGE}};

    (void)state;
    some_present(PROMISED);
    assert_int_equal(promised(), 1020);
    assert_int_equal(cordon_change(d, ops, 1), 0); /* pages 6 and 511 are absent again */
    assert_int_equal(promised(), 1022);
    bench_sound(&b);
    assert_int_equal(bench_revoke(d, AT, 10), 0); /* two present, eight absent */
    assert_int_equal(promised(), 1014);
    bench_sound(&b);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT + 10 * PAGE), 4 * PAGE), 0);
    assert_int_equal(promised(), 1010);
    struct cordon_remap move = {
        .size = sizeof(move), .gpa = {AT + 12 * PAGE}, .to = {0}, .len = 100 * PAGE};

    assert_int_equal(cordon_remap(d, &move), 0);
    assert_int_equal(promised(), 1010);
    bench_sound(&b);
    assert_int_equal(bench_revoke(d, AT + 10 * PAGE, 2), 0);
    assert_int_equal(bench_revoke(d, AT + 112 * PAGE, 912), 0);
    assert_int_equal(promised(), 98);
    fill_all(d, 2 * PAGE, 98);
    bench_sound(&b);
}

/* Tables that die go back to the promise: no touch pays for what a discard took away. */
static void test_promised_tables_come_back(void **state)
{
    const struct cordon_op all = {
        .kind = CORDON_OP_DISCARD, .gpa = {AT}, .len = UINT64_C(4) * 512 * PAGE};

    (void)state;
    demand(d, AT, 4 * 512, PROMISED);
    take_all(0);
    for (unsigned round = 0; round < 3; round++) {
        struct cordon_memory_stats before = bench_stats(&b);

        for (uint64_t i = 0; i < 4; i++) {
            fill_all(d, AT + i * BLOCK, 100);
        }
        assert_int_equal(bench_stats(&b).table, before.table);
        assert_int_equal(cordon_change(d, &all, 1), 0);
        assert_int_equal(bench_stats(&b).table, before.table);
        assert_int_equal(bench_stats(&b).free, before.free);
        take_all(0);
        bench_sound(&b);
    }
    fill_all(d, AT, 4 * 512);
    give_back(0);
}

static void test_huge_pages_are_promised_too(void **state)
{
    const struct cordon_op some = {
        .kind = CORDON_OP_DISCARD, .gpa = {AT + BLOCK}, .len = 2 * BLOCK};
    struct cordon_touched out;
    unsigned huge = 0;

    (void)state;
    demand(d, AT, 5 * 512, PROMISED | CORDON_REGION_HUGE);
    take_all(9);
    for (unsigned i = 0; i < 5; i++) {
        for (uint64_t k = 0; k < 512; k++) {
            assert_true(touch_for(d, AT + i * BLOCK + k * PAGE, 0, &out) >= 0);
            huge += k == 0 && out.level == 1;
        }
    }
    assert_true(huge > 0);
    assert_int_equal(promised(), 0);
    assert_int_equal(cordon_change(d, &some, 1), 0);
    assert_int_equal(promised(), 1024);
    take_all(0);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 5 * BLOCK), 0);
    assert_int_equal(promised(), 0);
    bench_sound(&b);
    give_back(0);
}

static void test_an_end_lets_go_of_a_promise(void **state)
{
    cordon_domain *other = bench_domain(&b);
    struct cordon_memory_stats before = bench_stats(&b);

    (void)state;
    demand(other, AT, 3000, PROMISED);
    fill_all(other, AT + 7 * PAGE, 5);
    assert_int_equal(cordon_domain_destroy(other), 0);
    assert_int_equal(promised(), 0);
    assert_true(bench_stats(&b).free > before.free);
    bench_sound(&b);
}

static void test_each_allocation_of_a_promise_may_fail(void **state)
{
    const struct cordon_op op = op_demand(AT - PAGE, 600, RWX, PROMISED);
    uint64_t tried = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    while (err == -CORDON_ENOMEM) {
        uint64_t before = bench_state(&b);

        b.record.fail_at = b.record.allocations + 1 + tried++;
        err = cordon_change(d, &op, 1);
        b.record.fail_at = 0;
        assert_true(err == 0 || (bench_state(&b) == before && promised() == 0));
        bench_sound(&b);
    }
    assert_int_equal(err, 0);
    assert_true(tried >= 3);
}

/* A device view makes tables of a region that it does not see its own: these are promised, too. */
static void test_a_promise_holds_beside_devices(void **state)
{
    uint32_t view = 0;

    (void)state;
    bench_grant(&b, d, AT, 256, RW, 0);
    demand(d, AT + 256 * PAGE, 600, PROMISED | CORDON_REGION_NODMA);
    assert_int_equal(domain_view_add(d, &view), 0);
    take_all(0);
    fill_all(d, AT + 256 * PAGE, 600);
    assert_int_equal(bench_leads(d, view, AT + 256 * PAGE, 0), UINT64_MAX);
    assert_true(bench_leads(d, view, AT + 255 * PAGE, 0) != UINT64_MAX);
    bench_sound(&b);
    give_back(0);
    domain_view_remove(d, view);
}

/* A touch of another domain, while harts are told what a discard has taken away. */
static struct {
    cordon_domain *of;
    unsigned asked;
    int err;
} beside;

static void touch_beside(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    struct cordon_touched out;

    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    beside.err = touch_for(beside.of, AT + beside.asked++ * PAGE, 0, &out);
}

static void test_a_discard_takes_no_memory_from_others_while_it_waits(void **state)
{
    const struct cordon_op most = {.kind = CORDON_OP_DISCARD, .gpa = {AT}, .len = 4000 * PAGE};
    uint64_t free;

    (void)state;
    demand(d, AT, 5000, PROMISED);
    fill_all(d, AT, 5000);
    beside.of = bench_domain(&b);
    demand(beside.of, AT, 5000, DEMAND);
    fill_all(beside.of, AT + 4998 * PAGE, 2); /* its tables stand */
    free = bench_stats(&b).free;
    assert_true(free > 1000 * PAGE && free < 4000 * PAGE);
    bench_ran(d, 1);
    b.record.ops.hart_fence = touch_beside;
    assert_int_equal(cordon_change(d, &most, 1), 0);
    b.record.ops.hart_fence = NULL;
    assert_true(beside.asked > 0);
    assert_int_equal(beside.err, CORDON_TOUCH_FILLED);
    assert_int_equal(promised(), 4000);
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(beside.of), 0);
}

/* Tables that a change was promised before it was refused go back. */
static void test_a_refused_change_leaves_no_table_behind(void **state)
{
    const struct cordon_extent free = {{BENCH_RAM + 16 * MIB}, PAGE}; /* nobody holds it */
    const struct cordon_op ops[] = {op_demand(AT + GIB, 600, RWX, PROMISED),
                                    op_grant(0, &free, 1, RW, 0)};

    (void)state;
    demand(d, AT, 2000, PROMISED);
    fill_all(d, AT, 1);
    fill_all(d, AT + 1999 * PAGE, 1);
    uint64_t before = bench_state(&b);

    assert_int_equal(bench_frame(&b, free.hpa.v), CORDON_FRAME_FREE);
    assert_int_equal(cordon_change(d, ops, 2), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    bench_sound(&b);
}

static void test_the_audit_counts_promises(void **state)
{
    (void)state;
    some_present(PROMISED);
    b.ctx->frames.promised++;
    (void)bench_breaks(&b, 2);
    d->promised++;
    (void)bench_breaks(&b, 2);
    b.ctx->frames.promised--;
    d->promised--;
    bench_sound(&b);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_promise_is_made_or_refused),
        T(test_a_promise_is_kept),
        T(test_others_find_no_memory_that_is_promised),
        T(test_a_promise_follows_what_comes_and_goes),
        T(test_promised_tables_come_back),
        T(test_huge_pages_are_promised_too),
        T(test_an_end_lets_go_of_a_promise),
        T(test_each_allocation_of_a_promise_may_fail),
        T(test_a_promise_holds_beside_devices),
        T(test_a_discard_takes_no_memory_from_others_while_it_waits),
        T(test_a_refused_change_leaves_no_table_behind),
        T(test_the_audit_counts_promises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
