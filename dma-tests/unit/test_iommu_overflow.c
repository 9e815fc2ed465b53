/* The fault queue: wrapping, overflow, budgets, and the gate that an interrupt finds shut. */
#include "fault_bench.h"

#define FQ_ROOM 15u

static void test_the_queue_wraps(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        fake_fault(fake, STORE_FAULT, TTYP_WRITE, i, 0x1000);
        fake_fault(fake, STORE_FAULT, TTYP_WRITE, i, 0x1004);
        fake_fault(fake, STORE_FAULT, TTYP_WRITE, i, 0x1008);
        assert_int_equal(cordon_faults_poll(iommu, BUDGET), 3);
        assert_int_equal(fake->fq.head, fake->fq.tail);
        assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
        assert_int_equal(reports[0].count, 3);
        assert_int_equal(reports[0].device_id, i);
    }
}

static void test_overflow_is_counted_and_the_next_attacker_is_still_reported(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2 * FQ_ROOM; i++) {
        fake_fault(fake, STORE_FAULT, TTYP_WRITE, 1, 0x1000);
    }
    assert_int_equal(fake->fq.csr & 0x200, 0x200);
    assert_int_equal(cordon_faults_poll(iommu, BUDGET), FQ_ROOM);
    assert_int_equal(fake->fq.csr, 0x10003); /* fqon, fie, fqen: no error any more */
    assert_int_equal(stats().overflows, 1);
    fault(LOAD_FAULT, TTYP_READ, 2, 0x2000);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 2);
    assert_int_equal(reports[0].count, FQ_ROOM);
    assert_int_equal(reports[1].device_id, 2);
    assert_int_equal(stats().overflows, 1);
}

static void test_a_memory_fault_of_the_queue_is_recovered_from(void **state)
{
    (void)state;
    fake->fq.csr |= 0x100;
    assert_int_equal(cordon_faults_poll(iommu, BUDGET), 0);
    assert_int_equal(fake->fq.csr, 0x10003);
    assert_int_equal(stats().overflows, 1);
    fault(LOAD_FAULT, TTYP_READ, 2, 0x2000);
}

static void test_polling_takes_no_more_than_its_budget(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        fake_fault(fake, STORE_FAULT, TTYP_WRITE, 1, 0x1000);
    }
    assert_int_equal(cordon_faults_poll(iommu, 0), 0);
    assert_int_equal(cordon_faults_poll(iommu, 4), 4);
    assert_int_equal(fake->fq.head, 4);
    assert_int_equal(cordon_faults_poll(iommu, BUDGET), 6);
}

static void test_pending_is_cleared_before_the_last_look(void **state)
{
    uint32_t last_clear = 0, last_read_head = 0;

    (void)state;
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x1000);
    assert_int_equal(fake->ipsr, 0);
    for (uint32_t i = 0; i < fake->logged; i++) {
        last_clear = fake->log[i].reg == 0x054 ? i : last_clear;
        last_read_head = fake->log[i].reg == 0x030 ? i : last_read_head;
    }
    assert_true(last_clear > last_read_head); /* records that came meanwhile are looked for again */
}

static void test_a_tail_outside_of_the_queue_is_not_believed(void **state)
{
    (void)state;
    fake->fq.tail = 1u << FQ_LOG2;
    assert_int_equal(cordon_faults_poll(iommu, BUDGET), 0);
    fake->fq.tail = 0;
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x1000);
}

static void test_an_interrupt_that_finds_the_gate_shut_does_not_wait(void **state)
{
    (void)state;
    fake_fault(fake, STORE_FAULT, TTYP_WRITE, 1, 0x1000);
    assert_false(atomic_flag_test_and_set(&iommu->fq.gate));
    assert_int_equal(cordon_faults_poll(iommu, BUDGET), 0);
    atomic_flag_clear(&iommu->fq.gate);
    assert_int_equal(stats().records, 0);
    (void)cordon_faults_take(iommu, reports, 200); /* the holder, on its way out */
    assert_int_equal(stats().records, 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_the_queue_wraps),
        T(test_overflow_is_counted_and_the_next_attacker_is_still_reported),
        T(test_a_memory_fault_of_the_queue_is_recovered_from),
        T(test_polling_takes_no_more_than_its_budget),
        T(test_pending_is_cleared_before_the_last_look),
        T(test_a_tail_outside_of_the_queue_is_not_believed),
        T(test_an_interrupt_that_finds_the_gate_shut_does_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
