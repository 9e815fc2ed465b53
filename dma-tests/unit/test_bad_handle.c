/* Every public call with a handle that is another context's, of another kind, or closed: EHANDLE,
 * and nothing has changed. */
#include "refusal_bench.h"

static void test_handles_of_another_context(void **state)
{
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {AT}, .to = {AT}, .len = PAGE, .perms = CORDON_READ};

    (void)state;
    REFUSED(EHANDLE, cordon_device_attach(d, far_dev, 0));
    REFUSED(EHANDLE, cordon_device_attach(far, spare, 0));
    REFUSED(EHANDLE, cordon_share(d, far, &share));
    REFUSED(EHANDLE, cordon_share(far, d, &share));
}

/* Handles of another kind have another mark: who casts is told, too. */
static void no_domain(void *handle)
{
    const struct cordon_op one = {.kind = CORDON_OP_REVOKE, .gpa = {AT}, .len = PAGE};
    const struct cordon_share share = {.size = sizeof(share), .len = PAGE, .perms = 1};
    const struct cordon_remap remap = {.size = sizeof(remap), .to = {AT}, .len = PAGE};
    struct cordon_region_info region;
    struct cordon_walk walk = {.size = sizeof(walk)};
    struct cordon_hit hit;
    cordon_gpa gpa = {0};

    REFUSED(EHANDLE, cordon_change(handle, &one, 1));
    REFUSED(EHANDLE, cordon_share(handle, d, &share));
    REFUSED(EHANDLE, cordon_share(d, handle, &share));
    REFUSED(EHANDLE, cordon_remap(handle, &remap));
    REFUSED(EHANDLE, cordon_retire(handle));
    REFUSED(EHANDLE, cordon_domain_destroy(handle));
    REFUSED(EHANDLE, cordon_region_find(handle, gpa, true, &region));
    REFUSED(EHANDLE, cordon_translate(handle, 0, gpa, 0, &hit));
    REFUSED(EHANDLE, cordon_walk(handle, 0, gpa, 0, &walk));
    REFUSED(EHANDLE, cordon_leaf_next(handle, 0, &gpa, &hit));
    REFUSED(EHANDLE, cordon_device_attach(handle, spare, 0));
    REFUSED(EHANDLE, cordon_msi_window(handle, gpa, 0));
    REFUSED(EHANDLE, cordon_msi_set(handle, 0, held.hpa));
    assert_int_equal(cordon_domain_number(handle), 0);
    assert_int_equal(cordon_domain_hgatp(handle), 0);
}

static void no_device(void *handle)
{
    REFUSED(EHANDLE, cordon_device_attach(d, handle, 0));
    REFUSED(EHANDLE, cordon_device_detach(handle));
    REFUSED(EHANDLE, cordon_device_drained(handle));
    REFUSED(EHANDLE, cordon_device_remove(handle));
}

static void no_iommu(void *handle)
{
    const struct cordon_device_config cfg = machine_device_config(11, "none");
    struct cordon_fault_stats stats = {.records = 7};
    struct cordon_iommu_info info = {.modes = 7};
    struct cordon_fault fault;
    cordon_device *out;

    REFUSED(EHANDLE, cordon_device_add(handle, &cfg, &out));
    REFUSED(EHANDLE, cordon_iommu_remove(handle));
    assert_int_equal(cordon_faults_poll(handle, 9), 0);
    assert_int_equal(cordon_faults_take(handle, &fault, 1), 0);
    cordon_faults_stats(handle, &stats);
    cordon_iommu_info(handle, &info);
    assert_int_equal(stats.records + info.modes, 0);
}

static void no_ctx(void *handle)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = TOP};
    const struct cordon_iommu_config icfg = machine_iommu_config(1);
    struct cordon_memory_stats stats = {.total = 7};
    struct cordon_frame_info frame;
    struct cordon_borrower who;
    struct cordon_finding found;
    struct cordon_extent out;
    cordon_domain *made;
    cordon_iommu *added;
    size_t count = 1;

    REFUSED(EHANDLE, cordon_ctx_destroy(handle));
    REFUSED(EHANDLE, cordon_run_alloc(handle, &want, &out.hpa));
    REFUSED(EHANDLE, cordon_run_free(handle, held.hpa, PAGE));
    REFUSED(EHANDLE, cordon_scatter_alloc(handle, PAGE, 0, 1, &out, &count));
    REFUSED(EHANDLE, cordon_resource_add(handle, cordon_hpa_make(0x10000000), PAGE));
    REFUSED(EHANDLE, cordon_resource_remove(handle, cordon_hpa_make(MACHINE_FILES)));
    REFUSED(EHANDLE, cordon_domain_create(handle, &cfg, &made));
    REFUSED(EHANDLE, cordon_iommu_add(handle, &icfg, &added));
    REFUSED(EHANDLE, cordon_frame_query(handle, held.hpa, &frame));
    REFUSED(EHANDLE, cordon_frame_borrower(handle, held.hpa, 0, &who));
    REFUSED(EHANDLE, cordon_audit(handle, &found));
    cordon_memory_stats(handle, &stats);
    assert_int_equal(stats.total, 0);
}

static void test_handles_of_another_kind(void **state)
{
    (void)state;
    no_domain(dev);
    no_domain(ctx);
    no_device(d);
    no_device(iommu);
    no_iommu(dev);
    no_ctx(d);
}

static void test_handles_that_were_closed(void **state)
{
    cordon_domain *gone = machine_domain(&machine);
    cordon_device *lost = machine_device(iommu, 12);
    cordon_iommu *off = machine_iommu(&machine, 1, 0xff);
    struct fake_machine third;
    uint8_t *ram;

    (void)state;
    assert_int_equal(cordon_domain_destroy(gone), 0);
    assert_int_equal(cordon_device_remove(lost), 0);
    assert_int_equal(cordon_iommu_remove(off), 0);
    before = state_of();
    no_domain(gone);
    no_device(lost);
    no_iommu(off);

    machine_open(&third);
    ram = third.ram;
    assert_int_equal(cordon_resource_remove(third.ctx, cordon_hpa_make(MACHINE_FILES)), 0);
    assert_int_equal(cordon_ctx_destroy(third.ctx), 0);
    no_ctx(third.ctx);
    assert_ptr_equal(ram, third.ram);
    machine_drop(&third);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_handles_of_another_context),
        TEST(test_handles_of_another_kind),
        TEST(test_handles_that_were_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
