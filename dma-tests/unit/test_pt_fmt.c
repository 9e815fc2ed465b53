/* Formats, the choice of one, ranges, and which words are ours: against loops over every bit. */
#include "test_pt_world.h"

#include "pt/walk.h"

/* [Priv 18.5.1, 12.4 to 12.6] name, levels, root bits, address bits, MODE */
static const struct {
    const char *name;
    unsigned levels, root_bits, address_bits, mode;
    uint32_t mode_bit;
} spec[] = {
    {"Sv39x4", 3, 11, 41, 8, 1}, {"Sv48x4", 4, 11, 50, 9, 2}, {"Sv57x4", 5, 11, 59, 10, 4},
    {"Sv39", 3, 9, 39, 8, 0},    {"Sv48", 4, 9, 48, 9, 0},    {"Sv57", 5, 9, 57, 10, 0},
};

static void formats_are_the_specifications(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        const struct pt_fmt *fmt = world_formats[i];

        assert_string_equal(fmt->name, spec[i].name);
        assert_int_equal(fmt->levels, spec[i].levels);
        assert_int_equal(fmt->root_bits, spec[i].root_bits);
        assert_int_equal(fmt->address_bits, spec[i].address_bits);
        assert_int_equal(fmt->mode, spec[i].mode);
        assert_int_equal(fmt->mode_bit, spec[i].mode_bit);
        assert_int_equal(fmt->sign_extended, i >= 3);
        assert_int_equal(fmt->leaf_bits, i >= 3 ? 0xc1 : 0xd1);
    }
}

static void the_smallest_mode_that_covers_is_chosen(void **state)
{
    (void)state;
    for (uint32_t modes = 0; modes < 8; modes++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            for (int64_t near = -1; near <= 1; near++) {
                uint64_t limit = (UINT64_C(1) << bit) + (uint64_t)near;
                const struct pt_fmt *want = NULL;

                for (unsigned i = 3; i-- > 0;) {
                    if ((modes >> i & 1) != 0 && limit <= UINT64_C(1) << spec[i].address_bits) {
                        want = world_formats[i];
                    }
                }
                assert_ptr_equal(pt_fmt_choose(modes, limit), want);
            }
        }
    }
}

/* Bit by bit what the walker of test_pt_world.h asserts. */
static bool legal(const struct pt_fmt *fmt, unsigned level, uint64_t word)
{
    unsigned rwx = word >> 1 & 7;
    uint64_t ppn = word >> 10 & ((UINT64_C(1) << 44) - 1);

    if (word == 0) {
        return true;
    }
    uint64_t type = word >> 61 & 3; /* of leaves: 1, 2 */

    word &= ~(UINT64_C(3) << 61);
    if (type == 3 || (type != 0 && rwx == 0)) {
        return false;
    }
    if ((word & 1) == 0 || word >> 54 != 0 || (word >> 8 & 3) != 0 || (word >> 5 & 1) != 0) {
        return false;
    }
    if (rwx == 0) {
        return level > 0 && (word >> 4 & 0xf) == 0;
    }
    return (rwx & 3) != 2 && (level == 0 || (word >> 6 & 3) == 3) &&
           (word >> 4 & 1) == (strstr(fmt->name, "x4") != NULL) && level <= 2 &&
           ppn % (UINT64_C(1) << 9 * level) == 0;
}

static void only_words_of_ours_pass_at_each_level(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        const struct pt_fmt *fmt = world_formats[i];

        for (unsigned level = 0; level < fmt->levels; level++) {
            for (uint64_t low = 0; low < 1024; low++) {
                for (unsigned bit = 9; bit < 64; bit++) {
                    uint64_t word = low | (bit > 9 ? UINT64_C(1) << bit : 0);

                    assert_int_equal(pt_word_ours(fmt, level, word), legal(fmt, level, word));
                }
            }
        }
    }
}

