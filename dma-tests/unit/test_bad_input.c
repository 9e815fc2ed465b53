/* Every public call with every kind of bad argument: its own code, and nothing has changed. */
#include "refusal_bench.h"

/* ---- contexts, runs, resources ------------------------------------------------------------ */

static int run(uint32_t size, uint32_t flags, uint64_t len, uint64_t align, uint64_t boundary,
               uint64_t highest)
{
    const struct cordon_run_want want = {size, flags, len, align, boundary, highest};
    cordon_hpa out = {7};
    int err = cordon_run_alloc(ctx, &want, &out);

    assert_true(err == 0 || out.v == 7); /* written on success only */
    return err;
}

static int scatter(uint64_t len, uint32_t pieces, size_t room)
{
    struct cordon_extent out[4];

    return cordon_scatter_alloc(ctx, len, pieces, 1, out, &room);
}

static void test_memory_calls(void **state)
{
    const uint32_t size = sizeof(struct cordon_run_want);
    cordon_hpa hpa;
    size_t count = 1;

    (void)state;
    REFUSED(EINVAL, run(size - 1, 0, PAGE, 0, 0, 0));
    REFUSED(EINVAL, run(size + 8, 0, PAGE, 0, 0, 0));
    REFUSED(EINVAL, run(0, 0, PAGE, 0, 0, 0));
    REFUSED(EINVAL, run(UINT32_MAX, 0, PAGE, 0, 0, 0));
    REFUSED(EINVAL, run(size, 4, PAGE, 0, 0, 0));
    REFUSED(EALIGN, run(size, 0, PAGE + 1, 0, 0, 0));
    REFUSED(EALIGN, run(size, 0, UINT64_MAX, 0, 0, 0));
    REFUSED(EALIGN, run(size, 0, PAGE, 3 * PAGE, 0, 0));
    REFUSED(EALIGN, run(size, 0, PAGE, 8, 0, 0));
    REFUSED(EALIGN, run(size, 0, PAGE, 0, 3 * PAGE, 0));
    REFUSED(ERANGE, run(size, 0, 0, 0, 0, 0));
    REFUSED(ERANGE, run(size, 0, 2 * PAGE, 0, PAGE, 0));
    REFUSED(ERANGE, run(size, 0, 2 * PAGE, 0, 0, PAGE));
    REFUSED(ENOMEM, run(size, 0, LAST, 0, 0, 0));
    REFUSED(ENOMEM, run(size, 0, PAGE, UINT64_C(1) << 63, 0, 0));
    REFUSED(ENOMEM, run(size, 0, PAGE, 0, 0, 2 * PAGE));
    REFUSED(EINVAL, cordon_run_alloc(ctx, NULL, &hpa));
    REFUSED(EINVAL, cordon_run_alloc(NULL, NULL, &hpa));

    REFUSED(EALIGN, cordon_run_free(ctx, cordon_hpa_add(held.hpa, 8), PAGE));
    REFUSED(EALIGN, cordon_run_free(ctx, held.hpa, UINT64_MAX));
    REFUSED(ERANGE, cordon_run_free(ctx, held.hpa, 0));
    REFUSED(ERANGE, cordon_run_free(ctx, held.hpa, LAST));
    REFUSED(ERANGE, cordon_run_free(ctx, cordon_hpa_make(LAST), PAGE));
    REFUSED(EPERM, cordon_run_free(ctx, held.hpa, 3 * PAGE));
    REFUSED(EPERM, cordon_run_free(ctx, cordon_hpa_make(MACHINE_FIRMWARE), PAGE));
    REFUSED(EPERM, cordon_run_free(ctx, cordon_hpa_make(0), PAGE));

    REFUSED(ERANGE, scatter(0, 0, 4));
    REFUSED(EALIGN, scatter(8, 0, 4));
    REFUSED(ELIMIT, scatter(LAST, 0, 4)); /* in four pieces */
    REFUSED(EINVAL, scatter(PAGE, UINT32_MAX, 4));
    REFUSED(EINVAL, scatter(PAGE, 2, 4)); /* a page of pieces of two */
    REFUSED(ELIMIT, scatter(8 * PAGE, 1, 4));
    REFUSED(EINVAL, cordon_scatter_alloc(ctx, PAGE, 0, 1, NULL, &count));

    REFUSED(EALIGN, cordon_resource_add(ctx, cordon_hpa_make(0x10000008), PAGE));
    REFUSED(EALIGN, cordon_resource_add(ctx, cordon_hpa_make(0x10000000), 8));
    REFUSED(ERANGE, cordon_resource_add(ctx, cordon_hpa_make(0x10000000), 0));
    REFUSED(ERANGE, cordon_resource_add(ctx, cordon_hpa_make(LAST), PAGE));
    REFUSED(ERANGE, cordon_resource_add(ctx, cordon_hpa_make(0x10000000), LAST));
    REFUSED(ERANGE, cordon_resource_add(ctx, cordon_hpa_make(UINT64_C(1) << 56), PAGE));
    REFUSED(EPERM, cordon_resource_add(ctx, held.hpa, PAGE));
    REFUSED(EPERM, cordon_resource_add(ctx, cordon_hpa_make(MACHINE_IOMMU), PAGE));
    REFUSED(EEXIST, cordon_resource_add(ctx, cordon_hpa_make(MACHINE_FILES), PAGE));
    REFUSED(ENOENT, cordon_resource_remove(ctx, cordon_hpa_make(MACHINE_FILES + PAGE)));
    REFUSED(ENOENT, cordon_resource_remove(ctx, cordon_hpa_make(MACHINE_IOMMU)));
    REFUSED(ENOENT, cordon_resource_remove(ctx, cordon_hpa_make(UINT64_MAX)));
    REFUSED(EBUSY, cordon_ctx_destroy(ctx));
}

