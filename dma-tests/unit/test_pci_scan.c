/* The scan: every function found once, numbers behind bridges, nobody left on the bus. */
#include "pci_bench.h"

#include "pci/scan.h"

static int scan(struct pci_bench *b, struct pci_scan_report *r)
{
    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    int err = pci_scan(&b->host, r);

    assert_int_equal(b->fake.conflicts, 0);
    return err;
}

static void test_finds_slots_above_8_and_reads_identity(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;

    bench_endpoint(b, -1, 0);
    fpci_add(&b->fake, -1, 8, 0, 0x8086, 0x10d3, 0x020000);
    fpci_add(&b->fake, -1, 31, 0, 0x1b36, 0x0010, PCI_CLASS_NVME);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.functions, 3);
    assert_int_equal(r.buses, 1);
    assert_int_equal(bench_find(b, PCI_BDF(0, 8, 0))->device, 0x10d3);
    assert_int_equal(bench_find(b, PCI_BDF(0, 31, 0))->class_code, PCI_CLASS_NVME);
    assert_null(pci_find(&b->host, PCI_BDF(0, 7, 0)));
}

static void test_functions_count_only_in_multifunction_slots(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int multi = fpci_add(&b->fake, -1, 3, 0, 0x1af4, 2, ENDPOINT_CLASS);

    fpci_set(&b->fake.fn[multi], PCI_HEADER, PCI_HEADER_MULTI);
    fpci_add(&b->fake, -1, 3, 7, 0x1af4, 3, ENDPOINT_CLASS);
    bench_endpoint(b, -1, 4);
    fpci_add(&b->fake, -1, 4, 1, 0x1af4, 4, ENDPOINT_CLASS); /* no multi-function bit in 4.0 */
    fpci_add(&b->fake, -1, 5, 1, 0x1af4, 5, ENDPOINT_CLASS); /* no function 0 */
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.functions, 3);
    assert_true(bench_find(b, PCI_BDF(0, 3, 0))->multi);
    assert_true(bench_find(b, PCI_BDF(0, 3, 7))->multi);
    assert_false(bench_find(b, PCI_BDF(0, 4, 0))->multi);
}

static void test_what_firmware_left_on_of_a_functions_own_is_off(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    const uint32_t left = PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_ENDPOINT, false);
    fpci_ext(f, 0x100, PCI_EXT_SRIOV, 0);
    fpci_set(f, 0x100 + PCI_SRIOV_WORD, left | 0x10u); /* and ARI, which is nobody's business */
    fpci_sticks(f, 0x100 + PCI_SRIOV_WORD, 0xffffu);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(fpci_get(f, 0x100 + PCI_SRIOV_WORD), 0x10u);
}

static void test_numbers_buses_behind_bridges(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int a = fpci_bridge(&b->fake, -1, 1, 0);
    int inner = fpci_bridge(&b->fake, a, 0, 0);
    int c = fpci_bridge(&b->fake, -1, 2, 0);

    bench_endpoint(b, inner, 9);
    bench_endpoint(b, c, 0);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.buses, 4);
    assert_int_equal(r.renumbered, 3);
    assert_int_equal(fpci_get(&b->fake.fn[a], PCI_BUSES), 0x00020100);
    assert_int_equal(fpci_get(&b->fake.fn[inner], PCI_BUSES), 0x00020201);
    assert_int_equal(fpci_get(&b->fake.fn[c], PCI_BUSES), 0x00030300);
    assert_int_equal(bench_find(b, PCI_BDF(2, 9, 0))->parent, 2);
    assert_int_equal(bench_find(b, PCI_BDF(3, 0, 0))->parent, 1);
    for (uint32_t i = 0; i < b->host.count; i++) { /* parents come first */
        assert_true(b->table[i].parent == PCI_NOBODY || b->table[i].parent < i);
    }
}

static void test_keeps_firmware_numbers_and_gaps(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int a = fpci_bridge(&b->fake, -1, 1, 0);
    int c = fpci_bridge(&b->fake, -1, 2, 0);

    fpci_set(&b->fake.fn[a], PCI_BUSES, 0x00080400);
    fpci_set(&b->fake.fn[c], PCI_BUSES, 0x00ff4000);
    bench_endpoint(b, a, 10);
    bench_endpoint(b, c, 1);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.renumbered, 0);
    bench_find(b, PCI_BDF(4, 10, 0));
    bench_find(b, PCI_BDF(0x40, 1, 0));
}

static void test_renumbers_all_siblings_when_two_overlap(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int a = fpci_bridge(&b->fake, -1, 1, 0);
    int c = fpci_bridge(&b->fake, -1, 2, 0);

    fpci_set(&b->fake.fn[a], PCI_BUSES, 0x00050100);
    fpci_set(&b->fake.fn[c], PCI_BUSES, 0x00060500);
    bench_endpoint(b, a, 1);
    bench_endpoint(b, c, 2);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.renumbered, 2);
    bench_find(b, PCI_BDF(1, 1, 0));
    bench_find(b, PCI_BDF(2, 2, 0));
}

