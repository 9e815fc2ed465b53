/* Devices that translate ahead: what they may hold waits for their reset. INV 4. */
#include "two_iommus.h"

#define GPA 0x40010000ull

static cordon_device *attached_reset(uint32_t device_id)
{
    struct cordon_device_config cfg = machine_device_config(device_id, "nvme");
    cordon_device *dev = NULL;

    cfg.drain = CORDON_DRAIN_RESET;
    assert_int_equal(cordon_device_add(iommu[0], &cfg, &dev), 0);
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    return dev;
}

static void test_what_a_device_that_translates_ahead_may_hold_waits_for_its_reset(void **state)
{
    cordon_device *dev = attached_reset(8);
    cordon_hpa hpa = machine_grant(&machine, domain, GPA, 4);

    (void)state;
    assert_int_equal(machine_revoke(domain, GPA, 2), -CORDON_EPENDING);
    assert_int_equal(cordon_retire(domain), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_int_equal(machine_revoke(domain, GPA + 0x2000, 1), -CORDON_EPENDING); /* and so again */
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_retire(domain), -CORDON_EPENDING);
    assert_int_equal(cordon_device_remove(dev), -CORDON_EBUSY);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_add(hpa, 0x2000)), CORDON_FRAME_FREE);
    assert_int_equal(cordon_device_remove(dev), 0);
}

static void test_every_device_that_translates_ahead_is_awaited(void **state)
{
    cordon_device *first = attached_reset(8);
    cordon_device *second = attached_reset(16);
    cordon_hpa hpa = machine_grant(&machine, domain, GPA, 4);

    (void)state;
    assert_int_equal(machine_revoke(domain, GPA, 4), -CORDON_EPENDING);
    assert_int_equal(cordon_device_drained(first), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    assert_int_equal(cordon_device_drained(second), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_int_equal(cordon_device_detach(first), 0);
    assert_int_equal(cordon_device_detach(second), 0);
    assert_int_equal(cordon_device_drained(first), 0);
    assert_int_equal(cordon_device_drained(second), 0);
    assert_int_equal(cordon_device_remove(first), 0);
    assert_int_equal(cordon_device_remove(second), 0);
}

static void test_a_reset_does_not_stand_in_for_an_iommu_that_is_silent(void **state)
{
    cordon_device *dev = attached_reset(8);
    cordon_hpa hpa = machine_grant(&machine, domain, GPA, 4);

    (void)state;
    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, GPA, 4), -CORDON_EPENDING);
    assert_int_equal(cordon_device_drained(dev), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_a_device_that_translates_ahead_may_hold_waits_for_its_reset),
        T(test_every_device_that_translates_ahead_is_awaited),
        T(test_a_reset_does_not_stand_in_for_an_iommu_that_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
