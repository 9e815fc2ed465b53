/* The software IOMMU: registers, both queues, their errors, interrupts, and late answers. */
#include "model_bench.h"

#define FENCE 0x3002ull
#define CSR_BUSY (1u << 17)
#define CSR_ON (1u << 16)

static struct cordon_model_stats stats(struct bench *b)
{
    struct cordon_model_stats s = {.size = sizeof(s)};

    assert_int_equal(cordon_model_stats_get(b->m, &s), 0);
    return s;
}

static void test_registers_read_what_the_specification_says(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    assert_int_equal(cordon_model_read(b.m, 0, 8), CORDON_MODEL_CAPABILITIES);
    assert_int_equal(rd(&b, 4), CORDON_MODEL_CAPABILITIES >> 32);
    wr8(&b, 0, 0);
    assert_int_equal(cordon_model_read(b.m, 0, 8), CORDON_MODEL_CAPABILITIES);
    assert_int_equal(cordon_model_read(b.m, 0x10, 8), ppn(AT_DDT) << 10 | 4);
    assert_int_equal(rd(&b, 0x48), CSR_ON | 1);
    wr8(&b, 0x2f8, ~0ull);
    assert_int_equal(cordon_model_read(b.m, 0x2f8, 8), 0xfff);
    wr8(&b, 0x300, ~0ull);
    assert_int_equal(cordon_model_read(b.m, 0x300, 8), 0xfffffffffffffcull);
    assert_int_equal(stats(&b).violations, 0);
    bench_close(&b);
}

static void test_what_is_unspecified_is_refused_and_counted(void **state)
{
    struct bench b;
    uint64_t ddtp = ppn(AT_DDT) << 10 | 4;

    (void)state;
    bench_open(&b, 0, 0);
    wr8(&b, 0x10, ppn(AT_DDT) << 10 | 3);
    wr8(&b, 0x10, 1);
    assert_int_equal(cordon_model_read(b.m, 0x10, 8), ddtp);
    assert_int_equal(stats(&b).violations, 2);
    wr(&b, 0x08, 2);
    assert_int_equal(rd(&b, 0x08), 0);
    wr8(&b, 0x18, 0);
    assert_int_equal(cordon_model_read(b.m, 0x18, 8), ppn(AT_CQ) << 10 | 3);
    (void)cordon_model_read(b.m, 0x48, 8);
    (void)cordon_model_read(b.m, 0x4a, 4);
    assert_int_equal(stats(&b).violations, 6);
    wr8(&b, 0x10, 7); /* a reserved mode: kept as it was */
    wr8(&b, 0x10, 0);
    assert_int_equal(cordon_model_read(b.m, 0x10, 8), 0);
    bench_close(&b);
}

static void test_illegal_commands_stop_the_queue_at_themselves(void **state)
{
    const uint64_t illegal[][2] = {
        {0x00, 0},
        {0x04, 0},
        {0x84, 0},
        {0x81 | 1ull << 32, 0},
        {0x101, 0},
        {0x1 | 1 << 11, 0},
        {0x1 | 1ull << 34, 0},
        {0x1, 1 << 9},
        {0x2 | 1 << 11, 0},
        {0x2, 1ull << 62},
        {0x83 | 1ull << 33, 0},
        {0x3 | 1 << 12, 0},
        {0x3, 1},
        {0x82, 0},
    };
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    for (uint32_t i = 0; i < sizeof(illegal) / sizeof(illegal[0]); i++) {
        uint32_t head = b.tail;

        command(&b, illegal[i][0], illegal[i][1]);
        assert_int_equal(rd(&b, 0x48), CSR_ON | 1 << 10 | 1);
        assert_int_equal(rd(&b, 0x20), head);
        at(&b, AT_CQ)[2 * head] = FENCE; /* repaired: it goes on */
        at(&b, AT_CQ)[2 * head + 1] = 0;
        wr(&b, 0x48, 1 << 10 | 1);
        assert_int_equal(rd(&b, 0x20), b.tail);
    }
    bench_close(&b);
}

static void test_the_command_queue_wraps(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    for (uint32_t i = 1; i <= 40; i++) {
        command(&b, 0x2 | 1 << 10 | (uint64_t)i << 32, (RAM_HPA + AT_PAGE) >> 2);
        assert_int_equal(rd(&b, 0x20), i % 16);
        assert_int_equal((uint32_t)*at(&b, AT_PAGE), i);
    }
    assert_int_equal(stats(&b).fences, 40);
    bench_close(&b);
}

