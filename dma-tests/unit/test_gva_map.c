/* cordon_walk_guest: what the map says of the guest's tables and of where they lead. */
#include "gva_bench.h"

#include <cordon/touch.h>

#define REGISTERS (RAM + GIB)
#define READ_ONLY (RAM + 2 * GIB)
#define NO_READ (RAM + 4 * GIB)

/* What is no RAM, and what may not be read. */
static void give_others(void)
{
    struct cordon_extent window = {{BENCH_MMIO}, PAGE};
    struct cordon_op op = op_grant(REGISTERS, &window, 1, RW, CORDON_REGION_MMIO);

    assert_int_equal(cordon_change(d, &op, 1), 0);
    bench_grant(&b, d, NO_READ, 1, CORDON_EXEC, 0);
}

static void test_a_mark_needs_a_table_that_can_be_written(void **state)
{
    struct cordon_gva_ask a = ask(8);
    struct cordon_gva_walk w;

    (void)state;
    build(8, 0);
    bench_grant(&b, d, READ_ONLY, 1, RW, 0);
    *word(READ_ONLY) = (LEAF & ~PTE_D) | TO(DATA);
    *word(TABLE(1)) = V | TO(READ_ONLY);
    assert_int_equal(
        cordon_change(d, (struct cordon_op[]){op_protect(READ_ONLY, 1, CORDON_READ)}, 1), 0);
    a.flags = CORDON_GVA_ADUE;
    assert_int_equal(walked(&a).end, CORDON_GVA_LEADS);
    a.access = CORDON_WRITE;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_NO_TABLE);
    assert_int_equal(w.map, CORDON_GPA_RIGHTS);
    assert_int_equal(w.gpa.v, READ_ONLY);
    assert_int_equal(w.cause, 23);
    assert_int_equal(w.marks, 0);
}

static void test_a_table_is_read_only_where_the_map_has_ram(void **state)
{
    struct cordon_gva_walk w;

    (void)state;
    give_others();
    build(8, LEAF | TO(DATA));
    static const struct {
        uint64_t table;
        uint32_t map, cause;
    } cases[] = {{HOLE, CORDON_GPA_HOLE, 21},
                 {REGISTERS, CORDON_GPA_MMIO, 5},
                 {NO_READ, CORDON_GPA_RIGHTS, 21},
                 {BIT64(41), CORDON_GPA_WIDTH, 21},
                 {BIT64(56) - PAGE, CORDON_GPA_WIDTH, 21}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cordon_gva_ask a = ask(8);

        *word(TABLE(1)) = V | TO(cases[i].table);
        w = walked(&a);
        assert_int_equal(w.end, CORDON_GVA_NO_TABLE);
        assert_int_equal(w.map, cases[i].map);
        assert_int_equal(w.step_count, 2);
        assert_int_equal(w.gpa.v, cases[i].table);
        assert_int_equal(w.cause, cases[i].cause);
        assert_int_equal(w.hva, 0);
    }
}

static void test_the_map_has_the_last_word(void **state)
{
    struct cordon_gva_walk w;

    (void)state;
    give_others();
    w = walked_to(LEAF | TO(REGISTERS));
    assert_int_equal(w.end, CORDON_GVA_LEADS);
    assert_int_equal(w.map, CORDON_GPA_MMIO);
    assert_int_equal(w.gstage.hit.hpa.v, BENCH_MMIO + 0x123);
    assert_int_equal(w.hva, 0);
    w = walked_to(LEAF | TO(HOLE));
    assert_int_equal(w.end, CORDON_GVA_NO_PAGE);
    assert_int_equal(w.map, CORDON_GPA_HOLE);
    assert_int_equal(w.gpa.v, HOLE + 0x123);
    assert_int_equal(w.region.len, 0);
    w = walked_to(LEAF | TO(NO_READ));
    assert_int_equal(w.end, CORDON_GVA_NO_PAGE);
    assert_int_equal(w.map, CORDON_GPA_RIGHTS);
    assert_int_equal(w.cause, 21);
}

static void test_a_page_whose_leaf_is_gone_is_not_touched_yet(void **state)
{
    uint64_t *leaf = bench_leaf(&b, d, 0, DATA);
    uint64_t before = *leaf;
    struct cordon_gva_walk w;

    (void)state;
    build(8, LEAF | TO(DATA));
    *leaf = 0;
    w = walked_to(LEAF | TO(DATA));
    assert_int_equal(w.end, CORDON_GVA_NO_PAGE);
    assert_int_equal(w.map, CORDON_GPA_ABSENT);
    *leaf = before | BIT64(60);
    assert_int_equal(walked_to(LEAF | TO(DATA)).map, CORDON_GPA_CORRUPT);
    *leaf = before;
}

static void test_what_comes_at_first_touch_is_not_brought_by_a_look(void **state)
{
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .flags = CORDON_REGION_DEMAND,
                                 .gpa = {HOLE},
                                 .len = 2 * PAGE,
                                 .perms = RW};
    struct cordon_gva_ask a = ask(8);
    struct cordon_touched touched;
    struct cordon_gva_walk w;
    uint64_t owned;

    (void)state;
    assert_int_equal(cordon_change(d, &op, 1), 0);
    owned = bench_stats(&b).owned;
    w = walked_to(LEAF | TO(HOLE));
    assert_int_equal(w.end, CORDON_GVA_NO_PAGE);
    assert_int_equal(w.map, CORDON_GPA_ABSENT);
    assert_int_equal(w.region.flags, CORDON_REGION_DEMAND);
    *word(TABLE(1)) = V | TO(HOLE + PAGE);
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_NO_TABLE);
    assert_int_equal(w.map, CORDON_GPA_ABSENT);
    assert_int_equal(w.gpa.v, HOLE + PAGE);
    assert_int_equal(w.cause, 21);
    assert_int_equal(bench_stats(&b).owned, owned);
    assert_int_equal(cordon_touch(d, cordon_gpa_make(HOLE + PAGE), CORDON_READ, &touched), 0);
    assert_int_equal(walked(&a).end, CORDON_GVA_EMPTY);
    *word(HOLE + PAGE) = LEAF | TO(HOLE + PAGE);
    assert_int_equal(walked(&a).end, CORDON_GVA_LEADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_guest, teardown)
        TEST(test_a_mark_needs_a_table_that_can_be_written),
        TEST(test_a_table_is_read_only_where_the_map_has_ram),
        TEST(test_the_map_has_the_last_word),
        TEST(test_a_page_whose_leaf_is_gone_is_not_touched_yet),
        TEST(test_what_comes_at_first_touch_is_not_brought_by_a_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
