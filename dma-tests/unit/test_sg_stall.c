/* When sg gives up: nothing moves although it looks. */
#include "lib/stall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_nothing_that_moves_is_a_stall_after_all_patience(void **state)
{
    struct stall s = {.patience = 300, .step = 10, .last = 1000};
    uint64_t now = 1000;

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        now += 5;
        assert_false(stall_look(&s, now, false));
    }
    assert_true(stall_look(&s, now + 5, false));
}

static void test_what_moves_ends_it(void **state)
{
    struct stall s = {.patience = 300, .step = 10};

    (void)state;
    for (uint64_t now = 0; now < 10000; now += 10) {
        assert_false(stall_look(&s, now, now % 200 == 0));
    }
}

/* Its clock went on, and what is under way has had no time to move. */
static void test_a_machine_that_was_held_up_is_no_stall(void **state)
{
    struct stall s = {.patience = 300, .step = 10};

    (void)state;
    assert_false(stall_look(&s, 10, true));
    assert_false(stall_look(&s, 5000, false));
    for (uint64_t now = 5001; now <= 5290; now++) {
        assert_false(stall_look(&s, now, false));
    }
    assert_true(stall_look(&s, 5291, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_that_moves_is_a_stall_after_all_patience),
        cmocka_unit_test(test_what_moves_ends_it),
        cmocka_unit_test(test_a_machine_that_was_held_up_is_no_stall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
