/* The guest's host bridge: slots of ours, all ones elsewhere, widths, windows, refusals. */
#include "vpci_bench.h"

static const struct vpci_config *config(struct vpci_bench *b)
{
    return &b->bridge.cfg;
}

static void test_absent_functions_read_all_ones(void **state)
{
    struct vpci_bench *b = *state;

    (void)vbench_give(b, 0);
    (void)vbench_give(b, 1);
    for (uint32_t slot = 0; slot < 32; slot++) {
        for (uint32_t fn = 0; fn < 8; fn++) {
            uint64_t at = G_ECAM + (slot << 15) + (fn << 12);
            bool there = fn == 0 && (slot == NVME_SLOT || slot == EDU_SLOT);

            assert_int_equal(guest_read(b, at, 4) != PCI_ABSENT, there);
            if (!there) {
                guest_write(b, at + 4, 4, 0xffffffffu);
                assert_int_equal(guest_read(b, at, 1), 0xff);
                assert_int_equal(guest_read(b, at + 2, 2), 0xffff);
                assert_true(guest_read(b, at + 8, 8) == UINT64_MAX);
            }
        }
    }
}

static void test_buses_above_0_are_empty(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_config cfg = *config(b);
    struct vpci_bridge wide;
    struct vbus bus = {.count = 0};

    cfg.ecam_len = 0x200000;
    assert_int_equal(vpci_bridge_init(&wide, &cfg), 0);
    assert_int_equal(vpci_bridge_bus(&wide, &bus), 0);
    wide.slot[0] = &vbench_give(b, 0)->fn;
    assert_int_not_equal(bus.device[0].read(&wide, 0, 4), PCI_ABSENT);
    assert_int_equal(bus.device[0].read(&wide, 0x100000, 4), PCI_ABSENT);
}

static void test_parts_of_registers_read_and_write(void **state)
{
    struct vpci_bench *b = *state;
    uint64_t at = G_ECAM + (NVME_SLOT << 15);

    (void)vbench_give(b, 0);
    assert_int_equal(guest_read(b, at + 0, 2), 0x1b36);
    assert_int_equal(guest_read(b, at + 2, 2), 0x0010);
    assert_int_equal(guest_read(b, at + 3, 1), 0x00);
    assert_int_equal(guest_read(b, at + 11, 1), 0x01);
    guest_write(b, at + 0x3c, 1, 0x21);
    guest_write(b, at + 0x3d, 1, 0x02); /* the pin is not to be written */
    assert_int_equal(guest_read(b, at + 0x3c, 2), 0x0021);
    guest_write(b, at + 0x38, 8, UINT64_C(0x000000ee00000000));
    assert_int_equal(guest_read(b, at + 0x3c, 4), 0xee);
}

static void test_windows_read_all_ones_where_nothing_is(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(guest_read(b, G_LOW, 4), 0xffffffffu);
    assert_int_equal(guest_read(b, G_LOW + G_LOW_LEN - 1, 1), 0xff);
    assert_true(guest_read(b, G_HIGH + 8, 8) == UINT64_MAX);
    guest_write(b, G_LOW, 4, 1);
    guest_write(b, G_HIGH, 8, 1);
    assert_int_equal(b->pci.stray, 0); /* nothing of it reached the machine */
}

static void test_slots_are_taken_once(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = &vbench_give(b, 0)->fn;
    struct vpci_function other = *f;

    other.bridge = NULL;
    assert_int_equal(vpci_insert(&b->bridge, NVME_SLOT, &other), -CORDON_EEXIST);
    assert_int_equal(vpci_insert(&b->bridge, VPCI_SLOTS, &other), -CORDON_ERANGE);
    assert_int_equal(vpci_insert(&b->bridge, NVME_SLOT + 1, f), -CORDON_EBUSY);
    assert_null(other.bridge);
}

static void test_senseless_settings_are_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_bridge bridge;
    struct vpci_config cfg = *config(b);

    cfg.domain = NULL;
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_EINVAL);
    cfg = *config(b);
    cfg.ecam_len = 0x80000;
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_EINVAL);
    cfg = *config(b);
    cfg.avoid_count = VPCI_MAX_AVOID + 1;
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_EINVAL);
    cfg = *config(b);
    cfg.low.len = 0x1800;
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_EALIGN);
    cfg = *config(b);
    cfg.low = (struct vpci_window){cordon_gpa_make(G_ECAM + 0x80000), 0x100000};
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_EEXIST);
    cfg = *config(b);
    cfg.low.len = UINT64_C(0x100000000);
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_ERANGE);
    cfg = *config(b);
    cfg.high.gpa = cordon_gpa_make(UINT64_MAX - 0xfff);
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_ERANGE);
    cfg = *config(b);
    cfg.avoid[0].gpa = cordon_gpa_make(UINT64_MAX - 0xfff);
    assert_int_equal(vpci_bridge_init(&bridge, &cfg), -CORDON_ERANGE);
    assert_int_equal(vpci_bridge_bus(&b->bridge, &b->bus), -CORDON_EEXIST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vbench_setup, vbench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_absent_functions_read_all_ones),
        TEST(test_buses_above_0_are_empty),
        TEST(test_parts_of_registers_read_and_write),
        TEST(test_windows_read_all_ones_where_nothing_is),
        TEST(test_slots_are_taken_once),
        TEST(test_senseless_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
