/* Contexts laid over RAM: banks, reserved parts, and what is refused. */
#include "map_bench.h"

static uint64_t total_of(const struct cordon_memory_stats *s)
{
    return s->free + s->held + s->hyp + s->table + s->owned + s->revoking;
}

/* ---- laying out --------------------------------------------------------------------------- */

static void test_every_page_of_banks_has_an_owner_and_nothing_else_has(void **state)
{
    struct map_bench b;
    const uint64_t base = UINT64_C(0x40000000);
    /* Unaligned ends, a hole inside one 2 MiB block, a bank that goes on where one ends. */
    const struct cordon_extent banks[] = {{{base + 0x3000}, 5 * MIB},
                                          {{base + 6 * MIB}, MIB},
                                          {{base + 7 * MIB}, 9 * MIB},
                                          {{base + 17 * MIB + 0x5000}, 6 * MIB}};
    const struct cordon_extent reserved[] = {{{base + 0x10000}, 0x3000},
                                             {{base + 9 * MIB - 0x1000}, 0x2000},
                                             {{base + 9 * MIB}, 0x8000},
                                             {{base + 30 * MIB}, MIB}};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = banks,
                                .bank_count = 4,
                                .reserved = reserved,
                                .reserved_count = 4,
                                .hart_modes = 1};
    uint64_t total = 0;

    (void)state;
    bench_open_as(&b, base, 32 * MIB, &cfg);
    for (uint64_t at = base; at < base + 32 * MIB; at += PAGE) {
        bool ram = false, kept = false;

        for (size_t i = 0; i < 4; i++) {
            ram = ram || at - banks[i].hpa.v < banks[i].len;
            kept = kept || at - reserved[i].hpa.v < reserved[i].len;
        }
        uint32_t is = bench_frame(&b, at);

        total += ram ? PAGE : 0;
        assert_true(ram || is == CORDON_FRAME_NONE);
        assert_true(!ram || is == CORDON_FRAME_FREE || is == CORDON_FRAME_HYP);
        assert_true(!ram || !kept || is == CORDON_FRAME_HYP);
    }
    struct cordon_memory_stats s = bench_stats(&b);

    assert_int_equal(s.total, total);
    assert_int_equal(total_of(&s), total);
    assert_int_equal(s.hyp, 2 * MIB + 0x3000 + 0x9000); /* one boot block, what is reserved */
    bench_close(&b);
}

static void test_the_layer_settles_below_what_is_reserved(void **state)
{
    struct map_bench b;
    const struct cordon_extent bank = {{BENCH_RAM}, 12 * MIB};
    const struct cordon_extent reserved[] = {{{BENCH_RAM + 9 * MIB}, PAGE},
                                             {{BENCH_RAM + 5 * MIB}, MIB},
                                             {{BENCH_RAM + 5 * MIB + PAGE}, 2 * MIB}};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .reserved = reserved,
                                .reserved_count = 3,
                                .hart_modes = 1};

    (void)state;
    bench_open_as(&b, BENCH_RAM, 12 * MIB, &cfg);
    assert_int_equal((uint64_t)(uintptr_t)b.ctx - b.ctx->ram_offset, BENCH_RAM + 10 * MIB);
    assert_int_equal(bench_frame(&b, BENCH_RAM + 9 * MIB), CORDON_FRAME_HYP);
    assert_int_equal(bench_frame(&b, BENCH_RAM + 9 * MIB + PAGE), CORDON_FRAME_FREE);
    assert_int_equal(bench_frame(&b, BENCH_RAM + 7 * MIB), CORDON_FRAME_HYP);
    assert_int_equal(bench_frame(&b, BENCH_RAM + 7 * MIB + PAGE), CORDON_FRAME_FREE);
    bench_close(&b);
    const struct cordon_extent more[] = {reserved[0], reserved[1], {{BENCH_RAM + 11 * MIB}, PAGE}};

    cfg.reserved = more;
    bench_open_as(&b, BENCH_RAM, 12 * MIB, &cfg);
    assert_int_equal((uint64_t)(uintptr_t)b.ctx - b.ctx->ram_offset, BENCH_RAM + 6 * MIB);
    bench_close(&b);
    cfg.reserved_count = 0;
    const struct cordon_extent odd = {{BENCH_RAM}, 11 * MIB + PAGE};

    cfg.banks = &odd; /* free frames behind the boot block */
    bench_open_as(&b, BENCH_RAM, 12 * MIB, &cfg);
    assert_int_equal((uint64_t)(uintptr_t)b.ctx - b.ctx->ram_offset, BENCH_RAM + 8 * MIB);
    assert_int_equal(bench_frame(&b, BENCH_RAM + 11 * MIB), CORDON_FRAME_FREE);
    assert_int_equal(bench_frame(&b, BENCH_RAM + 11 * MIB + PAGE), CORDON_FRAME_NONE);
    bench_close(&b);
}

