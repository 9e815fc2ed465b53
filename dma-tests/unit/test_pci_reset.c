/* Resets: each method, its bounds, what is restored, and the ones that only pretend. */
#include "reset_bench.h"
#include <cordon/device.h>

static void test_flr_restores_bars_and_turns_messages_off(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    fpci_cap_msi(f, 0x80, 0, PCI_MSI_64);
    fpci_cap_msix(f, 0x90, 4, 0, 0x800);
    fpci_ext(f, 0x100, PCI_EXT_ATS, 0);
    fpci_sticks(f, 0x104, 0xffff0000u);
    discover(b);
    f->reset[0x107] |= 0x80; /* and with translations of its own */
    f->reset[0x82] |= 0x01;  /* comes back with messages on, and mastering the bus */
    f->reset[0x93] |= 0x80;
    f->reset[PCI_COMMAND] = 0x06;
    pci_change(&b->host, PCI_BDF(0, 9, 0), 0x48, 0xffffu, 0x70e0u, 0x5040u);
    assert_true(pci_reset_exists(&b->host, &b->table[0]));
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_FLR);
    assert_int_equal(f->resets, 1);
    assert_int_equal(fpci_get(f, 0x80) & PCI_MSI_ENABLE, 0);
    assert_int_equal(fpci_get(f, 0x90) & PCI_MSIX_ENABLE, 0);
    assert_int_equal(fpci_get(f, 0x104) & PCI_ATS_ENABLE, 0);
    assert_int_equal(fpci_get(f, 0x48) & 0x70e0u, 0x5040u);
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_flr_leaves_the_function_alone_for_100_ms(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    f->reset_us = 99000;
    discover(b);
    uint64_t start = b->fake.now_us;

    assert_int_equal(pci_reset_begin(&r, &b->host, &b->table[0]), 0);
    assert_int_equal(f->resets, 1); /* at once, when nothing is pending */
    assert_int_equal(pci_reset_wait(&r), 0);
    assert_true(b->fake.now_us - start >= 100000);
    assert_int_equal(f->early, 0);
}

static void test_flr_waits_for_pending_requests_but_not_for_ever(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    discover(b);
    f->config[0x4a] |= 0x20; /* never idle until it is reset */
    uint64_t start = b->fake.now_us;

    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(f->resets, 1);
    assert_true(b->fake.now_us - start >= 1000000);
}

static void test_slow_function_is_waited_for(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    f->reset_us = 700000;
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    f->early = 0;
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_reset_that_never_ends_is_a_timeout(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    f->reset_hangs = true;
    discover(b);
    uint64_t start = b->fake.now_us;

    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_ETIMEOUT);
    assert_true(b->fake.now_us - start < 3000000);
}

static void test_function_that_comes_back_as_another_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    f->reset_swaps = true;
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_EHW);
}

static void test_bars_that_do_not_hold_after_reset_are_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    f->bar_stuck = true;
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_EHW);
}

static void test_af_resets_a_conventional_function(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_af(f, 0x60);
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_AF);
    assert_int_equal(f->resets, 1);
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_pm_counts_when_it_clears_the_bars(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pm(f, 0x60);
    f->pm_resets = true;
    f->reset_us = 5000;
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_PM);
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_pm_that_only_pretends_is_no_reset(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pm(f, 0x60);
    discover(b);
    assert_true(pci_reset_exists(&b->host, &b->table[0]));
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_ENOTSUP);
    assert_int_equal(r.kind, PCI_RESET_NONE);
    assert_int_equal(fpci_get(f, 0x64) & PCI_PM_STATE, 0);
}

static void test_pm_that_says_it_keeps_state_is_not_tried(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    fpci_cap_pm(f, 0x60);
    fpci_set(f, 0x64, PCI_PM_NO_SOFT_RESET);
    discover(b);
    assert_false(pci_reset_exists(&b->host, &b->table[0]));
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_ENOTSUP);
}

