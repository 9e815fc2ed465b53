/* The software IOMMU: contexts, both stages, MSI tables, and each cache's stale entries. */
#include "model_bench.h"

#define AT_OTHER (AT_PAGE + 0x1000u)
#define GVMA(av) (0x81ull | (uint64_t)(av) << 10 | 1ull << 33 | GSCID << 44)
#define VMA (0x1ull | 1ull << 33 | GSCID << 44)
#define ADDRESS(a) ((a) >> 12 << 10)

static void test_each_directory_fault_has_its_cause(void **state)
{
    struct bench b;
    uint64_t iova = GPA | 0x123;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    context(&b)[0] = 0;
    assert_int_equal(goes(&b, iova), -258);
    context(&b)[0] = 1ull << 32 | 1;
    assert_int_equal(goes(&b, iova), -259);
    context(&b)[0] = 1;
    context(&b)[7] = 1;
    assert_int_equal(goes(&b, iova), -259);
    context(&b)[7] = 0;
    context(&b)[1] |= 1; /* root of 16 KiB not aligned */
    assert_int_equal(goes(&b, iova), -259);
    context(&b)[1] &= ~1ull;
    *at(&b, AT_DDT + 8 * (DID >> 15)) |= 2; /* reserved in a non-leaf */
    assert_int_equal(goes(&b, iova), -259);
    *at(&b, AT_DDT + 8 * (DID >> 15)) = 0x1000ull << 10 | 1; /* outside memory */
    assert_int_equal(goes(&b, iova), -257);
    wr8(&b, 0x10, 0);
    assert_int_equal(goes(&b, iova), -256);
    wr8(&b, 0x10, ppn(AT_DDT) << 10 | 3); /* two levels: 15 bits */
    assert_int_equal(goes(&b, iova), -260);
    bench_close(&b);
}

static void test_unknown_features_of_a_context_are_misconfigured(void **state)
{
    const uint64_t refused[] = {2, 4, 8, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x1000};
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        context(&b)[0] = 1 | refused[i];
        assert_int_equal(goes(&b, GPA), -259);
    }
    context(&b)[0] = 1 | 0x20;
    context(&b)[3] = 1ull << 60; /* PD8 */
    assert_int_equal(goes(&b, GPA), -259);
    bench_close(&b);
}

static void test_a_second_stage_leaf_is_judged_strictly(void **state)
{
    struct bench b;
    uint64_t *leaf, good;

    (void)state;
    bench_open(&b, 0, 2);
    leaf = second_stage(&b);
    good = *leaf;
    assert_int_equal(goes(&b, GPA | 0x123), RAM_HPA + AT_PAGE + 0x123);
    assert_int_equal(go(&b, DID, GPA, IW, NULL), 0);
    for (uint32_t bit = 54; bit <= 62; bit++) {
        *leaf = good | 1ull << bit;
        assert_int_equal(goes(&b, GPA), -21);
    }
    *leaf = good & ~0x10ull; /* U */
    assert_int_equal(goes(&b, GPA), -21);
    *leaf = good & ~0x40ull; /* A */
    assert_int_equal(goes(&b, GPA), -21);
    *leaf = good & ~0x80ull; /* D */
    assert_int_equal(go(&b, DID, GPA, IW, NULL), 23);
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
    *leaf = good & ~0x2ull; /* W without R */
    assert_int_equal(goes(&b, GPA), -21);
    *leaf = good & ~0x8ull; /* X */
    assert_int_equal(go(&b, DID, GPA, IX, NULL), 20);
    *leaf = good;
    *at(&b, AT_G + 0x4000 + 8 * (GPA >> 21 & 0x1ff)) |= 0x40; /* A in a non-leaf */
    assert_int_equal(goes(&b, GPA), -21);
    assert_int_equal(goes(&b, 1ull << 41 | GPA), -21);
    bench_close(&b);
}

