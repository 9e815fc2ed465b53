/* The APLIC model: when a source becomes pending, and what is sent [AIA 4.7, 4.9]. */
#include "aplic_bench.h"

static void test_edge1_sends_once_on_each_rising_edge(void **state)
{
    (void)state;
    arm(5, EDGE1, true);
    assert_int_equal(t.count, 0);
    wire(5, true);
    expect_one(45);
    wire(5, true);
    wire(5, false);
    assert_int_equal(t.count, 0);
    wire(5, true);
    expect_one(45);
    assert_int_equal(rd(SETIP), 0);
}

static void test_edge0_sends_once_on_each_falling_edge(void **state)
{
    (void)state;
    wire(5, true);
    arm(5, EDGE0, true);
    assert_int_equal(rd(IN_CLRIP), 0);
    assert_int_equal(t.count, 0);
    wire(5, false);
    expect_one(45);
    assert_int_equal(rd(IN_CLRIP), 0x20);
    wire(5, true);
    assert_int_equal(t.count, 0);
}

static void test_an_edge_stays_pending_when_the_wire_falls_back(void **state)
{
    (void)state;
    arm(5, EDGE1, false);
    wire(5, true);
    wire(5, false);
    assert_int_equal(rd(SETIP), 0x20);
    wr(DOMAINCFG, 0x104);
    expect_one(45);
    assert_int_equal(rd(SETIP), 0);
}

static void test_a_level_is_sent_once_then_ignored_until_low(void **state)
{
    (void)state;
    arm(6, LEVEL1, true);
    wire(6, true);
    expect_one(46);
    assert_int_equal(rd(SETIP), 0);
    wr(SETIE, 0x40);
    wr(DOMAINCFG, 0x104);
    assert_int_equal(t.count, 0);
    wire(6, false);
    wire(6, true);
    expect_one(46);
}

static void test_setipnum_sends_a_level_again_only_while_it_is_high(void **state)
{
    (void)state;
    arm(6, LEVEL1, true);
    wire(6, true);
    expect_one(46);
    wr(SETIPNUM_LE, 6);
    expect_one(46);
    wr(SETIP, 0x40);
    expect_one(46);
    wire(6, false);
    wr(SETIPNUM_LE, 6);
    wr(SETIP, 0x40);
    assert_int_equal(t.count, 0);
    assert_int_equal(rd(SETIP), 0);
}

static void test_a_pending_level_goes_when_its_wire_goes_low(void **state)
{
    (void)state;
    arm(6, LEVEL1, false);
    wire(6, true);
    assert_int_equal(rd(SETIP), 0x40);
    wire(6, false);
    assert_int_equal(rd(SETIP), 0);
    wr(DOMAINCFG, 0x104);
    assert_int_equal(t.count, 0);
}

static void test_level0_is_asserted_by_a_low_wire(void **state)
{
    (void)state;
    arm(7, LEVEL0, true);
    assert_int_equal(rd(IN_CLRIP), 0x80);
    t.count = 0;
    wire(7, true);
    assert_int_equal(t.count, 0);
    assert_int_equal(rd(IN_CLRIP), 0);
    wire(7, false);
    expect_one(47);
}

static void test_a_level_asserted_before_its_configuration_is_not_lost(void **state)
{
    (void)state;
    wire(6, true);
    assert_int_equal(rd(IN_CLRIP), 0); /* inactive: no rectified input */
    wr(DOMAINCFG, 0x104);
    wr(SOURCECFG(6), LEVEL1);
    assert_int_equal(rd(SETIP), 0x40);
    wr(TARGET(6), target(2, 46));
    wr(SETIENUM, 6);
    expect_one(46);
}

static void test_a_detached_source_ignores_its_wire(void **state)
{
    (void)state;
    arm(8, DETACHED, true);
    wire(8, true);
    assert_int_equal(rd(IN_CLRIP), 0);
    assert_int_equal(t.count, 0);
    wr(SETIPNUM, 8);
    expect_one(48);
}

static void test_nothing_is_sent_while_source_or_domain_is_off(void **state)
{
    (void)state;
    arm(9, DETACHED, false);
    wr(SETIPNUM, 9);
    wr(CLRIENUM, 9);
    wr(DOMAINCFG, 0x104);
    assert_int_equal(t.count, 0);
    wr(DOMAINCFG, 0);
    wr(SETIENUM, 9);
    assert_int_equal(t.count, 0);
    assert_int_equal(rd(SETIP), 0x200);
    wr(DOMAINCFG, 0x104);
    expect_one(49);
}

static void test_messages_to_no_vcpu_or_identity_zero_reach_nobody(void **state)
{
    (void)state;
    arm(9, DETACHED, true);
    wr(TARGET(9), target(4, 1));
    wr(SETIPNUM, 9);
    wr(TARGET(9), target(0x3FFF, 1));
    wr(SETIPNUM, 9);
    wr(TARGET(9), target(2, 0));
    wr(SETIPNUM, 9);
    assert_int_equal(t.count, 0);
    assert_int_equal(rd(SETIP), 0);
    wr(TARGET(9), target(3, 0x7FF));
    wr(SETIPNUM, 9);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.sent[0].vcpu, 3);
    assert_int_equal(t.sent[0].identity, 0x7FF);
}

static void test_genmsi_sends_without_the_domain_enabled_and_is_never_busy(void **state)
{
    (void)state;
    wr(GENMSI, target(1, 77) | 0x1000);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.sent[0].vcpu, 1);
    assert_int_equal(t.sent[0].identity, 77);
    assert_int_equal(rd(GENMSI), target(1, 77));
    wr(GENMSI, target(4, 77));
    assert_int_equal(t.count, 1);
}

static void test_many_sources_at_once_are_all_sent_lowest_first(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 31; i++) {
        arm(i, DETACHED, false);
    }
    wr(SETIP, 0xFFFFFFFF);
    wr(DOMAINCFG, 0x104);
    assert_int_equal(t.count, 31);
    for (uint32_t i = 0; i < 31; i++) {
        assert_int_equal(t.sent[i].identity, 41 + i);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, start)
    const struct CMUnitTest tests[] = {
        TEST(test_edge1_sends_once_on_each_rising_edge),
        TEST(test_edge0_sends_once_on_each_falling_edge),
        TEST(test_an_edge_stays_pending_when_the_wire_falls_back),
        TEST(test_a_level_is_sent_once_then_ignored_until_low),
        TEST(test_setipnum_sends_a_level_again_only_while_it_is_high),
        TEST(test_a_pending_level_goes_when_its_wire_goes_low),
        TEST(test_level0_is_asserted_by_a_low_wire),
        TEST(test_a_level_asserted_before_its_configuration_is_not_lost),
        TEST(test_a_detached_source_ignores_its_wire),
        TEST(test_nothing_is_sent_while_source_or_domain_is_off),
        TEST(test_messages_to_no_vcpu_or_identity_zero_reach_nobody),
        TEST(test_genmsi_sends_without_the_domain_enabled_and_is_never_busy),
        TEST(test_many_sources_at_once_are_all_sent_lowest_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
