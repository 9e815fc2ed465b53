/* cordon_walk and cordon_leaf_next: each word told, and why a walk ends. */
#include "one_domain.h"
#include <cordon/walk.h>

#include "pt/walk.h"

#define GPA UINT64_C(0x40201000)

static struct cordon_walk walked(uint64_t gpa, uint32_t access)
{
    struct cordon_walk w = {.size = sizeof(w)};

    assert_int_equal(cordon_walk(d, 0, cordon_gpa_make(gpa), access, &w), 0);
    return w;
}

static void test_each_word_of_a_walk_is_told(void **state)
{
    cordon_hpa hpa = bench_grant(&b, d, GPA, 1, RW, 0);
    struct cordon_walk w = walked(GPA + 0x123, CORDON_READ);

    (void)state;
    assert_int_equal(w.mode, 8);
    assert_int_equal(w.end, CORDON_WALK_LEADS);
    assert_int_equal(w.step_count, 3);
    assert_int_equal(w.root.v, d->forest.root[0].v);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(w.step[i].level, 2 - i);
        assert_int_equal(w.step[i].index, 1);
        assert_int_equal(w.step[i].value, *bench_word(&b, w.step[i].word));
    }
    assert_int_equal(w.step[2].word.v,
                     (uint64_t)(uintptr_t)bench_leaf(&b, d, 0, GPA) - b.ctx->ram_offset);
    assert_int_equal(w.hit.hpa.v, hpa.v + 0x123);
    assert_int_equal(w.hit.span, PAGE - 0x123);
    assert_int_equal(w.hit.perms, RW);
    assert_int_equal(w.hit.level, 0);
}

static void test_a_walk_ends_where_nothing_stands(void **state)
{
    struct cordon_walk w = walked(GPA, 0);

    (void)state;
    assert_int_equal(w.end, CORDON_WALK_EMPTY);
    assert_int_equal(w.step_count, 1);
    assert_int_equal(w.hit.span, 0);
    bench_grant(&b, d, GPA, 1, RW, 0);
    w = walked(GPA + PAGE, 0);
    assert_int_equal(w.end, CORDON_WALK_EMPTY);
    assert_int_equal(w.step_count, 3);
    assert_int_equal(w.step[2].index, 2);
}

static void test_a_walk_ends_at_rights_that_do_not_suffice(void **state)
{
    cordon_hpa hpa = bench_grant(&b, d, GPA, 1, CORDON_READ, 0);
    struct cordon_walk w = walked(GPA, CORDON_WRITE);

    (void)state;
    assert_int_equal(w.end, CORDON_WALK_RIGHTS);
    assert_int_equal(w.hit.hpa.v, hpa.v);
    assert_int_equal(w.hit.perms, CORDON_READ);
}

static void test_an_address_beyond_the_width_is_not_walked(void **state)
{
    struct cordon_walk w = walked(UINT64_C(1) << 41, 0);

    (void)state;
    assert_int_equal(w.end, CORDON_WALK_WIDTH);
    assert_int_equal(w.step_count, 0);
    w = walked((UINT64_C(1) << 41) - 1, 0);
    assert_int_equal(w.end, CORDON_WALK_EMPTY);
    assert_int_equal(w.step[0].index, 2047);
}

static void test_a_walk_does_not_follow_a_word_that_is_not_ours(void **state)
{
    struct cordon_walk w;
    uint64_t *word, before;

    (void)state;
    bench_grant(&b, d, GPA, 1, RW, 0);
    w = walked(GPA, 0);
    word = bench_word(&b, w.step[1].word);
    before = *word;
    *word = PTE_V | pt_ppn_put(bench_held(&b, 1).v); /* a frame, but no table */
    w = walked(GPA, 0);
    assert_int_equal(w.end, CORDON_WALK_CORRUPT);
    assert_int_equal(w.step_count, 2);
    *word = before | BIT64(63);
    assert_int_equal(walked(GPA, 0).end, CORDON_WALK_CORRUPT);
    *word = before;
}

static void test_questions_with_bad_arguments_are_refused(void **state)
{
    struct cordon_walk w = {.size = sizeof(w)};
    struct cordon_hit hit;
    cordon_gpa gpa = {GPA};

    (void)state;
    assert_int_equal(cordon_walk(NULL, 0, gpa, 0, &w), -CORDON_EINVAL);
    assert_int_equal(cordon_walk(d, 0, gpa, 0, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_walk(d, 1, gpa, 0, &w), -CORDON_EINVAL);
    assert_int_equal(cordon_walk(d, CORDON_MAX_VIEWS, gpa, 0, &w), -CORDON_EINVAL);
    assert_int_equal(cordon_walk(d, 0, gpa, 8, &w), -CORDON_EINVAL);
    w.size--;
    assert_int_equal(cordon_walk(d, 0, gpa, 0, &w), -CORDON_EINVAL);
    assert_int_equal(cordon_leaf_next(NULL, 0, &gpa, &hit), -CORDON_EINVAL);
    assert_int_equal(cordon_leaf_next(d, 0, NULL, &hit), -CORDON_EINVAL);
    assert_int_equal(cordon_leaf_next(d, 0, &gpa, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_leaf_next(d, 1, &gpa, &hit), -CORDON_EINVAL);
    assert_int_equal(gpa.v, GPA);
}

static void test_leaves_come_in_order_with_their_sizes(void **state)
{
    cordon_hpa low = bench_grant(&b, d, 0, 1, RWX, 0);
    cordon_hpa big = bench_grant(&b, d, GIB, 512, RW, 0);
    cordon_gpa gpa = {0};
    struct cordon_hit hit;

    (void)state;
    assert_int_equal(cordon_leaf_next(d, 0, &gpa, &hit), 0);
    assert_int_equal(gpa.v, 0);
    assert_int_equal(hit.hpa.v, low.v);
    assert_int_equal(hit.span, PAGE);
    gpa.v += hit.span;
    assert_int_equal(cordon_leaf_next(d, 0, &gpa, &hit), 0);
    assert_int_equal(gpa.v, GIB);
    assert_int_equal(hit.hpa.v, big.v);
    assert_int_equal(hit.span, hit.level == 1 ? BLOCK : PAGE);
    assert_int_equal(hit.perms, RW);
    gpa.v = GIB + BLOCK;
    assert_int_equal(cordon_leaf_next(d, 0, &gpa, &hit), -CORDON_ENOENT);
    assert_int_equal(gpa.v, GIB + BLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_each_word_of_a_walk_is_told),
        TEST(test_a_walk_ends_where_nothing_stands),
        TEST(test_a_walk_ends_at_rights_that_do_not_suffice),
        TEST(test_an_address_beyond_the_width_is_not_walked),
        TEST(test_a_walk_does_not_follow_a_word_that_is_not_ours),
        TEST(test_questions_with_bad_arguments_are_refused),
        TEST(test_leaves_come_in_order_with_their_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
