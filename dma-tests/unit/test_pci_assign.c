/* Assignment and release: in order, all or nothing, refused with a reason, and over when it says
 * so. */
#include "assign_bench.h"

static void test_assigned_device_is_reset_known_and_off_the_bus(void **state)
{
    struct vpci_bench *b = *state;

    assert_false(device_reaches(b, NVME_BDF, G_RAM));
    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    assert_int_equal(assign(b, 0), 0);
    assert_int_equal(b->a[0].stage, PCI_STAGE_ASSIGNED);
    assert_int_equal(b->a[0].reset.kind, PCI_RESET_FLR);
    assert_int_equal(b->nvme->resets, 1);
    assert_true(device_reaches(b, NVME_BDF, G_RAM)); /* its id, 72, has a context */
    assert_int_equal(commands_of(b->nvme), 0);       /* but it may not ask yet */
    assert_int_equal(b->nvme->commands & PCI_COMMAND_MASTER, 0);
    vbench_audit(b);
}

static void test_begin_returns_before_the_reset_is_over(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    uint64_t start = b->pci.now_us;

    assert_int_equal(begin(b, 0), 0);
    assert_true(b->pci.now_us - start < 50000);
    assert_int_equal(b->nvme->resets, 1);
    b->pci.now_us += 200000; /* other work */
    start = b->pci.now_us;
    assert_int_equal(pci_assign_finish(&b->a[0]), 0);
    assert_int_equal(b->nvme->resets, 1);
    assert_true(b->pci.now_us - start < 50000);
    assert_int_equal(b->nvme->early, 0);
}

static void test_unclaimed_or_foreign_functions_are_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct pci_assign_config cfg = vbench_config(b);
    struct pci_refusal why;

    assert_int_equal(begin(b, 0), -CORDON_EPERM);
    assert_int_equal(b->a[0].why.why, PCI_WHY_CLAIMED);
    assert_int_equal(pci_claim(&b->host, NVME_BDF, GUEST + 1, &why), 0);
    assert_int_equal(begin(b, 0), -CORDON_EPERM);
    assert_int_equal(b->a[0].why.value, GUEST + 1);
    assert_int_equal(pci_assign_begin(&b->a[0], &b->host, PCI_BDF(0, 3, 0), &cfg), -CORDON_ENOENT);
    assert_int_equal(b->a[0].why.why, PCI_WHY_ABSENT);
    assert_int_equal(b->a[0].stage, PCI_STAGE_FREE);
}

static void test_one_function_is_assigned_once(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    assert_int_equal(assign(b, 0), 0);
    const struct pci_assign_config cfg = vbench_config(b);

    assert_int_equal(pci_assign_begin(&b->a[1], &b->host, NVME_BDF, &cfg), -CORDON_EBUSY);
    assert_int_equal(b->a[1].stage, PCI_STAGE_FREE);
}

static void test_function_not_behind_an_iommu_is_refused(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    b->host.map[0] = (struct pci_iommu_map){.length = NVME_BDF}; /* ends just below */
    assert_int_equal(begin(b, 0), -CORDON_ENOTSUP);
    assert_int_equal(b->a[0].why.why, PCI_WHY_NO_IOMMU);
    b->host.map[0] = (struct pci_iommu_map){.length = 0x10000, .iommu = 1}; /* one we lack */
    assert_int_equal(begin(b, 0), -CORDON_ENOTSUP);
    assert_int_equal(b->nvme->resets, 0);
}

static void test_no_iommu_is_accepted_only_without_any_and_when_allowed(void **state)
{
    struct vpci_bench *b = *state;
    struct pci_assign_config cfg = vbench_config(b);

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    b->host.map_count = 0;
    cfg.no_iommu_allowed = true;
    assert_int_equal(pci_assign_begin(&b->a[0], &b->host, NVME_BDF, &cfg), -CORDON_ENOTSUP);
    cfg.iommu_count = 0;
    cfg.no_iommu_allowed = false;
    assert_int_equal(pci_assign_begin(&b->a[0], &b->host, NVME_BDF, &cfg), -CORDON_ENOTSUP);
    cfg.no_iommu_allowed = true;
    assert_int_equal(pci_assign_begin(&b->a[0], &b->host, NVME_BDF, &cfg), 0);
    assert_int_equal(pci_assign_finish(&b->a[0]), 0);
    assert_null(b->a[0].dev);
}

static void test_function_without_reset_needs_leave(void **state)
{
    struct vpci_bench *b = *state;
    struct pci_assign_config cfg = vbench_config(b);

    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    cfg.no_reset_allowed = false;
    assert_int_equal(pci_assign_begin(&b->a[1], &b->host, EDU_BDF, &cfg), -CORDON_ENOTSUP);
    assert_int_equal(b->a[1].why.why, PCI_WHY_NO_RESET);
    assert_int_equal(assign(b, 1), 0);
    assert_false(b->a[1].reset_works);
}

