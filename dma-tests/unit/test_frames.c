/* Frames: laying out, owners, the buddy, meta blocks. INV 4. */
#include "map_bench.h"

#include <stdlib.h>

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
    REFUSED(CORDON_EINVAL, cfg.flags = 1);
    REFUSED(CORDON_EINVAL, cfg.bank_count = 0);
    REFUSED(CORDON_EINVAL, cfg.banks = NULL);
    REFUSED(CORDON_EINVAL, cfg.reserved_count = 1);
    REFUSED(CORDON_EINVAL, cfg.hart_modes = 0);
    REFUSED(CORDON_EINVAL, cfg.hart_modes = 8);
    REFUSED(CORDON_EINVAL, cfg.vmid_bits = 15);
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

/* ---- the buddy ---------------------------------------------------------------------------- */

struct piece {
    cordon_hpa hpa;
    unsigned order;
    uint32_t state;
};

/* Allocate and free at random, down to the last frame; each step is checked against a plain list.
 */
static void random_life(struct map_bench *b, uint64_t seed, unsigned steps)
{
    struct piece *held = calloc(8192, sizeof(*held));
    size_t count = 0;

    for (unsigned i = 0; i < steps; i++) {
        uint64_t r = bench_random(&seed);
        bool take = count == 0 || (r % 100 < 60 && count < 8192);

        if (take) {
            struct piece p = {.order = (unsigned)(r >> 8) % 12};

            p.order = p.order > 10 ? 0 : p.order;
            p.state = (r >> 16 & 1) != 0 ? CORDON_FRAME_TABLE : CORDON_FRAME_HELD;
            int err = p.state == CORDON_FRAME_TABLE ? frames_alloc_table(b->ctx, p.order, &p.hpa)
                                                    : frames_alloc(b->ctx, p.order, &p.hpa);

            if (err != 0) {
                assert_int_equal(err, -CORDON_ENOMEM);
                continue;
            }
            assert_true((p.hpa.v & ((PAGE << p.order) - 1)) == 0);
            assert_true(frames_all(b->ctx, p.hpa, PAGE << p.order, p.state));
            held[count++] = p;
        } else {
            size_t k = (r >> 8) % count;

            assert_true(frames_all(b->ctx, held[k].hpa, PAGE << held[k].order, held[k].state));
            frames_free(b->ctx, held[k].hpa, held[k].order);
            held[k] = held[--count];
        }
        if (i % 64 == 0) {
            bench_sound(b);
        }
    }
    while (count > 0) {
        count--;
        frames_free(b->ctx, held[count].hpa, held[count].order);
    }
    free(held);
}

static void test_whatever_was_taken_and_freed_merges_again(void **state)
{
    struct map_bench b;

    (void)state;
    bench_open(&b, 24 * MIB);
    uint64_t before = bench_state(&b);

    for (uint64_t seed = 1; seed <= 4; seed++) {
        random_life(&b, seed, 2500);
        bench_sound(&b);
        assert_int_equal(bench_state(&b), before);
    }
    bench_close(&b);
}

static void test_no_frame_is_given_twice(void **state)
{
    struct map_bench b;
    uint8_t *seen = calloc(1, 16 * MIB / PAGE);
    uint64_t count = 0;
    cordon_hpa hpa;

    (void)state;
    bench_open(&b, 16 * MIB);
    struct cordon_memory_stats s = bench_stats(&b);

    while (frames_alloc(b.ctx, 0, &hpa) == 0) {
        uint64_t i = (hpa.v - BENCH_RAM) / PAGE;

        assert_int_equal(seen[i], 0);
        seen[i] = 1;
        count++;
    }
    assert_int_equal(count, s.free / PAGE);
    assert_int_equal(bench_stats(&b).free, 0);
    for (uint64_t i = 0; i < 16 * MIB / PAGE; i++) {
        if (seen[i] != 0) {
            frames_free(b.ctx, cordon_hpa_make(BENCH_RAM + i * PAGE), 0);
        }
    }
    assert_int_equal(bench_stats(&b).free, s.free);
    assert_int_equal(bench_stats(&b).largest_free, s.largest_free);
    free(seen);
    bench_close(&b);
}

