/* An IOMMU is asked what it makes of 64 KiB leaves, and no view that it walks has any if it does
 * not know them. [Priv Svnapot; IOMMU 5.24 to 5.26] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_machine.h"

#include "core/ctx.h"
#include "pt/napot.h"

#define LAST 0xffffu
#define GPA (64ull << 20)

static struct fake_machine m;

static void open_as(uint32_t flags, uint64_t capabilities, enum fake_napot napot)
{
    machine_open_flags(&m, flags);
    for (unsigned i = 0; i < 2; i++) {
        m.iommu[i].capabilities |= capabilities;
        m.iommu[i].napot = napot;
    }
}

static uint32_t found(cordon_iommu *iommu)
{
    struct cordon_iommu_info info;

    cordon_iommu_info(iommu, &info);
    return info.napot;
}

/* What the trial leaves: nothing that leads anywhere, and no memory but directory pages. */
static uint32_t tried(enum fake_napot napot)
{
    open_as(CORDON_CTX_NAPOT, FAKE_CAP_DBG, napot);
    cordon_iommu *iommu = machine_iommu(&m, 0, LAST);
    uint32_t what = found(iommu);

    machine_sound(&m);
    assert_true(m.iommu[0].asked > 0);
    assert_int_equal(m.iommu[0].fq.tail, 0); /* an answer is no device's fault */
    assert_int_equal(fake_access(&m.iommu[0], LAST, 0), 258);
    assert_false(fake_holds_page(&m.iommu[0], 0, 0));
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(machine_stats(&m).table, 0);
    machine_close(&m);
    return what;
}

static void test_who_knows_them_is_known(void **state)
{
    (void)state;
    assert_int_equal(tried(FAKE_NAPOT_KNOWN), CORDON_NAPOT_KNOWN);
    assert_int_equal(tried(FAKE_NAPOT_RANGE), CORDON_NAPOT_KNOWN);
}

static void test_who_takes_them_for_4_kib_is_found(void **state)
{
    (void)state;
    assert_int_equal(tried(FAKE_NAPOT_IGNORED), CORDON_NAPOT_IGNORED);
}

static void test_who_takes_any_size_is_found(void **state)
{
    (void)state;
    assert_int_equal(tried(FAKE_NAPOT_ANY_SIZE), CORDON_NAPOT_IGNORED);
}

static void test_without_harts_that_know_them_nobody_is_asked(void **state)
{
    (void)state;
    open_as(0, FAKE_CAP_DBG, FAKE_NAPOT_KNOWN);
    cordon_iommu *iommu = machine_iommu(&m, 0, LAST);

    assert_int_equal(found(iommu), CORDON_NAPOT_UNTRIED);
    assert_int_equal(m.iommu[0].asked, 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&m);
}

static void test_without_debug_registers_it_is_not_known(void **state)
{
    (void)state;
    open_as(CORDON_CTX_NAPOT, 0, FAKE_NAPOT_KNOWN);
    cordon_iommu *iommu = machine_iommu(&m, 0, LAST);

    assert_int_equal(found(iommu), CORDON_NAPOT_UNTRIED);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&m);
}

struct silence {
    unsigned refused, untried, kept;
};

/* The taking over, with operation AT of its registers, or all from there on, never answered. */
static void silent_at(uint32_t at, bool for_ever, struct silence *s)
{
    struct cordon_iommu_config cfg = machine_iommu_config(0);
    cordon_iommu *iommu = NULL;

    open_as(CORDON_CTX_NAPOT, FAKE_CAP_DBG, FAKE_NAPOT_KNOWN);
    m.tick_us = 10;
    m.iommu[0].never_at = at;
    m.iommu[0].never_from = for_ever ? at : 0;
    cfg.max_device_id = LAST;
    if (cordon_iommu_add(m.ctx, &cfg, &iommu) != 0) {
        s->refused++;
    } else if (found(iommu) == CORDON_NAPOT_UNTRIED) {
        s->untried++;
        s->kept += machine_stats(&m).revoking != 0;
    }
    assert_null(record_broken(&m.record));
    machine_drop(&m);
}

static void test_one_that_does_not_answer_keeps_what_it_may_walk(void **state)
{
    struct silence once = {.kept = 0}, ever = {.kept = 0};

    (void)state;
    for (uint32_t at = 1; at < 24; at++) {
        silent_at(at, false, &once);
        silent_at(at, true, &ever);
    }
    assert_true(once.refused > 3 && ever.refused > 3);
    assert_int_equal(once.untried, 6); /* the context comes, four questions, it goes */
    assert_int_equal(once.kept, 0);    /* asked again, it let go */
    assert_true(ever.untried >= 6);
    assert_true(ever.kept >= 5);
}

/* ---- views -------------------------------------------------------------------------------- */

static uint64_t runs(const cordon_domain *d, uint32_t view)
{
    struct cordon_hit hit;
    cordon_gpa gpa = cordon_gpa_make(0);
    uint64_t count = 0;

    while (cordon_leaf_next(d, view, &gpa, &hit) == 0) {
        count += hit.shift == 16;
        gpa = cordon_gpa_add(gpa, hit.span);
    }
    return count;
}

