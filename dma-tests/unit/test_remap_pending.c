/* Moves and loans of ranges that a device reaches, while its IOMMU does not answer: what was there
 * is told away before its frames go on. INV 4. */
#include "map_bench.h"

#include "one_iommu.h"

#define AT UINT64_C(0x400000)
#define TO UINT64_C(0x7c000000)

static cordon_device *dev;

static int setup_device(void **state)
{
    (void)setup(state);
    dev = machine_attached(iommu, 8, domain, 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), 2);
    return 0;
}

static int teardown_device(void **state)
{
    assert_int_equal(cordon_device_detach(dev), 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    return teardown(state);
}

static int move(uint64_t gpa, uint64_t to, uint64_t pages)
{
    const struct cordon_remap r = {
        .size = sizeof(r), .gpa = {gpa}, .to = {to}, .len = pages * PAGE};

    return cordon_remap(domain, &r);
}

static void test_a_frame_that_moved_is_not_freed_before_its_old_place_is_told_away(void **state)
{
    (void)state;
    cordon_hpa hpa = machine_grant(&machine, domain, AT, 2);

    fake_answer_none(fake);
    assert_int_equal(move(AT, TO, 2), -CORDON_EPENDING);
    machine_sound(&machine);
    assert_int_equal(bench_leads(domain, 1, TO, RW), hpa.v);
    assert_int_equal(machine_revoke(domain, TO, 1), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_add(hpa, PAGE)), CORDON_FRAME_OWNED);
    machine_sound(&machine);
}

static void test_frames_that_were_replaced_wait_for_the_iommu(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};
    struct cordon_extent e = {.len = PAGE};

    (void)state;
    cordon_hpa old = machine_grant(&machine, domain, AT, 1);

    assert_int_equal(cordon_run_alloc(machine.ctx, &want, &e.hpa), 0);
    const struct cordon_remap r = {
        .size = sizeof(r), .gpa = {AT}, .to = {AT}, .len = PAGE, .extents = &e, .extent_count = 1};

    fake_answer_none(fake);
    assert_int_equal(cordon_remap(domain, &r), -CORDON_EPENDING);
    machine_sound(&machine);
    assert_int_equal(machine_frame_state(&machine, old), CORDON_FRAME_REVOKING);
    assert_int_equal(bench_leads(domain, 1, AT, RW), e.hpa.v);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, old), CORDON_FRAME_FREE);
    machine_sound(&machine);
}

static void test_a_borrowed_frame_is_its_owners_again_once_the_borrowers_iommu_is_quiet(
    void **state)
{
    cordon_domain *owner = machine_domain(&machine);
    cordon_hpa hpa = machine_grant(&machine, owner, AT, 1);
    const struct cordon_share s = {
        .size = sizeof(s), .gpa = {AT}, .to = {TO}, .len = PAGE, .perms = RW};
    struct cordon_borrower who;

    (void)state;
    assert_int_equal(cordon_share(owner, domain, &s), 0);
    assert_int_equal(bench_leads(domain, 1, TO, RW), hpa.v);
    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, TO, 1), -CORDON_EPENDING);
    machine_sound(&machine);
    assert_int_equal(bench_leads(domain, 1, TO, 0), UINT64_MAX);
    assert_int_equal(machine_revoke(owner, AT, 1), -CORDON_EBUSY);
    assert_int_equal(cordon_domain_destroy(owner), -CORDON_EBUSY);
    assert_int_equal(cordon_share(owner, domain, &s), -CORDON_EEXIST);
    assert_int_equal(cordon_frame_borrower(machine.ctx, hpa, 0, &who), 0);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(cordon_frame_borrower(machine.ctx, hpa, 0, &who), -CORDON_ENOENT);
    assert_int_equal(machine_revoke(owner, AT, 1), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_int_equal(cordon_domain_destroy(owner), 0);
    machine_sound(&machine);
}

/* The IOMMU falls silent at its first, second, ... operation: nothing is lost, nothing freed early.
 */
static void test_whichever_wait_of_a_move_or_a_loan_ends_in_silence(void **state)
{
    cordon_domain *owner = machine_domain(&machine);
    cordon_hpa lent = machine_grant(&machine, owner, AT, 1),
               hpa = machine_grant(&machine, domain, AT, 3);
    const struct cordon_share s = {
        .size = sizeof(s), .gpa = {AT}, .to = {TO}, .len = PAGE, .perms = RW};
    uint64_t from = AT, silent = 0;

    (void)state;
    for (uint64_t n = 1; n <= 24; n++) {
        uint64_t to = from == AT ? AT + 64 * MIB : AT;

        fake->never_from = fake->operations + (uint32_t)n;
        int moved = move(from, to, 3), shared = cordon_share(owner, domain, &s);
        int back = machine_revoke(domain, TO, 1);

        machine_sound(&machine);
        assert_true(moved == 0 || moved == -CORDON_EPENDING);
        assert_true(shared == 0 || shared == -CORDON_EPENDING);
        assert_int_equal(machine_revoke(owner, AT, 1), back == 0 ? 0 : -CORDON_EBUSY);
        assert_int_equal(bench_leads(domain, 1, to, RW), hpa.v);
        silent += back != 0;
        fake_answer_all(fake);
        assert_int_equal(cordon_retire(domain), 0);
        if (back == 0) {
            lent = machine_grant(&machine, owner, AT, 1);
        }
        assert_int_equal(machine_frame_state(&machine, lent), CORDON_FRAME_OWNED);
        machine_sound(&machine);
        from = to;
    }
    assert_in_range(silent, 1, 23); /* some of them fell silent, and some not */
    assert_int_equal(cordon_domain_destroy(owner), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_device, teardown_device)
    const struct CMUnitTest tests[] = {
        TEST(test_a_frame_that_moved_is_not_freed_before_its_old_place_is_told_away),
        TEST(test_frames_that_were_replaced_wait_for_the_iommu),
        TEST(test_whichever_wait_of_a_move_or_a_loan_ends_in_silence),
        TEST(test_a_borrowed_frame_is_its_owners_again_once_the_borrowers_iommu_is_quiet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
