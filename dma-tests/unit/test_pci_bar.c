/* Virtual BARs: sizing, halves, gating, moves as changes of the map, and places that are
 * refused. */
#include "vpci_bench.h"

#include "pci/own.h"

#define MEM PCI_COMMAND_MEMORY

static struct vpci_function *nvme(struct vpci_bench *b)
{
    return &vbench_give(b, 0)->fn;
}

static void place64(struct vpci_bench *b, uint32_t slot, uint32_t bar, uint64_t gpa)
{
    config_write(b, slot, PCI_BAR(bar), (uint32_t)gpa);
    config_write(b, slot, PCI_BAR(bar + 1), (uint32_t)(gpa >> 32));
}

static void check_refused(struct vpci_bench *b, struct vpci_function *f, uint64_t gpa,
                          enum pci_why why)
{
    uint64_t refused = f->stats.refused;
    uint64_t there = guest_reaches(b, gpa);

    place64(b, NVME_SLOT, 0, gpa);
    config_command(b, NVME_SLOT, MEM);
    assert_false(f->bar[0].decoded);
    assert_int_equal(guest_reaches(b, gpa), there);
    assert_int_equal(f->stats.refused, refused + 1);
    assert_int_equal(f->stats.last.why, why);
    assert_int_equal(f->stats.last.value, gpa);
    assert_int_equal(f->stats.last.bdf, PCI_BDF(0, NVME_SLOT, 0));
    config_command(b, NVME_SLOT, 0);
    vbench_audit(b);
}

static void test_sizes_as_whole_pages_and_keeps_its_flags(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    (void)vbench_give(b, 1);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_BAR(0)), 0x4); /* 64 bits, placed nowhere */
    place64(b, NVME_SLOT, 0, UINT64_MAX);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_BAR(0)), 0xffffc004u);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_BAR(1)), 0xffffffffu);
    config_write(b, EDU_SLOT, PCI_BAR(0), 0xffffffffu);
    assert_int_equal(config_read(b, EDU_SLOT, PCI_BAR(0)), 0xfff00000u);
    config_write(b, EDU_SLOT, PCI_BAR(2), 0xffffffffu);
    assert_int_equal(config_read(b, EDU_SLOT, PCI_BAR(2)), 0xfffff000u); /* 256 bytes: a page */
    for (uint32_t i = 0; i < 6; i++) { /* the others do not exist */
        if (i != 0 && i != 2) {
            config_write(b, EDU_SLOT, PCI_BAR(i), 0xffffffffu);
            assert_int_equal(config_read(b, EDU_SLOT, PCI_BAR(i)), 0);
        }
    }
    config_write(b, EDU_SLOT, PCI_ROM, 0xffffffffu);
    assert_int_equal(config_read(b, EDU_SLOT, PCI_ROM), 0);
}

static void test_bar_is_mapped_only_while_memory_is_enabled(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);
    uint64_t real = b->a[0].f->bar[0].hpa.v;

    place64(b, NVME_SLOT, 0, G_LOW + 0x8000);
    assert_int_equal(guest_reaches(b, G_LOW + 0x8000), 0);
    config_command(b, NVME_SLOT, MEM);
    assert_int_equal(guest_reaches(b, G_LOW + 0x8000), real);
    assert_int_equal(guest_reaches(b, G_LOW + 0xbfff), real + 0x3fff);
    assert_int_equal(guest_reaches(b, G_LOW + 0xc000), 0);
    assert_int_not_equal(fpci_get(b->nvme, PCI_COMMAND) & MEM, 0);
    vbench_audit(b);
    config_command(b, NVME_SLOT, 0);
    assert_int_equal(guest_reaches(b, G_LOW + 0x8000), 0);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & MEM, 0);
    config_command(b, NVME_SLOT, MEM); /* also with a device that drains by reset */
    assert_int_equal(guest_reaches(b, G_LOW + 0x8000), real);
    assert_int_equal(f->stats.refused, 0);
    assert_int_equal(f->stats.placed, 2);
}