static void test_function_without_reset_that_drains_by_reset_is_refused(void **state)
{
    struct vpci_bench *b = *state;

    fpci_set(b->edu, PCI_ID, 0x77771234u); /* unknown: only a reset would drain it */
    vbench_discover(b);
    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    assert_int_equal(begin(b, 1), -CORDON_ENOTSUP);
    assert_int_equal(b->a[1].why.why, PCI_WHY_NO_DRAIN);
}

static void test_pretended_pm_reset_of_an_unknown_device_is_refused(void **state)
{
    struct vpci_bench *b = *state;

    fpci_set(b->edu, PCI_ID, 0x77771234u);
    fpci_cap_pm(b->edu, 0x80);
    vbench_discover(b);
    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    assert_int_equal(assign(b, 1), -CORDON_ENOTSUP);
    assert_int_equal(b->a[1].why.why, PCI_WHY_NO_DRAIN);
    assert_int_equal(b->a[1].stage, PCI_STAGE_FREE);
    assert_false(b->a[1].f->assigned);
}

static void test_bar_page_that_holds_something_else_is_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct pci_function *f = pci_find(&b->host, NVME_BDF);
    struct pci_function *g = pci_find(&b->host, EDU_BDF);

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    g->bar[2].hpa = cordon_hpa_add(f->bar[0].hpa, 0x3f00); /* its last page */
    assert_int_equal(begin(b, 0), -CORDON_EPERM);
    assert_int_equal(b->a[0].why.why, PCI_WHY_BAR_SHARES_PAGE);
}

static struct fpci_fn *virtio(struct vpci_bench *b, uint64_t features)
{
    struct fpci_fn *f = b->edu;

    f->kind = FPCI_VIRTIO;
    f->features = features;
    fpci_set(f, PCI_ID, 0x10421af4u);
    fpci_cap_virtio(f, 0x60, VIRTIO_CAP_TYPE_COMMON, 0, 0, 0x1000);
    fpci_cap_af(f, 0xa0);
    vbench_discover(b);
    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    return f;
}

static void test_virtio_is_given_only_when_it_obeys_the_iommu(void **state)
{
    struct vpci_bench *b = *state;
    struct fpci_fn *f = virtio(b, 0x100000000u);

    assert_int_equal(begin(b, 1), -CORDON_EPERM);
    assert_int_equal(b->a[1].why.why, PCI_WHY_VIRTIO_BYPASS);
    assert_int_equal(fpci_get(f, PCI_COMMAND) & PCI_COMMAND_MEMORY, 0);
    f->features |= UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM;
    assert_int_equal(assign(b, 1), 0);
    assert_int_equal(b->a[1].reset.kind, PCI_RESET_AF);
}

static void test_virtio_with_a_lying_common_configuration_is_refused(void **state)
{
    struct vpci_bench *b = *state;
    struct fpci_fn *f = virtio(b, UINT64_C(3) << 32);
    const uint32_t word[][3] = {
        {6, 0, 0x1000},          /* no such BAR */
        {1, 0, 0x1000},          /* a BAR that it has not */
        {0, 0xfffff, 0x1000},    /* misaligned, and over the end */
        {0, 0xff000, 0x2000},    /* over the end */
        {0, 0xfffff000, 0x2000}, /* wraps */
        {0, 2, 0x1000},          /* misaligned */
        {0, 0, 8},               /* too short */
    };

    for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
        fpci_set(f, 0x60 + VIRTIO_CAP_BAR, word[i][0]);
        fpci_set(f, 0x60 + VIRTIO_CAP_OFFSET, word[i][1]);
        fpci_set(f, 0x60 + VIRTIO_CAP_LENGTH, word[i][2]);
        assert_int_equal(begin(b, 1), -CORDON_EHW);
        assert_int_equal(b->a[1].why.why, PCI_WHY_VIRTIO_BROKEN);
    }
    assert_int_equal(b->pci.stray, 0);
    fpci_set(f, 0x60 + VIRTIO_CAP_OFFSET, 0xff000);
    fpci_set(f, 0x60 + VIRTIO_CAP_LENGTH, 0x1000);
    assert_int_not_equal(begin(b, 1), -CORDON_EHW);
}

static void test_failed_reset_gives_nothing(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    b->nvme->reset_hangs = true;
    assert_int_equal(assign(b, 0), -CORDON_ETIMEOUT);
    assert_int_equal(b->a[0].why.why, PCI_WHY_RESET_TIMEOUT);
    assert_int_equal(b->a[0].stage, PCI_STAGE_FREE);
    assert_false(device_reaches(b, NVME_BDF, G_RAM));
    b->nvme->busy_until = 0;
    b->nvme->reset_hangs = false;
    b->nvme->reset_swaps = true;
    assert_int_equal(assign(b, 0), -CORDON_EHW);
    assert_int_equal(b->a[0].why.why, PCI_WHY_RESET_LOST);
}

