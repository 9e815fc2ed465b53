/* The command queue: encodings, wrapping, errors, and answers that do not come. [IOMMU 3.1] */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "riscv/iommu.h"

static struct fake_machine machine;
static struct fake_iommu *const fake = &machine.iommu[0];
static cordon_iommu *iommu;

static int setup(void **state)
{
    (void)state;
    machine_open(&machine);
    iommu = machine_iommu(&machine, 0, 0xffff);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_answer_all(fake);
    machine.tick_us = 1;
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
    return 0;
}

static int submit(const struct cq_command *commands, size_t count)
{
    int err;

    lock_take(&iommu->lock);
    err = cq_submit(iommu, commands, count);
    lock_give(&iommu->lock);
    return err;
}

static void assert_command(struct cq_command c, uint64_t first, uint64_t second)
{
    assert_true(c.word[0] == first);
    assert_true(c.word[1] == second);
}

/* The commands that were executed since event FROM are COMMANDS and a fence. */
static void assert_executed(uint32_t from, const struct cq_command *commands, size_t count)
{
    size_t seen = 0;

    for (uint32_t i = from; i < fake->logged; i++) {
        const struct fake_event *e = &fake->log[i];

        if (e->kind != FAKE_COMMAND) {
            continue;
        }
        if (seen == count) {
            assert_int_equal(e->value & 0x3fff, 0x3402); /* IOFENCE.C AV PR PW */
        } else {
            assert_true(seen < count);
            assert_true(e->value == commands[seen].word[0] && e->more == commands[seen].word[1]);
        }
        seen++;
    }
    assert_int_equal(seen, count + 1);
}

/* Where the last batch begins in the log: behind the last write of cqcsr, or at FROM. */
static uint32_t after_restart(uint32_t from)
{
    for (uint32_t i = from; i < fake->logged; i++) {
        if (fake->log[i].kind == FAKE_WRITE && fake->log[i].reg == 0x048) {
            from = i + 1;
        }
    }
    return from;
}

static void test_commands_are_encoded_as_the_specification_says(void **state)
{
    (void)state;
    assert_command(cq_gvma_all(), 0x81, 0);
    assert_command(cq_gvma(0xabcd), 0x81ull | 1ull << 33 | 0xabcdull << 44, 0);
    assert_command(cq_gvma_page(0xabcd, cordon_gpa_make(0x123456789f000)),
                   0x81ull | 1ull << 10 | 1ull << 33 | 0xabcdull << 44, 0x123456789full << 10);
    assert_command(cq_vma_all(), 0x1, 0);
    assert_command(cq_vma(0xffff), 0x1ull | 1ull << 33 | 0xffffull << 44, 0);
    assert_command(cq_inval_ddt_all(), 0x3, 0);
    assert_command(cq_inval_ddt(0xfedcba), 0x3ull | 1ull << 33 | 0xfedcbaull << 40, 0);
    assert_command(cq_iofence(cordon_hpa_make(0x80001004), 0x9abcdef0),
                   0x2ull | 1ull << 10 | 1ull << 12 | 1ull << 13 | 0x9abcdef0ull << 32,
                   0x80001004 >> 2);
}

static void test_a_batch_larger_than_the_ring_goes_through_in_order(void **state)
{
    struct cq_command batch[50];

    (void)state;
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    for (uint32_t log2 = 1; log2 <= 5; log2++) {
        struct cordon_iommu_config cfg = machine_iommu_config(0);
        uint32_t from;

        cfg.cq_log2 = log2;
        assert_int_equal(cordon_iommu_add(machine.ctx, &cfg, &iommu), 0);
        for (uint32_t i = 0; i < 50; i++) {
            batch[i] = cq_gvma_page((uint16_t)i, cordon_gpa_make(i * 0x1000));
        }
        for (uint32_t round = 0; round < 3; round++) {
            from = fake->logged;
            assert_int_equal(submit(batch, 50), 0);
            assert_executed(from, batch, 50);
        }
        assert_int_equal(fake->cq.base & 31, log2 - 1);
        if (log2 < 5) {
            assert_int_equal(cordon_iommu_remove(iommu), 0);
        }
        fake->logged = 0;
    }
}

