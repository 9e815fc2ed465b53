/*
 * Every public call with every kind of bad argument: its own code, and nothing has changed: counts,
 * owners, regions, leaves, what waits, what was counted of faults; the audit finds nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"

#define PAGE CORDON_PAGE_SIZE
#define AT UINT64_C(0x400000) /* four pages stand there, RW */
#define FREE_AT UINT64_C(0x10000000)
#define TOP (UINT64_C(1) << 32)   /* the domains' limit */
#define LAST (UINT64_MAX - 0xfff) /* the last page of all addresses */

static struct fake_machine machine, elsewhere;
static cordon_ctx *ctx;
static cordon_domain *d, *other, *far;
static cordon_iommu *iommu, *far_iommu;
static cordon_device *dev, *spare, *far_dev;
static struct cordon_extent held; /* two pages */

/* ---- what must not change ----------------------------------------------------------------- */

static void mix(uint64_t *h, uint64_t v)
{
    *h = (*h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    *h ^= *h >> 29;
}

static void mix_domain(const cordon_domain *of, uint64_t *h)
{
    struct cordon_region_info region;
    struct cordon_hit hit;

    for (uint64_t at = 0; cordon_region_find(of, cordon_gpa_make(at), true, &region) == 0;
         at = region.gpa.v + region.len) {
        mix(h, region.gpa.v ^ region.len << 1);
        mix(h, region.perms | (uint64_t)region.flags << 32);
    }
    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        cordon_gpa gpa = cordon_gpa_make(0);

        while (cordon_leaf_next(of, view, &gpa, &hit) == 0) {
            mix(h, gpa.v ^ (uint64_t)hit.perms << 60);
            mix(h, hit.hpa.v);
            gpa.v += hit.span;
        }
    }
}

static uint64_t state_of(void)
{
    struct cordon_memory_stats stats;
    struct cordon_fault_stats faults;
    struct cordon_finding found;
    uint64_t h = machine.iommu[0].operations;

    cordon_memory_stats(ctx, &stats);
    for (size_t i = 0; i < sizeof(stats) / 8; i++) {
        mix(&h, ((const uint64_t *)&stats)[i]);
    }
    for (uint64_t at = MACHINE_RAM; at < MACHINE_RAM + MACHINE_RAM_LEN; at += PAGE) {
        struct cordon_frame_info info;

        assert_int_equal(cordon_frame_query(ctx, cordon_hpa_make(at), &info), 0);
        mix(&h, info.state | (uint64_t)info.domain << 32);
        mix(&h, info.gpa.v);
    }
    mix_domain(d, &h);
    mix_domain(other, &h);
    cordon_faults_stats(iommu, &faults);
    mix(&h, faults.records + faults.suppressed + faults.overflows);
    if (cordon_audit(ctx, &found) != 0) {
        fail_msg("invariant %u: %s", found.invariant, found.text);
    }
    return h;
}

static uint64_t before;

static void refused(int answer, int code, const char *call)
{
    if (answer != -code) {
        fail_msg("%s: %s (%d) instead of %d", call, cordon_strerror(answer), answer, -code);
    }
    if (state_of() != before) {
        fail_msg("%s: refused, and something has changed", call);
    }
}

/* What is refused is refused in any order: each line stands alone. */
#define REFUSED(code, call) refused((call), CORDON_##code, #call)

static int setup(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = 2 * PAGE};

    (void)state;
    machine_open(&machine);
    machine_open(&elsewhere);
    ctx = machine.ctx;
    iommu = machine_iommu(&machine, 0, 0xff);
    far_iommu = machine_iommu(&elsewhere, 0, 0xff);
    d = machine_domain(&machine);
    other = machine_domain(&machine);
    far = machine_domain(&elsewhere);
    dev = machine_device(iommu, 8);
    spare = machine_device(iommu, 9);
    far_dev = machine_device(far_iommu, 8);
    (void)machine_grant(&machine, d, AT, 4);
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    held.len = want.len;
    assert_int_equal(cordon_run_alloc(ctx, &want, &held.hpa), 0);
    before = state_of();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_device_remove(spare), 0);
    assert_int_equal(cordon_device_remove(far_dev), 0);
    assert_int_equal(cordon_run_free(ctx, held.hpa, held.len), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
    assert_int_equal(cordon_domain_destroy(far), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(cordon_iommu_remove(far_iommu), 0);
    machine_close(&machine);
    machine_close(&elsewhere);
    return 0;
}

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

/* ---- handles ------------------------------------------------------------------------------ */

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
        TEST(test_memory_calls),
        TEST(test_domain_calls),
        TEST(test_questions),
        TEST(test_hardware_calls),
        TEST(test_questions_without_a_code),
        TEST(test_handles_of_another_context),
        TEST(test_handles_of_another_kind),
        TEST(test_handles_that_were_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
