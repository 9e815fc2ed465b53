/* Devices and their contexts: added, attached, detached, in both formats and at each depth. */
#include "no_iommu.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

static void end(cordon_iommu *iommu, cordon_domain *d)
{
    machine_sound(&machine);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

/* ---- known devices ------------------------------------------------------------------------ */

static void test_a_device_without_a_domain_reaches_nothing(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    cordon_device *dev;

    (void)state;
    assert_int_equal(fake_access(fake, 0x18, 0), 258);
    dev = machine_device(iommu, 0x18);
    assert_int_equal(fake_access(fake, 0x18, 0), 258);
    assert_int_equal(fake_access(fake, 0xffff, 0), 258);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(fake_access(fake, 0x18, 0), 258);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

static void test_bad_devices_are_refused(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0x1234);
    const struct cordon_device_config good = machine_device_config(0x1234, "edge");
    struct cordon_device_config cfg[4] = {good, good, good, good};
    cordon_device *dev = NULL;
    cordon_device *edge;

    (void)state;
    cfg[0].size++;
    cfg[1].reserved = 1;
    cfg[2].drain = 3;
    memset(cfg[3].name, 'x', sizeof(cfg[3].name));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(cordon_device_add(iommu, &cfg[i], &dev), -CORDON_EINVAL);
    }
    assert_int_equal(cordon_device_add(NULL, &good, &dev), -CORDON_EINVAL);
    assert_int_equal(cordon_device_add(iommu, &good, &edge), 0); /* the widest id that was said */
    assert_int_equal(cordon_device_add(iommu, &good, &dev), -CORDON_EEXIST);
    cfg[0] = good;
    cfg[0].device_id++;
    assert_int_equal(cordon_device_add(iommu, &cfg[0], &dev), -CORDON_ERANGE);
    assert_null(dev);
    assert_int_equal(cordon_iommu_remove(iommu), -CORDON_EBUSY);
    assert_int_equal(cordon_device_remove(edge), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

static void test_each_allocation_that_fails_leaves_no_device(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    const struct cordon_device_config cfg = machine_device_config(0x18, "dev");
    cordon_device *dev = NULL;
    uint32_t failures = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    while (err != 0) {
        const struct cordon_memory_stats before = machine_stats(&machine);

        machine.record.allocations = 0;
        machine.record.fail_at = failures + 1;
        err = cordon_device_add(iommu, &cfg, &dev);
        machine.record.fail_at = 0;
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(machine_stats(&machine).table, before.table);
            failures++;
        }
    }
    assert_true(failures >= 2); /* two directory pages at least */
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

static void test_hundreds_of_devices_come_and_go(void **state)
{
    static cordon_device *devices[300];
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffffff);

    (void)state;
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 300; i++) {
            devices[i] = machine_device(iommu, i * 0x8001u & 0xffffff);
        }
        for (uint32_t i = 0; i < 300; i++) {
            assert_int_equal(cordon_device_remove(devices[(i * 7) % 300]), 0);
        }
    }
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

/* ---- attached devices --------------------------------------------------------------------- */

static void attach_everywhere(bool extended, uint32_t max_device_id)
{
    const uint32_t ids[] = {0, 1, max_device_id / 2, max_device_id - 1, max_device_id};
    cordon_iommu *iommu;
    cordon_domain *d;

    fake->capabilities = FAKE_CAPABILITIES & ~(extended ? 0 : FAKE_CAP_MSI_FLAT);
    iommu = machine_iommu(&machine, 0, max_device_id);
    d = machine_domain(&machine);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        cordon_device *dev = machine_device(iommu, ids[i]);

        assert_int_equal(cordon_device_attach(d, dev, 0), 0);
        for (size_t j = 0; j < sizeof(ids) / sizeof(ids[0]); j++) {
            assert_int_equal(fake_access(fake, ids[j], 0x5), i == j ? 0 : 258);
        }
        machine_sound(&machine);
        assert_int_equal(cordon_device_detach(dev), 0);
        assert_int_equal(fake_access(fake, ids[i], 0x5), 258);
        assert_int_equal(cordon_device_remove(dev), 0);
    }
    machine_sound(&machine);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
}

static void test_each_device_id_has_the_context_that_hardware_finds(void **state)
{
    (void)state;
    attach_everywhere(true, 0x3f);
    attach_everywhere(true, 0x7fff);
    attach_everywhere(true, 0xffff);
    attach_everywhere(true, 0xffffff);
    attach_everywhere(false, 0x7f);
    attach_everywhere(false, 0xffff);
    attach_everywhere(false, 0xffffff);
    machine_close(&machine);
}

static void test_a_context_leads_to_its_view_and_nowhere_else(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    cordon_domain *d = machine_domain(&machine);
    cordon_device *dev = machine_device(iommu, 0x18);
    const struct fake_entry *e;

    (void)state;
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    assert_int_equal(fake_access(fake, 0x18, 0x5), 0);
    e = fake_context(fake, 0x18);
    assert_int_equal(e->dc[0], 1);
    assert_true(e->dc[1] ==
                (8ull << 60 | (uint64_t)d->view[1].gscid << 44 | d->forest.root[1].v >> 12));
    assert_true(d->forest.root[1].v != d->forest.root[0].v);
    for (uint32_t i = 2; i < 8; i++) {
        assert_int_equal(e->dc[i], 0);
    }
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    end(iommu, d);
}