static void test_an_empty_batch_is_a_fence(void **state)
{
    uint32_t from = fake->logged;

    (void)state;
    assert_int_equal(submit(NULL, 0), 0);
    assert_executed(from, NULL, 0);
}

static void test_the_fence_numbers_wrap(void **state)
{
    (void)state;
    iommu->cq.sequence = UINT32_MAX - 1;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(submit(NULL, 0), 0);
    }
    assert_int_equal(iommu->cq.sequence, 2);
}

/* ---- errors ------------------------------------------------------------------------------- */

/* After an error at any command of a batch, all of it is executed behind a restart, and what was
 * lost of earlier ones is covered. */
static void recovers_from(uint32_t *error_at)
{
    const struct cq_command batch[] = {cq_inval_ddt(7), cq_vma(3), cq_gvma(3)};

    for (uint32_t n = 1; n <= 4; n++) { /* the fourth is the fence */
        uint32_t from = fake->logged;
        uint32_t again;
        uint64_t restarts = iommu->cq.restarts;

        *error_at = fake->commands + n;
        assert_int_equal(submit(batch, 3), 0);
        assert_int_equal(iommu->cq.restarts, restarts + 1);
        assert_false(iommu->cq.stuck);
        again = after_restart(from);
        assert_int_equal(fake->log[again].kind, FAKE_WRITE); /* cqt */
        for (uint32_t i = again; i < fake->logged; i++) {
            if (fake->log[i].kind == FAKE_COMMAND && (fake->log[i].value & 0x7f) == 2) {
                again = i + 1; /* behind the fence of the flush of everything */
                break;
            }
        }
        assert_executed(again, batch, 3);
        *error_at = 0;
        fake->logged = 0;
    }
}

static void test_an_illegal_command_is_recovered_from(void **state)
{
    (void)state;
    recovers_from(&fake->ill_at);
}

static void test_a_memory_fault_of_the_queue_is_recovered_from(void **state)
{
    (void)state;
    recovers_from(&fake->fault_at);
}

static void test_a_command_timeout_is_recovered_from(void **state)
{
    (void)state;
    recovers_from(&fake->timeout_at);
}

static void test_an_error_that_stays_is_reported_and_remembered(void **state)
{
    const struct cq_command batch[] = {cq_gvma(3)};

    (void)state;
    fake->ill_from = fake->commands + 1;
    assert_int_equal(submit(batch, 1), -CORDON_EHW);
    assert_true(iommu->cq.stuck);
    assert_int_equal(submit(batch, 1), -CORDON_EHW);
    assert_true(iommu->cq.stuck);
    assert_int_equal(fake_count(fake, ~0ull, batch[0].word[0]), 0);
    fake_answer_all(fake);
    assert_int_equal(submit(batch, 1), 0);
    assert_false(iommu->cq.stuck);
    assert_int_equal(fake_count(fake, ~0ull, batch[0].word[0]), 1);
    assert_int_equal(fake_count(fake, ~0ull, 0x81), 3); /* two of bring-up, one of the recovery */
}

static void test_a_head_outside_of_the_ring_is_not_believed(void **state)
{
    struct cq_command batch[300];

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        batch[i] = cq_gvma(1);
    }
    fake_answer_none(fake);
    fake->cq.head = 0x80000000;                             /* and the ring runs full */
    assert_int_equal(submit(batch, 300), -CORDON_ETIMEOUT); /* the restart is not answered either */
    assert_int_equal(iommu->cq.restarts, 1);                /* but was tried */
    fake->cq.head = 0;
}

