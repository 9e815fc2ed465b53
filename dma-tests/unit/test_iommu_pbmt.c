/* Memory types in views of devices: said where the IOMMU has Svpbmt, and nowhere else, for it
 * reserves the bits. [IOMMU capabilities.Svpbmt] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_machine.h"

#include "core/ctx.h"
#include "riscv/iommu.h"

#define LAST 0xffffu
#define GPA (64ull << 20)
#define PAGES 1024u

static struct fake_machine m;
static cordon_iommu *iommu[2];
static cordon_device *device[2];
static cordon_domain *red;

static void grant(uint64_t gpa, uint64_t pages, uint32_t flags)
{
    const struct cordon_run_want want = {.len = pages * 4096, .align = 2 << 20};

    (void)machine_grant_run(&m, red, gpa, want, flags);
    machine_sound(&m);
}

/* IOMMU 0 has what CAPABILITIES say, IOMMU 1 nothing of it. */
static void open_as(uint64_t capabilities)
{
    machine_open_flags(&m, CORDON_CTX_PBMT);
    m.iommu[0].capabilities |= capabilities;
    for (uint32_t i = 0; i < 2; i++) {
        iommu[i] = machine_iommu(&m, i, LAST);
        device[i] = machine_device(iommu[i], 3);
    }
    red = machine_domain(&m);
    grant(GPA, PAGES, CORDON_REGION_NC);
}

static void close_all(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        int err = cordon_device_detach(device[i]);

        assert_true(err == 0 || err == -CORDON_ENOENT); /* it was not attached */
        assert_int_equal(cordon_device_remove(device[i]), 0);
    }
    machine_sound(&m);
    assert_int_equal(cordon_domain_destroy(red), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(cordon_iommu_remove(iommu[i]), 0);
    }
    machine_close(&m);
}

static void expect_types(uint32_t view, uint64_t gpa, uint64_t pages, uint32_t type)
{
    struct cordon_hit hit;

    for (uint64_t i = 0; i < pages; i++) {
        assert_int_equal(cordon_translate(red, view, cordon_gpa_make(gpa + i * 4096), 0, &hit), 0);
        assert_int_equal(hit.type, type);
    }
}

static void test_an_iommu_without_svpbmt_meets_no_type(void **state)
{
    (void)state;
    open_as(0);
    assert_int_equal(cordon_device_attach(red, device[0], 0), 0);
    machine_sound(&m);
    grant(2 * GPA, PAGES, CORDON_REGION_IO); /* what comes later, and what changes */
    for (uint64_t gpa = GPA; gpa <= 2 * GPA; gpa += GPA) {
        expect_types(0, gpa, PAGES, gpa == GPA ? CORDON_REGION_NC : CORDON_REGION_IO);
        expect_types(1, gpa, PAGES, 0);
    }
    assert_int_equal(machine_revoke(red, GPA + 5 * 4096, 1), 0);
    machine_sound(&m);
    expect_types(0, GPA + 6 * 4096, 8, CORDON_REGION_NC);
    expect_types(1, GPA + 6 * 4096, 8, 0);
    close_all();
}

static void test_an_iommu_with_svpbmt_shares_the_harts_tables(void **state)
{
    uint64_t before;

    (void)state;
    open_as(FAKE_CAP_SVPBMT);
    assert_int_equal(cordon_device_attach(red, device[0], 0), 0);
    machine_sound(&m);
    expect_types(1, GPA, PAGES, CORDON_REGION_NC);
    before = machine_stats(&m).table;
    grant(2 * GPA, 8, CORDON_REGION_IO);
    expect_types(1, 2 * GPA, 8, CORDON_REGION_IO);
    assert_int_equal(machine_stats(&m).table, before + 4096); /* one leaf table for both */
    close_all();
}

static void test_a_device_without_svpbmt_gets_no_view_that_says_types(void **state)
{
    (void)state;
    open_as(FAKE_CAP_SVPBMT);
    assert_int_equal(cordon_device_attach(red, device[0], 0), 0);
    assert_int_equal(cordon_device_attach(red, device[1], 0), -CORDON_ENOTSUP);
    machine_sound(&m);
    assert_int_equal(cordon_device_attach(red, device[1], CORDON_ATTACH_OWN_VIEW), 0);
    machine_sound(&m);
    expect_types(1, GPA, PAGES, CORDON_REGION_NC);
    expect_types(2, GPA, PAGES, 0);
    close_all();
}

static void test_the_audit_finds_a_view_with_types_behind_one_without(void **state)
{
    struct cordon_finding f;

    (void)state;
    open_as(FAKE_CAP_SVPBMT);
    assert_int_equal(cordon_device_attach(red, device[0], 0), 0);
    iommu[0]->info.capabilities &= ~FAKE_CAP_SVPBMT;
    assert_int_equal(cordon_audit(m.ctx, &f), -CORDON_ECORRUPT);
    iommu[0]->info.capabilities |= FAKE_CAP_SVPBMT;
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_iommu_without_svpbmt_meets_no_type),
        cmocka_unit_test(test_an_iommu_with_svpbmt_shares_the_harts_tables),
        cmocka_unit_test(test_a_device_without_svpbmt_gets_no_view_that_says_types),
        cmocka_unit_test(test_the_audit_finds_a_view_with_types_behind_one_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