static void test_device_does_not_see_bars(void **state)
{
    struct vpci_bench *b = *state;
    struct cordon_hit hit;

    (void)nvme(b);
    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM);
    assert_int_equal(cordon_translate(b->domain, 1, cordon_gpa_make(G_RAM), 0, &hit), 0);
    assert_int_equal(cordon_translate(b->domain, 1, cordon_gpa_make(G_LOW), 0, &hit),
                     -CORDON_EFAULT);
}

static void test_move_takes_the_old_place_away(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    uint64_t real = b->a[0].f->bar[0].hpa.v;

    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM);
    config_write(b, NVME_SLOT, PCI_BAR(0), (uint32_t)G_LOW + 0x100000); /* enabled all the while */
    assert_int_equal(guest_reaches(b, G_LOW), 0);
    assert_int_equal(guest_reaches(b, G_LOW + 0x100000), real);
    config_command(b, NVME_SLOT, 0);
    place64(b, NVME_SLOT, 0, G_HIGH + 0x4000);
    config_command(b, NVME_SLOT, MEM);
    assert_int_equal(guest_reaches(b, G_HIGH + 0x4000), real);
    assert_int_equal(guest_reaches(b, G_LOW + 0x100000), 0);
    vbench_audit(b);
}

static void test_move_by_less_than_its_length(void **state)
{
    struct vpci_bench *b = *state;

    (void)vbench_give(b, 1);
    uint64_t real = b->a[1].f->bar[0].hpa.v;

    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW + 0x100000);
    config_command(b, EDU_SLOT, MEM);
    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW + 0x123456); /* below its alignment */
    assert_int_equal(config_read(b, EDU_SLOT, PCI_BAR(0)), G_LOW + 0x100000);
    assert_int_equal(guest_reaches(b, G_LOW + 0x100000), real);
    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW + 0x200000);
    assert_int_equal(guest_reaches(b, G_LOW + 0x200000), real);
    assert_int_equal(guest_reaches(b, G_LOW + 0x100000), 0);
}

static void test_sizing_while_enabled_is_no_move_and_no_report(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);

    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM);
    config_write(b, NVME_SLOT, PCI_BAR(0), 0xffffffffu);
    assert_false(f->bar[0].decoded);
    config_write(b, NVME_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    config_write(b, NVME_SLOT, PCI_BAR(1), 0xffffffffu);
    assert_false(f->bar[0].decoded);
    config_write(b, NVME_SLOT, PCI_BAR(1), 0);
    assert_true(f->bar[0].decoded);
    assert_int_equal(f->stats.refused, 0);
}

static void test_bytes_of_a_bar_can_be_written(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_write(b, NVME_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + PCI_BAR(0) + 2, 1, 0x34);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + PCI_BAR(0) + 1, 1, 0xff);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_BAR(0)), 0x2034c004u);
    assert_int_equal(guest_read(b, G_ECAM + (NVME_SLOT << 15) + PCI_BAR(0) + 2, 2), 0x2034);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + PCI_BAR(0), 8, G_HIGH + 0x8000);
    assert_int_equal(guest_read(b, G_ECAM + (NVME_SLOT << 15) + PCI_BAR(0), 8), G_HIGH + 0x8004);
}

static void test_move_onto_ram_is_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);

    check_refused(b, f, G_RAM, PCI_WHY_ON_RAM);
    check_refused(b, f, G_RAM + (G_RAM_PAGES - 1) * CORDON_PAGE_SIZE / 0x4000 * 0x4000,
                  PCI_WHY_ON_RAM);                             /* its last pages */
    (void)machine_grant(&b->m, b->domain, G_LOW + 0x13000, 1); /* RAM inside the window */
    check_refused(b, f, G_LOW + 0x10000, PCI_WHY_ON_RAM);      /* met by the BAR's end */
}

