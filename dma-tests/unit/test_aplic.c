/* The APLIC model in MSI delivery mode, clause by clause [AIA 4.5, 4.7, 4.9]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "aplic/aplic.h"

/* Offsets from the specification, written out again. */
#define DOMAINCFG 0x0000
#define SOURCECFG(i) (4 * (uint64_t)(i))
#define SETIP 0x1C00
#define SETIPNUM 0x1CDC
#define IN_CLRIP 0x1D00
#define CLRIPNUM 0x1DDC
#define SETIE 0x1E00
#define SETIENUM 0x1EDC
#define CLRIE 0x1F00
#define CLRIENUM 0x1FDC
#define SETIPNUM_LE 0x2000
#define SETIPNUM_BE 0x2004
#define GENMSI 0x3000
#define TARGET(i) (0x3000 + 4 * (uint64_t)(i))
enum { INACTIVE = 0, DETACHED = 1, EDGE1 = 4, EDGE0 = 5, LEVEL1 = 6, LEVEL0 = 7 };

static struct {
    struct aplic aplic;
    struct {
        uint32_t vcpu, identity;
    } sent[64];
    unsigned count;
} t;

static void sent(void *arg, uint32_t vcpu, uint32_t identity)
{
    assert_ptr_equal(arg, &t);
    assert_true(t.count < 64);
    t.sent[t.count].vcpu = vcpu;
    t.sent[t.count++].identity = identity;
}

static int start(void **state)
{
    struct vdev_msi msi = {.arg = &t, .send = sent};

    (void)state;
    memset(&t, 0, sizeof t);
    aplic_init(&t.aplic, 4, &msi);
    return 0;
}

static uint32_t rd(uint64_t offset)
{
    return (uint32_t)aplic_read(&t.aplic, offset, 4);
}

static void wr(uint64_t offset, uint32_t value)
{
    aplic_write(&t.aplic, offset, 4, value);
}

static void wire(uint32_t source, bool level)
{
    aplic_wire_set(&t.aplic, source, level);
}

static uint32_t target(uint32_t hart, uint32_t identity)
{
    return hart << 18 | identity;
}

/* Source I in MODE, enabled, to hart 2 as identity 40+I; the domain enabled if IE. */
static void arm(uint32_t i, uint32_t mode, bool ie)
{
    wr(SOURCECFG(i), mode);
    wr(TARGET(i), target(2, 40 + i));
    wr(SETIENUM, i);
    wr(DOMAINCFG, ie ? 0x104 : 0x004);
    assert_int_equal(rd(SOURCECFG(i)), mode);
}

static void expect_one(uint32_t identity)
{
    assert_int_equal(t.count, 1);
    assert_int_equal(t.sent[0].vcpu, 2);
    assert_int_equal(t.sent[0].identity, identity);
    t.count = 0;
}

static void test_domaincfg_is_msi_mode_and_little_endian_always(void **state)
{
    (void)state;
    assert_int_equal(rd(DOMAINCFG), 0x80000004);
    wr(DOMAINCFG, 0xFFFFFFFF);
    assert_int_equal(rd(DOMAINCFG), 0x80000104);
    wr(DOMAINCFG, 0);
    assert_int_equal(rd(DOMAINCFG), 0x80000004);
}

static void test_sourcecfg_keeps_defined_modes_only(void **state)
{
    static const uint32_t rows[][2] = {{0, 0},          {1, 1},     {2, 0},    {3, 0},
                                       {4, 4},          {5, 5},     {6, 6},    {7, 7},
                                       {0xFFFFFBFE, 6}, {0x406, 0}, {0x400, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wr(SOURCECFG(31), EDGE1);
        wr(SOURCECFG(31), rows[i][0]);
        assert_int_equal(rd(SOURCECFG(31)), rows[i][1]);
    }
    wr(SOURCECFG(32), EDGE1); /* not implemented */
    assert_int_equal(rd(SOURCECFG(32)), 0);
}

static void test_an_inactive_source_holds_nothing(void **state)
{
    (void)state;
    wr(SETIP, 0xFFFFFFFF);
    wr(SETIE, 0xFFFFFFFF);
    wr(SETIPNUM, 3);
    wr(SETIENUM, 3);
    wr(TARGET(3), target(1, 9));
    assert_int_equal(rd(SETIP), 0);
    assert_int_equal(rd(SETIE), 0);
    assert_int_equal(rd(TARGET(3)), 0);
    arm(3, DETACHED, false);
    wr(SETIPNUM, 3);
    assert_int_equal(rd(SETIP), 8);
    wr(SOURCECFG(3), INACTIVE);
    assert_int_equal(rd(SETIP) | rd(SETIE) | rd(TARGET(3)), 0);
    wr(SOURCECFG(3), DETACHED); /* becoming active brings nothing back */
    assert_int_equal(rd(SETIP) | rd(SETIE), 0);
}

static void test_bit_zero_is_no_source(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 31; i++) {
        wr(SOURCECFG(i), DETACHED);
    }
    wr(DOMAINCFG, 0);
    wr(SETIP, 0xFFFFFFFF);
    wr(SETIE, 0xFFFFFFFF);
    wr(SETIPNUM, 0);
    wr(SETIENUM, 0);
    assert_int_equal(rd(SETIP), 0xFFFFFFFE);
    assert_int_equal(rd(SETIE), 0xFFFFFFFE);
    wr(SETIPNUM, 32);
    wr(CLRIPNUM, 33);
    wr(CLRIENUM, 64);
    assert_int_equal(rd(SETIP), 0xFFFFFFFE);
    assert_int_equal(rd(SETIE), 0xFFFFFFFE);
}