static void test_fresh_frames_read_as_zero(void **state)
{
    struct map_bench b;
    cordon_hpa hpa;

    (void)state;
    bench_open(&b, 8 * MIB);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(
            (i & 1) != 0 ? frames_alloc(b.ctx, 3, &hpa) : frames_alloc_table(b.ctx, 3, &hpa), 0);
        uint8_t *p = frames_ptr(b.ctx, hpa);

        for (uint64_t k = 0; k < 8 * PAGE; k++) {
            assert_int_equal(p[k], 0);
        }
        memset(p, 0x5a, 8 * PAGE);
        frames_free(b.ctx, hpa, 3);
    }
    bench_close(&b);
}

static void test_tables_have_words_of_their_own(void **state)
{
    struct map_bench b;
    cordon_hpa hpa;

    (void)state;
    bench_open(&b, 16 * MIB);
    for (unsigned order = 0; order <= 10; order++) {
        assert_int_equal(frames_alloc_table(b.ctx, order, &hpa), 0);
        for (uint64_t i = 0; i < BIT64(order); i++) {
            uint64_t *word = frames_word_at(b.ctx, cordon_hpa_add(hpa, i * PAGE));

            assert_int_equal(*word, CORDON_FRAME_TABLE);
            *word |= field_put(FW_TABLE_REFS, i & 0xff);
            assert_int_equal(frames_word(b.ctx, cordon_hpa_add(hpa, i * PAGE)), *word);
        }
        frames_free(b.ctx, hpa, order);
    }
    assert_int_equal(frames_alloc_table(b.ctx, MAX_ORDER + 1, &hpa), -CORDON_ENOMEM);
    bench_close(&b);
}

static void test_whole_blocks_cost_one_word(void **state)
{
    struct map_bench b;
    cordon_hpa hpa;

    (void)state;
    bench_open(&b, 16 * MIB);
    uint64_t before = bench_stats(&b).ownership;

    assert_int_equal(frames_alloc(b.ctx, BLOCK_ORDER, &hpa), 0);
    assert_int_equal(bench_stats(&b).ownership, before);
    frames_free(b.ctx, hpa, BLOCK_ORDER);
    assert_int_equal(frames_alloc(b.ctx, 0, &hpa), 0);
    assert_int_equal(bench_stats(&b).ownership, before + PAGE);
    frames_free(b.ctx, hpa, 0);
    assert_int_equal(bench_stats(&b).ownership, before);
    bench_close(&b);
}

/* ---- memory of the layer's own ------------------------------------------------------------ */

static void test_pages_of_the_layer_come_in_whole_blocks_and_go_back(void **state)
{
    struct map_bench b;
    void *page[1500];
    size_t count = 0;

    (void)state;
    bench_open(&b, 16 * MIB);
    struct cordon_memory_stats before = bench_stats(&b);

    for (; count < 1500; count++) {
        page[count] = pool_page_alloc(b.ctx);
        assert_non_null(page[count]);
        for (size_t i = 0; i < PAGE; i++) {
            assert_int_equal(((uint8_t *)page[count])[i], 0);
        }
        memset(page[count], 0xff, PAGE);
    }
    bench_sound(&b);
    struct cordon_memory_stats during = bench_stats(&b);

    assert_int_equal(during.hyp - before.hyp, 2 * BLOCK); /* 1500 less what the boot block had */
    assert_int_equal(during.hyp % BLOCK, 0);
    while (count > 0) {
        pool_page_free(b.ctx, page[--count]);
    }
    struct cordon_memory_stats after = bench_stats(&b);

    assert_memory_equal(&after, &before, sizeof(before));
    bench_close(&b);
}

static void test_exhaustion_is_an_error_and_leaves_no_trace(void **state)
{
    struct map_bench b;
    cordon_hpa hpa, last = {0};

    (void)state;
    bench_open(&b, 8 * MIB);
    while (frames_alloc(b.ctx, BLOCK_ORDER, &hpa) == 0) {
        last = hpa;
    }
    uint64_t before = bench_state(&b);

    assert_int_equal(frames_alloc(b.ctx, 0, &hpa), -CORDON_ENOMEM);
    assert_int_equal(frames_alloc_table(b.ctx, 0, &hpa), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), before);
    frames_free(b.ctx, last, BLOCK_ORDER);
    assert_int_equal(frames_alloc(b.ctx, 0, &hpa), 0);
    bench_drop(&b);
}

