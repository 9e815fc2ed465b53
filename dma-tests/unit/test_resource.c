/* MMIO: what may be offered, and who holds which page of it. INV 2. */
#include "one_context.h"

static int add(uint64_t hpa, uint64_t len)
{
    return cordon_resource_add(b.ctx, cordon_hpa_make(hpa), len);
}

static int grant(cordon_domain *d, uint64_t gpa, uint64_t hpa, uint64_t pages, uint32_t flags)
{
    struct cordon_extent e = {{hpa}, pages * PAGE};
    struct cordon_op op = op_grant(gpa, &e, 1, RW, flags);

    return cordon_change(d, &op, 1);
}

static void test_what_cannot_be_offered(void **state)
{
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_resource_add(NULL, cordon_hpa_make(0), PAGE), -CORDON_EINVAL);
    assert_int_equal(add(BENCH_MMIO + 8, PAGE), -CORDON_EALIGN);
    assert_int_equal(add(BENCH_MMIO, 8), -CORDON_EALIGN);
    assert_int_equal(add(0x20000000, 0), -CORDON_ERANGE);
    assert_int_equal(add(0 - PAGE, 2 * PAGE), -CORDON_ERANGE);
    assert_int_equal(add(UINT64_C(1) << 56, PAGE), -CORDON_ERANGE);
    assert_int_equal(add((UINT64_C(1) << 56) - PAGE, 2 * PAGE), -CORDON_ERANGE);
    assert_int_equal(add(BENCH_RAM + PAGE, PAGE), -CORDON_EPERM);
    assert_int_equal(add(BENCH_RAM - PAGE, 2 * PAGE), -CORDON_EPERM);
    assert_int_equal(add(BENCH_RAM + RAM - PAGE, 2 * PAGE), -CORDON_EPERM);
    assert_int_equal(add(BENCH_MMIO + PAGE, PAGE), -CORDON_EEXIST);
    assert_int_equal(add(BENCH_MMIO - PAGE, 2 * PAGE), -CORDON_EEXIST);
    assert_int_equal(resource_own_add(b.ctx, cordon_hpa_make(0x3000000), PAGE), 0);
    assert_int_equal(add(0x2fff000, 2 * PAGE), -CORDON_EPERM);
    assert_int_equal(resource_own_add(b.ctx, cordon_hpa_make(BENCH_MMIO), PAGE), -CORDON_EEXIST);
    resource_own_remove(b.ctx, cordon_hpa_make(0x3000000));
    b.record.fail_at = b.record.allocations + 1;
    for (uint64_t i = 0; i < 100; i++) { /* until the page of nodes is full */
        if (add(0x20000000 + 2 * i * PAGE, PAGE) == -CORDON_ENOMEM) {
            b.record.fail_at = 0;
            while (i > 0) {
                i--;
                assert_int_equal(
                    cordon_resource_remove(b.ctx, cordon_hpa_make(0x20000000 + 2 * i * PAGE)), 0);
            }
            break;
        }
        assert_int_not_equal(i, 99);
    }
    assert_int_equal(bench_state(&b), before);
}