static void test_enable_and_pending_are_set_and_cleared_by_bit_and_number(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 31; i++) {
        wr(SOURCECFG(i), DETACHED);
    }
    wr(SETIE, 0xF0);
    wr(SETIENUM, 31);
    assert_int_equal(rd(SETIE), 0x800000F0);
    wr(CLRIE, 0x30);
    wr(CLRIENUM, 31);
    assert_int_equal(rd(SETIE), 0xC0);
    wr(SETIP, 0xF0);
    wr(SETIPNUM_LE, 31);
    assert_int_equal(rd(SETIP), 0x800000F0);
    wr(IN_CLRIP, 0x30);
    wr(CLRIPNUM, 31);
    assert_int_equal(rd(SETIP), 0xC0);
    wr(SETIPNUM_BE, 0x01000000); /* absent: little-endian only */
    assert_int_equal(rd(SETIP), 0xC0);
    assert_int_equal(rd(CLRIE) | rd(SETIPNUM) | rd(CLRIPNUM) | rd(SETIENUM) | rd(CLRIENUM), 0);
    assert_int_equal(t.count, 0);
}

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

static void test_target_keeps_hart_and_identity_and_no_guest_index(void **state)
{
    (void)state;
    wr(SOURCECFG(31), EDGE1);
    wr(TARGET(31), 0xFFFFFFFF);
    assert_int_equal(rd(TARGET(31)), 0xFFFC07FF);
    wr(TARGET(31), 0);
    assert_int_equal(rd(TARGET(31)), 0);
    wr(TARGET(32), 0xFFFFFFFF);
    assert_int_equal(rd(TARGET(32)), 0);
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

/* Everything between the registers is reserved: zero, and without effect. That is also so for the MSI
 * address registers, which exist at machine level only, and for the delivery structures from 0x4000. */
static void test_everything_else_is_zero_and_has_no_effect(void **state)
{
    struct aplic before;

    (void)state;
    arm(6, LEVEL1, true);
    before = t.aplic;
    for (uint64_t offset = 0; offset < APLIC_LEN; offset += 4) {
        bool array = offset < 0x80 || (offset >= GENMSI && offset < GENMSI + 0x80);
        bool single = offset == SETIP || offset == SETIPNUM || offset == IN_CLRIP ||
                      offset == CLRIPNUM || offset == SETIE || offset == SETIENUM ||
                      offset == CLRIE || offset == CLRIENUM || offset == SETIPNUM_LE;

        if (!array && !single) {
            wr(offset, 6);
            wr(offset, 0xFFFFFFFF);
            assert_int_equal(rd(offset), 0);
        }
    }
    assert_memory_equal(&before.vcpus, &t.aplic.vcpus,
                        sizeof before - offsetof(struct aplic, vcpus));
    assert_int_equal(t.count, 0);
}

static void test_only_words_of_four_bytes_are_registers(void **state)
{
    (void)state;
    aplic_write(&t.aplic, DOMAINCFG, 1, 0xFF);
    aplic_write(&t.aplic, DOMAINCFG, 2, 0xFFFF);
    aplic_write(&t.aplic, DOMAINCFG, 8, UINT64_MAX);
    aplic_write(&t.aplic, DOMAINCFG + 2, 4, 0xFFFFFFFF);
    assert_int_equal(rd(DOMAINCFG), 0x80000004);
    assert_int_equal(aplic_read(&t.aplic, DOMAINCFG, 1), 0);
    assert_int_equal(aplic_read(&t.aplic, DOMAINCFG, 8), 0);
    assert_int_equal(aplic_read(&t.aplic, DOMAINCFG + 1, 4), 0);
}

static void test_wires_that_are_not_there_are_ignored(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 31; i++) {
        arm(i, LEVEL1, true);
    }
    wire(0, true);
    wire(32, true);
    wire(UINT32_MAX, true);
    assert_int_equal(t.count, 0);
    wire(31, true);
    expect_one(71);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, start)
    const struct CMUnitTest tests[] = {
        TEST(test_domaincfg_is_msi_mode_and_little_endian_always),
        TEST(test_sourcecfg_keeps_defined_modes_only),
        TEST(test_an_inactive_source_holds_nothing),
        TEST(test_bit_zero_is_no_source),
        TEST(test_enable_and_pending_are_set_and_cleared_by_bit_and_number),
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
        TEST(test_target_keeps_hart_and_identity_and_no_guest_index),
        TEST(test_messages_to_no_vcpu_or_identity_zero_reach_nobody),
        TEST(test_genmsi_sends_without_the_domain_enabled_and_is_never_busy),
        TEST(test_many_sources_at_once_are_all_sent_lowest_first),
        TEST(test_everything_else_is_zero_and_has_no_effect),
        TEST(test_only_words_of_four_bytes_are_registers),
        TEST(test_wires_that_are_not_there_are_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