/* ---- domains ------------------------------------------------------------------------------ */

static int domain(uint32_t size, uint32_t modes, uint64_t limit)
{
    const struct cordon_domain_config cfg = {size, modes, limit};
    cordon_domain *out = NULL;
    int err = cordon_domain_create(ctx, &cfg, &out);

    assert_null(out);
    return err;
}

static int op(uint32_t kind, uint64_t gpa, uint64_t len, uint32_t perms, uint32_t reserved)
{
    const struct cordon_op one = {.kind = kind,
                                  .gpa = {gpa},
                                  .len = len,
                                  .perms = perms,
                                  .reserved = reserved,
                                  .extents = kind == CORDON_OP_GRANT ? &held : NULL,
                                  .extent_count = kind == CORDON_OP_GRANT};

    return cordon_change(d, &one, 1);
}

static void test_domain_calls(void **state)
{
    const uint32_t size = sizeof(struct cordon_domain_config);

    (void)state;
    REFUSED(EINVAL, domain(size - 4, 0, TOP));
    REFUSED(EINVAL, domain(0, 0, TOP));
    REFUSED(EINVAL, domain(UINT32_MAX, 0, TOP));
    REFUSED(EINVAL, domain(size, 8, TOP));
    REFUSED(ERANGE, domain(size, 0, 0));
    REFUSED(ERANGE, domain(size, 0, TOP + 8));
    REFUSED(ERANGE, domain(size, 0, UINT64_MAX));
    REFUSED(ENOTSUP, domain(size, 0, LAST));
    REFUSED(ENOTSUP, domain(size, CORDON_MODE_SV39X4, UINT64_C(1) << 42));
    REFUSED(EBUSY, cordon_domain_destroy(d));
    REFUSED(EINVAL, cordon_domain_destroy(NULL));

    REFUSED(EINVAL, op(0, FREE_AT, held.len, CORDON_RW, 0));
    REFUSED(EINVAL, op(UINT32_MAX, FREE_AT, held.len, CORDON_RW, 0));
    for (uint32_t kind = CORDON_OP_GRANT; kind <= CORDON_OP_PROTECT; kind++) {
        uint32_t perms = kind != CORDON_OP_REVOKE ? CORDON_RW : 0;
        uint64_t at = kind == CORDON_OP_GRANT ? FREE_AT : AT;

        REFUSED(EINVAL, op(kind, at, 2 * PAGE, perms, 1));
        REFUSED(EINVAL, op(kind, at, 2 * PAGE, perms | 8, 0));
        REFUSED(EALIGN, op(kind, at + 1, 2 * PAGE, perms, 0));
        REFUSED(EALIGN, op(kind, at, UINT64_MAX, perms, 0));
        REFUSED(ERANGE, op(kind, at, 0, perms, 0));
        REFUSED(ERANGE, op(kind, at, LAST, perms, 0));
        REFUSED(ERANGE, op(kind, LAST, 2 * PAGE, perms, 0));
        REFUSED(ERANGE, op(kind, TOP, 2 * PAGE, perms, 0));
        REFUSED(ERANGE, op(kind, TOP - PAGE, 2 * PAGE, perms, 0));
    }
    REFUSED(EEXIST, op(CORDON_OP_GRANT, AT, 2 * PAGE, CORDON_RW, 0));
    REFUSED(ENOENT, op(CORDON_OP_REVOKE, FREE_AT, PAGE, 0, 0));
    REFUSED(ENOENT, op(CORDON_OP_PROTECT, AT, 5 * PAGE, CORDON_READ, 0));
    REFUSED(EINVAL, cordon_change(d, NULL, 1));
    REFUSED(EINVAL, cordon_change(d, NULL, SIZE_MAX));
}

