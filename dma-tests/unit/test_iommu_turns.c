/*
 * A whole life on an IOMMU, with each of its answers failing to come in turn: the step reports it,
 * what it would have freed is not reused, and it succeeds once the IOMMU answers. INV 4, 5, 7.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/ctx.h"
#include "fake_machine.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

#define GPA 0x40010000ull
#define PAGE (GPA >> 12)
#define DEVICE 0x18u
#define FILE_PAGE (MACHINE_FILES + 0x3000)

static struct fake_machine machine;
static struct fake_iommu *const fake = &machine.iommu[0];
static bool met; /* the answer that does not come was asked for */

/* An error that says so: the IOMMU answers from here on. */
static void answer_again(int err, int want)
{
    assert_int_equal(err, want);
    assert_false(met);
    met = true;
    fake_answer_all(fake);
}

static cordon_iommu *add_iommu(void)
{
    const struct cordon_iommu_config cfg = machine_iommu_config(0);
    cordon_iommu *iommu = NULL;
    int err = cordon_iommu_add(machine.ctx, &cfg, &iommu);

    if (err != 0) {
        assert_null(iommu);
        assert_int_not_equal(fake_access(fake, DEVICE, PAGE), 0);
        answer_again(err, -CORDON_ETIMEOUT);
        assert_int_equal(cordon_iommu_add(machine.ctx, &cfg, &iommu), 0);
    }
    return iommu;
}

static void attach(cordon_domain *d, cordon_device *dev)
{
    int err = cordon_device_attach(d, dev, 0);

    if (err != 0) {
        assert_int_equal(fake_access(fake, DEVICE, PAGE), 258);
        assert_int_equal(d->forest.views, 1);
        machine_sound(&machine);
        answer_again(err, -CORDON_ETIMEOUT);
        assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    }
    assert_int_equal(fake_access(fake, DEVICE, PAGE), 0);
    assert_int_equal(fake_access(fake, DEVICE, PAGE + 1), 0);
}

static void revoke(cordon_domain *d, cordon_hpa hpa)
{
    uint16_t gscid = d->view[1].gscid;
    int err = machine_revoke(d, GPA, 1);

    if (err != 0) {
        assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
        machine_sound(&machine);
        answer_again(err, -CORDON_EPENDING);
        assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
        assert_int_equal(cordon_retire(d), 0);
    }
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_false(fake_holds_page(fake, gscid, PAGE));
}

static bool file_is_free(void)
{
    struct resource_holder holder;

    return !resource_holder(machine.ctx, cordon_hpa_make(FILE_PAGE), &holder);
}

static void take_file(cordon_domain *d)
{
    uint16_t gscid = d->view[1].gscid;
    int err;

    assert_int_equal(cordon_msi_set(d, 1, cordon_hpa_make(FILE_PAGE)), 0);
    assert_int_equal(fake_access(fake, DEVICE, 0x28001), 0);
    err = cordon_msi_set(d, 1, cordon_hpa_make(0));
    if (err != 0) {
        assert_false(file_is_free());
        machine_sound(&machine);
        answer_again(err, -CORDON_EPENDING);
        assert_false(file_is_free());
        assert_int_equal(cordon_retire(d), 0);
    }
    assert_true(file_is_free());
    assert_false(fake_holds_page(fake, gscid, 0x28001));
}

static void detach(cordon_domain *d, cordon_device *dev)
{
    uint16_t gscid = d->view[1].gscid;
    cordon_hpa root = d->forest.root[1];
    int err = cordon_device_detach(dev);

    if (err != 0) {
        assert_int_equal(machine_frame_state(&machine, root), CORDON_FRAME_TABLE);
        assert_int_equal(cordon_device_remove(dev), -CORDON_EBUSY);
        machine_sound(&machine);
        answer_again(err, -CORDON_EPENDING);
        assert_int_equal(cordon_retire(d), 0);
    }
    assert_int_equal(fake_access(fake, DEVICE, PAGE + 1), 258);
    assert_false(fake_holds_page(fake, gscid, PAGE + 1));
    assert_int_equal(machine_frame_state(&machine, root), CORDON_FRAME_FREE);
    assert_int_equal(cordon_device_remove(dev), 0);
}