static void test_move_onto_interrupt_files_config_space_or_devices_is_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);
    const struct cordon_extent file = {cordon_hpa_make(MACHINE_FILES), 0x1000};
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .flags = CORDON_REGION_MMIO,
                                 .gpa = {G_LOW + 0x5000},
                                 .len = 0x1000,
                                 .perms = CORDON_RW,
                                 .extents = &file,
                                 .extent_count = 1};

    check_refused(b, f, G_FILES, PCI_WHY_ON_INTERRUPT_FILE);
    check_refused(b, f, G_ECAM, PCI_WHY_ON_CONFIG_SPACE);
    check_refused(b, f, G_ECAM + 0xfc000, PCI_WHY_ON_CONFIG_SPACE);
    check_refused(b, f, G_LOW - 0x4000, PCI_WHY_OUTSIDE);
    check_refused(b, f, G_LOW + G_LOW_LEN, PCI_WHY_OUTSIDE);
    check_refused(b, f, G_HIGH + G_HIGH_LEN, PCI_WHY_OUTSIDE);
    check_refused(b, f, UINT64_C(1) << 45, PCI_WHY_OUTSIDE);
    check_refused(b, f, UINT64_C(0xfffffffeffff0000), PCI_WHY_OUTSIDE);
    assert_int_equal(cordon_change(b->domain, &op, 1), 0);
    check_refused(b, f, G_LOW + 0x4000, PCI_WHY_ON_DEVICE);
}

static void test_move_onto_another_bar_waits_until_that_is_gone(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);
    uint64_t real = b->a[0].f->bar[0].hpa.v;

    (void)vbench_give(b, 1);
    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    config_command(b, EDU_SLOT, MEM);
    place64(b, NVME_SLOT, 0, G_LOW + 0xfc000); /* edu's last pages */
    config_command(b, NVME_SLOT, MEM);
    assert_int_equal(f->stats.last.why, PCI_WHY_ON_BAR);
    assert_int_equal(f->stats.refused, 1);
    assert_int_equal(guest_reaches(b, G_LOW + 0xfc000), b->a[1].f->bar[0].hpa.v + 0xfc000);
    config_write(b, EDU_SLOT, PCI_BAR(2), (uint32_t)G_LOW + 0x400000); /* tried again, unsaid */
    assert_int_equal(f->stats.refused, 1);
    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW + 0x100000);
    assert_int_equal(guest_reaches(b, G_LOW + 0xfc000), real);
    vbench_audit(b);
}

/* The BAR of an emulated function is in no map, and still nothing may come to lie on it. */
static void test_move_onto_an_emulated_bar_is_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = &vbench_give(b, 1)->fn;
    const struct own_calls none = {.arg = NULL};
    struct own_function own;

    own_init(&own, &none, CORDON_PAGE_SIZE, false);
    assert_int_equal(vpci_insert(&b->bridge, 0, &own.fn), 0);
    config_write(b, 0, PCI_BAR(0), (uint32_t)G_LOW + 0x7000);
    config_command(b, 0, MEM);
    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    config_command(b, EDU_SLOT, MEM);
    assert_false(f->bar[0].decoded);
    assert_int_equal(f->stats.last.why, PCI_WHY_ON_BAR);
    assert_int_equal(guest_read(b, G_LOW + 0x7000, 4), OWN_MAGIC);
    assert_int_equal(vpci_remove(&own.fn), 0);
    assert_true(f->bar[0].decoded); /* its place is free now */
}

static void test_two_bars_of_one_function_cannot_meet(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = &vbench_give(b, 1)->fn;

    config_write(b, EDU_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    config_write(b, EDU_SLOT, PCI_BAR(2), (uint32_t)G_LOW + 0x7000);
    config_command(b, EDU_SLOT, MEM);
    assert_true(f->bar[0].decoded);
    assert_false(f->bar[2].decoded);
    assert_int_equal(f->stats.last.why, PCI_WHY_ON_BAR);
}

static void test_address_zero_means_unplaced(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);

    config_command(b, NVME_SLOT, MEM);
    assert_false(f->bar[0].decoded);
    assert_int_equal(f->stats.refused, 0);
}