static void test_superpages_and_napot_must_be_aligned(void **state)
{
    uint64_t gpa = GPA + 0x5678;
    struct bench b;
    uint64_t *two;

    (void)state;
    bench_open(&b, 0, 2);
    (void)second_stage(&b);
    two = at(&b, AT_G + 0x4000 + 8 * (GPA >> 21 & 0x1ff));
    *two = ppn(0x200000) << 10 | LEAF;
    assert_int_equal(goes(&b, gpa), RAM_HPA + 0x200000 + (gpa & 0x1fffff));
    *two = (ppn(0x200000) + 1) << 10 | LEAF;
    assert_int_equal(goes(&b, gpa), -21);
    *two = ppn(AT_G + 0x5000) << 10 | 1;
    *at(&b, AT_G + 0x5000 + 8 * (gpa >> 12 & 0x1ff)) =
        (ppn(0x110000) + 8) << 10 | LEAF | 1ull << 63;
    assert_int_equal(goes(&b, gpa), RAM_HPA + 0x110000 + (gpa & 0xffff));
    *at(&b, AT_G + 0x5000 + 8 * (gpa >> 12 & 0x1ff)) =
        (ppn(0x110000) + 4) << 10 | LEAF | 1ull << 63;
    assert_int_equal(goes(&b, gpa), -21);
    bench_close(&b);
}

static void test_a_second_stage_entry_stays_until_gvma(void **state)
{
    struct bench b;
    uint64_t *leaf;

    (void)state;
    bench_open(&b, 0, 0);
    leaf = second_stage(&b);
    for (uint32_t av = 0; av < 2; av++) {
        *leaf = ppn(AT_PAGE) << 10 | LEAF;
        assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
        *leaf = 0;
        assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
        command(&b, 3, 0);   /* IODIR touches no translation */
        command(&b, VMA, 0); /* nor does VMA touch the second stage */
        command(&b, GVMA(1), ADDRESS(GPA + 0x1000));
        command(&b, GVMA(0) ^ 1ull << 44, 0); /* nor another GSCID */
        assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
        command(&b, GVMA(av), av != 0 ? ADDRESS(GPA) : 0);
        assert_int_equal(goes(&b, GPA), -21);
    }
    bench_close(&b);
}

/* A leaf's page alone is told with AV: the word that leads to its table stays known. */
static void test_a_table_stays_until_gvma_of_the_whole_guest(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
    *at(&b, AT_G + 0x6000 + 8 * (GPA >> 12 & 0x1ff)) = ppn(AT_OTHER) << 10 | LEAF;
    *at(&b, AT_G + 0x4000 + 8 * (GPA >> 21 & 0x1ff)) = ppn(AT_G + 0x6000) << 10 | 1;
    command(&b, GVMA(1), ADDRESS(GPA));
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
    assert_int_equal(goes(&b, GPA + 0x1000), -21); /* nothing stands in the old table */
    command(&b, GVMA(0), 0);
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_OTHER);
    bench_close(&b);
}

static void test_a_context_stays_until_inval_ddt(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
    context(&b)[0] = 0;
    command(&b, GVMA(0), 0);
    command(&b, 3 | 1ull << 33 | (uint64_t)(DID + 1) << 40, 0);
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
    command(&b, 3 | 1ull << 33 | (uint64_t)DID << 40, 0);
    assert_int_equal(goes(&b, GPA), -258);
    bench_close(&b);
}

/* First stage of Sv39 at guest address GPA: IOVA 0x5000 goes to guest page GPA + 0x3000. */
static uint64_t *first_stage(struct bench *b)
{
    uint64_t *g = second_stage(b);

    for (uint64_t i = 0; i < 4; i++) {
        g[i] = (ppn(AT_S) + i) << 10 | LEAF;
    }
    *at(b, AT_S) = (GPA + 0x1000) >> 12 << 10 | 1;
    *at(b, AT_S + 0x1000) = (GPA + 0x2000) >> 12 << 10 | 1;
    *at(b, AT_S + 0x2000 + 8 * 5) = (GPA + 0x3000) >> 12 << 10 | LEAF;
    context(b)[3] = 8ull << 60 | GPA >> 12;
    return g;
}