static void test_banks_that_touch_are_one(void **state)
{
    struct map_bench b;
    const struct cordon_extent banks[] = {{{BENCH_RAM}, 5 * MIB},
                                          {{BENCH_RAM + 5 * MIB}, 11 * MIB}};
    const struct cordon_run_want want = {.size = sizeof(want), .len = 12 * MIB};
    struct cordon_config cfg = {
        .size = sizeof(cfg), .banks = banks, .bank_count = 2, .hart_modes = 1};
    cordon_hpa hpa;

    (void)state;
    bench_open_as(&b, BENCH_RAM, 16 * MIB, &cfg);
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    assert_int_equal(cordon_run_free(b.ctx, hpa, want.len), 0);
    bench_close(&b);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    struct map_bench b;
    struct cordon_extent bank = {{BENCH_RAM}, 8 * MIB}, two[2] = {bank, bank};
    struct cordon_extent many[CORDON_MAX_BANKS + 1];
    struct cordon_port_ops ops = {.size = sizeof(ops)};
    cordon_ctx *ctx = NULL;

    (void)state;
    bench_memory(&b, BENCH_RAM, 8 * MIB);
    struct cordon_config good = bench_config(&b);

    good.banks = &bank;
    good.bank_count = 1;
#define REFUSED(error, ...)                                        \
    do {                                                           \
        struct cordon_config cfg = good;                           \
        __VA_ARGS__;                                               \
        assert_int_equal(cordon_ctx_create(&cfg, &ctx), -(error)); \
    } while (0)
    REFUSED(CORDON_EINVAL, cfg.size--);
    REFUSED(CORDON_EINVAL, cfg.flags = 8);
    REFUSED(CORDON_EINVAL, cfg.bank_count = 0);
    REFUSED(CORDON_EINVAL, cfg.banks = NULL);
    REFUSED(CORDON_EINVAL, cfg.reserved_count = 1);
    REFUSED(CORDON_EINVAL, cfg.hart_modes = 0);
    REFUSED(CORDON_EINVAL, cfg.hart_modes = 8);
    REFUSED(CORDON_EINVAL, cfg.vmid_bits = 15);
    REFUSED(CORDON_EINVAL, cfg.cookie = &ops; ops.size = 8);
    REFUSED(CORDON_EINVAL, cfg.cookie = &ops; ops.size = sizeof(ops); ops.reserved = 1);
    REFUSED(CORDON_EALIGN, cfg.ram_offset += 8);
    REFUSED(CORDON_EALIGN, bank.len += 8);
    bank.len = 8 * MIB;
    REFUSED(CORDON_EALIGN, bank.hpa.v += 8);
    bank.hpa.v = BENCH_RAM;
    REFUSED(CORDON_ERANGE, bank.len = 0);
    REFUSED(CORDON_ERANGE, bank.len = (UINT64_C(1) << 56));
    REFUSED(CORDON_ERANGE, bank = (struct cordon_extent){{0 - 2 * PAGE}, 4 * PAGE});
    bank = (struct cordon_extent){{BENCH_RAM}, 8 * MIB};
    REFUSED(CORDON_ERANGE, cfg.banks = two; cfg.bank_count = 2);
    REFUSED(CORDON_ENOMEM, bank.len = MIB);
    bank.len = 8 * MIB;
    for (uint64_t i = 0; i <= CORDON_MAX_BANKS; i++) {
        many[i] = (struct cordon_extent){{BENCH_RAM + 2 * i * PAGE}, PAGE};
    }
    REFUSED(CORDON_EALIGN, many[3].len = 8; cfg.reserved = many; cfg.reserved_count = 4);
    many[3].len = PAGE;
    REFUSED(CORDON_ELIMIT, cfg.banks = many; cfg.bank_count = CORDON_MAX_BANKS + 1);
    REFUSED(CORDON_ELIMIT, cfg.reserved = many; cfg.reserved_count = CORDON_MAX_BANKS + 1);
    assert_int_equal(cordon_ctx_create(NULL, &ctx), -CORDON_EINVAL);
    assert_int_equal(cordon_ctx_create(&good, NULL), -CORDON_EINVAL);
    assert_null(ctx);
    for (uint64_t i = 0; i < 8 * MIB; i++) {
        assert_int_equal(b.ram[i], 0xa5); /* not a byte was touched */
    }
    /* And the limit itself is allowed. */
    good.reserved = many;
    good.reserved_count = CORDON_MAX_BANKS;
    assert_int_equal(cordon_ctx_create(&good, &b.ctx), 0);
    bench_close(&b);
}

