/* Frames that devices reach never move; others do, and wait for hardware that does not answer. */
#include "map_bench.h"

#include "one_iommu.h"

#include <cordon/move.h>

#define G_SEEN UINT64_C(0x40000000)
#define G_HIDDEN UINT64_C(0x50000000)
#define PAGES 40u

static cordon_device *dev;

static int setup_device(void **state)
{
    (void)setup(state);
    dev = machine_device(iommu, 8);
    return 0;
}

static int teardown_device(void **state)
{
    assert_int_equal(cordon_device_remove(dev), 0);
    return teardown(state);
}

static void attach(bool on)
{
    assert_int_equal(on ? cordon_device_attach(domain, dev, 0) : cordon_device_detach(dev), 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), on ? 2 : 0);
}

/* From here on frames go that no device could reach: no view need be drained of them. */
static void hidden_only(void)
{
    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
}

/* Single frames, each with its own contents. */
static void grant(uint64_t gpa, uint32_t flags)
{
    struct cordon_extent list[PAGES];
    size_t count = PAGES;

    assert_int_equal(cordon_scatter_alloc(machine.ctx, PAGES * PAGE, 1, 7, list, &count), 0);
    for (size_t i = 0; i < count; i++) {
        *(uint64_t *)frames_ptr(machine.ctx, list[i].hpa) = gpa + i;
    }
    struct cordon_op op = op_grant(gpa, list, count, RWX, flags);

    assert_int_equal(cordon_change(domain, &op, 1), 0);
}

static void check_contents(uint64_t gpa)
{
    for (uint64_t i = 0; i < PAGES; i++) {
        uint64_t hpa = bench_leads(domain, 0, gpa + i * PAGE, 0);

        assert_int_equal(*(uint64_t *)frames_ptr(machine.ctx, cordon_hpa_make(hpa)), gpa + i);
    }
}

static uint64_t places(uint64_t gpa)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        sum = sum * 31 + bench_leads(domain, 0, gpa + i * PAGE, 0);
    }
    return sum;
}

static int relocate(uint64_t gpa, uint64_t pages, struct cordon_moves *moves)
{
    return cordon_relocate(domain, cordon_gpa_make(gpa), pages * PAGE, moves);
}

static void test_a_device_pins_what_its_view_holds_and_nothing_else(void **state)
{
    struct cordon_moves moves;

    (void)state;
    grant(G_SEEN, 0);
    grant(G_HIDDEN, CORDON_REGION_NODMA);
    attach(true);
    uint64_t before = places(G_SEEN);

    for (uint64_t i = 0; i < PAGES; i++) {
        assert_int_equal(relocate(G_SEEN + i * PAGE, 1, &moves), -CORDON_EPERM);
    }
    assert_int_equal(places(G_SEEN), before);
    hidden_only();
    assert_int_equal(relocate(G_HIDDEN, PAGES, &moves), 0);
    assert_int_equal(moves.pages, PAGES);
    check_contents(G_HIDDEN);
    attach(false);
    assert_int_equal(relocate(G_SEEN, PAGES, &moves), 0);
    assert_int_equal(moves.pages, PAGES);
    check_contents(G_SEEN);
}

static void test_a_run_is_not_made_of_what_a_device_reaches(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = 4 * MIB};
    struct cordon_run_made made;
    uint64_t pages;
    static struct cordon_extent list[MACHINE_RAM_LEN / PAGE];
    size_t count;

    (void)state;
    attach(true);
    pages = count = machine_stats(&machine).free / PAGE * 97 / 100;
    assert_int_equal(cordon_scatter_alloc(machine.ctx, pages * PAGE, 1, 7, list, &count), 0);
    struct cordon_op op = op_grant(G_SEEN, list, count, RWX, 0);

    assert_int_equal(cordon_change(domain, &op, 1), 0);
    for (uint64_t i = 0; i < pages; i += 2) {
        assert_int_equal(machine_revoke(domain, G_SEEN + i * PAGE, 1), 0);
    }
    assert_int_equal(cordon_run_make(machine.ctx, &want, 0, &made), -CORDON_ENOMEM);
    assert_int_equal(made.moves.pages, 0);
    assert_true(made.kinds[CORDON_KIND_DEVICE] > pages / 2 - 600);
    attach(false);
    assert_int_equal(cordon_run_make(machine.ctx, &want, 0, &made), 0);
    assert_int_not_equal(made.moves.pages, 0);
    assert_int_equal(cordon_run_free(machine.ctx, made.hpa, want.len), 0);
}

static void test_a_frame_waits_for_an_iommu_that_does_not_answer(void **state)
{
    struct cordon_moves moves;

    (void)state;
    grant(G_HIDDEN, CORDON_REGION_NODMA);
    attach(true);
    hidden_only();
    uint64_t before = bench_leads(domain, 0, G_HIDDEN, RWX);

    fake_answer_none(fake);
    assert_int_equal(relocate(G_HIDDEN, 1, &moves), -CORDON_EPENDING);
    assert_int_equal(moves.pages, 1);
    assert_int_not_equal(bench_leads(domain, 0, G_HIDDEN, RWX), before);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_make(before)), CORDON_FRAME_REVOKING);
    check_contents(G_HIDDEN);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_make(before)), CORDON_FRAME_FREE);
    attach(false);
}

