/* Contiguous runs and scattered pieces. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */

#include "map_bench.h"

#include <stdlib.h>
#include <sys/mman.h>

#define RAM (24 * MIB)

static struct map_bench b;

static int setup(void **state)
{
    (void)state;
    bench_open(&b, RAM);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

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

/* ---- scattered ---------------------------------------------------------------------------- */

#define ROOM 8192u
static struct cordon_extent out[ROOM];

static void give_back(const struct cordon_extent *e, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(cordon_run_free(b.ctx, e[i].hpa, e[i].len), 0);
    }
}

/* Pieces have the sizes asked for, stand at multiples of them, are HELD, zero, and sum up to LEN.
 */
static void check_pieces(size_t count, uint64_t len, uint32_t pieces)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned order = (unsigned)__builtin_ctzll(out[i].len / PAGE);
        const uint8_t *p = frames_ptr(b.ctx, out[i].hpa);

        assert_int_equal(out[i].len, PAGE << order);
        assert_true((pieces >> order & 1) != 0);
        assert_int_equal(out[i].hpa.v % out[i].len, 0);
        assert_int_equal(sum % out[i].len, 0);
        assert_true(frames_all(b.ctx, out[i].hpa, out[i].len, CORDON_FRAME_HELD));
        for (uint64_t k = 0; k < out[i].len; k += 512) {
            assert_int_equal(p[k], 0);
        }
        sum += out[i].len;
    }
    assert_int_equal(sum, len);
}

static size_t scatter(uint64_t len, uint32_t pieces, uint64_t seed)
{
    size_t count = ROOM;

    assert_int_equal(cordon_scatter_alloc(b.ctx, len, pieces, seed, out, &count), 0);
    return count;
}

static void test_pieces_are_what_was_asked_for(void **state)
{
    static const uint32_t kinds[] = {1,          1 | 1 << 9, 1 << 9, 1 | 1 << 3 | 1 << 5,
                                     1 | 1 << 8, 1 << 8};
    uint64_t before = bench_state(&b);

    (void)state;
    for (size_t k = 0; k < 6; k++) {
        for (uint64_t seed = 0; seed < 6; seed++) {
            size_t count = scatter(8 * MIB, kinds[k], seed);

            check_pieces(count, 8 * MIB, kinds[k]);
            bench_sound(&b);
            give_back(out, count);
            assert_int_equal(bench_state(&b), before);
        }
    }
}

static void test_sizes_are_mixed_and_neighbours_stand_apart(void **state)
{
    (void)state;
    size_t count = scatter(8 * MIB, 1 | 1 << 9, 3);
    size_t small = 0, touching = 0, ascending = 0;

    check_pieces(count, 8 * MIB, 1 | 1 << 9);
    for (size_t i = 0; i < count; i++) {
        small += out[i].len == PAGE;
        if (i > 0) {
            touching += out[i].len == PAGE && out[i - 1].len == PAGE &&
                        out[i - 1].hpa.v + PAGE == out[i].hpa.v;
            ascending += out[i - 1].hpa.v < out[i].hpa.v;
        }
    }
    assert_true(small > 0 && small < count);
    assert_int_equal(touching, 0);
    assert_true(ascending > count / 4 && ascending < count - count / 4);
    give_back(out, count);
}

static void test_equal_seeds_give_equal_layouts(void **state)
{
    static struct cordon_extent first[ROOM];

    (void)state;
    size_t count = scatter(4 * MIB, 1, 5);

    memcpy(first, out, sizeof(first));
    give_back(out, count);
    size_t again = scatter(4 * MIB, 1, 5);

    assert_int_equal(again, count);
    assert_memory_equal(first, out, count * sizeof(*out));
    give_back(out, again);
    again = scatter(4 * MIB, 1, 6);
    assert_memory_not_equal(first, out, count * sizeof(*out));
    give_back(out, again);
}

static void test_who_scatters_next_gets_the_holes(void **state)
{
    static struct cordon_extent red[ROOM];
    uint64_t foreign = 0;

    (void)state;
    size_t reds = scatter(4 * MIB, 1, 1);

    memcpy(red, out, sizeof(red));
    size_t blues = scatter(4 * MIB, 1, 2);
    cordon_domain *d = bench_domain(&b);
    struct cordon_op op = op_grant(0, red, reds, RW, CORDON_REGION_KEEP);

    assert_int_equal(cordon_change(d, &op, 1), 0);
    for (size_t i = 0; i < blues; i++) {
        uint64_t other = out[i].hpa.v ^ PAGE; /* the other half of its pair */

        foreign += bench_frame(&b, other) == CORDON_FRAME_OWNED;
    }
    assert_true(foreign > blues * 9 / 10);
    assert_int_equal(cordon_domain_destroy(d), 0);
    give_back(red, reds);
    give_back(out, blues);
}

