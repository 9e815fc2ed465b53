/* The DMA engine over the software IOMMU: lists, and each misbehaviour with what ends it. */
#include "model_bench.h"

#include "model/cordon_sg.h"

#define FENCE(bits) (0x2ull | (uint64_t)(bits) << 12)
#define PR 1
#define PW 2

static cordon_sg *engine(struct bench *b, uint64_t msi_iova)
{
    struct cordon_sg_config c = {.size = sizeof(c),
                                 .device_id = DID,
                                 .msi_iova = msi_iova,
                                 .msi_data = 42,
                                 .buffer_len = 8192};
    cordon_sg *sg = NULL;

    bench_open(b, 0, 0);
    (void)second_stage(b);
    assert_int_equal(cordon_sg_create(b->m, &c, &sg), 0);
    memset(cordon_sg_buffer(sg), 0x5a, 8192);
    return sg;
}

static void shut(struct bench *b, cordon_sg *sg)
{
    cordon_sg_destroy(sg);
    bench_close(b);
}

static const struct cordon_sg_descriptor store = {.iova = GPA + 0x800, .len = 8, .write = 1};
static const uint64_t stored = 0x5a5a5a5a5a5a5a5aull;

static void test_a_list_is_done_and_told_of(void **state)
{
    struct bench b;
    cordon_sg *sg = engine(&b, GPA + 0xf00);
    struct cordon_sg_descriptor list[2] = {
        store, {.iova = GPA + 0x900, .len = 8, .write = 0, .offset = 4096}};
    uint32_t done = 0;

    (void)state;
    memcpy(at(&b, AT_PAGE), list, sizeof(list));
    *at(&b, AT_PAGE + 0x900) = 1234;
    assert_int_equal(cordon_sg_run(sg, GPA, 2, &done), 0);
    assert_int_equal(done, 2);
    assert_int_equal(*at(&b, AT_PAGE + 0x800), stored);
    assert_memory_equal((char *)cordon_sg_buffer(sg) + 4096, at(&b, AT_PAGE + 0x900), 8);
    assert_int_equal(*at(&b, AT_PAGE + 0xf00), 42);
    shut(&b, sg);
}

static void test_a_bad_descriptor_is_refused(void **state)
{
    struct bench b;
    cordon_sg *sg = engine(&b, 0);
    struct cordon_sg_descriptor d[5] = {store, store, store, store, store};

    (void)state;
    d[0].len = 0;
    d[1].len = 0x801; /* over the page */
    d[2].offset = 8185;
    d[3].write = 2;
    d[4].reserved = 1;
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(cordon_sg_spurious(sg, &d[i]), CORDON_MODEL_EINVAL);
    }
    assert_int_equal(*at(&b, AT_PAGE + 0x800), 0);
    shut(&b, sg);
}

static void test_a_held_write_lands_at_a_fence_with_pw_only(void **state)
{
    struct bench b;
    cordon_sg *sg = engine(&b, 0);

    (void)state;
    assert_int_equal(cordon_sg_mode_set(sg, CORDON_SG_HELD), 0);
    assert_int_equal(cordon_sg_spurious(sg, &store), 0);
    context(&b)[0] = 0;
    command(&b, 3, 0);
    command(&b, FENCE(PR), 0);
    assert_int_equal(*at(&b, AT_PAGE + 0x800), 0);
    command(&b, FENCE(PR | PW), 0);
    assert_int_equal(*at(&b, AT_PAGE + 0x800), stored);
    assert_int_equal(cordon_sg_step(sg, 9, NULL), 0);
    shut(&b, sg);
}

static void test_a_rogue_write_outlives_fences_but_no_reset(void **state)
{
    struct bench b;
    cordon_sg *sg = engine(&b, 0);

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(cordon_sg_mode_set(sg, CORDON_SG_ROGUE), 0);
        assert_int_equal(cordon_sg_spurious(sg, &store), 0);
        command(&b, FENCE(PR | PW), 0);
        cordon_sg_reset(sg, i == 1);
        assert_int_equal(*at(&b, AT_PAGE + 0x800), 0);
        assert_int_equal(cordon_sg_step(sg, 9, NULL), i);
        assert_int_equal(*at(&b, AT_PAGE + 0x800), i == 1 ? stored : 0);
    }
    shut(&b, sg);
}

static void test_a_late_request_is_judged_when_it_comes(void **state)
{
    struct bench b;
    cordon_sg *sg = engine(&b, 0);
    uint32_t failed = 0;

    (void)state;
    assert_int_equal(cordon_sg_mode_set(sg, CORDON_SG_LATE), 0);
    assert_int_equal(cordon_sg_spurious(sg, &store), 0);
    context(&b)[0] = 0;
    assert_int_equal(cordon_sg_step(sg, 9, &failed), 1);
    assert_int_equal(failed, 1);
    assert_int_equal(*at(&b, AT_PAGE + 0x800), 0);
    assert_int_equal(at(&b, AT_FQ)[0] & 0xfff, 258);
    shut(&b, sg);
}

static void test_a_forged_id_is_looked_up_as_it_is(void **state)
{
    struct bench b;
    cordon_sg *sg = engine(&b, 0);

    (void)state;
    assert_int_equal(cordon_sg_forge(sg, DID + 1), 0);
    assert_int_equal(cordon_sg_spurious(sg, &store), 258);
    assert_int_equal(at(&b, AT_FQ)[0] >> 40, DID + 1);
    assert_int_equal(cordon_sg_forge(sg, 1u << 24), CORDON_MODEL_EINVAL);
    shut(&b, sg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_is_done_and_told_of),
        cmocka_unit_test(test_a_bad_descriptor_is_refused),
        cmocka_unit_test(test_a_held_write_lands_at_a_fence_with_pw_only),
        cmocka_unit_test(test_a_rogue_write_outlives_fences_but_no_reset),
        cmocka_unit_test(test_a_late_request_is_judged_when_it_comes),
        cmocka_unit_test(test_a_forged_id_is_looked_up_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
