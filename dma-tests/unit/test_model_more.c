/* The software IOMMU: base contexts, deeper modes, invalidation by address and PSCID, DTF, WSI. */
#define _GNU_SOURCE /* pthread_tryjoin_np */
#include <pthread.h>
#include <stdatomic.h>

#include "model_bench.h"

#define GVMA_AT (0x81ull | 1 << 10 | 1ull << 33 | GSCID << 44)
#define ADDRESS(a) ((a) >> 12 << 10)
#define PSCID 5ull

static void test_one_address_drops_the_whole_superpage(void **state)
{
    struct bench b;
    uint64_t *two;

    (void)state;
    bench_open(&b, 0, 0);
    (void)second_stage(&b);
    two = at(&b, AT_G + 0x4000 + 8 * (GPA >> 21 & 0x1ff));
    *two = ppn(0x200000) << 10 | LEAF;
    assert_int_equal(goes(&b, GPA), RAM_HPA + 0x200000 + (GPA & 0x1fffff));
    *two = 0;
    command(&b, GVMA_AT, ADDRESS(GPA + 0x200000)); /* the next one */
    assert_int_equal(goes(&b, GPA), RAM_HPA + 0x200000 + (GPA & 0x1fffff));
    command(&b, GVMA_AT, ADDRESS(GPA + 0x50000));
    assert_int_equal(goes(&b, GPA), -21);
    bench_close(&b);
}

static void test_base_contexts_are_half_as_long(void **state)
{
    struct bench b;
    uint64_t *dc;

    (void)state;
    bench_open(&b, CORDON_MODEL_CAPABILITIES & ~(1ull << 22), 0);
    (void)second_stage(&b);
    wr8(&b, 0x10, 0);
    wr8(&b, 0x10, ppn(AT_DDT + 0x2000) << 10 | 2); /* one level: 7 bits */
    dc = at(&b, AT_DDT + 0x2000 + 32 * 0x7f);
    dc[1] = 8ull << 60 | GSCID << 44 | ppn(AT_G);
    dc[0] = 1;
    assert_int_equal(go(&b, 0x7f, GPA, IR, NULL), 0);
    assert_int_equal(go(&b, 0x80, GPA, IR, NULL), 260);
    bench_close(&b);
}

static void test_sv48_and_sv57_roots_go_above_sv39(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 2);
    (void)second_stage(&b);
    for (uint64_t mode = 9; mode <= 10; mode++) {
        uint64_t high = 3ull << (mode == 9 ? 48 : 57); /* only an x4 root reaches it */
        uint64_t root = AT_MSI + (mode - 9) * 0x8000, next = AT_G;

        if (mode == 10) {
            *at(&b, root + 0x4000) = ppn(next) << 10 | 1;
            next = root + 0x4000;
        }
        *at(&b, root + 8 * (high >> (mode == 9 ? 39 : 48))) = ppn(next) << 10 | 1;
        context(&b)[1] = mode << 60 | GSCID << 44 | ppn(root);
        command(&b, 3, 0);
        assert_int_equal(goes(&b, high | GPA), RAM_HPA + AT_PAGE);
        assert_int_equal(goes(&b, GPA), -21);
    }
    bench_close(&b);
}

static void test_vma_goes_by_pscid_and_spares_global_entries(void **state)
{
    const uint64_t by_pscid = 0x1 | 1ull << 32;
    uint64_t *leaf;
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    leaf = at(&b, AT_S + 0x2000 + 8 * 5);
    *at(&b, AT_S) = ppn(AT_S + 0x1000) << 10 | 1;
    context(&b)[2] = PSCID << 12;
    context(&b)[3] = 8ull << 60 | ppn(AT_S);
    context(&b)[0] = 1;
    for (uint64_t global = 0; global < 3; global++) { /* not, in the leaf, in the word above */
        *leaf = ppn(AT_PAGE) << 10 | LEAF | (global & 1) << 5;
        *at(&b, AT_S + 0x1000) = ppn(AT_S + 0x2000) << 10 | 1 | (global & 2) << 4;
        assert_int_equal(goes(&b, 0x5000), RAM_HPA + AT_PAGE);
        *leaf = 0;
        command(&b, by_pscid | (PSCID + 1) << 12, 0);
        command(&b, 0x1 | 1 << 10, ADDRESS(0x6000ull));
        command(&b, 0x1 | 1ull << 33 | GSCID << 44, 0);
        assert_int_equal(goes(&b, 0x5000), RAM_HPA + AT_PAGE);
        command(&b, by_pscid | PSCID << 12, 0);
        assert_int_equal(goes(&b, 0x5000), global != 0 ? (int64_t)(RAM_HPA + AT_PAGE) : -13);
        command(&b, 0x1 | 1 << 10, ADDRESS(0x5000ull));
        assert_int_equal(goes(&b, 0x5000), -13);
    }
    bench_close(&b);
}

static void test_dtf_keeps_translation_faults_quiet(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    *second_stage(&b) = 0;
    context(&b)[0] = 1 | 1 << 4;
    assert_int_equal(goes(&b, GPA), -21);
    assert_int_equal(rd(&b, 0x34), 0);
    context(&b)[0] = 0;
    command(&b, 3, 0);
    assert_int_equal(goes(&b, GPA), -258);
    assert_int_equal(rd(&b, 0x34), 1);
    bench_close(&b);
}

