/* Contiguous runs. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */

#include "one_context.h"

#include <stdlib.h>
#include <sys/mman.h>

static int run_alloc(uint64_t len, uint64_t align, uint64_t boundary, uint64_t highest,
                     uint64_t *hpa)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .len = len, .align = align, .boundary = boundary, .highest = highest};
    cordon_hpa at = {*hpa};
    int err = cordon_run_alloc(b.ctx, &want, &at);

    *hpa = at.v;
    return err;
}

static int run_free(uint64_t hpa, uint64_t len)
{
    return cordon_run_free(b.ctx, cordon_hpa_make(hpa), len);
}

/* ---- errors ------------------------------------------------------------------------------- */

static void test_wants_that_make_no_sense(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};
    uint64_t before = bench_state(&b), hpa = 7;
    cordon_hpa at = {7};

    (void)state;
    assert_int_equal(cordon_run_alloc(NULL, &want, &at), -CORDON_EINVAL);
    assert_int_equal(cordon_run_alloc(b.ctx, NULL, &at), -CORDON_EINVAL);
    assert_int_equal(cordon_run_alloc(b.ctx, &want, NULL), -CORDON_EINVAL);
    want.size--;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &at), -CORDON_EINVAL);
    want.size++;
    want.flags = 4;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &at), -CORDON_EINVAL);
    assert_int_equal(run_alloc(0, 0, 0, 0, &hpa), -CORDON_ERANGE);
    assert_int_equal(run_alloc(PAGE + 1, 0, 0, 0, &hpa), -CORDON_EALIGN);
    assert_int_equal(run_alloc(PAGE, 3 * PAGE, 0, 0, &hpa), -CORDON_EALIGN);
    assert_int_equal(run_alloc(PAGE, 2048, 0, 0, &hpa), -CORDON_EALIGN);
    assert_int_equal(run_alloc(PAGE, 0, 3 * PAGE, 0, &hpa), -CORDON_EALIGN);
    assert_int_equal(run_alloc(3 * PAGE, 0, 2 * PAGE, 0, &hpa), -CORDON_ERANGE);
    assert_int_equal(run_alloc(2 * PAGE, 0, 0, 2 * PAGE - 2, &hpa), -CORDON_ERANGE);
    assert_int_equal(run_alloc(PAGE, 0, 0, BENCH_RAM, &hpa), -CORDON_ENOMEM);
    assert_int_equal(run_alloc(RAM, 0, 0, 0, &hpa), -CORDON_ENOMEM);
    assert_int_equal(run_alloc(UINT64_C(1) << 62, 0, 0, 0, &hpa), -CORDON_ENOMEM);
    assert_int_equal(run_alloc(PAGE, UINT64_C(1) << 63, 0, 0, &hpa), -CORDON_ENOMEM);
    b.record.fail_at = b.record.allocations + 1;
    assert_int_equal(run_alloc(PAGE, 0, 0, 0, &hpa), -CORDON_ENOMEM);
    assert_int_equal(hpa, 7);
    assert_int_equal(at.v, 7);
    assert_int_equal(bench_state(&b), before);
}

