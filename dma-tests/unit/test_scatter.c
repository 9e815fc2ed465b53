/* Memory in pieces: of the sizes asked for, shuffled, with holes left for who scatters next. */
#include "one_context.h"

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