static void test_fences_time_out_and_fetches_fail_on_demand(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    wr(&b, 0x48, 3);
    cordon_model_fail_fences(b.m, 1);
    command(&b, FENCE, 0);
    assert_int_equal(rd(&b, 0x48), CSR_ON | 1 << 9 | 3);
    assert_int_equal(rd(&b, 0x54), 1);
    wr(&b, 0x54, 1);
    assert_int_equal(rd(&b, 0x54), 1); /* its cause still stands */
    wr(&b, 0x48, 1 << 9 | 3);
    wr(&b, 0x54, 1);
    assert_int_equal(rd(&b, 0x54), 0);
    assert_int_equal(rd(&b, 0x20), 1);
    cordon_model_fail_fetches(b.m, 1);
    command(&b, FENCE, 0);
    assert_int_equal(rd(&b, 0x48), CSR_ON | 1 << 8 | 3);
    assert_int_equal(rd(&b, 0x20), 1);
    bench_close(&b);
}

static void test_held_and_late_answers_show_as_busy(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    cordon_model_hold(b.m, CORDON_MODEL_HOLD_REGISTERS | CORDON_MODEL_HOLD_COMMANDS);
    wr8(&b, 0x10, 0);
    assert_int_equal(rd(&b, 0x10) & 0x1f, 0x14);
    wr(&b, 0x48, 3);
    assert_int_equal(rd(&b, 0x48), CSR_ON | CSR_BUSY | 1);
    command(&b, FENCE, 0);
    command(&b, FENCE, 0);
    assert_int_equal(rd(&b, 0x20), 0);
    assert_int_equal(cordon_model_step(b.m, 1), 1);
    assert_int_equal(rd(&b, 0x20), 1);
    cordon_model_hold(b.m, 0);
    assert_int_equal(rd(&b, 0x20), 2);
    assert_int_equal(rd(&b, 0x10) & 0x1f, 0);
    assert_int_equal(rd(&b, 0x48), CSR_ON | 3);
    cordon_model_late(b.m, 3);
    wr(&b, 0x48, 1);
    assert_int_equal(rd(&b, 0x48) & CSR_BUSY, CSR_BUSY);
    assert_int_equal(rd(&b, 0x48) & CSR_BUSY, CSR_BUSY);
    assert_int_equal(rd(&b, 0x48), CSR_ON | 1);
    bench_close(&b);
}

static void test_a_full_fault_queue_drops_until_it_is_cleared(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    wr(&b, 0x30c, 1); /* its message is masked */
    wr(&b, 0x4c, 3);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(go(&b, DID, GPA + 0x1234, IW, NULL), 258);
    }
    assert_int_equal(rd(&b, 0x34), 7);
    assert_int_equal(at(&b, AT_FQ)[0], 258 | 3ull << 34 | (uint64_t)DID << 40);
    assert_int_equal(at(&b, AT_FQ)[2], GPA + 0x1234);
    assert_int_equal(rd(&b, 0x4c), CSR_ON | 3);
    assert_int_equal(go(&b, DID, GPA, IR, NULL), 258);
    assert_int_equal(rd(&b, 0x4c), CSR_ON | 1 << 9 | 3);
    wr(&b, 0x30, 7); /* room again, yet nothing comes while fqof stands */
    assert_int_equal(go(&b, DID, GPA, IR, NULL), 258);
    assert_int_equal(rd(&b, 0x34), 7);
    wr(&b, 0x4c, 1 << 9 | 3);
    assert_int_equal(go(&b, DID, GPA, IR, NULL), 258);
    assert_int_equal(rd(&b, 0x34), 0);
    assert_int_equal(stats(&b).dropped, 2);
    bench_close(&b);
}

static void test_a_fault_queue_outside_memory_says_so(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    wr(&b, 0x4c, 0);
    wr8(&b, 0x28, 0x1000ull << 10 | 2);
    wr(&b, 0x4c, 1);
    assert_int_equal(go(&b, DID, GPA, IR, NULL), 258);
    assert_int_equal(rd(&b, 0x4c), CSR_ON | 1 << 8 | 1);
    bench_close(&b);
}

