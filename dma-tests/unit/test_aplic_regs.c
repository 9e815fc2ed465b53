/* The APLIC model: what its registers keep and answer, and what is reserved [AIA 4.5]. */
#include "aplic_bench.h"

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
    wr(SOURCECFG(32), EDGE1); /* no such source */
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

/* Everything between the registers is reserved: zero, and without effect. That is also so for the
 * MSI address registers, which exist at machine level only, and for the delivery structures from
 * 0x4000. */
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
        TEST(test_target_keeps_hart_and_identity_and_no_guest_index),
        TEST(test_everything_else_is_zero_and_has_no_effect),
        TEST(test_only_words_of_four_bytes_are_registers),
        TEST(test_wires_that_are_not_there_are_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
