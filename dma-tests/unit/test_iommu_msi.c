/* MSI tables: the window, who may be led where, and what is taken away. INV 2, 6. [IOMMU 2.3.3] */
#include "core/ctx.h"
#include "one_iommu.h"

#define WINDOW 0x28000000ull
#define FILE(n) cordon_hpa_make(MACHINE_FILES + 0x1000ull * (n))
#define NOWHERE cordon_hpa_make(0)

/* Where the hardware sends a device's write to PAGE: the file, or a cause below 4096. Follows the
 * context's own words. [IOMMU 2.3.3] */
static uint64_t led_to(uint32_t device_id, uint64_t page)
{
    const struct fake_entry *e;
    uint64_t index = 0, mask, pte[2];
    unsigned bit = 0;

    assert_int_equal(fake_access(fake, device_id, page), 0);
    e = fake_context(fake, device_id);
    mask = e->dc[5];
    if (e->dc[4] >> 60 == 0 || (page & ~mask) != (e->dc[6] & ~mask)) {
        return 1; /* no MSI */
    }
    for (unsigned i = 0; i < 52; i++) {
        if ((mask >> i & 1) != 0) {
            index |= (page >> i & 1) << bit;
            bit++;
        }
    }
    pte[0] = machine_word(&machine, (e->dc[4] & 0xfffffffffff) << 12 | index * 16, 0);
    pte[1] = machine_word(&machine, (e->dc[4] & 0xfffffffffff) << 12 | index * 16, 1);
    if ((pte[0] & 1) == 0) {
        return 262;
    }
    if ((pte[0] & ~0x3ffffffffffc00ull) != 7 || pte[1] != 0) {
        return 263;
    }
    return (pte[0] & 0x3ffffffffffc00ull) << 2;
}

/* Grant a file to a domain at GPA, as the guest's harts want it. */
static int grant_with(cordon_domain *d, uint64_t gpa, cordon_hpa file, uint32_t flags)
{
    const struct cordon_extent extent = {file, CORDON_PAGE_SIZE};
    const struct cordon_op op = {
        .kind = CORDON_OP_GRANT,
        .flags = CORDON_REGION_MMIO | flags,
        .gpa = cordon_gpa_make(gpa),
        .len = CORDON_PAGE_SIZE,
        .perms = CORDON_RW,
        .extents = &extent,
        .extent_count = 1,
    };

    return cordon_change(d, &op, 1);
}

static int grant_file(cordon_domain *d, uint64_t gpa, cordon_hpa file)
{
    return grant_with(d, gpa, file, 0);
}

/* ---- the window --------------------------------------------------------------------------- */

/* The map leads the tables: files before the window and after it, moved, and gone. */
static void test_files_of_the_map_lead_the_tables_by_themselves(void **state)
{
    const struct cordon_extent run = {FILE(2), 2 * CORDON_PAGE_SIZE};
    struct cordon_edit e = {.kind = CORDON_TREE_ADD,
                            .node = {.size = sizeof(e.node),
                                     .id = 1,
                                     .kind = CORDON_NODE_MMIO,
                                     .offset = WINDOW + 0x2000,
                                     .len = run.len,
                                     .perms = CORDON_RW,
                                     .flags = CORDON_REGION_FILE,
                                     .extents = &run,
                                     .extent_count = 1}};
    cordon_space *s;

    (void)state;
    assert_int_equal(grant_with(domain, WINDOW, FILE(0), CORDON_REGION_FILE), 0);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(grant_file(domain, WINDOW + 0x1000, FILE(1)), 0); /* a BAR, say */
    cordon_device *dev = machine_attached(iommu, 5, domain, 0);
    cordon_device *own = machine_attached(iommu, 6, domain, CORDON_ATTACH_OWN_VIEW);

    assert_int_equal(cordon_space_create(domain, &s), 0);
    assert_int_equal(cordon_space_update(s, &e, 1), 0);
    for (uint32_t id = 5; id <= 6; id++) {
        assert_int_equal(led_to(id, WINDOW >> 12), FILE(0).v);
        assert_int_equal(led_to(id, (WINDOW >> 12) + 1), 262); /* is no interrupt file */
        assert_int_equal(led_to(id, (WINDOW >> 12) + 2), FILE(2).v);
        assert_int_equal(led_to(id, (WINDOW >> 12) + 3), FILE(3).v);
    }
    e.kind = CORDON_TREE_SET;
    e.node.extents = NULL;
    e.node.extent_count = 0;
    e.node.offset = WINDOW + 0x3000; /* its second page beside the window now */
    assert_int_equal(cordon_space_update(s, &e, 1), 0);
    for (uint32_t id = 5; id <= 6; id++) {
        assert_int_equal(led_to(id, (WINDOW >> 12) + 2), 262);
        assert_int_equal(led_to(id, (WINDOW >> 12) + 3), FILE(2).v);
    }
    e.kind = CORDON_TREE_REMOVE;
    assert_int_equal(cordon_space_update(s, &e, 1), 0);
    assert_int_equal(led_to(5, (WINDOW >> 12) + 3), 262);
    machine_sound(&machine);
    machine_gone(dev);
    machine_gone(own);
    assert_int_equal(cordon_space_destroy(s), 0);
}

