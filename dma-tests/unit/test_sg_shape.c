/* The shapes of sg's packets: what both ends take for granted. */
#include "lib/port.h"
#include "lib/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct shape_limits limits[] = {
    {60, 40, false, 0, PORT_FRAME_MIN},
    {61, 40, true, 0, PORT_FRAME_MIN},
    {1514, 40, false, 0, PORT_FRAME_MIN},
    {1514, 1, true, 0, PORT_FRAME_MIN},
    {9014, 31, false, 0, PORT_FRAME_MIN},
    {16375, 40, true, 0, PORT_FRAME_MIN},
    {16384, 40, false, 0, PORT_FRAME_MIN},
    {60, 40, false, 60, PORT_FRAME_MIN},
    {1514, 1, false, 1514, PORT_FRAME_MIN},
    {16384, 40, false, 9001, PORT_FRAME_MIN},
    {16384, 40, false, 0, 1},
    {16384, 1, true, 0, 1},
};
#define LIMITS (sizeof limits / sizeof limits[0])

static void test_a_packet_keeps_to_its_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < LIMITS; i++) {
        for (uint32_t n = 0; n < 2 * shape_round(&limits[i]); n++) {
            struct shape s;
            uint32_t total = 0;

            shape_of(&limits[i], n, &s);
            assert_in_range(s.count, 1, limits[i].segments_max);
            assert_in_range(s.of_interest, 0, s.count - 1);
            for (unsigned k = 0; k < s.count; k++) {
                assert_in_range(s.len[k], 1, SHAPE_SIZE_MAX);
                assert_in_range(s.align[k], 0, 63);
                total += s.len[k];
            }
            assert_int_equal(total, s.total);
            assert_in_range(total, limits[i].frame_min, limits[i].frame_max);
            assert_true(limits[i].size == 0 || total == limits[i].size);
            if (s.border != SHAPE_NO_BORDER) {
                assert_in_range(s.cut, 1, s.len[s.of_interest] - 1u);
            }
        }
    }
}

/* But for the few that a packet of one segment cannot have. */
static void test_a_round_has_every_size_up_to_the_limit(void **state)
{
    const struct shape_limits l = {16384, 40, true, 0, PORT_FRAME_MIN};
    uint8_t *seen = calloc(SHAPE_SIZE_MAX + 1, 1);

    (void)state;
    assert_non_null(seen);
    for (uint32_t n = 0; n < shape_round(&l); n++) {
        struct shape s;

        shape_of(&l, n, &s);
        seen[s.len[s.of_interest]] = 1;
    }
    for (uint32_t size = 1; size <= SHAPE_SIZE_MAX; size++) {
        assert_true(seen[size] || (size - 1) % 40 == 0);
    }
    free(seen);
}

static void test_a_round_has_each_size_with_each_count_of_segments(void **state)
{
    const struct shape_limits l = {9014, 40, false, 0, PORT_FRAME_MIN};
    uint64_t counts[2] = {0, 0}; /* of 1500 and of 64 bytes: bit n, with n segments */

    (void)state;
    for (uint32_t n = 0; n < shape_round(&l); n++) {
        struct shape s;

        shape_of(&l, n, &s);
        counts[0] |= (uint64_t)(s.len[s.of_interest] == 1500) << s.count;
        counts[1] |= (uint64_t)(s.len[s.of_interest] == 64) << s.count;
    }
    assert_int_equal(counts[0], (UINT64_C(1) << 41) - 2);
    assert_int_equal(counts[1], (UINT64_C(1) << 41) - 2);
}

static void test_packets_of_one_size_are_cut_evenly(void **state)
{
    const struct shape_limits l = {9000, 40, false, 9000, PORT_FRAME_MIN};
    uint32_t counts[41] = {0};

    (void)state;
    for (uint32_t n = 0; n < shape_round(&l); n++) {
        struct shape s;

        shape_of(&l, n, &s);
        counts[s.count]++;
        for (unsigned k = 0; k < s.count; k++) {
            assert_in_range(s.len[k], 9000 / s.count, 9000 / s.count + 1);
        }
    }
    for (unsigned count = 1; count <= 40; count++) {
        assert_int_equal(counts[count], 64);
    }
}

static void test_sizes_that_do_not_fit_are_told(void **state)
{
    uint32_t first = 0;

    (void)state;
    assert_int_equal(
        shape_sizes_skipped(&(struct shape_limits){9230, 40, true, 0, PORT_FRAME_MIN}, &first),
        7154);
    assert_int_equal(first, 9231);
    assert_int_equal(
        shape_sizes_skipped(&(struct shape_limits){9014, 40, false, 0, PORT_FRAME_MIN}, &first), 4);
    assert_int_equal(first, 12288);
    assert_int_equal(
        shape_sizes_skipped(&(struct shape_limits){16384, 40, true, 0, PORT_FRAME_MIN}, &first), 0);
    assert_int_equal(
        shape_sizes_skipped(&(struct shape_limits){60, 40, false, 60, PORT_FRAME_MIN}, &first), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_packet_keeps_to_its_limits),
        cmocka_unit_test(test_a_round_has_every_size_up_to_the_limit),
        cmocka_unit_test(test_a_round_has_each_size_with_each_count_of_segments),
        cmocka_unit_test(test_packets_of_one_size_are_cut_evenly),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
