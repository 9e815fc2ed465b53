/*
 * Preloaded into a cmocka program, lets it run one of its tests, TEETH_ONLY: so a planted fault is
 * judged by the test that it names, and not by what an earlier one left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void filter_tests(void)
{
    cmocka_set_test_filter(getenv("TEETH_ONLY"));
}
