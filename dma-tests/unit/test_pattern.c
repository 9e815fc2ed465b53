/* Patterns of the DPDK tests: whatever byte is wrong is found, and said whose it is. */
#include "lib/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES 512u

static const struct pattern ours = {.port = 1, .sequence = 7};

static void test_pieces_of_any_cut_make_the_same_bytes(void **state)
{
    uint8_t whole[BYTES], cut[BYTES];

    (void)state;
    pattern_fill(ours, 0, whole, BYTES);
    for (size_t step = 1; step < 40; step++) {
        struct pattern_wrong w = {0};

        memset(cut, 0, BYTES);
        for (size_t at = 0; at < BYTES; at += step) {
            size_t n = at + step < BYTES ? step : BYTES - at;

            pattern_fill(ours, at, cut + at, n);
            assert_true(pattern_check(ours, at, cut + at, n, &w));
        }
        assert_memory_equal(cut, whole, BYTES);
        assert_int_equal(w.count, 0);
    }
}

static void test_every_wrong_byte_is_counted_and_the_first_is_told(void **state)
{
    uint8_t bytes[BYTES];

    (void)state;
    for (size_t at = 0; at < BYTES; at++) {
        struct pattern_wrong w = {0};

        pattern_fill(ours, 3, bytes, BYTES);
        uint8_t right = bytes[at];

        bytes[at] ^= 0x40;
        bytes[BYTES - 1] ^= 1;
        assert_false(pattern_check(ours, 3, bytes, BYTES, &w));
        assert_int_equal(w.count, at == BYTES - 1 ? 1 : 2);
        assert_int_equal(w.offset, 3 + at);
        assert_int_equal(w.wanted, right);
        assert_int_equal(w.found, bytes[at]);
    }
}

static void test_bytes_of_another_place_are_named(void **state)
{
    static const struct {
        struct pattern p;
        uint64_t offset;
        const char *said;
    } others[] = {
        {{2, 7}, 64, "of port 2, packet 7, byte 64"},
        {{1, 8}, 64, "of port 1, packet 8, byte 64"},
        {{1, 7}, 99, "of port 1, packet 7, byte 99"},
        {{PATTERN_PORT_MAX, (1u << PATTERN_SEQUENCE_BITS) - 1},
         PATTERN_BYTES_MAX - 20,
         "of port 63, packet 67108863, byte 8388588"},
    };
    uint8_t bytes[BYTES];
    char text[160];

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct pattern_wrong w = {0};

        pattern_fill(ours, 0, bytes, BYTES);
        pattern_fill(others[i].p, others[i].offset, bytes + 64, 20);
        assert_false(pattern_check(ours, 0, bytes, BYTES, &w));
        assert_int_equal(w.offset, 64);
        assert_int_equal(w.kind, PATTERN_ELSE);
        assert_non_null(strstr(pattern_say(&w, text, sizeof text), others[i].said));
    }
}

static void test_zeros_and_what_is_no_pattern_are_told_apart(void **state)
{
    uint8_t bytes[BYTES];
    char text[160];
    struct pattern_wrong w = {0};

    (void)state;
    pattern_fill(ours, 0, bytes, BYTES);
    memset(bytes + 100, 0, 100);
    assert_false(pattern_check(ours, 0, bytes, BYTES, &w));
    assert_int_equal(w.kind, PATTERN_ZEROS);
    assert_non_null(strstr(pattern_say(&w, text, sizeof text), "zeros: nothing came"));
    memset(bytes + 100, 0xee, 100);
    w = (struct pattern_wrong){0};
    assert_false(pattern_check(ours, 0, bytes, BYTES, &w));
    assert_int_equal(w.kind, PATTERN_UNKNOWN);
}

/* What stands around it is right, and in a word of any alignment now and then some pattern's. */
static void test_a_byte_that_is_wrong_alone_has_no_owner(void **state)
{
    static const uint8_t found[] = {0, 0xee};

    (void)state;
    for (uint32_t n = 0; n < 4096; n++) {
        const struct pattern p = {1, n};
        const size_t at = n % (64 - 2);

        for (size_t i = 0; i < sizeof found; i++) {
            struct pattern_wrong w = {0};
            uint8_t bytes[64];

            pattern_fill(p, 0, bytes, sizeof bytes);
            memset(bytes + at, found[i], 2);
            if (!pattern_check(p, 0, bytes, sizeof bytes, &w)) {
                assert_int_equal(w.kind, found[i] == 0 ? PATTERN_ZEROS : PATTERN_UNKNOWN);
            }
        }
    }
}

/* Differences of one in each part of a place: no word's byte stays as often as chance would have.
 */
static void test_neighbours_differ_in_every_byte(void **state)
{
    uint32_t same[4][PATTERN_WORD] = {0};

    (void)state;
    for (uint32_t i = 0; i < 4096; i++) {
        const struct pattern p = {i & 31, i};
        const struct pattern next[4] = {p, {p.port + 1, i}, {p.port, i + 1}, p};
        uint8_t a[PATTERN_WORD], b[PATTERN_WORD];

        pattern_fill(p, 8 * i, a, sizeof a);
        for (unsigned k = 1; k < 4; k++) {
            pattern_fill(next[k], 8 * i + (k == 3 ? 8 : 0), b, sizeof b);
            for (unsigned n = 0; n < PATTERN_WORD; n++) {
                same[k][n] += a[n] == b[n];
            }
        }
    }
    for (unsigned k = 1; k < 4; k++) {
        for (unsigned n = 0; n < PATTERN_WORD; n++) {
            assert_in_range(same[k][n], 0, 64); /* 16 by chance */
        }
    }
}

/* Only the bytes that it was given: what stands around them may be anything. */
static void test_only_the_bytes_given_are_looked_at(void **state)
{
    struct pattern_wrong w = {0};

    (void)state;
    for (size_t len = 1; len < 24; len++) {
        uint8_t *bytes = malloc(len); /* sanitized: beyond it is forbidden */

        assert_non_null(bytes);
        memset(bytes, 0, len);
        assert_false(pattern_check(ours, 5, bytes, len, &w));
        pattern_fill(ours, 5, bytes, len);
        assert_true(pattern_check(ours, 5, bytes, len, &w));
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_any_cut_make_the_same_bytes),
        cmocka_unit_test(test_every_wrong_byte_is_counted_and_the_first_is_told),
        cmocka_unit_test(test_bytes_of_another_place_are_named),
        cmocka_unit_test(test_zeros_and_what_is_no_pattern_are_told_apart),
        cmocka_unit_test(test_a_byte_that_is_wrong_alone_has_no_owner),
        cmocka_unit_test(test_neighbours_differ_in_every_byte),
        cmocka_unit_test(test_only_the_bytes_given_are_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