static void test_registers_that_are_gone_end_a_wait_at_once(void **state)
{
    uint64_t before = machine.now_us;

    (void)state;
    fake_answer_none(fake);
    fake->cq.csr = 0; /* somebody has reset it */
    assert_int_equal(submit(NULL, 0), -CORDON_ETIMEOUT);
    assert_true(machine.now_us - before < 3 * MACHINE_TIMEOUT_US);
}

/* ---- answers that do not come ------------------------------------------------------------- */

static void test_a_fence_that_is_never_done_marks_the_iommu(void **state)
{
    const struct cq_command batch[] = {cq_gvma(3)};

    (void)state;
    fake->never_at = fake->operations + 1;
    assert_int_equal(submit(batch, 1), -CORDON_ETIMEOUT);
    assert_true(iommu->cq.stuck);
    assert_int_equal(fake_count(fake, ~0ull, batch[0].word[0]), 0);
}

static void test_a_marked_iommu_is_restarted_and_flushed_before_anything_else(void **state)
{
    const struct cq_command lost[] = {cq_gvma(3)};
    const struct cq_command next[] = {cq_gvma(4)};
    const uint64_t want[] = {0x3, 0x1, 0x81, 0x3402, next[0].word[0], 0x3402};
    uint32_t seen = 0;

    (void)state;
    fake->never_at = fake->operations + 1;
    assert_int_equal(submit(lost, 1), -CORDON_ETIMEOUT);
    fake->logged = 0;
    assert_int_equal(submit(next, 1), 0);
    assert_false(iommu->cq.stuck);
    for (uint32_t i = after_restart(0); i < fake->logged; i++) {
        uint64_t word = fake->log[i].value;

        if (fake->log[i].kind == FAKE_COMMAND) {
            assert_true(seen < 6);
            assert_int_equal((word & 0x7f) == 2 ? word & 0x3fff : word, want[seen]);
            seen++;
        }
    }
    assert_int_equal(seen, 6);
}

static void test_a_full_ring_that_does_not_move_is_given_up(void **state)
{
    struct cq_command batch[300];

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        batch[i] = cq_gvma(1);
    }
    fake->never_at = fake->operations + 1;
    assert_int_equal(submit(batch, 300), -CORDON_ETIMEOUT);
    assert_true(iommu->cq.stuck);
}

static void test_a_wait_is_bounded_by_turns_when_time_stands_still(void **state)
{
    (void)state;
    machine.tick_us = 0;
    fake->never_at = fake->operations + 1;
    assert_int_equal(submit(NULL, 0), -CORDON_ETIMEOUT);
}

static void test_a_slow_fence_is_waited_for(void **state)
{
    (void)state;
    fake->delay = MACHINE_TIMEOUT_US / 2;
    assert_int_equal(submit(NULL, 0), 0);
}

static void test_an_answer_that_came_while_we_were_held_up_counts(void **state)
{
    (void)state;
    machine.tick_us = 10 * MACHINE_TIMEOUT_US; /* each look at the clock is beyond the bound */
    assert_int_equal(submit(NULL, 0), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_commands_are_encoded_as_the_specification_says),
        T(test_a_batch_larger_than_the_ring_goes_through_in_order),
        T(test_an_empty_batch_is_a_fence),
        T(test_the_fence_numbers_wrap),
        T(test_an_illegal_command_is_recovered_from),
        T(test_a_memory_fault_of_the_queue_is_recovered_from),
        T(test_a_command_timeout_is_recovered_from),
        T(test_an_error_that_stays_is_reported_and_remembered),
        T(test_a_head_outside_of_the_ring_is_not_believed),
        T(test_registers_that_are_gone_end_a_wait_at_once),
        T(test_a_fence_that_is_never_done_marks_the_iommu),
        T(test_a_marked_iommu_is_restarted_and_flushed_before_anything_else),
        T(test_a_full_ring_that_does_not_move_is_given_up),
        T(test_a_wait_is_bounded_by_turns_when_time_stands_still),
        T(test_a_slow_fence_is_waited_for),
        T(test_an_answer_that_came_while_we_were_held_up_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
