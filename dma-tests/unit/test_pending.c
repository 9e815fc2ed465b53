/* What was revoked waits for hardware: IOMMUs that do not answer, devices that drain by reset.
 * INV 4. */
#include "map_bench.h"

#include "one_iommu.h"

static cordon_device *dev;

static int teardown_device(void **state)
{
    assert_int_equal(cordon_device_remove(dev), 0);
    return teardown(state);
}

static void attach(uint32_t drain)
{
    struct cordon_device_config cfg = machine_device_config(8, "disk");

    cfg.drain = drain;
    assert_int_equal(cordon_device_add(iommu, &cfg, &dev), 0);
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), 2);
}

static void detach(void)
{
    assert_int_equal(cordon_device_detach(dev), 0);
    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
}

static void test_frames_and_tables_wait_for_an_iommu_that_does_not_answer(void **state)
{
    (void)state;
    attach(CORDON_DRAIN_IOMMU);
    cordon_hpa one = machine_grant(&machine, domain, 0x40000000, 3);
    struct cordon_memory_stats before = machine_stats(&machine);

    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, 0x40000000, 3), -CORDON_EPENDING);
    machine_sound(&machine);
    assert_int_equal(machine_frame_state(&machine, one), CORDON_FRAME_REVOKING);
    struct cordon_memory_stats pending = machine_stats(&machine);

    assert_int_equal(pending.revoking, 3 * PAGE);
    assert_int_equal(pending.table, before.table); /* dead, and not free */
    assert_int_equal(cordon_retire(domain), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, one), CORDON_FRAME_REVOKING);

    /* The map goes on: the same place can be granted again, out of other frames. */
    cordon_hpa two = machine_grant(&machine, domain, 0x40000000, 1);

    assert_int_not_equal(two.v, one.v);
    machine_sound(&machine);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_stats(&machine).revoking, 0);
    assert_int_equal(machine_frame_state(&machine, one), CORDON_FRAME_FREE);
    assert_int_equal(machine_stats(&machine).table, before.table);
    assert_int_equal(cordon_retire(domain), 0);
    machine_sound(&machine);
    detach();
}

static void test_a_later_revoke_ends_what_waited(void **state)
{
    (void)state;
    attach(CORDON_DRAIN_IOMMU);
    cordon_hpa one = machine_grant(&machine, domain, 0x40000000, 3);
    cordon_hpa two = machine_grant(&machine, domain, 0x50000000, 3);

    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, 0x40000000, 3), -CORDON_EPENDING);
    fake_answer_all(fake);
    assert_int_equal(machine_revoke(domain, 0x50001000, 1), 0);
    machine_sound(&machine);
    assert_int_equal(machine_frame_state(&machine, one), CORDON_FRAME_FREE);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_add(two, PAGE)), CORDON_FRAME_FREE);
    assert_int_equal(machine_frame_state(&machine, two), CORDON_FRAME_OWNED);
    assert_int_equal(machine_stats(&machine).revoking, 0);
    detach();
}

static void test_a_view_that_goes_takes_no_waiting_table_along(void **state)
{
    struct cordon_device_config cfg = machine_device_config(16, "other");
    cordon_device *other;

    (void)state;
    attach(CORDON_DRAIN_IOMMU);
    assert_int_equal(cordon_device_add(iommu, &cfg, &other), 0);
    assert_int_equal(cordon_device_attach(domain, other, CORDON_ATTACH_OWN_VIEW), 0);
    (void)machine_grant(&machine, domain, 0x40000000, 3);
    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, 0x40000000, 3), -CORDON_EPENDING);
    fake_answer_all(fake);
    uint64_t tables = machine_stats(&machine).table;

    assert_int_equal(cordon_device_detach(other), 0);
    machine_sound(&machine);
    assert_int_equal(machine_stats(&machine).table, tables);
    assert_int_equal(cordon_retire(domain), 0);
    assert_true(machine_stats(&machine).table < tables);
    assert_int_equal(cordon_device_remove(other), 0);
    detach();
}

static struct cordon_op no_dma(struct cordon_extent *e, uint64_t gpa)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};

    e->len = PAGE;
    assert_int_equal(cordon_run_alloc(machine.ctx, &want, &e->hpa), 0);
    return op_grant(gpa, e, 1, RW, CORDON_REGION_NODMA);
}

/* A device that drains by reset holds up only what it could reach. */
static void test_what_no_device_could_reach_does_not_wait_for_a_reset(void **state)
{
    struct cordon_extent e;

    (void)state;
    attach(CORDON_DRAIN_RESET);
    cordon_hpa seen = machine_grant(&machine, domain, 0x40000000, 1);
    struct cordon_op op = no_dma(&e, 0x50000000);

    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
    assert_int_equal(cordon_change(domain, &op, 1), 0);
    assert_int_equal(machine_revoke(domain, 0x50000000, 1), 0);
    assert_int_equal(machine_frame_state(&machine, e.hpa), CORDON_FRAME_FREE);
    assert_int_equal(machine_revoke(domain, 0x40000000, 1), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, seen), CORDON_FRAME_REVOKING);

    /* While that waits, the other kind still goes at once; but no table does. */
    uint64_t tables = machine_stats(&machine).table;

    op = no_dma(&e, 0x50000000);
    assert_int_equal(cordon_change(domain, &op, 1), 0);
    assert_int_equal(machine_revoke(domain, 0x50000000, 1), 0);
    assert_int_equal(machine_frame_state(&machine, e.hpa), CORDON_FRAME_FREE);
    assert_int_equal(machine_frame_state(&machine, seen), CORDON_FRAME_REVOKING);
    assert_true(machine_stats(&machine).table >= tables);
    machine_sound(&machine);
    assert_int_equal(cordon_retire(domain), -CORDON_EPENDING);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_true(machine_stats(&machine).table < tables);
    assert_int_equal(machine_frame_state(&machine, seen), CORDON_FRAME_FREE);
    detach();
    assert_int_equal(cordon_device_drained(dev), 0);
}

