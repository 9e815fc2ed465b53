/* The order in which words become visible and go, seen by the recording port. INV 7. */
#include "one_iommu.h"

#define DEVICE 0x18u
#define REG_CQT 0x024u

static cordon_device *dev;

static int setup_device(void **state)
{
    (void)setup(state);
    dev = machine_device(iommu, DEVICE);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(0x28000000), 3), 0);
    return 0;
}

static int teardown_device(void **state)
{
    assert_int_equal(cordon_device_remove(dev), 0);
    return teardown(state);
}

static uint64_t context_hpa(void)
{
    uint64_t table = (fake->ddtp & 0x3ffffffffffc00) << 2;

    table = (machine_word(&machine, table, DEVICE >> 15) & 0x3ffffffffffc00) << 2;
    table = (machine_word(&machine, table, DEVICE >> 6 & 511) & 0x3ffffffffffc00) << 2;
    return table + 64ull * (DEVICE & 63);
}

/* Sequence number of the first such event after AFTER; fails the test if there is none. */
static uint64_t at(uint64_t after, enum record_kind kind, uint64_t a)
{
    const struct record_event *e = record_find(&machine.record, after, kind, a);

    if (e == NULL) {
        fail_msg("no event of kind %d with %#lx", (int)kind, (unsigned long)a);
    }
    return e != NULL ? e->sequence : 0;
}

static void test_the_valid_bit_of_a_context_comes_last(void **state)
{
    uint64_t start = machine.record.sequence;
    uint64_t context = context_hpa();
    uint64_t valid, fence;

    (void)state;
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    valid = at(start, RECORD_STORE, context);
    assert_int_equal(record_at(&machine.record, valid)->b, 1);
    fence = at(at(start, RECORD_STORE, context + 56), RECORD_FENCE, UINT64_MAX);
    assert_true(fence < valid);
    for (uint32_t i = 1; i < 8; i++) {
        assert_true(at(start, RECORD_STORE, context + 8 * i) < fence);
    }
    (void)at(valid, RECORD_FENCE, UINT64_MAX);
    assert_null(record_find(&machine.record, valid, RECORD_STORE, context));
    assert_int_equal(cordon_device_detach(dev), 0);
}

static void test_the_valid_bit_of_a_context_goes_first(void **state)
{
    uint64_t context = context_hpa();
    uint64_t start, gone, fence, told, done;

    (void)state;
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    start = machine.record.sequence;
    assert_int_equal(cordon_device_detach(dev), 0);
    gone = at(start, RECORD_STORE, context);
    assert_int_equal(record_at(&machine.record, gone)->b, 0);
    fence = at(gone, RECORD_FENCE, UINT64_MAX);
    told = at(gone, RECORD_COMMAND, 0x3ull | 1ull << 33 | (uint64_t)DEVICE << 40);
    assert_true(fence < told);
    done = at(told, RECORD_MMIO_WRITE, MACHINE_IOMMU + REG_CQT);
    for (uint32_t i = 1; i < 8; i++) {
        assert_true(at(gone, RECORD_STORE, context + 8 * i) > done);
        assert_int_equal(machine_word(&machine, context, i), 0);
    }
}

static void test_commands_are_visible_before_the_iommu_is_told(void **state)
{
    uint64_t start = machine.record.sequence;
    uint64_t command, bell, fence;

    (void)state;
    lock_take(&iommu->lock);
    assert_int_equal(cq_flush_all(iommu), 0);
    lock_give(&iommu->lock);
    bell = at(start, RECORD_MMIO_WRITE, MACHINE_IOMMU + REG_CQT);
    command = at(start, RECORD_COMMAND, 0x81);
    fence = at(command, RECORD_FENCE, UINT64_MAX);
    assert_true(command < fence && fence < bell);
    assert_null(record_find(&machine.record, bell, RECORD_COMMAND, UINT64_MAX));
}

static void test_a_directory_page_is_linked_lowest_first(void **state)
{
    uint64_t start = machine.record.sequence;
    uint64_t root = (fake->ddtp & 0x3ffffffffffc00) << 2;
    cordon_device *far = machine_device(iommu, 0x8000); /* root entry 1: two new pages */
    uint64_t linked = at(start, RECORD_STORE, root + 8);
    uint64_t middle = (record_at(&machine.record, linked)->b & 0x3ffffffffffc00) << 2;
    uint64_t inner = at(start, RECORD_STORE, middle);

    (void)state;
    assert_true(inner < at(inner, RECORD_FENCE, UINT64_MAX));
    assert_true(at(inner, RECORD_FENCE, UINT64_MAX) < linked);
    assert_int_equal(cordon_device_remove(far), 0);
}

static void test_an_iommu_is_told_before_frames_go(void **state)
{
    cordon_hpa hpa = machine_grant(&machine, domain, 0x40000000, 2);
    uint64_t start, told, bell, drained;

    (void)state;
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), 1u << dev->view);
    start = machine.record.sequence;
    assert_int_equal(machine_revoke(domain, 0x40000000, 1), 0);
    told = at(start, RECORD_COMMAND,
              0x81ull | 1ull << 10 | 1ull << 33 | (uint64_t)domain->view[1].gscid << 44);
    bell = at(told, RECORD_MMIO_WRITE, MACHINE_IOMMU + REG_CQT);
    drained = at(bell, RECORD_DRAIN, cordon_domain_number(domain));
    assert_true(at(start, RECORD_FREE, hpa.v) > drained);
    assert_int_equal(cordon_device_detach(dev), 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup_device, teardown_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_the_valid_bit_of_a_context_comes_last),
        T(test_the_valid_bit_of_a_context_goes_first),
        T(test_commands_are_visible_before_the_iommu_is_told),
        T(test_a_directory_page_is_linked_lowest_first),
        T(test_an_iommu_is_told_before_frames_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