static void test_each_failing_allocation_leaves_nothing_behind(void **state)
{
    struct vpci_bench *b = *state;
    uint32_t failures = 0;
    int err = -1;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    const struct cordon_memory_stats before = machine_stats(&b->m);

    for (uint64_t n = 1; err != 0; n++) {
        assert_true(n < 100);
        b->m.record.fail_at = b->m.record.allocations + n;
        err = assign(b, 0);
        b->m.record.fail_at = 0;
        if (err != 0) {
            failures++;
            assert_int_equal(err, -CORDON_ENOMEM);
            check_nothing_given(b, &before);
        }
    }
    assert_true(failures >= 2);
    assert_true(device_reaches(b, NVME_BDF, G_RAM));
}

static void test_bar_that_is_a_resource_already_undoes_the_attachment(void **state)
{
    struct vpci_bench *b = *state;
    const struct pci_function *f = pci_find(&b->host, EDU_BDF);
    cordon_hpa last = f->bar[2].hpa;

    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    assert_int_equal(cordon_resource_add(b->m.ctx, last, 0x1000), 0);
    assert_int_equal(assign(b, 1), -CORDON_EEXIST);
    assert_int_equal(b->a[1].why.why, PCI_WHY_RESOURCE);
    assert_int_equal(b->a[1].why.value, 2);
    assert_int_equal(b->a[1].stage, PCI_STAGE_FREE);
    assert_false(device_reaches(b, EDU_BDF, G_RAM));
    assert_int_equal(cordon_resource_add(b->m.ctx, f->bar[0].hpa, 0x1000), 0); /* was taken back */
    assert_int_equal(cordon_resource_remove(b->m.ctx, f->bar[0].hpa), 0);
    assert_int_equal(cordon_resource_remove(b->m.ctx, last), 0);
    assert_int_equal(assign(b, 1), 0);
}

static void test_iommu_that_does_not_answer_gives_nothing(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    fake_answer_none(&b->m.iommu[0]);
    int err = assign(b, 1);

    assert_int_equal(err, -CORDON_ETIMEOUT);
    assert_int_equal(b->a[1].why.why, PCI_WHY_ATTACH);
    fake_answer_all(&b->m.iommu[0]);
    assert_int_equal(pci_release(&b->a[1]), 0);
    assert_false(device_reaches(b, EDU_BDF, G_RAM));
}

static void test_bridge_above_masters_while_something_below_is_assigned(void **state)
{
    struct vpci_bench *b = *state;
    int bridge = fpci_bridge(&b->pci, -1, 3, 0);

    fpci_cap_pcie(&b->pci.fn[bridge], 0x40, PCI_EXP_TYPE_ROOT_PORT, false);
    fpci_ext(&b->pci.fn[bridge], 0x100, PCI_EXT_ACS, 0);
    fpci_set(&b->pci.fn[bridge], 0x104, PCI_ACS_WANTED);
    fpci_sticks(&b->pci.fn[bridge], 0x104, PCI_ACS_WANTED << 16);
    b->nvme->parent = bridge;
    vbench_discover(b);
    const struct pci_assign_config cfg = vbench_config(b);
    uint32_t bdf = PCI_BDF(1, NVME_DEV, 0);

    assert_int_equal(vbench_claim(b, bdf), 0);
    assert_int_equal(pci_assign_begin(&b->a[0], &b->host, bdf, &cfg), 0);
    assert_int_equal(pci_assign_finish(&b->a[0]), 0);
    assert_true(device_reaches(b, 0x148, G_RAM)); /* bus 1 */
    assert_int_equal(commands_of(b->nvme), 0);
    pci_master(&b->host, b->a[0].f, true);
    assert_int_equal(commands_of(b->nvme), PCI_COMMAND_MASTER);
    assert_int_not_equal(fpci_get(&b->pci.fn[bridge], PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
    assert_int_equal(fpci_get(&b->pci.fn[bridge], PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vbench_setup, vbench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_assigned_device_is_reset_known_and_off_the_bus),
        TEST(test_begin_returns_before_the_reset_is_over),
        TEST(test_unclaimed_or_foreign_functions_are_refused),
        TEST(test_one_function_is_assigned_once),
        TEST(test_function_not_behind_an_iommu_is_refused),
        TEST(test_no_iommu_is_accepted_only_without_any_and_when_allowed),
        TEST(test_function_without_reset_needs_leave),
        TEST(test_function_without_reset_that_drains_by_reset_is_refused),
        TEST(test_pretended_pm_reset_of_an_unknown_device_is_refused),
        TEST(test_bar_page_that_holds_something_else_is_refused),
        TEST(test_virtio_is_given_only_when_it_obeys_the_iommu),
        TEST(test_virtio_with_a_lying_common_configuration_is_refused),
        TEST(test_failed_reset_gives_nothing),
        TEST(test_each_failing_allocation_leaves_nothing_behind),
        TEST(test_bar_that_is_a_resource_already_undoes_the_attachment),
        TEST(test_iommu_that_does_not_answer_gives_nothing),
        TEST(test_bridge_above_masters_while_something_below_is_assigned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
