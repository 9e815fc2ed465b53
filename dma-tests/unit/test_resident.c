/* How much of a range has frames: of DEMAND regions what was touched, of others all. */
#include "touch_bench.h"

static uint64_t resident(uint64_t gpa, uint64_t len)
{
    uint64_t bytes = 0;

    assert_int_equal(cordon_resident(d, cordon_gpa_make(gpa), len, &bytes), 0);
    return bytes;
}

static void test_pages_that_were_touched_are_counted(void **state)
{
    (void)state;
    assert_int_equal(resident(0, UINT64_C(4) << 30), 0);
    some_present(DEMAND);
    assert_int_equal(resident(AT, 1024 * PAGE), 4 * PAGE);
    assert_int_equal(resident(0, UINT64_C(4) << 30), 4 * PAGE);
    assert_int_equal(resident(AT + 5 * PAGE, 2 * PAGE), 2 * PAGE);
    assert_int_equal(resident(AT + 7 * PAGE, 504 * PAGE), 0);
    assert_int_equal(resident(AT + 511 * PAGE, 513 * PAGE), PAGE);
    assert_int_equal(resident(AT, 0), 0);
}

static void test_large_leaves_and_filled_ranges_count_whole(void **state)
{
    (void)state;
    demand(d, AT, 1024, HUGE);
    assert_int_equal(touch(AT + PAGE), CORDON_TOUCH_FILLED);
    assert_int_equal(resident(AT, 1024 * PAGE), 2 * MIB);
    assert_int_equal(resident(AT + 100 * PAGE, 3 * PAGE), 3 * PAGE);
    demand(d, AT + 8 * MIB, 64, DEMAND);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT + 8 * MIB), 64 * PAGE), 0);
    assert_int_equal(resident(AT, 16 * MIB), 2 * MIB + 64 * PAGE);
}

static void test_what_is_no_range_is_refused(void **state)
{
    uint64_t bytes = 7;

    (void)state;
    assert_int_equal(cordon_resident(NULL, cordon_gpa_make(0), PAGE, &bytes), -CORDON_EINVAL);
    assert_int_equal(cordon_resident(d, cordon_gpa_make(0), PAGE, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_resident(d, cordon_gpa_make(8), PAGE, &bytes), -CORDON_EALIGN);
    assert_int_equal(cordon_resident(d, cordon_gpa_make(0), 100, &bytes), -CORDON_EALIGN);
    assert_int_equal(cordon_resident(d, cordon_gpa_make(0), -PAGE, &bytes), -CORDON_ERANGE);
    assert_int_equal(cordon_resident(d, cordon_gpa_make(-PAGE), PAGE, &bytes), -CORDON_ERANGE);
    assert_int_equal(bytes, 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages_that_were_touched_are_counted),
        TEST(test_large_leaves_and_filled_ranges_count_whole),
        TEST(test_what_is_no_range_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