static void test_address_zero_is_never_given_out(void **state)
{
    struct map_bench b;
    const struct cordon_extent bank = {{0}, 8 * MIB};
    struct cordon_config cfg = {
        .size = sizeof(cfg), .banks = &bank, .bank_count = 1, .hart_modes = 1};
    cordon_hpa hpa;

    (void)state;
    bench_open_as(&b, 0, 8 * MIB, &cfg);
    assert_int_equal(bench_frame(&b, 0), CORDON_FRAME_HYP);
    while (frames_alloc(b.ctx, 0, &hpa) == 0) {
        assert_int_not_equal(hpa.v, 0);
    }
    bench_drop(&b);
}

static void test_a_query_needs_pointers(void **state)
{
    struct map_bench b;
    struct cordon_frame_info info;

    (void)state;
    bench_open(&b, 8 * MIB);
    assert_int_equal(cordon_frame_query(NULL, cordon_hpa_make(BENCH_RAM), &info), -CORDON_EINVAL);
    assert_int_equal(cordon_frame_query(b.ctx, cordon_hpa_make(BENCH_RAM), NULL), -CORDON_EINVAL);
    assert_int_equal(bench_frame(&b, 0), CORDON_FRAME_NONE);
    assert_int_equal(bench_frame(&b, UINT64_MAX), CORDON_FRAME_NONE);
    bench_close(&b);
}

static void test_many_frames_are_asked_about_in_one_turn(void **state)
{
    struct map_bench b;
    struct cordon_frame_info all[CORDON_FRAMES_QUERY], one;
    const cordon_hpa first = {BENCH_RAM - 8 * PAGE}; /* where there is no RAM yet */

    (void)state;
    bench_open(&b, 8 * MIB);
    bench_grant(&b, bench_domain(&b), GIB, 100, RW, 0);
    uint64_t turns = b.ctx->frames.lock.next;

    assert_int_equal(cordon_frames_query(b.ctx, first, all, CORDON_FRAMES_QUERY), 0);
    assert_int_equal(b.ctx->frames.lock.next - turns, 1);
    for (uint32_t i = 0; i < CORDON_FRAMES_QUERY; i++) {
        assert_int_equal(cordon_frame_query(b.ctx, cordon_hpa_add(first, i * PAGE), &one), 0);
        assert_memory_equal(&all[i], &one, sizeof(one));
    }
    assert_int_equal(all[7].state, CORDON_FRAME_NONE);
    assert_int_not_equal(all[8].state, CORDON_FRAME_NONE);
    assert_int_equal(cordon_frames_query(b.ctx, first, all, 0), -CORDON_EINVAL);
    assert_int_equal(cordon_frames_query(b.ctx, first, all, CORDON_FRAMES_QUERY + 1),
                     -CORDON_EINVAL);
    assert_int_equal(cordon_frames_query(NULL, first, all, 1), -CORDON_EINVAL);
    assert_int_equal(cordon_frames_query(b.ctx, first, NULL, 1), -CORDON_EINVAL);
    bench_drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_page_of_banks_has_an_owner_and_nothing_else_has),
        cmocka_unit_test(test_the_layer_settles_below_what_is_reserved),
        cmocka_unit_test(test_banks_that_touch_are_one),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_address_zero_is_never_given_out),
        cmocka_unit_test(test_a_query_needs_pointers),
        cmocka_unit_test(test_many_frames_are_asked_about_in_one_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