static void remove_iommu(cordon_iommu *iommu)
{
    uint64_t table = machine_stats(&machine).table;
    int err = cordon_iommu_remove(iommu);

    if (err != 0) {
        assert_int_equal(machine_stats(&machine).table, table);
        answer_again(err, -CORDON_ETIMEOUT);
        assert_int_equal(cordon_iommu_remove(iommu), 0);
    }
    assert_int_equal(fake_access(fake, DEVICE, PAGE), 256);
}

/* Returns whether the N-th answer was asked for at all. */
static bool live(uint32_t n, uint32_t delay)
{
    uint64_t table;
    cordon_iommu *iommu;
    cordon_domain *d;
    cordon_device *dev;
    cordon_hpa hpa;

    machine_open(&machine);
    table = machine_stats(&machine).table;
    met = false;
    fake->never_from = n;
    fake->delay = delay;
    iommu = add_iommu();
    d = machine_domain(&machine);
    hpa = machine_grant(&machine, d, GPA, 4);
    assert_int_equal(cordon_msi_window(d, cordon_gpa_make(0x28000000), 3), 0);
    dev = machine_device(iommu, DEVICE);
    attach(d, dev);
    machine_sound(&machine);
    take_file(d);
    revoke(d, hpa);
    detach(d, dev);
    machine_sound(&machine);
    assert_int_equal(cordon_domain_destroy(d), 0);
    remove_iommu(iommu);
    if (!met) {
        assert_int_equal(machine_stats(&machine).table, table);
    }
    machine_close(&machine);
    return met;
}

static void test_each_answer_that_never_comes_is_survived(void **state)
{
    uint32_t n = 1;

    (void)state;
    while (live(n, 0)) {
        n++;
    }
    assert_true(n > 13); /* bring-up 5, attach, MSI, revoke, detach, removal 4 */
}

static void test_each_answer_may_also_be_slow(void **state)
{
    (void)state;
    assert_false(live(0, 20));
}

/* The same with an error bit instead of silence: each command in turn is said to be illegal, or its
 * memory to fault; nobody notices but the count of restarts. */
static void test_each_command_may_fail_once(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 40; n++) {
        cordon_iommu *iommu;
        cordon_domain *d;
        cordon_device *dev;
        cordon_hpa hpa;

        machine_open(&machine);
        fake->ill_at = n % 2 != 0 ? n : 0;
        fake->fault_at = n % 2 == 0 ? n : 0;
        iommu = machine_iommu(&machine, 0, 0xffff);
        d = machine_domain(&machine);
        hpa = machine_grant(&machine, d, GPA, 4);
        dev = machine_device(iommu, DEVICE);
        assert_int_equal(cordon_device_attach(d, dev, 0), 0);
        assert_int_equal(fake_access(fake, DEVICE, PAGE), 0);
        assert_int_equal(machine_revoke(d, GPA, 1), 0);
        assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
        assert_int_equal(fake->pages[0].valid, false);
        assert_int_equal(cordon_device_detach(dev), 0);
        assert_int_equal(fake_access(fake, DEVICE, PAGE), 258);
        assert_int_equal(cordon_device_remove(dev), 0);
        assert_int_equal(iommu->cq.restarts, n <= fake->commands);
        assert_int_equal(cordon_domain_destroy(d), 0);
        assert_int_equal(cordon_iommu_remove(iommu), 0);
        machine_close(&machine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_answer_that_never_comes_is_survived),
        cmocka_unit_test(test_each_answer_may_also_be_slow),
        cmocka_unit_test(test_each_command_may_fail_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