static void test_questions(void **state)
{
    struct cordon_region_info region;
    struct cordon_hit hit = {.span = 7};
    struct cordon_walk walk = {.size = sizeof(walk) - 8};
    struct cordon_borrower who;
    cordon_gpa gpa = {UINT64_MAX};

    (void)state;
    REFUSED(ENOENT, cordon_region_find(d, cordon_gpa_make(UINT64_MAX), true, &region));
    REFUSED(ENOENT, cordon_region_find(d, cordon_gpa_make(0), false, &region));
    REFUSED(EINVAL, cordon_region_find(d, cordon_gpa_make(0), false, NULL));
    REFUSED(EINVAL, cordon_translate(d, 2, cordon_gpa_make(AT), 0, &hit));
    REFUSED(EINVAL, cordon_translate(d, UINT32_MAX, cordon_gpa_make(AT), 0, &hit));
    REFUSED(EINVAL, cordon_translate(d, 0, cordon_gpa_make(AT), 8, &hit));
    REFUSED(ERANGE, cordon_translate(d, 0, cordon_gpa_make(UINT64_MAX), 0, &hit));
    REFUSED(EFAULT, cordon_translate(d, 0, cordon_gpa_make(FREE_AT), 0, &hit));
    assert_int_equal(hit.span, 7);
    REFUSED(EINVAL, cordon_walk(d, 0, cordon_gpa_make(AT), 0, &walk));
    walk.size = sizeof(walk);
    REFUSED(EINVAL, cordon_walk(d, 8, cordon_gpa_make(AT), 0, &walk));
    REFUSED(EINVAL, cordon_walk(d, 0, cordon_gpa_make(AT), UINT32_MAX, &walk));
    REFUSED(ENOENT, cordon_leaf_next(d, 0, &gpa, &hit));
    REFUSED(EINVAL, cordon_leaf_next(d, UINT32_MAX, &gpa, &hit));
    REFUSED(EINVAL, cordon_leaf_next(d, 0, NULL, &hit));
    REFUSED(EINVAL, cordon_frame_query(ctx, held.hpa, NULL));
    REFUSED(EINVAL, cordon_audit(ctx, NULL));
    REFUSED(ENOENT, cordon_frame_borrower(ctx, cordon_hpa_make(UINT64_MAX), UINT32_MAX, &who));
}

/* ---- IOMMUs, devices, MSIs ---------------------------------------------------------------- */

static int add_iommu(uint32_t size, uint32_t flags, uint64_t base, uint32_t log2, uint32_t id)
{
    const struct cordon_iommu_config cfg = {
        .size = size, .flags = flags, .base = {base}, .cq_log2 = log2, .max_device_id = id};
    cordon_iommu *out = NULL;
    int err = cordon_iommu_add(ctx, &cfg, &out);

    assert_null(out);
    return err;
}

static int add_device(uint32_t size, uint32_t id, uint32_t drain, uint32_t reserved, char last)
{
    struct cordon_device_config cfg = {
        .size = size, .device_id = id, .drain = drain, .reserved = reserved};
    cordon_device *out = NULL;

    cfg.name[31] = last;
    int err = cordon_device_add(iommu, &cfg, &out);

    assert_null(out);
    return err;
}