static uint64_t coalesced(cordon_domain *d)
{
    const struct cordon_coalesce what = {
        .size = sizeof(what), .gpa = cordon_gpa_make(GPA), .len = 2 << 20};
    struct cordon_coalesced out;

    assert_int_equal(cordon_coalesce(d, &what, &out), 0);
    return out.napot;
}

/* A domain with two runs. */
static cordon_domain *domain(void)
{
    const struct cordon_run_want want = {.len = 128 << 10, .align = 64 << 10};
    cordon_domain *d = machine_domain(&m);

    (void)machine_grant_run(&m, d, GPA, want, 0);
    assert_int_equal(runs(d, 0), 2);
    return d;
}

static void test_a_device_behind_one_that_knows_them_shares_them(void **state)
{
    (void)state;
    open_as(CORDON_CTX_NAPOT, FAKE_CAP_DBG, FAKE_NAPOT_KNOWN);
    cordon_iommu *iommu = machine_iommu(&m, 0, LAST);
    cordon_device *dev = machine_device(iommu, 3);
    cordon_domain *d = domain();

    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    machine_sound(&m);
    assert_int_equal(runs(d, 1), 2);
    assert_int_equal(machine_revoke(d, GPA + 5 * 4096, 1), 0);
    machine_sound(&m);
    assert_int_equal(runs(d, 0), 1);
    assert_int_equal(runs(d, 1), 1);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&m);
}

static void test_a_device_behind_one_that_does_not_takes_them_apart(void **state)
{
    (void)state;
    open_as(CORDON_CTX_NAPOT, FAKE_CAP_DBG, FAKE_NAPOT_IGNORED);
    cordon_iommu *iommu = machine_iommu(&m, 0, LAST);
    cordon_device *dev = machine_device(iommu, 3);
    cordon_domain *d = domain();
    uint32_t fences = m.hart_fences;

    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    machine_sound(&m);
    assert_int_equal(runs(d, 0) + runs(d, 1), 0);
    assert_int_equal(m.hart_fences, fences + 1);
    assert_int_equal(coalesced(d), 0);
    (void)machine_grant(&m, d, 2 * GPA, 64);
    assert_int_equal(runs(d, 0), 0);
    assert_int_equal(cordon_device_detach(dev), 0);
    machine_sound(&m);
    assert_int_equal(coalesced(d), 2); /* nobody is left who does not know them */
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&m);
}

static void test_one_of_two_iommus_that_does_not_know_them_decides(void **state)
{
    (void)state;
    open_as(CORDON_CTX_NAPOT, FAKE_CAP_DBG, FAKE_NAPOT_KNOWN);
    m.iommu[1].napot = FAKE_NAPOT_IGNORED;
    cordon_iommu *knows = machine_iommu(&m, 0, LAST), *ignores = machine_iommu(&m, 1, LAST);
    cordon_device *first = machine_device(knows, 3), *second = machine_device(ignores, 3);
    cordon_domain *d = domain();

    assert_int_equal(cordon_device_attach(d, first, 0), 0);
    assert_int_equal(runs(d, 1), 2);
    assert_int_equal(cordon_device_attach(d, second, CORDON_ATTACH_OWN_VIEW), 0);
    machine_sound(&m);
    assert_int_equal(runs(d, 0) + runs(d, 1) + runs(d, 2), 0);
    assert_int_equal(cordon_device_detach(first), 0);
    assert_int_equal(coalesced(d), 0);
    assert_int_equal(cordon_device_detach(second), 0);
    assert_int_equal(coalesced(d), 2);
    assert_int_equal(cordon_device_remove(first), 0);
    assert_int_equal(cordon_device_remove(second), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_iommu_remove(knows), 0);
    assert_int_equal(cordon_iommu_remove(ignores), 0);
    machine_close(&m);
}

static void test_an_audit_finds_a_view_that_its_iommu_may_not_know(void **state)
{
    struct cordon_finding f = {.invariant = 0};

    (void)state;
    open_as(CORDON_CTX_NAPOT, FAKE_CAP_DBG, FAKE_NAPOT_IGNORED);
    cordon_device *dev = machine_device(machine_iommu(&m, 0, LAST), 3);
    cordon_domain *d = domain();

    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    d->forest.napot = true;
    assert_int_equal(cordon_audit(m.ctx, &f), -CORDON_ECORRUPT);
    assert_int_equal(f.invariant, 1);
    machine_drop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_knows_them_is_known),
        cmocka_unit_test(test_who_takes_them_for_4_kib_is_found),
        cmocka_unit_test(test_who_takes_any_size_is_found),
        cmocka_unit_test(test_without_harts_that_know_them_nobody_is_asked),
        cmocka_unit_test(test_without_debug_registers_it_is_not_known),
        cmocka_unit_test(test_one_that_does_not_answer_keeps_what_it_may_walk),
        cmocka_unit_test(test_a_device_behind_one_that_knows_them_shares_them),
        cmocka_unit_test(test_a_device_behind_one_that_does_not_takes_them_apart),
        cmocka_unit_test(test_one_of_two_iommus_that_does_not_know_them_decides),
        cmocka_unit_test(test_an_audit_finds_a_view_that_its_iommu_may_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