static void test_a_run_fails_cleanly_when_hardware_does_not_answer(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = 4 * MIB};
    uint64_t pages;
    static struct cordon_extent list[MACHINE_RAM_LEN / PAGE];
    struct cordon_run_made made;
    struct cordon_finding found;
    size_t count;

    (void)state;
    attach(true);
    pages = count = machine_stats(&machine).free / PAGE * 97 / 100;
    assert_int_equal(cordon_scatter_alloc(machine.ctx, pages * PAGE, 1, 7, list, &count), 0);
    struct cordon_op op = op_grant(G_HIDDEN, list, count, RWX, CORDON_REGION_NODMA);

    hidden_only();
    assert_int_equal(cordon_change(domain, &op, 1), 0);
    for (uint64_t i = 0; i < pages; i += 3) {
        assert_int_equal(machine_revoke(domain, G_HIDDEN + i * PAGE, 1), 0);
    }
    struct cordon_memory_stats before = machine_stats(&machine);

    fake_answer_none(fake);
    assert_int_equal(cordon_run_make(machine.ctx, &want, 0, &made), -CORDON_EPENDING);
    struct cordon_memory_stats after = machine_stats(&machine);

    assert_true(made.moves.pages != 0 && made.moves.pages <= 16);
    assert_int_equal(after.revoking, made.moves.pages * PAGE);
    assert_int_equal(after.owned, before.owned);
    assert_int_equal(after.held, before.held);
    assert_int_equal(after.free + after.revoking, before.free);
    assert_int_equal(cordon_audit(machine.ctx, &found), 0);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_stats(&machine).free, before.free);
    assert_int_equal(cordon_run_make(machine.ctx, &want, 0, &made), 0);
    assert_int_equal(cordon_run_free(machine.ctx, made.hpa, want.len), 0);
    attach(false);
}

static void test_a_held_domain_keeps_its_frames_where_they_are(void **state)
{
    struct cordon_moves moves;

    (void)state;
    grant(G_SEEN, 0);
    machine.tick_us = 10000; /* so that waiting comes to an end */
    cordon_hold(domain);
    cordon_hold(domain);
    uint64_t before = places(G_SEEN);

    assert_int_equal(relocate(G_SEEN, PAGES, &moves), -CORDON_EBUSY);
    cordon_let_go(domain);
    assert_int_equal(relocate(G_SEEN, PAGES, &moves), -CORDON_EBUSY);
    assert_int_equal(places(G_SEEN), before);
    cordon_let_go(domain);
    assert_int_equal(relocate(G_SEEN, PAGES, &moves), 0);
    cordon_let_go(domain);
    cordon_hold(NULL);
    cordon_let_go(NULL);
    assert_int_equal(relocate(G_SEEN, PAGES, &moves), 0);
    check_contents(G_SEEN);
}

/* However many places there are to try, whoever holds a domain is waited for once. */
static void test_a_call_waits_once_for_who_holds_a_domain(void **state)
{
    static struct cordon_extent list[MACHINE_RAM_LEN / PAGE];
    uint64_t pages = machine_stats(&machine).free / PAGE * 9 / 10;
    size_t count = sizeof(list) / sizeof(list[0]);
    const struct cordon_run_want want = {.size = sizeof(want), .len = 1024 * PAGE};
    struct cordon_run_made made;

    (void)state;
    assert_int_equal(cordon_scatter_alloc(machine.ctx, pages * PAGE, 1, 7, list, &count), 0);
    struct cordon_op op = op_grant(G_SEEN, list, count, RWX, 0);

    assert_int_equal(cordon_change(domain, &op, 1), 0);
    for (uint64_t page = 0; page < pages; page += 3) {
        assert_int_equal(bench_revoke(domain, G_SEEN + page * PAGE, 1), 0);
    }
    machine.tick_us = 1000;
    uint64_t start = machine.now_us;

    cordon_hold(domain);
    assert_int_equal(cordon_run_make(machine.ctx, &want, 0, &made), -CORDON_ENOMEM);
    assert_true(made.places > 1);
    /* and the clock is looked at for each of them */
    assert_in_range(machine.now_us - start, 1000000, 1100000 + made.places * 4000);
    cordon_let_go(domain);
    assert_int_equal(cordon_run_make(machine.ctx, &want, 0, &made), 0);
    assert_int_equal(cordon_run_free(machine.ctx, made.hpa, want.len), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup_device, teardown_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_device_pins_what_its_view_holds_and_nothing_else),
        T(test_a_run_is_not_made_of_what_a_device_reaches),
        T(test_a_frame_waits_for_an_iommu_that_does_not_answer),
        T(test_a_run_fails_cleanly_when_hardware_does_not_answer),
        T(test_a_held_domain_keeps_its_frames_where_they_are),
        T(test_a_call_waits_once_for_who_holds_a_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