static void test_each_page_of_the_window_leads_to_its_own_file(void **state)
{
    cordon_device *dev;

    (void)state;
    /* Bits 0 and 3 of the page number select: pages 0, 1, 8, 9 of the window. */
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 9), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(1)), 0);
    dev = machine_attached(iommu, 8, domain, 0);
    assert_int_equal(cordon_msi_set(domain, 2, FILE(5)), 0); /* with a device attached too */
    assert_int_equal(led_to(8, 0x28000), FILE(0).v);
    assert_int_equal(led_to(8, 0x28001), FILE(1).v);
    assert_int_equal(led_to(8, 0x28008), FILE(5).v);
    assert_int_equal(led_to(8, 0x28009), 262);
    assert_int_equal(led_to(8, 0x28002), 1);
    assert_int_equal(led_to(8, 0x28010), 1);
    machine_sound(&machine);
    machine_gone(dev);
}

static void test_bad_windows_are_refused(void **state)
{
    (void)state;
    assert_int_equal(cordon_msi_window(NULL, cordon_gpa_make(WINDOW), 1), -CORDON_EINVAL);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW + 4), 1), -CORDON_EINVAL);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 0x1fff), -CORDON_EINVAL);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(1ull << 41), 1), -CORDON_EINVAL);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 1ull << 29),
                     -CORDON_EINVAL); /* beyond Sv39x4's 41 bits */
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), -CORDON_ENOENT);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 0xfff), 0);
    assert_int_equal(cordon_msi_set(domain, 0xfff, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 0x1000, FILE(0)), -CORDON_ERANGE);
}

static void test_a_window_stands_over_no_memory(void **state)
{
    (void)state;
    (void)machine_grant(&machine, domain, WINDOW + 0x9000, 1);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 9), -CORDON_EEXIST);
    assert_int_equal(machine_revoke(domain, WINDOW + 0x9000, 1), 0);
    (void)machine_grant(&machine, domain, WINDOW + 0x2000, 6); /* between its pages */
    assert_int_equal(grant_file(domain, WINDOW, FILE(0)), 0);  /* files may stand there */
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 9), 0);
}

static void test_the_window_does_not_move_under_a_device(void **state)
{
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 1), 0);
    dev = machine_attached(iommu, 8, domain, 0);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), -CORDON_EBUSY);
    machine_gone(dev);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), -CORDON_EBUSY);
    assert_int_equal(cordon_msi_set(domain, 0, NOWHERE), 0);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
}

static void test_base_contexts_have_no_msi_tables(void **state)
{
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    fake->capabilities &= ~FAKE_CAP_MSI_FLAT;
    iommu = machine_iommu(&machine, 0, 0xffff);
    dev = machine_device(iommu, 8);
    assert_int_equal(cordon_device_attach(domain, dev, 0), -CORDON_ENOTSUP);
    assert_int_equal(fake_access(fake, 8, 0), 258);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    domain = machine_domain(&machine);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), -CORDON_ENOTSUP);
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    machine_gone(dev);
}

/* ---- files -------------------------------------------------------------------------------- */

static void test_only_files_of_the_domain_or_of_nobody_are_led_to(void **state)
{
    cordon_domain *other = machine_domain(&machine);

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_window(other, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(grant_file(other, WINDOW, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), -CORDON_EPERM); /* another one's */
    assert_int_equal(cordon_msi_set(domain, 0, cordon_hpa_make(0x30000000)), -CORDON_EPERM);
    assert_int_equal(cordon_msi_set(domain, 0, cordon_hpa_make(MACHINE_RAM)), -CORDON_EPERM);
    assert_int_equal(cordon_msi_set(domain, 0, cordon_hpa_make(MACHINE_IOMMU)), -CORDON_EPERM);
    assert_int_equal(cordon_msi_set(domain, 0, cordon_hpa_make(MACHINE_FILES + 4)), -CORDON_EALIGN);
    assert_int_equal(grant_file(domain, WINDOW, FILE(1)), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(1)), 0); /* granted */
    assert_int_equal(cordon_msi_set(domain, 1, FILE(2)), 0); /* nobody's, and ours from now on */
    assert_int_equal(cordon_msi_set(other, 1, FILE(2)), -CORDON_EPERM);
    assert_int_equal(grant_file(other, WINDOW + 0x1000, FILE(2)), -CORDON_EPERM);
    machine_sound(&machine);
    assert_int_equal(cordon_msi_set(domain, 1, NOWHERE), 0);
    assert_int_equal(cordon_msi_set(other, 1, FILE(2)), 0); /* free again */
    assert_int_equal(cordon_domain_destroy(other), 0);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(2)), 0); /* and so when a domain goes */
}