static void test_only_held_frames_can_be_given_back(void **state)
{
    cordon_domain *d = bench_domain(&b);
    uint64_t hpa = bench_held(&b, 8).v;
    uint64_t owned = bench_grant(&b, d, 0x1000, 1, RW, 0).v;
    uint64_t before = bench_state(&b);

    (void)state;
    assert_int_equal(cordon_run_free(NULL, cordon_hpa_make(hpa), PAGE), -CORDON_EINVAL);
    assert_int_equal(run_free(hpa + 8, PAGE), -CORDON_EALIGN);
    assert_int_equal(run_free(hpa, 8), -CORDON_EALIGN);
    assert_int_equal(run_free(hpa, 0), -CORDON_ERANGE);
    assert_int_equal(run_free(0 - PAGE, 2 * PAGE), -CORDON_ERANGE);
    assert_int_equal(run_free(hpa, 9 * PAGE), -CORDON_EPERM);
    assert_int_equal(run_free(owned, PAGE), -CORDON_EPERM);
    assert_int_equal(run_free(0x1000, PAGE), -CORDON_EPERM);
    assert_int_equal(run_free(d->forest.root[0].v, PAGE), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(run_free(hpa, 8 * PAGE), 0);
    assert_int_equal(run_free(hpa, 8 * PAGE), -CORDON_EPERM);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

static void test_a_part_of_a_whole_block_can_be_given_back(void **state)
{
    uint64_t before = bench_state(&b), hpa = 0;

    (void)state;
    assert_int_equal(run_alloc(BLOCK, BLOCK, 0, 0, &hpa), 0);
    uint64_t held = bench_state(&b);

    b.record.fail_at = b.record.allocations + 1;
    assert_int_equal(run_free(hpa + 5 * PAGE, 7 * PAGE), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), held);
    assert_int_equal(run_free(hpa + 5 * PAGE, 7 * PAGE), 0);
    bench_sound(&b);
    assert_int_equal(bench_frame(&b, hpa + 4 * PAGE), CORDON_FRAME_HELD);
    assert_int_equal(bench_frame(&b, hpa + 5 * PAGE), CORDON_FRAME_FREE);
    assert_int_equal(bench_frame(&b, hpa + 12 * PAGE), CORDON_FRAME_HELD);
    assert_int_equal(run_free(hpa, 5 * PAGE), 0);
    assert_int_equal(run_free(hpa + 12 * PAGE, BLOCK - 12 * PAGE), 0);
    assert_int_equal(bench_state(&b), before);
}

static void test_giving_back_across_two_whole_blocks_fails_cleanly(void **state)
{
    uint64_t hpa = 0;

    (void)state;
    assert_int_equal(run_alloc(2 * BLOCK, BLOCK, 0, 0, &hpa), 0);
    uint64_t held = bench_state(&b);

    for (uint64_t n = 1; n <= 2; n++) {
        b.record.fail_at = b.record.allocations + n;
        assert_int_equal(run_free(hpa + BLOCK - PAGE, 2 * PAGE), -CORDON_ENOMEM);
        assert_int_equal(bench_state(&b), held);
    }
    assert_int_equal(run_free(hpa + BLOCK - PAGE, 2 * PAGE), 0);
    bench_sound(&b);
    assert_int_equal(run_free(hpa, BLOCK - PAGE), 0);
    assert_int_equal(run_free(hpa + BLOCK + PAGE, BLOCK - PAGE), 0);
}

/* ---- constraints, against brute force ----------------------------------------------------- */

static bool fits(const uint8_t *is_free, uint64_t page, const struct cordon_run_want *w)
{
    uint64_t hpa = BENCH_RAM + page * PAGE;

    if ((w->align != 0 && hpa % w->align != 0) ||
        (w->boundary != 0 && hpa / w->boundary != (hpa + w->len - 1) / w->boundary) ||
        (w->highest != 0 && hpa + w->len - 1 > w->highest)) {
        return false;
    }
    for (uint64_t i = 0; i < w->len / PAGE; i++) {
        if (page + i >= RAM / PAGE || !is_free[page + i]) {
            return false;
        }
    }
    return true;
}

static struct cordon_run_want random_want(uint64_t *seed)
{
    static const uint64_t lens[] = {1, 2, 3, 5, 8, 17, 64, 100, 513, 700, 1025, 2000};
    uint64_t r = bench_random(seed);
    struct cordon_run_want w = {.size = sizeof(w), .len = lens[r % 12] * PAGE};

    w.align = (r >> 8) % 3 == 0 ? PAGE << ((r >> 12) % 12) : 0;
    if ((r >> 20) % 3 == 0) {
        w.boundary = PAGE << ((r >> 24) % 12);
        while (w.boundary < w.len) {
            w.boundary *= 2;
        }
    }
    if ((r >> 32) % 3 == 0) {
        w.highest = BENCH_RAM + (r >> 36) % RAM;
    }
    return w;
}

/* The words of a snapshot of frames decide whether a run exists; ours must find one exactly then.
 */
static void test_a_run_is_found_exactly_when_there_is_one(void **state)
{
    static uint8_t is_free[RAM / PAGE];
    uint64_t *held = calloc(RAM / PAGE, sizeof(*held)), *len = calloc(RAM / PAGE, sizeof(*len));
    uint64_t count = 0, seed = 4711;
    unsigned found = 0, missed = 0;

    (void)state;
    for (unsigned step = 0; step < 500; step++) {
        struct cordon_run_want w = random_want(&seed);
        bool exists = false;
        cordon_hpa hpa;

        for (uint64_t i = 0; i < RAM / PAGE; i++) {
            is_free[i] = bench_frame(&b, BENCH_RAM + i * PAGE) == CORDON_FRAME_FREE;
        }
        for (uint64_t i = 0; i < RAM / PAGE && !exists; i++) {
            exists = fits(is_free, i, &w);
        }
        int err = cordon_run_alloc(b.ctx, &w, &hpa);

        assert_int_equal(err, exists ? 0 : -CORDON_ENOMEM);
        found += exists;
        missed += !exists;
        if (err == 0) {
            assert_true(fits(is_free, (hpa.v - BENCH_RAM) / PAGE, &w));
            assert_true(frames_all(b.ctx, hpa, w.len, CORDON_FRAME_HELD));
            held[count] = hpa.v;
            len[count++] = w.len;
        }
        while (count > 0 && (err != 0 ? bench_random(&seed) % 4 != 0 : step % 3 == 0)) {
            uint64_t k = bench_random(&seed) % count--;

            assert_int_equal(run_free(held[k], len[k]), 0);
            held[k] = held[count];
            len[k] = len[count];
            err = 0;
            if (step % 3 == 0) {
                break;
            }
        }
        if (step % 16 == 0) {
            bench_sound(&b);
        }
    }
    assert_true(found > 100 && missed > 20);
    while (count > 0) {
        count--;
        assert_int_equal(run_free(held[count], len[count]), 0);
    }
    free(held);
    free(len);
}

static void test_a_run_crosses_free_blocks_that_are_no_buddies(void **state)
{
    uint64_t hpa = 0, second = 0;

    (void)state;
    /* Free exactly two neighbouring blocks, the second of which begins a pair. */
    assert_int_equal(run_alloc(4 * BLOCK, 4 * BLOCK, 0, 0, &hpa), 0);
    uint64_t count = 0, other[4096];

    while (run_alloc(PAGE, 0, 0, 0, &other[count]) == 0) {
        count++;
    }
    assert_int_equal(run_free(hpa + BLOCK, 2 * BLOCK), 0);
    assert_int_equal(run_alloc(2 * BLOCK, 0, 0, 0, &second), 0);
    assert_int_equal(second, hpa + BLOCK);
    assert_int_equal(run_free(hpa, 4 * BLOCK), 0);
    while (count > 0) {
        assert_int_equal(run_free(other[--count], PAGE), 0);
    }
}

static void test_runs_of_more_than_a_gib(void **state)
{
    /* Only the frames that hold nodes or words are ever touched. */
    struct map_bench big;
    const uint64_t size = 5 * GIB;
    const struct cordon_extent bank = {{BENCH_RAM}, size};
    struct cordon_run_want want = {.size = sizeof(want),
                                   .flags = CORDON_RUN_NOZERO,
                                   .len = 3 * GIB + 5 * PAGE,
                                   .align = GIB / 2};
    cordon_hpa hpa = {0};

    (void)state;
    memset(&big, 0, sizeof(big));
    big.base = BENCH_RAM;
    big.size = size;
    big.ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    assert_ptr_not_equal(big.ram, MAP_FAILED);
    record_init(&big.record, NULL);
    struct cordon_config cfg = bench_config(&big);

    cfg.cookie = NULL; /* a record of so many frames takes long */
    cfg.banks = &bank;
    cfg.bank_count = 1;
    assert_int_equal(cordon_ctx_create(&cfg, &big.ctx), 0);
    struct cordon_memory_stats before = bench_stats(&big);

    assert_int_equal(before.largest_free, GIB);
    assert_int_equal(cordon_run_alloc(big.ctx, &want, &hpa), 0);
    assert_int_equal(hpa.v % (GIB / 2), 0);
    assert_true(frames_all(big.ctx, hpa, want.len, CORDON_FRAME_HELD));
    bench_sound(&big);
    assert_int_equal(cordon_run_free(big.ctx, hpa, want.len), 0);
    struct cordon_memory_stats after = bench_stats(&big);

    assert_memory_equal(&after, &before, sizeof(before));
    bench_close(&big);
    assert_int_equal(munmap(big.ram, size), 0);
}

static void test_a_run_reads_as_zero_unless_asked(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = 3 * PAGE, .align = BLOCK};
    cordon_hpa hpa, again;

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    uint8_t *p = frames_ptr(b.ctx, hpa);

    for (uint64_t i = 0; i < want.len; i++) {
        assert_int_equal(p[i], 0);
    }
    memset(p, 0x77, want.len);
    assert_int_equal(cordon_run_free(b.ctx, hpa, want.len), 0);
    want.flags = CORDON_RUN_NOZERO;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &again), 0);
    assert_int_equal(again.v, hpa.v);
    assert_int_equal(p[2 * PAGE + 100], 0x77);
    assert_int_equal(cordon_run_free(b.ctx, hpa, want.len), 0);
    want.flags = 0;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &again), 0);
    assert_int_equal(again.v, hpa.v);
    assert_int_equal(p[2 * PAGE + 100], 0);
    assert_int_equal(cordon_run_free(b.ctx, hpa, want.len), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wants_that_make_no_sense),
        TEST(test_only_held_frames_can_be_given_back),
        TEST(test_a_part_of_a_whole_block_can_be_given_back),
        TEST(test_giving_back_across_two_whole_blocks_fails_cleanly),
        TEST(test_a_run_is_found_exactly_when_there_is_one),
        TEST(test_a_run_crosses_free_blocks_that_are_no_buddies),
        TEST(test_runs_of_more_than_a_gib),
        TEST(test_a_run_reads_as_zero_unless_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