static void test_interrupts_go_to_the_configured_message(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    wr8(&b, 0x2f8, 0x20); /* faults: vector 2 */
    wr8(&b, 0x320, RAM_HPA + AT_PAGE);
    wr(&b, 0x328, 77);
    wr(&b, 0x32c, 1);
    wr(&b, 0x4c, 3);
    assert_int_equal(go(&b, DID, GPA, IR, NULL), 258);
    assert_int_equal(*at(&b, AT_PAGE), 0); /* masked: kept */
    wr(&b, 0x32c, 0);
    assert_int_equal(*at(&b, AT_PAGE), 77);
    bench_close(&b);
}

static void test_debug_registers_translate_without_a_record(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    wr8(&b, 0x258, GPA);
    wr8(&b, 0x260, (uint64_t)DID << 40 | 9);
    assert_int_equal(rd(&b, 0x260) & 1, 0);
    assert_int_equal(cordon_model_read(b.m, 0x268, 8), ppn(AT_PAGE) << 10);
    *at(&b, AT_G + 0x4000 + 8 * (GPA >> 21 & 0x1ff)) = ppn(0x200000) << 10 | LEAF;
    wr8(&b, 0x260, (uint64_t)DID << 40 | 9);
    assert_int_equal(cordon_model_read(b.m, 0x268, 8), (ppn(0x200000) | 0xff) << 10 | 1 << 9);
    wr8(&b, 0x260, (uint64_t)(DID + 1) << 40 | 9);
    assert_int_equal(cordon_model_read(b.m, 0x268, 8), 1);
    assert_int_equal(rd(&b, 0x34), 0);
    context(&b)[1] = 0; /* Bare: what does not fit in PPN does not go into reserved bits */
    command(&b, 3, 0);
    wr8(&b, 0x258, ~0ull);
    wr8(&b, 0x260, (uint64_t)DID << 40 | 9);
    assert_int_equal(cordon_model_read(b.m, 0x268, 8) >> 54, 0);
    bench_close(&b);
}

static void test_a_smaller_queue_leaves_no_index_beyond_it(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    wr(&b, 0x48, 0);
    wr(&b, 0x4c, 0);
    for (uint32_t base = 0x18; base <= 0x28; base += 0x10) {
        wr8(&b, base, ppn(AT_PAGE) << 10 | 7);
        wr(&b, base == 0x18 ? 0x24 : 0x30, 101);
        wr8(&b, base, ppn(AT_PAGE) << 10 | 1);
        assert_int_equal(rd(&b, base == 0x18 ? 0x24 : 0x30), 1);
    }
    at(&b, AT_PAGE)[0] = 2; /* a tail that heads never meet would never end */
    wr(&b, 0x48, 1);
    assert_int_equal(rd(&b, 0x20), 1);
    bench_close(&b);
}

static void test_dma_stops_at_the_first_page_that_is_refused(void **state)
{
    struct cordon_model_request r = {
        .size = sizeof(r), .device_id = DID, .iova = GPA + 0xff0, .access = IW};
    uint8_t data[64];
    struct bench b;
    size_t done = 0;

    (void)state;
    memset(data, 0x5a, sizeof(data));
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    assert_int_equal(cordon_model_dma(b.m, &r, data, sizeof(data), &done), 23);
    assert_int_equal(done, 16);
    assert_memory_equal((uint8_t *)at(&b, AT_PAGE) + 0xff0, data, 16);
    assert_int_equal(*at(&b, AT_PAGE + 0x1000), 0);
    assert_int_equal(at(&b, AT_FQ)[3], GPA + 0x1000);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers_read_what_the_specification_says),
        cmocka_unit_test(test_what_is_unspecified_is_refused_and_counted),
        cmocka_unit_test(test_illegal_commands_stop_the_queue_at_themselves),
        cmocka_unit_test(test_the_command_queue_wraps),
        cmocka_unit_test(test_fences_time_out_and_fetches_fail_on_demand),
        cmocka_unit_test(test_held_and_late_answers_show_as_busy),
        cmocka_unit_test(test_a_full_fault_queue_drops_until_it_is_cleared),
        cmocka_unit_test(test_a_fault_queue_outside_memory_says_so),
        cmocka_unit_test(test_interrupts_go_to_the_configured_message),
        cmocka_unit_test(test_debug_registers_translate_without_a_record),
        cmocka_unit_test(test_a_smaller_queue_leaves_no_index_beyond_it),
        cmocka_unit_test(test_dma_stops_at_the_first_page_that_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