static void test_bus_reset_only_for_a_function_alone_below_its_bridge(void **state)
{
    struct pci_bench *b = *state;
    int bridge = fpci_bridge(&b->fake, -1, 1, 0);
    struct fpci_fn *f = device(b, bridge);
    struct pci_reset r;

    discover(b);
    assert_int_equal(reset(b, PCI_BDF(1, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_BUS);
    assert_int_equal(f->resets, 1);
    assert_int_equal(fpci_get(&b->fake.fn[bridge], PCI_BRIDGE_CONTROL) >> 16 & 0x40u, 0);
    check_restored(b, f, PCI_BDF(1, 9, 0));
    bench_endpoint(b, bridge, 10);
    discover(b);
    assert_false(pci_reset_exists(&b->host, bench_find(b, PCI_BDF(1, 9, 0))));
}

static void test_function_with_nothing_has_no_reset(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = device(b, -1);
    struct pci_reset r;

    discover(b);
    fpci_set(f, PCI_COMMAND, PCI_COMMAND_MASTER);
    assert_int_equal(pci_reset_begin(&r, &b->host, &b->table[0]), -CORDON_ENOTSUP);
    assert_int_equal(fpci_get(f, PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
    assert_int_equal(pci_reset_poll(&r), -CORDON_ENOTSUP);
    assert_string_equal(pci_reset_name(r.kind), "none");
}

static void test_unknown_devices_drain_by_reset(void **state)
{
    (void)state;
    const struct {
        uint16_t vendor, device;
        uint32_t class_code, drain;
    } row[] = {
        {0x1b36, 0x0010, PCI_CLASS_NVME, CORDON_DRAIN_RESET},
        {0x8086, 0x10d3, PCI_CLASS_NVME, CORDON_DRAIN_RESET},
        {0x1af4, 0x1041, ENDPOINT_CLASS, CORDON_DRAIN_RESET},
        {0x1234, 0x11e8, 0x00ff00, CORDON_DRAIN_IOMMU},
        {0x8086, 0x10d3, ENDPOINT_CLASS, CORDON_DRAIN_IOMMU},
        {0x8086, 0x10c9, ENDPOINT_CLASS, CORDON_DRAIN_IOMMU},
        {0x1234, 0x11e9, 0x00ff00, CORDON_DRAIN_RESET},
        {0xabcd, 0x0001, ENDPOINT_CLASS, CORDON_DRAIN_RESET},
    };

    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct pci_function f = {
            .vendor = row[i].vendor, .device = row[i].device, .class_code = row[i].class_code};

        assert_int_equal(pci_drain_method(&f), row[i].drain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flr_restores_bars_and_turns_messages_off, bench_setup),
        cmocka_unit_test_setup(test_flr_leaves_the_function_alone_for_100_ms, bench_setup),
        cmocka_unit_test_setup(test_flr_waits_for_pending_requests_but_not_for_ever, bench_setup),
        cmocka_unit_test_setup(test_slow_function_is_waited_for, bench_setup),
        cmocka_unit_test_setup(test_reset_that_never_ends_is_a_timeout, bench_setup),
        cmocka_unit_test_setup(test_function_that_comes_back_as_another_is_refused, bench_setup),
        cmocka_unit_test_setup(test_bars_that_do_not_hold_after_reset_are_refused, bench_setup),
        cmocka_unit_test_setup(test_af_resets_a_conventional_function, bench_setup),
        cmocka_unit_test_setup(test_pm_counts_when_it_clears_the_bars, bench_setup),
        cmocka_unit_test_setup(test_pm_that_only_pretends_is_no_reset, bench_setup),
        cmocka_unit_test_setup(test_pm_that_says_it_keeps_state_is_not_tried, bench_setup),
        cmocka_unit_test_setup(test_bus_reset_only_for_a_function_alone_below_its_bridge,
                               bench_setup),
        cmocka_unit_test_setup(test_function_with_nothing_has_no_reset, bench_setup),
        cmocka_unit_test_setup(test_unknown_devices_drain_by_reset, bench_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