static void test_devices_share_a_view_or_have_none_of_it_in_common(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    cordon_domain *d = machine_domain(&machine);
    cordon_domain *other = machine_domain(&machine);
    cordon_device *dev[4];
    uint64_t second_word[4];

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        dev[i] = machine_device(iommu, 8 * i);
    }
    assert_int_equal(cordon_device_attach(d, dev[2], CORDON_ATTACH_OWN_VIEW), 0);
    assert_int_equal(cordon_device_attach(d, dev[0], 0), 0);
    assert_int_equal(cordon_device_attach(d, dev[1], 0), 0);
    assert_int_equal(cordon_device_attach(other, dev[3], 0), 0);
    machine_sound(&machine);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(fake_access(fake, 8 * i, 0x5), 0);
        second_word[i] = fake_context(fake, 8 * i)->dc[1];
    }
    assert_true(second_word[0] == second_word[1]);
    for (uint32_t i = 1; i < 4; i++) {
        for (uint32_t j = 1; j < i; j++) {
            assert_true((second_word[i] & 0xfffffffffff) != (second_word[j] & 0xfffffffffff));
            assert_true((second_word[i] >> 44 & 0xffff) != (second_word[j] >> 44 & 0xffff));
        }
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(cordon_device_detach(dev[i]), 0);
        assert_int_equal(cordon_device_remove(dev[i]), 0);
    }
    assert_int_equal(cordon_domain_destroy(other), 0);
    end(iommu, d);
}

static void test_a_device_has_one_domain_at_most(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    cordon_domain *d = machine_domain(&machine);
    cordon_domain *other = machine_domain(&machine);
    cordon_device *dev = machine_device(iommu, 0x18);

    (void)state;
    assert_int_equal(cordon_device_detach(dev), -CORDON_ENOENT);
    assert_int_equal(cordon_device_attach(d, dev, 2), -CORDON_EINVAL);
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    assert_int_equal(cordon_device_attach(d, dev, 0), -CORDON_EBUSY);
    assert_int_equal(cordon_device_attach(other, dev, 0), -CORDON_EBUSY);
    assert_int_equal(cordon_device_remove(dev), -CORDON_EBUSY);
    assert_int_equal(cordon_domain_destroy(d), -CORDON_EBUSY);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_attach(other, dev, 0), 0);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
    end(iommu, d);
}

static void test_a_mode_that_the_iommu_has_not_is_refused(void **state)
{
    struct cordon_domain_config cfg = {
        .size = sizeof(cfg), .modes = CORDON_MODE_SV48X4, .gpa_limit = 1ull << 32};
    cordon_domain *d = NULL;
    cordon_iommu *iommu;
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_domain_create(machine.ctx, &cfg, &d), 0);
    iommu = machine_iommu(&machine, 0, 0xffff); /* Sv39x4 only */
    dev = machine_device(iommu, 0x18);
    assert_int_equal(cordon_device_attach(d, dev, 0), -CORDON_ENOTSUP);
    assert_int_equal(fake_access(fake, 0x18, 0), 258);
    assert_int_equal(cordon_device_remove(dev), 0);
    end(iommu, d);
}

static void test_views_run_out_and_come_back(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    cordon_domain *d = machine_domain(&machine);
    cordon_device *dev[CORDON_MAX_VIEWS];

    (void)state;
    for (uint32_t i = 0; i < CORDON_MAX_VIEWS; i++) {
        dev[i] = machine_device(iommu, i);
        assert_int_equal(cordon_device_attach(d, dev[i], CORDON_ATTACH_OWN_VIEW),
                         i + 1 < CORDON_MAX_VIEWS ? 0 : -CORDON_ELIMIT);
    }
    assert_int_equal(fake_access(fake, CORDON_MAX_VIEWS - 1, 0), 258);
    assert_int_equal(cordon_device_detach(dev[2]), 0);
    assert_int_equal(cordon_device_attach(d, dev[CORDON_MAX_VIEWS - 1], 0), 0);
    machine_sound(&machine);
    for (uint32_t i = 0; i < CORDON_MAX_VIEWS; i++) {
        assert_int_equal(cordon_device_detach(dev[i]), i == 2 ? -CORDON_ENOENT : 0);
        assert_int_equal(cordon_device_remove(dev[i]), 0);
    }
    end(iommu, d);
}

static void test_each_allocation_that_fails_leaves_the_device_detached(void **state)
{
    cordon_iommu *iommu = machine_iommu(&machine, 0, 0xffff);
    cordon_domain *d = machine_domain(&machine);
    cordon_device *dev = machine_device(iommu, 0x18);
    uint32_t failures = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    (void)machine_grant(&machine, d, 0x10000, 3);
    assert_int_equal(cordon_msi_window(d, cordon_gpa_make(0x28000000), 3), 0);
    while (err != 0) {
        const struct cordon_memory_stats now = machine_stats(&machine);

        machine.record.allocations = 0;
        machine.record.fail_at = failures + 1;
        err = cordon_device_attach(d, dev, 0);
        machine.record.fail_at = 0;
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(machine_stats(&machine).table, now.table);
            assert_int_equal(fake_access(fake, 0x18, 0x10), 258);
            machine_sound(&machine);
            failures++;
        }
    }
    assert_true(failures >= 2); /* the view's root, its MSI table */
    assert_int_equal(fake_access(fake, 0x18, 0x10), 0);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    end(iommu, d);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_device_without_a_domain_reaches_nothing),
        T(test_bad_devices_are_refused),
        T(test_each_allocation_that_fails_leaves_no_device),
        T(test_hundreds_of_devices_come_and_go),
        T(test_each_device_id_has_the_context_that_hardware_finds),
        T(test_a_context_leads_to_its_view_and_nowhere_else),
        T(test_devices_share_a_view_or_have_none_of_it_in_common),
        T(test_a_device_has_one_domain_at_most),
        T(test_a_mode_that_the_iommu_has_not_is_refused),
        T(test_views_run_out_and_come_back),
        T(test_each_allocation_that_fails_leaves_the_device_detached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