static void test_rights_that_are_only_added_wait_for_nobody(void **state)
{
    (void)state;
    attach(CORDON_DRAIN_RESET);
    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
    (void)machine_grant(&machine, domain, 0x40000000, 2);
    struct cordon_op less = op_protect(0x40000000, 1, CORDON_READ);
    struct cordon_op more = op_protect(0x40000000, 2, RWX);

    assert_int_equal(cordon_change(domain, &less, 1), -CORDON_EPENDING);
    assert_int_equal(cordon_device_drained(dev), 0);
    uint32_t fences = machine.hart_fences;

    machine_ran(domain);
    assert_int_equal(cordon_change(domain, &more, 1), 0);
    assert_true(machine.hart_fences > fences);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(cordon_change(domain, &more, 1), 0); /* and nothing at all */
    struct cordon_op most = op_protect(0x40000000, 2, RW);

    assert_int_equal(cordon_change(domain, &most, 1), -CORDON_EPENDING);
    assert_int_equal(cordon_device_drained(dev), 0);
    fake_answer_none(fake); /* not even for an IOMMU that does not answer */
    assert_int_equal(cordon_change(domain, &more, 1), 0);
    assert_int_equal(cordon_retire(domain), 0);
    fake_answer_all(fake);
    detach();
    assert_int_equal(cordon_device_drained(dev), 0);
}

static void test_a_grant_fences_nobody(void **state)
{
    (void)state;
    attach(CORDON_DRAIN_IOMMU);
    uint32_t fences = machine.hart_fences, commands = machine.iommu[0].commands;

    (void)machine_grant(&machine, domain, 0x40000000, 600);
    (void)machine_grant(&machine, domain, 0x50000000, 1);
    assert_int_equal(machine.hart_fences, fences);
    assert_int_equal(machine.iommu[0].commands, commands);
    detach();
}

static void test_few_ranges_are_fenced_alone_and_many_at_once(void **state)
{
    struct cordon_op ops[20];
    const struct record_event *e;

    (void)state;
    attach(CORDON_DRAIN_IOMMU);
    (void)machine_grant(&machine, domain, 0x40000000, 400);
    for (uint64_t i = 0; i < 20; i++) {
        ops[i] = op_revoke(0x40000000 + 3 * i * PAGE, 1);
    }
    uint64_t start = machine.record.sequence;

    assert_int_equal(cordon_change(domain, ops, 2), 0);
    e = record_find(&machine.record, start, RECORD_HART_FENCE, UINT64_MAX);
    assert_non_null(e);
    assert_int_equal(e->b, 0x40000000);
    assert_int_equal(e->c, PAGE);
    e = record_find(&machine.record, e->sequence, RECORD_HART_FENCE, UINT64_MAX);
    assert_non_null(e);
    assert_int_equal(e->b, 0x40003000);
    assert_null(record_find(&machine.record, e->sequence, RECORD_HART_FENCE, UINT64_MAX));

    start = machine.record.sequence;
    assert_int_equal(cordon_change(domain, ops + 2, 18), 0);
    e = record_find(&machine.record, start, RECORD_HART_FENCE, UINT64_MAX);
    assert_non_null(e);
    assert_int_equal(e->c, 0);
    assert_null(record_find(&machine.record, e->sequence, RECORD_HART_FENCE, UINT64_MAX));

    machine_ran(domain);
    start = machine.record.sequence;
    assert_int_equal(machine_revoke(domain, 0x40000000 + 100 * PAGE, 65), 0);
    e = record_find(&machine.record, start, RECORD_HART_FENCE, UINT64_MAX);
    assert_int_equal(e->c, 0);
    detach();
}

static void test_an_attached_domain_is_not_destroyed(void **state)
{
    (void)state;
    attach(CORDON_DRAIN_RESET);
    (void)machine_grant(&machine, domain, 0x40000000, 2);
    struct cordon_memory_stats before = machine_stats(&machine);

    assert_int_equal(cordon_domain_destroy(domain), -CORDON_EBUSY);
    struct cordon_memory_stats after = machine_stats(&machine);

    assert_memory_equal(&before, &after, sizeof(before));
    detach();

    /* Detached and undrained: everything is revoked, and waits. */
    record_expect_views(&machine.record, cordon_domain_number(domain), 0);
    assert_int_equal(cordon_domain_destroy(domain), -CORDON_EPENDING);
    machine_sound(&machine);
    assert_int_equal(machine_stats(&machine).revoking, 2 * PAGE);
    assert_int_equal(cordon_domain_destroy(domain), -CORDON_EPENDING);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_int_equal(machine_stats(&machine).revoking, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown_device)
    const struct CMUnitTest tests[] = {
        TEST(test_frames_and_tables_wait_for_an_iommu_that_does_not_answer),
        TEST(test_a_later_revoke_ends_what_waited),
        TEST(test_a_view_that_goes_takes_no_waiting_table_along),
        TEST(test_what_no_device_could_reach_does_not_wait_for_a_reset),
        TEST(test_rights_that_are_only_added_wait_for_nobody),
        TEST(test_a_grant_fences_nobody),
        TEST(test_few_ranges_are_fenced_alone_and_many_at_once),
        TEST(test_an_attached_domain_is_not_destroyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
