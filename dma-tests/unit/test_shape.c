/* cordon_shape: its counts are what somebody finds who reads every word of every table. */
#include "one_domain.h"
#include <cordon/shape.h>

#include "pt/walk.h"

static struct cordon_shape shaped(uint32_t view)
{
    struct cordon_shape s = {.size = sizeof(s)};

    assert_int_equal(cordon_shape(d, view, &s), 0);
    return s;
}

/* The long way: words, not counts. */
static void read_table(uint64_t hpa, unsigned level, unsigned entries, struct cordon_shape *out)
{
    out->tables[level]++;
    out->table_bytes += entries * sizeof(uint64_t);
    for (unsigned i = 0; i < entries; i++) {
        uint64_t word = *bench_word(&b, cordon_hpa_make(hpa + i * sizeof(word)));

        if ((word & PTE_V) == 0) {
            continue;
        }
        if ((word & (PTE_R | PTE_W | PTE_X)) != 0) {
            out->leaves[level]++;
            out->mapped += PAGE << 9 * level;
        } else {
            read_table((word & PTE_PPN) >> 10 << 12, level - 1, 512, out);
        }
    }
}

static void assert_as_read(uint32_t view)
{
    struct cordon_shape found = shaped(view), want = {.size = 0};

    read_table(d->forest.root[view].v, found.levels - 1, 2048, &want);
    assert_memory_equal(found.tables, want.tables, sizeof(want.tables));
    assert_memory_equal(found.leaves, want.leaves, sizeof(want.leaves));
    assert_int_equal(found.table_bytes, want.table_bytes);
    assert_int_equal(found.mapped, want.mapped);
}

static cordon_hpa grant_block(uint64_t gpa)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK, .align = BLOCK};
    struct cordon_extent e = {.len = BLOCK};
    struct cordon_op op = op_grant(gpa, &e, 1, RWX, 0);

    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    assert_int_equal(cordon_change(d, &op, 1), 0);
    return e.hpa;
}

static void test_an_empty_view_is_its_root(void **state)
{
    struct cordon_shape s = shaped(0);

    (void)state;
    assert_int_equal(s.mode, 8);
    assert_int_equal(s.levels, 3);
    assert_int_equal(s.tables[2], 1);
    assert_int_equal(s.tables[1] + s.tables[0], 0);
    assert_int_equal(s.table_bytes, 4 * PAGE);
    assert_int_equal(s.mapped + s.flat_bytes, 0);
}

static void test_counts_are_those_of_the_words(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        (void)bench_grant(&b, d, (i * 37 % 40) * 3 * MIB + i * PAGE, 1 + i % 3, RW, 0);
    }
    (void)grant_block(GIB);
    (void)grant_block(GIB + 4 * BLOCK);
    assert_as_read(0);
    assert_int_equal(shaped(0).leaves[1], 2);
    assert_int_equal(shaped(0).flat_bytes, (GIB + 5 * BLOCK) / PAGE * 8);
    assert_int_equal(bench_revoke(d, GIB + 4 * BLOCK + PAGE, 1), 0); /* splits one */
    assert_as_read(0);
    assert_int_equal(shaped(0).leaves[1], 1);
}

static void test_tables_of_two_views_are_told_as_shared(void **state)
{
    uint32_t view = 0;

    (void)state;
    (void)bench_grant(&b, d, 0, 5, RW, 0);
    (void)bench_grant(&b, d, GIB, 5, RW, CORDON_REGION_NODMA);
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_as_read(0);
    assert_as_read(view);
    assert_int_equal(shaped(0).tables[0], 2);
    assert_int_equal(shaped(0).shared[0], 1);
    assert_int_equal(shaped(view).shared[0], 1);
    assert_int_equal(shaped(view).shared[1], shaped(view).tables[1]);
    assert_int_equal(shaped(0).shared[2], 0);
    domain_view_remove(d, view);
    assert_int_equal(shaped(0).shared[0], 0);
}

static void test_a_word_that_leads_to_no_table_is_no_answer(void **state)
{
    struct cordon_shape s = {.size = sizeof(s)}, before = s;
    uint64_t *root = bench_word(&b, d->forest.root[0]);

    (void)state;
    root[7] = PTE_V | (BENCH_RAM >> 12 << 10);
    assert_int_equal(cordon_shape(d, 0, &s), -CORDON_ECORRUPT);
    assert_memory_equal(&s, &before, sizeof(s));
    root[7] = 0;
}

static void test_bad_arguments_are_refused(void **state)
{
    struct cordon_shape s = {.size = sizeof(s)}, small = {.size = 8};

    (void)state;
    assert_int_equal(cordon_shape(NULL, 0, &s), -CORDON_EINVAL);
    assert_int_equal(cordon_shape(d, 0, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_shape(d, 0, &small), -CORDON_EINVAL);
    assert_int_equal(cordon_shape(d, 1, &s), -CORDON_EINVAL);
    assert_int_equal(cordon_shape(d, CORDON_MAX_VIEWS, &s), -CORDON_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_empty_view_is_its_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts_are_those_of_the_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tables_of_two_views_are_told_as_shared, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_word_that_leads_to_no_table_is_no_answer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_bad_arguments_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
