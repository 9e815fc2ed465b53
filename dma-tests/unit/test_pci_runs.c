/* How many pieces of host memory back a piece of guest memory: counted from the tables
 * themselves. */
#include "vpci_bench.h"

#include "pci/own.h"

static void test_runs_are_counted_from_the_tables(void **state)
{
    struct vpci_bench *b = *state;
    const uint64_t gpa = UINT64_C(0xa0000000);
    uint64_t runs = 0;
    cordon_hpa first;
    const struct cordon_run_want want = {.size = sizeof(want), .len = 0x8000};
    cordon_hpa run_hpa;

    assert_int_equal(cordon_run_alloc(b->m.ctx, &want, &run_hpa), 0);
    const struct cordon_extent parts[] = {{cordon_hpa_add(run_hpa, 0x4000), 0x2000},
                                          {cordon_hpa_add(run_hpa, 0x6000), 0x1000},
                                          {cordon_hpa_add(run_hpa, 0x1000), 0x2000}};
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .gpa = {gpa},
                                 .len = 0x5000,
                                 .perms = CORDON_RW,
                                 .extents = parts,
                                 .extent_count = 3};

    assert_int_equal(cordon_change(b->domain, &op, 1), 0);
    assert_int_equal(own_runs_count(b->domain, cordon_gpa_make(gpa), 0x3000, &runs, &first), 0);
    assert_int_equal(runs, 1);
    assert_int_equal(first.v, run_hpa.v + 0x4000);
    assert_int_equal(
        own_runs_count(b->domain, cordon_gpa_make(gpa + 0x1000), 0x4000, &runs, &first), 0);
    assert_int_equal(runs, 2);
    assert_int_equal(first.v, run_hpa.v + 0x5000);
    runs = 99;
    assert_int_equal(own_runs_count(b->domain, cordon_gpa_make(gpa), 0x6000, &runs, &first),
                     -CORDON_EFAULT);
    assert_int_equal(runs, 99);
    assert_int_equal(own_runs_count(b->domain, cordon_gpa_make(gpa), 0, &runs, &first),
                     -CORDON_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs_are_counted_from_the_tables, vbench_setup,
                                        vbench_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