static void words_give_back_what_they_were_made_of(void **state)
{
    static const uint32_t perms[] = {1, 3, 4, 5, 7};

    (void)state;
    for (unsigned bit = 12; bit < 56; bit++) {
        uint64_t hpa = UINT64_C(1) << bit | UINT64_C(1) << 55;
        uint64_t table = pt_table_make(cordon_hpa_make(hpa));

        assert_int_equal(table, (hpa >> 12 << 10) | 1);
        assert_true(pt_word_is_table(table) && !pt_word_is_leaf(table));
        assert_int_equal(pt_word_hpa(table).v, hpa);
        for (unsigned p = 0; p < 5; p++) {
            for (unsigned level = 0; level <= 2 && bit >= 12 + 9 * level; level++) {
                uint64_t leaf = pt_leaf_make(&pt_sv39x4, level, hpa, perms[p]);

                assert_int_equal(leaf, (hpa >> 12 << 10) | 0xd1 | perms[p] << 1);
                assert_true(pt_word_is_leaf(leaf) && !pt_word_is_table(leaf));
                assert_int_equal(pt_word_perms(leaf), perms[p]);
                assert_int_equal(pt_word_hpa(leaf).v, hpa);
                assert_int_equal(pt_word_hpa(leaf + pt_leaf_step(level)).v,
                                 hpa + (PAGE << 9 * level));
            }
        }
    }
    assert_false(pt_word_is_leaf(0xd6));
    assert_false(pt_word_is_table(0));
}

static int range(const struct pt_fmt *fmt, uint64_t gpa, uint64_t pages)
{
    return pt_range_check(fmt, cordon_gpa_make(gpa), pages);
}

static void ranges_end_with_the_format(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        const struct pt_fmt *fmt = world_formats[i];
        uint64_t space = UINT64_C(1) << fmt->address_bits;

        assert_int_equal(range(fmt, 0, space / PAGE), 0);
        assert_int_equal(range(fmt, 0, space / PAGE + 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, space - PAGE, 1), 0);
        assert_int_equal(range(fmt, space - PAGE, 2), -CORDON_ERANGE);
        assert_int_equal(range(fmt, space, 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, space + PAGE, 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, UINT64_C(0) - PAGE, 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, PAGE, UINT64_MAX), -CORDON_ERANGE);
        assert_int_equal(range(fmt, PAGE, UINT64_C(1) << 52), -CORDON_ERANGE);
        assert_int_equal(range(fmt, 0, 0), -CORDON_ERANGE);
        assert_int_equal(range(fmt, 1, 1), -CORDON_EALIGN);
        assert_int_equal(range(fmt, 2048, 1), -CORDON_EALIGN);
    }
}

static void sign_extended_ranges_stay_in_their_half(void **state)
{
    (void)state;
    for (unsigned i = 3; i < WORLD_FORMATS; i++) {
        const struct pt_fmt *fmt = world_formats[i];
        uint64_t half = UINT64_C(1) << (fmt->address_bits - 1);
        uint64_t high = UINT64_C(0) - half;

        assert_int_equal(range(fmt, 0, half / PAGE), 0);
        assert_int_equal(range(fmt, 0, half / PAGE + 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, half - PAGE, 1), 0);
        assert_int_equal(range(fmt, half - PAGE, 2), -CORDON_ERANGE);
        assert_int_equal(range(fmt, half, 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, high - PAGE, 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, high, half / PAGE), 0);
        assert_int_equal(range(fmt, high, half / PAGE + 1), -CORDON_ERANGE);
        assert_int_equal(range(fmt, UINT64_C(0) - PAGE, 1), 0);
        assert_int_equal(range(fmt, UINT64_C(0) - PAGE, 2), -CORDON_ERANGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_the_specifications),
        cmocka_unit_test(the_smallest_mode_that_covers_is_chosen),
        cmocka_unit_test(only_words_of_ours_pass_at_each_level),
        cmocka_unit_test(words_give_back_what_they_were_made_of),
        cmocka_unit_test(ranges_end_with_the_format),
        cmocka_unit_test(sign_extended_ranges_stay_in_their_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