static void test_a_resource_goes_when_nobody_has_it(void **state)
{
    cordon_domain *d = bench_domain(&b);

    (void)state;
    assert_int_equal(cordon_resource_remove(NULL, cordon_hpa_make(BENCH_MMIO)), -CORDON_EINVAL);
    assert_int_equal(cordon_resource_remove(b.ctx, cordon_hpa_make(8)), -CORDON_ENOENT);
    assert_int_equal(cordon_resource_remove(b.ctx, cordon_hpa_make(0x5000000)), -CORDON_ENOENT);
    assert_int_equal(cordon_resource_remove(b.ctx, cordon_hpa_make(BENCH_MMIO + PAGE)),
                     -CORDON_ENOENT);
    assert_int_equal(grant(d, 0x1000, BENCH_MMIO + 3 * PAGE, 1, CORDON_REGION_MMIO), 0);
    assert_int_equal(cordon_resource_remove(b.ctx, cordon_hpa_make(BENCH_MMIO)), -CORDON_EBUSY);
    assert_int_equal(bench_revoke(d, 0x1000, 1), 0);
    assert_int_equal(cordon_resource_remove(b.ctx, cordon_hpa_make(BENCH_MMIO)), 0);
    assert_int_equal(grant(d, 0x1000, BENCH_MMIO, 1, CORDON_REGION_MMIO), -CORDON_EPERM);
    assert_int_equal(add(BENCH_MMIO, BENCH_MMIO_LEN), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

static void test_a_page_stands_at_one_gpa_of_one_domain(void **state)
{
    cordon_domain *d = bench_domain(&b), *e = bench_domain(&b);

    (void)state;
    assert_int_equal(grant(d, 0x10000, BENCH_MMIO + PAGE, 4, CORDON_REGION_MMIO), 0);
    bench_sound(&b);
    uint64_t before = bench_state(&b);

    for (uint64_t i = 0; i < 6; i++) {
        uint64_t len = i == 0 ? 2 : 1;
        int want = i == 0 || (i >= 1 && i <= 4) ? -CORDON_EPERM : 0;

        if (want != 0) {
            assert_int_equal(grant(d, 0x80000, BENCH_MMIO + i * PAGE, len, CORDON_REGION_MMIO),
                             want);
            assert_int_equal(grant(e, 0x80000, BENCH_MMIO + i * PAGE, len, CORDON_REGION_MMIO),
                             want);
        }
    }
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(bench_revoke(d, 0x11000, 2), 0);
    bench_sound(&b);
    assert_int_equal(grant(e, 0x80000, BENCH_MMIO + 2 * PAGE, 2, CORDON_REGION_MMIO), 0);
    assert_int_equal(bench_leads(d, 0, 0x10000, RW), BENCH_MMIO + PAGE);
    assert_int_equal(bench_leads(d, 0, 0x11000, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 0x13000, RW), BENCH_MMIO + 4 * PAGE);
    assert_int_equal(bench_leads(e, 0, 0x81000, RW), BENCH_MMIO + 3 * PAGE);
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_domain_destroy(e), 0);
}

static void test_the_same_page_twice_in_one_change(void **state)
{
    cordon_domain *d = bench_domain(&b);
    struct cordon_extent e[] = {{{BENCH_MMIO}, 2 * PAGE}, {{BENCH_MMIO + PAGE}, PAGE}};
    struct cordon_op one = op_grant(0x1000, e, 2, RW, CORDON_REGION_MMIO);
    struct cordon_op two[] = {op_grant(0x1000, e, 1, RW, CORDON_REGION_MMIO),
                              op_grant(0x9000, e + 1, 1, RW, CORDON_REGION_MMIO)};
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_change(d, &one, 1), -CORDON_EEXIST);
    assert_int_equal(cordon_change(d, two, 2), -CORDON_EEXIST);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

static void test_mmio_and_ram_are_not_mixed_up(void **state)
{
    cordon_domain *d = bench_domain(&b);
    struct cordon_extent ram = {bench_held(&b, 1), PAGE}, mmio = {{BENCH_MMIO}, PAGE};
    struct cordon_op wrong[] = {op_grant(0x1000, &ram, 1, RW, CORDON_REGION_MMIO),
                                op_grant(0x1000, &mmio, 1, RW, 0)};
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_change(d, &wrong[0], 1), -CORDON_EPERM);
    assert_int_equal(cordon_change(d, &wrong[1], 1), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_run_free(b.ctx, ram.hpa, PAGE), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

static void test_device_views_hold_mmio_only_when_asked(void **state)
{
    cordon_domain *d = bench_domain(&b);
    uint32_t view;

    (void)state;
    assert_int_equal(grant(d, 0x1000, BENCH_MMIO, 1, CORDON_REGION_MMIO), 0);
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_int_equal(
        grant(d, 0x2000, BENCH_MMIO + PAGE, 1, CORDON_REGION_MMIO | CORDON_REGION_PEER), 0);
    assert_int_equal(grant(d, 0x3000, BENCH_MMIO + 2 * PAGE, 1, CORDON_REGION_MMIO), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(d, view, 0x1000, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, view, 0x2000, RW), BENCH_MMIO + PAGE);
    assert_int_equal(bench_leads(d, view, 0x3000, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 0x3000, RW), BENCH_MMIO + 2 * PAGE);
    domain_view_remove(d, view);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

/* Nodes of a page, as span.c lays it out, less two. */
#define MANY ((CORDON_PAGE_SIZE - 4 * sizeof(uint64_t)) / sizeof(struct span) - 2)

static void test_revoking_pages_out_of_a_holding_fails_cleanly(void **state)
{
    const uint64_t more = UINT64_C(0x20000000);
    cordon_domain *d = bench_domain(&b);
    struct cordon_extent e[MANY];
    unsigned failures = 0;

    (void)state;
    assert_int_equal(add(more, 256 * PAGE), 0);
    for (uint64_t i = 0; i < MANY; i++) { /* fill a page of nodes */
        e[i] = (struct cordon_extent){{more + 2 * i * PAGE}, PAGE};
    }
    struct cordon_op many = op_grant(0x1000000, e, MANY, RW, CORDON_REGION_MMIO);

    assert_int_equal(cordon_change(d, &many, 1), 0);
    assert_int_equal(grant(d, 0x10000, BENCH_MMIO, 32, CORDON_REGION_MMIO), 0);
    uint64_t before = bench_state(&b);

    for (int err = -CORDON_ENOMEM; err != 0; failures += err != 0) {
        b.record.fail_at = b.record.allocations + 1 + failures;
        err = bench_revoke(d, 0x12000, 3);
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(bench_state(&b), before);
        }
    }
    b.record.fail_at = 0;
    assert_int_equal(failures, 1);
    bench_sound(&b);
    assert_int_equal(grant(d, 0x80000, BENCH_MMIO + 2 * PAGE, 3, CORDON_REGION_MMIO), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_cannot_be_offered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_resource_goes_when_nobody_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_page_stands_at_one_gpa_of_one_domain, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_same_page_twice_in_one_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mmio_and_ram_are_not_mixed_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_device_views_hold_mmio_only_when_asked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_revoking_pages_out_of_a_holding_fails_cleanly, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