static void test_nested_stages_and_the_first_ones_cache(void **state)
{
    struct bench b;
    uint64_t *g, *leaf;

    (void)state;
    bench_open(&b, 0, 0);
    g = first_stage(&b);
    leaf = at(&b, AT_S + 0x2000 + 8 * 5);
    assert_int_equal(goes(&b, 0x5010), RAM_HPA + AT_S + 0x3010);
    assert_int_equal(goes(&b, 1ull << 38), -13); /* no sign extension */
    *leaf = 0;
    command(&b, GVMA(0), 0); /* the first stage's own entry stays */
    assert_int_equal(goes(&b, 0x5010), RAM_HPA + AT_S + 0x3010);
    command(&b, VMA, 0);
    assert_int_equal(goes(&b, 0x5010), -13);
    g[2] = 0; /* a table of the first stage is not in the second one */
    command(&b, GVMA(0), 0);
    assert_int_equal(goes(&b, 0x5010), -21);
    assert_int_equal(at(&b, AT_FQ)[4 * 2 + 3], (GPA + 0x2028) | 1); /* implicit */
    bench_close(&b);
}

static void test_msi_tables_and_their_cache(void **state)
{
    struct bench b;
    uint64_t *pte;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    context(&b)[4] = 1ull << 60 | ppn(AT_MSI);
    context(&b)[5] = 3;
    context(&b)[6] = 0x28000;
    pte = at(&b, AT_MSI + 16 * 2);
    assert_int_equal(go(&b, DID, 0x28002000, IW, NULL), 262);
    *pte = ppn(AT_OTHER) << 10 | 3; /* MRIF */
    assert_int_equal(go(&b, DID, 0x28002000, IW, NULL), 263);
    *pte = ppn(AT_OTHER) << 10 | 7 | 8; /* reserved */
    assert_int_equal(go(&b, DID, 0x28002000, IW, NULL), 263);
    *pte = ppn(AT_OTHER) << 10 | 7;
    assert_int_equal(go(&b, DID, 0x28002000, IX, NULL), 1);
    assert_int_equal(goes(&b, 0x28002004), RAM_HPA + AT_OTHER + 4);
    *pte = 0;
    assert_int_equal(goes(&b, 0x28002004), RAM_HPA + AT_OTHER + 4);
    command(&b, GVMA(1), ADDRESS(0x28002000ull));
    assert_int_equal(goes(&b, 0x28002004), -262);
    bench_close(&b);
}

static void test_hardware_sets_a_and_d_where_told(void **state)
{
    struct bench b;
    uint64_t *leaf;

    (void)state;
    bench_open(&b, CORDON_MODEL_CAPABILITIES | 1ull << 24, 0);
    leaf = second_stage(&b);
    context(&b)[0] = 1 | 0x80; /* GADE */
    *leaf &= ~0xc0ull;
    assert_int_equal(goes(&b, GPA), RAM_HPA + AT_PAGE);
    assert_int_equal(*leaf & 0xc0, 0x40);
    assert_int_equal(go(&b, DID, GPA, IW, NULL), 0);
    assert_int_equal(*leaf & 0xc0, 0xc0);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_directory_fault_has_its_cause),
        cmocka_unit_test(test_unknown_features_of_a_context_are_misconfigured),
        cmocka_unit_test(test_a_second_stage_leaf_is_judged_strictly),
        cmocka_unit_test(test_superpages_and_napot_must_be_aligned),
        cmocka_unit_test(test_a_second_stage_entry_stays_until_gvma),
        cmocka_unit_test(test_a_table_stays_until_gvma_of_the_whole_guest),
        cmocka_unit_test(test_a_context_stays_until_inval_ddt),
        cmocka_unit_test(test_nested_stages_and_the_first_ones_cache),
        cmocka_unit_test(test_msi_tables_and_their_cache),
        cmocka_unit_test(test_hardware_sets_a_and_d_where_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