static void test_numbers_of_another_bus_or_beyond_the_parents_are_not_kept(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int a = fpci_bridge(&b->fake, -1, 1, 0);
    int inner = fpci_bridge(&b->fake, a, 1, 0);

    fpci_set(&b->fake.fn[a], PCI_BUSES, 0x00040103); /* says that it stands on bus 3 */
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.renumbered, 2);
    fpci_set(&b->fake.fn[a], PCI_BUSES, 0x00040100);
    fpci_set(&b->fake.fn[inner], PCI_BUSES, 0x00050201); /* one bus more than the bridge above */
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.renumbered, 1);
    assert_int_equal(fpci_get(&b->fake.fn[inner], PCI_BUSES), 0x00020201);
}

static void test_bridge_pointing_at_its_own_bus_is_no_loop(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int a = fpci_bridge(&b->fake, -1, 1, 0);

    fpci_set(&b->fake.fn[a], PCI_BUSES, 0x00ff0000); /* secondary = its own bus */
    bench_endpoint(b, a, 1);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.renumbered, 1);
    assert_int_equal(r.functions, 2);
}

static void test_chain_deeper_than_the_limit_is_closed(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int at = -1;

    for (uint32_t i = 0; i < PCI_MAX_DEPTH + 2; i++) {
        at = fpci_bridge(&b->fake, at, 0, 0);
    }
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.buses, PCI_MAX_DEPTH);
    assert_int_equal(b->table[b->host.count - 1].broken.why, PCI_WHY_DEPTH);
    assert_int_equal(fpci_get(&b->fake.fn[PCI_MAX_DEPTH - 1], PCI_BUSES) & 0x00ffffffu, 0);
}

static void test_too_many_buses_are_closed(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;

    b->fake.first_bus = 0;
    b->fake.last_bus = 1;
    int a = fpci_bridge(&b->fake, -1, 1, 0);
    int c = fpci_bridge(&b->fake, -1, 2, 0);

    bench_endpoint(b, a, 1);
    bench_endpoint(b, c, 1);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.buses, 2);
    assert_int_equal(bench_find(b, PCI_BDF(0, 2, 0))->broken.why, PCI_WHY_DEPTH);
}

