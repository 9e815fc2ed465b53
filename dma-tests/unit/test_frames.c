/* Frames: owners, the buddy, memory of the layer's own. INV 4. */
#include "map_bench.h"

#include <stdlib.h>

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

static void test_pages_of_the_layer_go_back_in_any_order(void **state)
{
    struct map_bench b;
    static void *page[2500];
    uint64_t seed = 5;

    (void)state;
    bench_open(&b, 24 * MIB);
    struct cordon_memory_stats before = bench_stats(&b);

    for (size_t i = 0; i < 2500; i++) {
        page[i] = pool_page_alloc(b.ctx);
        assert_non_null(page[i]);
        if (i % 3 == 0) { /* and come again */
            pool_page_free(b.ctx, page[i]);
            page[i] = pool_page_alloc(b.ctx);
        }
    }
    for (size_t i = 2500; i > 0; i--) {
        size_t k = bench_random(&seed) % i;

        pool_page_free(b.ctx, page[k]);
        page[k] = page[i - 1];
        if (i % 100 == 0) {
            bench_sound(&b);
        }
    }
    struct cordon_memory_stats after = bench_stats(&b);

    assert_memory_equal(&after, &before, sizeof(before));
    bench_close(&b);
}

static void free_a_page_twice(void *arg)
{
    struct map_bench *b = arg;
    void *page = pool_page_alloc(b->ctx);

    pool_page_free(b->ctx, page);
    pool_page_free(b->ctx, page);
}

static void test_giving_a_page_back_twice_stops_us(void **state)
{
    struct map_bench b;

    (void)state;
    bench_open(&b, 8 * MIB);
    assert_true(bench_aborts(free_a_page_twice, &b));
    bench_close(&b);
}

/* All blocks HELD whole, and no page for words left: what asks for some is refused. */
static void test_words_that_cannot_be_had(void **state)
{
    struct map_bench b;
    cordon_hpa hpa, some = {0};
    struct cordon_extent e;

    (void)state;
    bench_open(&b, 12 * MIB);
    cordon_domain *d = bench_domain(&b);

    assert_int_equal(frames_alloc(b.ctx, BLOCK_ORDER, &some), 0);
    while (frames_alloc(b.ctx, BLOCK_ORDER, &hpa) == 0) {
    }
    e = (struct cordon_extent){{some.v + PAGE}, PAGE};
    struct cordon_op op = op_grant(0, &e, 1, RW, 0);

    while (pool_page_alloc(b.ctx) != NULL) {
    }
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_run_free(b.ctx, some, PAGE), -CORDON_ENOMEM);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), before);
    bench_drop(&b);
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
        cmocka_unit_test(test_whatever_was_taken_and_freed_merges_again),
        cmocka_unit_test(test_no_frame_is_given_twice),
        cmocka_unit_test(test_fresh_frames_read_as_zero),
        cmocka_unit_test(test_tables_have_words_of_their_own),
        cmocka_unit_test(test_whole_blocks_cost_one_word),
        cmocka_unit_test(test_pages_of_the_layer_come_in_whole_blocks_and_go_back),
        cmocka_unit_test(test_pages_of_the_layer_go_back_in_any_order),
        cmocka_unit_test(test_giving_a_page_back_twice_stops_us),
        cmocka_unit_test(test_words_that_cannot_be_had),
        cmocka_unit_test(test_exhaustion_is_an_error_and_leaves_no_trace),
        cmocka_unit_test(test_an_allocation_that_is_told_to_fail_fails_alone),
        cmocka_unit_test(test_a_written_free_frame_stops_us),
        cmocka_unit_test(test_freeing_what_is_not_taken_stops_us),
        cmocka_unit_test(test_a_context_goes_only_when_it_is_empty),
        cmocka_unit_test(test_every_error_has_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