static void test_a_file_that_two_entries_lead_to_stays_while_one_does(void **state)
{
    cordon_domain *other = machine_domain(&machine);

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_window(other, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(3)), 0);
    assert_int_equal(cordon_msi_set(other, 0, FILE(0)), -CORDON_EPERM);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(3)), 0);
    assert_int_equal(cordon_msi_set(other, 0, FILE(0)), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
}

static void test_every_view_is_led_alike_by_a_table_of_its_own(void **state)
{
    cordon_device *common, *own;

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    common = machine_attached(iommu, 8, domain, 0);
    own = machine_attached(iommu, 16, domain, CORDON_ATTACH_OWN_VIEW);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(1)), 0);
    for (uint32_t id = 8; id <= 16; id += 8) {
        assert_int_equal(led_to(id, 0x28000), FILE(0).v);
        assert_int_equal(led_to(id, 0x28001), FILE(1).v);
    }
    assert_true(fake_context(fake, 8)->dc[4] != fake_context(fake, 16)->dc[4]);
    assert_int_equal(cordon_msi_set(domain, 0, NOWHERE), 0);
    assert_int_equal(led_to(8, 0x28000), 262);
    assert_int_equal(led_to(16, 0x28000), 262);
    machine_sound(&machine);
    machine_gone(common);
    machine_gone(own);
}

static void test_a_changed_entry_is_forgotten_by_every_gscid(void **state)
{
    cordon_device *common, *own;

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(1)), 0);
    common = machine_attached(iommu, 8, domain, 0);
    own = machine_attached(iommu, 16, domain, CORDON_ATTACH_OWN_VIEW);
    assert_int_equal(led_to(8, 0x28001), FILE(1).v);
    assert_int_equal(led_to(16, 0x28001), FILE(1).v);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(2)), 0);
    assert_false(fake_holds_page(fake, domain->view[1].gscid, 0x28001));
    assert_false(fake_holds_page(fake, domain->view[2].gscid, 0x28001));
    machine_gone(common);
    machine_gone(own);
}

static void test_a_file_that_the_map_takes_away_is_led_to_no_more(void **state)
{
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(grant_file(domain, WINDOW, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    dev = machine_attached(iommu, 8, domain, 0);
    assert_int_equal(led_to(8, 0x28000), FILE(0).v);
    assert_int_equal(machine_revoke(domain, WINDOW, 1), 0);
    assert_int_equal(led_to(8, 0x28000), 262);
    machine_sound(&machine);
    machine_gone(dev);
    assert_int_equal(grant_file(domain, WINDOW, FILE(0)), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    assert_int_equal(machine_revoke(domain, WINDOW, 1), 0); /* without a device */
    dev = machine_attached(iommu, 8, domain, 0);
    assert_int_equal(led_to(8, 0x28000), 262);
    machine_sound(&machine);
    machine_gone(dev);
}

static void test_a_file_is_nobody_elses_until_the_iommu_has_answered(void **state)
{
    cordon_domain *other = machine_domain(&machine);
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_window(other, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_set(domain, 0, FILE(0)), 0);
    dev = machine_attached(iommu, 8, domain, 0);
    fake_answer_none(fake);
    assert_int_equal(cordon_msi_set(domain, 0, NOWHERE), -CORDON_EPENDING);
    assert_int_equal(cordon_msi_set(other, 0, FILE(0)), -CORDON_EPERM);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(cordon_msi_set(other, 0, FILE(0)), 0);
    machine_gone(dev);
    assert_int_equal(cordon_domain_destroy(other), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_files_of_the_map_lead_the_tables_by_themselves),
        T(test_each_page_of_the_window_leads_to_its_own_file),
        T(test_bad_windows_are_refused),
        T(test_a_window_stands_over_no_memory),
        T(test_the_window_does_not_move_under_a_device),
        T(test_base_contexts_have_no_msi_tables),
        T(test_only_files_of_the_domain_or_of_nobody_are_led_to),
        T(test_a_file_that_two_entries_lead_to_stays_while_one_does),
        T(test_every_view_is_led_alike_by_a_table_of_its_own),
        T(test_a_changed_entry_is_forgotten_by_every_gscid),
        T(test_a_file_that_the_map_takes_away_is_led_to_no_more),
        T(test_a_file_is_nobody_elses_until_the_iommu_has_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