static void test_what_no_memory_answers_is_told_for_what_it_is(void **state)
{
    struct cordon_model_request r = {
        .size = sizeof(r), .device_id = DID, .iova = GPA, .access = IX};
    struct bench b;
    uint64_t data;

    (void)state;
    bench_open(&b, 0, 0);
    *second_stage(&b) = 0x700000ull << 10 | LEAF;
    assert_int_equal(cordon_model_dma(b.m, &r, &data, sizeof(data), NULL), 1);
    assert_int_equal(at(&b, AT_FQ)[0], 1 | 1ull << 34 | (uint64_t)DID << 40);
    context(&b)[0] = 1 | 1 << 4; /* DTF */
    command(&b, 3, 0);
    assert_int_equal(cordon_model_dma(b.m, &r, &data, sizeof(data), NULL), 1);
    assert_int_equal(rd(&b, 0x34), 1);
    bench_close(&b);
}

static void test_an_msi_has_the_memory_type_of_the_first_stage(void **state)
{
    struct cordon_model_request r = {
        .size = sizeof(r), .device_id = DID, .iova = 0x5000, .access = IW};
    struct cordon_model_target t;
    struct bench b;

    (void)state;
    bench_open(&b, CORDON_MODEL_CAPABILITIES | 1ull << 15, 0);
    (void)second_stage(&b);
    *at(&b, AT_G + 0x4000 + 8) =
        ppn(0) << 10 | LEAF; /* first-stage words at 2 MiB + their offset */
    *at(&b, AT_G) = ppn(AT_G + 0x4000) << 10 | 1;
    *at(&b, AT_S) = (0x200000ull + AT_S + 0x1000) >> 12 << 10 | 1;
    *at(&b, AT_S + 0x1000) = (0x200000ull + AT_S + 0x2000) >> 12 << 10 | 1;
    *at(&b, AT_S + 0x2000 + 8 * 5) = GPA >> 12 << 10 | LEAF | 2ull << 61;
    *at(&b, AT_MSI) = ppn(AT_PAGE) << 10 | 7;
    context(&b)[3] = 8ull << 60 | (0x200000ull + AT_S) >> 12;
    context(&b)[4] = 1ull << 60 | ppn(AT_MSI);
    context(&b)[6] = GPA >> 12;
    assert_int_equal(cordon_model_translate(b.m, &r, &t), 0);
    assert_int_equal(t.is_msi, 1);
    assert_int_equal(t.hpa, RAM_HPA + AT_PAGE);
    assert_int_equal(t.pbmt, 2);
    bench_close(&b);
}

static void test_a_fence_can_raise_the_wire(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b, 0, 0);
    wr8(&b, 0x10, 0);
    wr(&b, 0x48, 0);
    wr(&b, 0x4c, 0);
    wr(&b, 0x08, 2);
    assert_int_equal(rd(&b, 0x08), 2);
    wr(&b, 0x48, 3);
    command(&b, 0x2 | 1 << 11, 0);
    assert_int_equal(rd(&b, 0x48) & 0xf00, 0x800);
    assert_int_equal(rd(&b, 0x54), 1);
    bench_close(&b);
}

/* Stores and takes back the word of the leaf that ARG is, and counts the times that it was not as
 * it was left: marked when it was no leaf any more. */
static void *coming_and_going(void *arg)
{
    _Atomic uint64_t *leaf = arg;
    uintptr_t changed = 0;

    for (uint32_t i = 0; i < 200000; i++) {
        atomic_store(leaf, ppn(AT_PAGE) << 10 | (LEAF & ~0xc0ull));
        atomic_store(leaf, 0);
        changed += atomic_load(leaf) != 0;
    }
    return (void *)changed;
}

static void test_a_word_that_changes_meanwhile_is_not_marked(void **state)
{
    void *changed = NULL;
    pthread_t software;
    struct bench b;
    uint64_t *leaf;

    (void)state;
    bench_open(&b, CORDON_MODEL_CAPABILITIES | 1ull << 24, 2);
    leaf = second_stage(&b);
    context(&b)[0] = 1 | 1 << 7; /* GADE */
    *leaf = 0;
    assert_int_equal(pthread_create(&software, NULL, coming_and_going, leaf), 0);
    while (pthread_tryjoin_np(software, &changed) != 0) {
        (void)go(&b, DID, GPA, IW, NULL);
    }
    assert_int_equal((uintptr_t)changed, 0);
    assert_int_equal(*leaf, 0);
    *leaf = ppn(AT_PAGE) << 10 | (LEAF & ~0xc0ull);
    assert_int_equal(go(&b, DID, GPA, IW, NULL), 0);
    assert_int_equal(*leaf, ppn(AT_PAGE) << 10 | LEAF);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_address_drops_the_whole_superpage),
        cmocka_unit_test(test_base_contexts_are_half_as_long),
        cmocka_unit_test(test_sv48_and_sv57_roots_go_above_sv39),
        cmocka_unit_test(test_vma_goes_by_pscid_and_spares_global_entries),
        cmocka_unit_test(test_dtf_keeps_translation_faults_quiet),
        cmocka_unit_test(test_what_no_memory_answers_is_told_for_what_it_is),
        cmocka_unit_test(test_an_msi_has_the_memory_type_of_the_first_stage),
        cmocka_unit_test(test_a_fence_can_raise_the_wire),
        cmocka_unit_test(test_a_word_that_changes_meanwhile_is_not_marked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