static void test_bus_masters_left_on_are_off_and_reported(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    int bridge = fpci_bridge(&b->fake, -1, 1, 0);

    fpci_set(&b->fake.fn[bridge], PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
    struct fpci_fn *f = bench_endpoint(b, bridge, 4);

    fpci_set(f, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY | 0xf9000000u);
    bench_endpoint(b, -1, 9);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.masters, 2);
    assert_int_equal(r.first_master, PCI_BDF(0, 1, 0));
    for (int i = 0; i < b->fake.count; i++) {
        assert_int_equal(fpci_get(&b->fake.fn[i], PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
        assert_int_not_equal(fpci_get(&b->fake.fn[i], PCI_COMMAND) & PCI_COMMAND_INTX_OFF, 0);
    }
    /* its errors are still there to be read: no one was written into the status */
    assert_int_equal(fpci_get(f, PCI_COMMAND) & 0xf9000000u, 0xf9000000u);
    assert_int_equal(bench_find(b, PCI_BDF(1, 4, 0))->found_command & 0x7, 6);
}

static void test_bus_master_that_stays_on_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;

    bench_endpoint(b, -1, 2)->master_stuck = true;
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(b->table[0].broken.why, PCI_WHY_MASTER_STUCK);
}

static void test_full_table_still_silences_every_function(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;

    for (uint32_t dev = 0; dev < 6; dev++) {
        fpci_set(bench_endpoint(b, -1, dev), PCI_COMMAND, PCI_COMMAND_MASTER);
    }
    int bridge = fpci_bridge(&b->fake, -1, 6, 0);

    fpci_set(&b->fake.fn[bridge], PCI_BUSES, 0x00010100);
    fpci_host(&b->fake, &b->host, b->table, 4);
    assert_int_equal(pci_scan(&b->host, &r), -CORDON_ELIMIT);
    assert_int_equal(b->host.count, 4);
    assert_int_equal(r.dropped, 3);
    assert_int_equal(r.masters, 6);
    for (int i = 0; i < b->fake.count; i++) {
        assert_int_equal(fpci_get(&b->fake.fn[i], PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
    }
    assert_int_equal(fpci_get(&b->fake.fn[bridge], PCI_BUSES), 0);
}

static void test_unknown_header_type_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;

    fpci_set(bench_endpoint(b, -1, 2), PCI_HEADER, 0x00020000u);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(b->table[0].broken.why, PCI_WHY_HEADER);
}

static void test_waits_for_a_function_that_asks_for_time(void **state)
{
    struct pci_bench *b = *state;
    struct pci_scan_report r;
    struct fpci_fn *f = bench_endpoint(b, -1, 2);

    fpci_set(f, PCI_ID, 0xffff0001u); /* for ever: the wait is bounded */
    bench_endpoint(b, -1, 3);
    assert_int_equal(scan(b, &r), 0);
    assert_int_equal(r.functions, 1);
    assert_true(b->fake.now_us >= 1000000);
}

static void test_host_with_senseless_windows_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct pci_host *h = &b->host;

    fpci_host(&b->fake, h, b->table, FPCI_MAX);
    assert_int_equal(pci_host_check(h), 0);
    h->window[0].len = 0;
    assert_int_equal(pci_host_check(h), -CORDON_ERANGE);
    h->window[0].len = 0x1800;
    assert_int_equal(pci_host_check(h), -CORDON_EALIGN);
    h->window[0].len = UINT64_C(0xd0000000);
    assert_int_equal(pci_host_check(h), -CORDON_ERANGE); /* a 32-bit window beyond 4 GiB */
    h->window[0] = (struct pci_window){0x1000, {FPCI_ECAM + 0x100000}, 0x1000, 0};
    assert_int_equal(pci_host_check(h), -CORDON_EEXIST); /* on the configuration space */
    h->window[0] = (struct pci_window){FPCI_HIGH + 0x1000, {0x1000}, 0x1000, PCI_WINDOW_64};
    assert_int_equal(pci_host_check(h), -CORDON_EEXIST); /* two windows, one bus address */
    fpci_host(&b->fake, h, b->table, FPCI_MAX);
    h->last_bus = 0;
    h->first_bus = 1;
    assert_int_equal(pci_host_check(h), -CORDON_EINVAL);
    fpci_host(&b->fake, h, b->table, 0);
    assert_int_equal(pci_host_check(h), -CORDON_EINVAL);
}

static void test_reads_beyond_the_host_are_all_ones(void **state)
{
    struct pci_bench *b = *state;

    b->fake.first_bus = 2;
    b->fake.last_bus = 3;
    bench_endpoint(b, -1, 1);
    fpci_add(&b->fake, -1, 1, 1, 0x1af4, 2, ENDPOINT_CLASS); /* 4 KiB further */
    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    assert_int_equal(pci_read(&b->host, PCI_BDF(2, 1, 0), PCI_ID), 0x56781234);
    assert_int_equal(pci_read(&b->host, PCI_BDF(1, 1, 0), PCI_ID), PCI_ABSENT);
    assert_int_equal(pci_read(&b->host, PCI_BDF(4, 1, 0), PCI_ID), PCI_ABSENT);
    assert_int_equal(pci_read(&b->host, PCI_BDF(2, 1, 0), 4096), PCI_ABSENT);
    pci_write(&b->host, PCI_BDF(4, 1, 0), PCI_ID, 0);
    assert_int_equal(b->fake.stray, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_finds_slots_above_8_and_reads_identity, bench_setup),
        cmocka_unit_test_setup(test_functions_count_only_in_multifunction_slots, bench_setup),
        cmocka_unit_test_setup(test_what_firmware_left_on_of_a_functions_own_is_off, bench_setup),
        cmocka_unit_test_setup(test_numbers_buses_behind_bridges, bench_setup),
        cmocka_unit_test_setup(test_keeps_firmware_numbers_and_gaps, bench_setup),
        cmocka_unit_test_setup(test_renumbers_all_siblings_when_two_overlap, bench_setup),
        cmocka_unit_test_setup(test_numbers_of_another_bus_or_beyond_the_parents_are_not_kept,
                               bench_setup),
        cmocka_unit_test_setup(test_bridge_pointing_at_its_own_bus_is_no_loop, bench_setup),
        cmocka_unit_test_setup(test_chain_deeper_than_the_limit_is_closed, bench_setup),
        cmocka_unit_test_setup(test_too_many_buses_are_closed, bench_setup),
        cmocka_unit_test_setup(test_bus_masters_left_on_are_off_and_reported, bench_setup),
        cmocka_unit_test_setup(test_bus_master_that_stays_on_is_refused, bench_setup),
        cmocka_unit_test_setup(test_full_table_still_silences_every_function, bench_setup),
        cmocka_unit_test_setup(test_unknown_header_type_is_refused, bench_setup),
        cmocka_unit_test_setup(test_waits_for_a_function_that_asks_for_time, bench_setup),
        cmocka_unit_test_setup(test_host_with_senseless_windows_is_refused, bench_setup),
        cmocka_unit_test_setup(test_reads_beyond_the_host_are_all_ones, bench_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