static void test_tight_memory_is_used_to_the_last_page(void **state)
{
    (void)state;
    uint64_t before = bench_state(&b);
    uint64_t all = bench_stats(&b).free;
    size_t count = ROOM;

    /* Words of every block take a block of the layer's own, or a few of its pages. */
    all -= all % BLOCK;
    int err = cordon_scatter_alloc(b.ctx, all, 1, 9, out, &count);

    assert_int_equal(err, 0);
    check_pieces(count, all, 1);
    give_back(out, count);
    assert_int_equal(bench_state(&b), before);
}

static void test_without_sizes_the_largest_come_first(void **state)
{
    size_t count = ROOM;

    (void)state;
    assert_int_equal(cordon_scatter_alloc(b.ctx, 7 * MIB + PAGE, 0, 0, out, &count), 0);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        assert_true(frames_all(b.ctx, out[i].hpa, out[i].len, CORDON_FRAME_HELD));
        sum += out[i].len;
    }
    assert_int_equal(sum, 7 * MIB + PAGE);
    assert_true(count <= 12);
    assert_true(out[0].len >= 4 * MIB);
    give_back(out, count);
}

static void test_scatter_refuses_and_leaves_no_trace(void **state)
{
    uint64_t before = bench_state(&b);
    size_t count = ROOM;

    (void)state;
    assert_int_equal(cordon_scatter_alloc(NULL, PAGE, 1, 0, out, &count), -CORDON_EINVAL);
    assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 1, 0, NULL, &count), -CORDON_EINVAL);
    assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 1, 0, out, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 1 << 19, 0, out, &count), -CORDON_EINVAL);
    assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 1 << 9, 0, out, &count), -CORDON_EINVAL);
    assert_int_equal(cordon_scatter_alloc(b.ctx, BLOCK + PAGE, 1 << 9, 0, out, &count),
                     -CORDON_EINVAL);
    assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE + 1, 1, 0, out, &count), -CORDON_EALIGN);
    assert_int_equal(cordon_scatter_alloc(b.ctx, 0, 1, 0, out, &count), -CORDON_ERANGE);
    assert_int_equal(cordon_scatter_alloc(b.ctx, GIB, 1, 0, out, &count), -CORDON_ENOMEM);
    assert_int_equal(cordon_scatter_alloc(b.ctx, GIB, 1 << 9, 0, out, &count), -CORDON_ENOMEM);
    assert_int_equal(cordon_scatter_alloc(b.ctx, GIB, 0, 0, out, &count), -CORDON_ENOMEM);
    assert_int_equal(count, ROOM);
    count = 15;
    assert_int_equal(cordon_scatter_alloc(b.ctx, 16 * PAGE, 1, 0, out, &count), -CORDON_ELIMIT);
    assert_int_equal(bench_state(&b), before);
    count = 16;
    assert_int_equal(cordon_scatter_alloc(b.ctx, 16 * PAGE, 1, 0, out, &count), 0);
    give_back(out, count);
    count = 0;
    assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 0, 0, out, &count), -CORDON_ELIMIT);
    assert_int_equal(bench_state(&b), before);
}

static void test_each_piece_may_fail_to_come(void **state)
{
    static const uint32_t kinds[] = {1 | 1 << 9, 0};
    uint64_t before = bench_state(&b);

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        int err = -CORDON_ENOMEM;

        for (uint64_t n = 1; err != 0; n += n < 40 ? 1 : 97) {
            size_t count = ROOM;

            b.record.fail_at = b.record.allocations + n;
            err = cordon_scatter_alloc(b.ctx, 6 * MIB, kinds[k], 1, out, &count);
            b.record.fail_at = 0;
            if (err == 0) {
                assert_true(n > 1);
                give_back(out, count);
            }
            assert_int_equal(bench_state(&b), before);
        }
    }
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
        TEST(test_pieces_are_what_was_asked_for),
        TEST(test_sizes_are_mixed_and_neighbours_stand_apart),
        TEST(test_equal_seeds_give_equal_layouts),
        TEST(test_who_scatters_next_gets_the_holes),
        TEST(test_tight_memory_is_used_to_the_last_page),
        TEST(test_without_sizes_the_largest_come_first),
        TEST(test_scatter_refuses_and_leaves_no_trace),
        TEST(test_each_piece_may_fail_to_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