static void test_an_allocation_that_is_told_to_fail_fails_alone(void **state)
{
    struct map_bench b;
    cordon_hpa hpa;

    (void)state;
    bench_open(&b, 8 * MIB);
    uint64_t before = bench_state(&b);

    b.record.fail_at = b.record.allocations + 1;
    assert_int_equal(frames_alloc(b.ctx, 0, &hpa), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(frames_alloc(b.ctx, 0, &hpa), 0);
    frames_free(b.ctx, hpa, 0);
    b.record.fail_at = b.record.allocations + 1;
    assert_null(pool_page_alloc(b.ctx));
    assert_int_equal(bench_state(&b), before);
    bench_close(&b);
}

/* ---- INV 4: who writes into free memory is found out --------------------------------------- */

static void take_all(void *arg)
{
    struct map_bench *b = arg;
    cordon_hpa hpa;

    while (frames_alloc(b->ctx, 0, &hpa) == 0) {
    }
}

static void free_twice(void *arg)
{
    struct map_bench *b = arg;
    cordon_hpa hpa;

    if (frames_alloc(b->ctx, 0, &hpa) == 0) {
        frames_free(b->ctx, hpa, 0);
        frames_free(b->ctx, hpa, 0);
    }
}

static void free_hyp(void *arg)
{
    struct map_bench *b = arg;

    frames_free(b->ctx, cordon_hpa_make((uint64_t)(uintptr_t)b->ctx - b->ctx->ram_offset), 0);
}

static void test_a_written_free_frame_stops_us(void **state)
{
    struct map_bench b;

    (void)state;
    bench_open(&b, 8 * MIB);
    assert_false(bench_aborts(take_all, &b));
    for (unsigned order = 0; order <= MAX_ORDER; order++) {
        uint64_t hfn = b.ctx->frames.free[order];

        if (hfn == HFN_NONE) {
            continue;
        }
        for (size_t word = 0; word < 3; word++) {
            uint64_t *node = pool_ptr(&b.ctx->frames, hfn);
            uint64_t old = node[word];

            node[word] ^= UINT64_C(1) << 17;
            (void)bench_breaks(&b, 4);
            assert_true(bench_aborts(take_all, &b));
            node[word] = old;
        }
    }
    bench_close(&b);
}

static void test_freeing_what_is_not_taken_stops_us(void **state)
{
    struct map_bench b;

    (void)state;
    bench_open(&b, 8 * MIB);
    assert_true(bench_aborts(free_twice, &b));
    assert_true(bench_aborts(free_hyp, &b));
    bench_close(&b);
}

static void test_a_context_goes_only_when_it_is_empty(void **state)
{
    struct map_bench b;

    (void)state;
    bench_open(&b, 8 * MIB);
    cordon_domain *d = bench_domain(&b);

    assert_int_equal(cordon_ctx_destroy(NULL), -CORDON_EINVAL);
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_ctx_destroy(b.ctx), -CORDON_EBUSY);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
}

static void test_every_error_has_a_sentence(void **state)
{
    (void)state;
    for (int code = 0; code <= CORDON_ERROR_LAST; code++) {
        assert_non_null(cordon_strerror(-code));
        for (int other = 0; other < code; other++) {
            assert_string_not_equal(cordon_strerror(-code), cordon_strerror(-other));
        }
    }
    assert_string_equal(cordon_strerror(1), cordon_strerror(-CORDON_ERROR_LAST - 1));
    assert_string_not_equal(cordon_strerror(1), cordon_strerror(0));
    assert_string_equal(cordon_strerror(INT32_MIN), cordon_strerror(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_page_of_banks_has_an_owner_and_nothing_else_has),
        cmocka_unit_test(test_banks_that_touch_are_one),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_address_zero_is_never_given_out),
        cmocka_unit_test(test_a_query_needs_pointers),
        cmocka_unit_test(test_whatever_was_taken_and_freed_merges_again),
        cmocka_unit_test(test_no_frame_is_given_twice),
        cmocka_unit_test(test_fresh_frames_read_as_zero),
        cmocka_unit_test(test_tables_have_words_of_their_own),
        cmocka_unit_test(test_whole_blocks_cost_one_word),
        cmocka_unit_test(test_pages_of_the_layer_come_in_whole_blocks_and_go_back),
        cmocka_unit_test(test_exhaustion_is_an_error_and_leaves_no_trace),
        cmocka_unit_test(test_an_allocation_that_is_told_to_fail_fails_alone),
        cmocka_unit_test(test_a_written_free_frame_stops_us),
        cmocka_unit_test(test_freeing_what_is_not_taken_stops_us),
        cmocka_unit_test(test_a_context_goes_only_when_it_is_empty),
        cmocka_unit_test(test_every_error_has_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