static void test_hardware_calls(void **state)
{
    const uint32_t isize = sizeof(struct cordon_iommu_config);
    const uint32_t dsize = sizeof(struct cordon_device_config);

    (void)state;
    REFUSED(EINVAL, add_iommu(isize - 8, 0, MACHINE_IOMMU + PAGE, 0, 0xff));
    REFUSED(EINVAL, add_iommu(isize, 1, MACHINE_IOMMU + PAGE, 0, 0xff));
    REFUSED(EINVAL, add_iommu(isize, 0, MACHINE_IOMMU + 8, 0, 0xff));
    REFUSED(EINVAL, add_iommu(isize, 0, MACHINE_RAM, 0, 0xff));
    REFUSED(EINVAL, add_iommu(isize, 0, MACHINE_IOMMU + PAGE, 16, 0xff));
    REFUSED(EINVAL, add_iommu(isize, 0, MACHINE_IOMMU + PAGE, UINT32_MAX, 0xff));
    REFUSED(ENOTSUP, add_iommu(isize, 0, MACHINE_IOMMU + PAGE, 0, UINT32_MAX));
    REFUSED(EEXIST, add_iommu(isize, 0, MACHINE_IOMMU, 0, 0xff));
    REFUSED(EBUSY, cordon_iommu_remove(iommu));
    REFUSED(EINVAL, cordon_iommu_remove(NULL));

    REFUSED(EINVAL, add_device(dsize + 8, 10, CORDON_DRAIN_IOMMU, 0, 0));
    REFUSED(EINVAL, add_device(0, 10, CORDON_DRAIN_IOMMU, 0, 0));
    REFUSED(EINVAL, add_device(dsize, 10, 0, 0, 0));
    REFUSED(EINVAL, add_device(dsize, 10, 3, 0, 0));
    REFUSED(EINVAL, add_device(dsize, 10, CORDON_DRAIN_IOMMU, 1, 0));
    REFUSED(EINVAL, add_device(dsize, 10, CORDON_DRAIN_IOMMU, 0, 'x'));
    REFUSED(ERANGE, add_device(dsize, 0x100, CORDON_DRAIN_IOMMU, 0, 0));
    REFUSED(ERANGE, add_device(dsize, UINT32_MAX, CORDON_DRAIN_IOMMU, 0, 0));
    REFUSED(EEXIST, add_device(dsize, 8, CORDON_DRAIN_IOMMU, 0, 0));
    REFUSED(EBUSY, cordon_device_remove(dev));
    REFUSED(EINVAL, cordon_device_attach(d, spare, 2));
    REFUSED(EINVAL, cordon_device_attach(d, NULL, 0));
    REFUSED(EINVAL, cordon_device_attach(NULL, spare, 0));
    REFUSED(EBUSY, cordon_device_attach(other, dev, 0));
    REFUSED(ENOENT, cordon_device_detach(spare));
    REFUSED(EINVAL, cordon_device_detach(NULL));
    REFUSED(EINVAL, cordon_device_drained(NULL));

    REFUSED(EINVAL, cordon_msi_window(other, cordon_gpa_make(8), 1));
    REFUSED(EINVAL, cordon_msi_window(other, cordon_gpa_make(FREE_AT), UINT64_MAX));
    REFUSED(EINVAL, cordon_msi_window(other, cordon_gpa_make(LAST), 1));
    REFUSED(EBUSY, cordon_msi_window(d, cordon_gpa_make(FREE_AT), 1));
    REFUSED(ENOENT, cordon_msi_set(other, 0, cordon_hpa_make(MACHINE_FILES)));
    REFUSED(EALIGN, cordon_msi_set(other, 0, cordon_hpa_make(UINT64_MAX)));
}

/* Functions without a code have no way to refuse: they answer 0 or zeroes, and write nowhere. */
static void test_questions_without_a_code(void **state)
{
    struct cordon_iommu_info info = {.capabilities = 1};
    struct cordon_fault_stats faults = {.records = 1};
    struct cordon_memory_stats memory = {.total = 1};
    struct cordon_fault fault;

    (void)state;
    assert_int_equal(cordon_faults_poll(NULL, 1), 0);
    assert_int_equal(cordon_faults_take(NULL, &fault, 1), 0);
    assert_int_equal(cordon_faults_take(iommu, NULL, 1), 0);
    cordon_iommu_info(NULL, &info);
    cordon_iommu_info(iommu, NULL);
    cordon_faults_stats(NULL, &faults);
    cordon_faults_stats(iommu, NULL);
    cordon_memory_stats(NULL, &memory);
    cordon_memory_stats(ctx, NULL);
    assert_int_equal(info.capabilities + faults.records + memory.total, 0);
    assert_int_equal(cordon_domain_number(NULL), 0);
    assert_int_equal(cordon_domain_hgatp(NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_memory_calls),
        TEST(test_domain_calls),
        TEST(test_questions),
        TEST(test_hardware_calls),
        TEST(test_questions_without_a_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