static void test_each_failing_allocation_of_a_move_is_reported_and_recovered(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);
    uint64_t real = b->a[0].f->bar[0].hpa.v;
    uint32_t failures = 0;

    config_command(b, NVME_SLOT, MEM);
    for (uint64_t n = 1; !f->bar[0].decoded; n++) {
        assert_true(n < 100);
        config_write(b, NVME_SLOT, PCI_BAR(0), 0);
        b->m.record.fail_at = b->m.record.allocations + n;
        config_write(b, NVME_SLOT, PCI_BAR(0), (uint32_t)(G_LOW + n * 0x800000));
        b->m.record.fail_at = 0;
        vbench_audit(b);
        if (!f->bar[0].decoded) {
            failures++;
            assert_int_equal(f->stats.last.why, PCI_WHY_MAP);
            assert_int_equal(guest_reaches(b, G_LOW + n * 0x800000), 0);
        }
    }
    assert_true(failures > 0);
    assert_int_equal(f->stats.refused, failures);
    assert_int_equal(guest_reaches(b, f->bar[0].at), real);
}

static void test_bar_revoked_while_frames_wait_comes_back_after_a_reset(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);

    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM);
    assert_int_equal(machine_revoke(b->domain, G_RAM, 1), -CORDON_EPENDING);
    config_command(b, NVME_SLOT, 0);
    config_command(b, NVME_SLOT, MEM);
    if (!f->bar[0].decoded) { /* its pages wait with the frames */
        assert_int_equal(f->stats.last.why, PCI_WHY_MAP);
    }
    config_write(b, NVME_SLOT, 0x88, PCI_EXP_DEVCTL_FLR);
    b->pci.now_us += 200000;
    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM);
    assert_true(f->bar[0].decoded);
    assert_int_equal(machine_stats(&b->m).revoking, 0);
}

static void test_removed_function_leaves_the_map(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);

    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM | PCI_COMMAND_MASTER);
    assert_int_equal(vpci_remove(f), 0);
    assert_int_equal(guest_reaches(b, G_LOW), 0);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), PCI_ABSENT);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 7u, 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
}

static void test_release_with_a_mapped_bar_is_busy_and_finished_later(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_function *f = nvme(b);

    place64(b, NVME_SLOT, 0, G_LOW);
    config_command(b, NVME_SLOT, MEM);
    assert_int_equal(pci_release(&b->a[0]), -CORDON_EBUSY);
    assert_int_equal(b->a[0].stage, PCI_STAGE_LEAVING);
    assert_int_equal(vpci_remove(f), 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vbench_setup, vbench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sizes_as_whole_pages_and_keeps_its_flags),
        TEST(test_bar_is_mapped_only_while_memory_is_enabled),
        TEST(test_device_does_not_see_bars),
        TEST(test_move_takes_the_old_place_away),
        TEST(test_move_by_less_than_its_length),
        TEST(test_sizing_while_enabled_is_no_move_and_no_report),
        TEST(test_bytes_of_a_bar_can_be_written),
        TEST(test_move_onto_ram_is_refused),
        TEST(test_move_onto_interrupt_files_config_space_or_devices_is_refused),
        TEST(test_move_onto_another_bar_waits_until_that_is_gone),
        TEST(test_move_onto_an_emulated_bar_is_refused),
        TEST(test_two_bars_of_one_function_cannot_meet),
        TEST(test_address_zero_means_unplaced),
        TEST(test_each_failing_allocation_of_a_move_is_reported_and_recovered),
        TEST(test_bar_revoked_while_frames_wait_comes_back_after_a_reset),
        TEST(test_removed_function_leaves_the_map),
        TEST(test_release_with_a_mapped_bar_is_busy_and_finished_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
