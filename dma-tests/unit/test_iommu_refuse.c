/* What an IOMMU is refused for, and that a refusal leaves nothing behind. */
#include "no_iommu.h"

static void refused(int err, uint64_t capabilities, uint32_t max_device_id)
{
    const struct cordon_memory_stats before = machine_stats(&machine);
    struct cordon_memory_stats after;
    cordon_iommu *iommu = NULL;

    machine.iommu[0].capabilities = capabilities;
    assert_int_equal(machine_try_iommu(&machine, 0, max_device_id, &iommu), err);
    assert_null(iommu);
    assert_int_equal(machine.iommu[0].ddtp & 15, 0);
    assert_int_equal((machine.iommu[0].cq.csr | machine.iommu[0].fq.csr) & 0x10001, 0);
    after = machine_stats(&machine);
    assert_int_equal(after.table, before.table);
    assert_int_equal(after.free + after.hyp, before.free + before.hyp);
    machine.iommu[0].capabilities = FAKE_CAPABILITIES;
}

static void test_hardware_that_cannot_isolate_is_refused(void **state)
{
    (void)state;
    refused(-CORDON_ENOTSUP, FAKE_CAPABILITIES + 0x10, 0xffff);          /* version 2 */
    refused(-CORDON_ENOTSUP, FAKE_CAPABILITIES & ~(7ull << 17), 0xffff); /* no second stage */
    refused(-CORDON_ENOTSUP, ~0ull, 0xffff);                             /* nothing there */
    refused(-CORDON_ENOTSUP, FAKE_CAPABILITIES, 0x1000000);              /* 25-bit device ids */
    refused(-CORDON_ENOTSUP, (FAKE_CAPABILITIES & ~FAKE_CAP_PAS) | 31ull << 32,
            0xffff); /* RAM beyond its reach */
    machine_close(&machine);
}

static void test_hardware_without_a_deep_enough_directory_is_refused(void **state)
{
    (void)state;
    machine.iommu[0].ddtp_modes = 0x0f; /* no 3LVL */
    refused(-CORDON_ENOTSUP, FAKE_CAPABILITIES, 0xffff);
    machine_close(&machine);
}

static void test_hardware_that_stays_big_endian_is_refused(void **state)
{
    (void)state;
    machine.iommu[0].fctl = 1;
    machine.iommu[0].fctl_fixed = 1;
    refused(-CORDON_ENOTSUP, FAKE_CAPABILITIES, 0xffff);
    machine_close(&machine);
}

static void test_hardware_that_does_not_go_off_is_refused(void **state)
{
    cordon_iommu *iommu = NULL;

    (void)state;
    machine.iommu[0].ddtp = 4;
    machine.iommu[0].ddtp_ignores_off = true;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), -CORDON_EHW);
    assert_null(iommu);
}

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    const struct cordon_iommu_config good = machine_iommu_config(0);
    struct cordon_iommu_config cfg[6] = {good, good, good, good, good, good};
    cordon_iommu *iommu = NULL;

    (void)state;
    cfg[0].size--;
    cfg[1].flags = 1;
    cfg[2].cq_log2 = 16;
    cfg[3].fq_log2 = 16;
    cfg[4].base.v += 0x800;
    cfg[5].base.v = MACHINE_RAM;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(cordon_iommu_add(machine.ctx, &cfg[i], &iommu), -CORDON_EINVAL);
    }
    assert_int_equal(cordon_iommu_add(NULL, &good, &iommu), -CORDON_EINVAL);
    assert_int_equal(cordon_iommu_add(machine.ctx, NULL, &iommu), -CORDON_EINVAL);
    assert_int_equal(cordon_iommu_add(machine.ctx, &good, NULL), -CORDON_EINVAL);
    assert_null(iommu);
    assert_int_equal(machine.iommu[0].logged, 0);
    machine_close(&machine);
}

static void test_the_same_registers_are_not_taken_twice(void **state)
{
    cordon_iommu *iommu;
    cordon_iommu *second = NULL;
    uint32_t logged;

    (void)state;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    logged = machine.iommu[0].logged;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &second), -CORDON_EEXIST);
    assert_null(second);
    assert_int_equal(machine.iommu[0].logged, logged);
    assert_int_equal(
        cordon_resource_add(machine.ctx, cordon_hpa_make(MACHINE_IOMMU), CORDON_PAGE_SIZE),
        -CORDON_EPERM);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

static void test_there_are_at_most_so_many_iommus(void **state)
{
    cordon_iommu *iommu[CORDON_MAX_IOMMUS];
    cordon_iommu *more = NULL;

    (void)state;
    for (uint32_t i = 0; i < CORDON_MAX_IOMMUS; i++) {
        assert_int_equal(machine_try_iommu(&machine, i, 0xffff, &iommu[i]), 0);
    }
    assert_int_equal(machine_try_iommu(&machine, CORDON_MAX_IOMMUS, 0xffff, &more), -CORDON_ELIMIT);
    assert_int_equal(cordon_iommu_remove(iommu[3]), 0);
    assert_int_equal(machine_try_iommu(&machine, CORDON_MAX_IOMMUS, 0xffff, &iommu[3]), 0);
    for (uint32_t i = 0; i < CORDON_MAX_IOMMUS; i++) {
        assert_int_equal(cordon_iommu_remove(iommu[i]), 0);
    }
    machine_close(&machine);
}

static void test_memory_is_kept_until_the_iommu_is_off(void **state)
{
    struct cordon_memory_stats up;
    cordon_iommu *iommu;

    (void)state;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    up = machine_stats(&machine);
    machine.iommu[0].never_from = 1;
    assert_int_equal(cordon_iommu_remove(iommu), -CORDON_ETIMEOUT);
    assert_int_equal(machine_stats(&machine).table, up.table);
    assert_int_equal(cordon_iommu_remove(iommu), -CORDON_ETIMEOUT);
    fake_answer_all(&machine.iommu[0]);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hardware_that_cannot_isolate_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_hardware_without_a_deep_enough_directory_is_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_hardware_that_stays_big_endian_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_hardware_that_does_not_go_off_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_settings_that_make_no_sense_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_same_registers_are_not_taken_twice, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_there_are_at_most_so_many_iommus, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_is_kept_until_the_iommu_is_off, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
