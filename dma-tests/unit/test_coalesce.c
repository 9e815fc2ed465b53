/* Small leaves become large ones again, and nobody sees a gap: the record's order checker holds
 * each store against that. [Priv 12.2.1] */
#include <cordon/cordon.h>

#include "leaf_bench.h"
#include "pt/pt.h"

#define GPA (GIB + 4 * BLOCK)
#define BIG (UINT64_C(1) << 40) /* a resource of 1 GiB */

static cordon_hpa granted(uint64_t blocks, uint32_t flags)
{
    return grant_blocks(GPA, blocks, RWX, flags);
}

/* Begin and end logging: all leaves are small then. */
static void shatter(uint64_t gpa, uint64_t pages)
{
    change(op_mark(gpa, pages, CORDON_REGION_LOG));
    change(op_mark(gpa, pages, 0));
    bench_ran(d, 0); /* a hart remembers the small ones */
}

static void test_leaves_that_go_on_become_one_and_their_table_is_freed(void **state)
{
    cordon_hpa hpa = granted(3, 0);
    uint64_t tables = bench_stats(&b).table;

    (void)state;
    shatter(GPA, 3 * 512);
    assert_int_equal(bench_stats(&b).table, tables + 3 * PAGE);
    struct cordon_coalesced out = coalesce(GPA, 3 * BLOCK, 0);

    assert_int_equal(out.mega, 3);
    assert_int_equal(out.giga, 0);
    assert_int_equal(out.looked, 3);
    assert_int_equal(out.next.v, GPA + 3 * BLOCK);
    assert_int_equal(bench_stats(&b).table, tables);
    for (uint64_t i = 0; i < 3 * 512; i++) {
        assert_int_equal(bench_leads(d, 0, GPA + i * PAGE, RWX), hpa.v + i * PAGE);
    }
    assert_int_equal(coalesce(GPA, 3 * BLOCK, 0).mega, 0);
}

static void test_a_budget_bounds_each_call_and_the_next_goes_on(void **state)
{
    uint64_t at = GPA, calls = 0, made = 0;

    (void)state;
    (void)granted(5, 0);
    shatter(GPA, 5 * 512);
    while (at < GPA + 5 * BLOCK) {
        struct cordon_coalesced out = coalesce(at, GPA + 5 * BLOCK - at, 2);

        assert_true(out.looked <= 2 && out.next.v > at);
        at = out.next.v;
        made += out.mega;
        calls++;
    }
    assert_int_equal(made, 5);
    assert_int_equal(calls, 3);
}

static void test_what_differs_stays_apart(void **state)
{
    cordon_hpa hpa = granted(6, 0);

    (void)state;
    shatter(GPA, 6 * 512);
    change(op_protect(GPA + 17 * PAGE, 1, CORDON_READ));               /* rights */
    assert_int_equal(bench_revoke(d, GPA + BLOCK + 511 * PAGE, 1), 0); /* a hole */
    change(op_mark(GPA + 2 * BLOCK, 1, CORDON_REGION_LOG));            /* logged, in part */
    assert_int_equal(bench_revoke(d, GPA + 3 * BLOCK + 5 * PAGE, 2), 0);
    struct cordon_extent back[] = {{{hpa.v + 3 * BLOCK + 6 * PAGE}, PAGE},
                                   {{hpa.v + 3 * BLOCK + 5 * PAGE}, PAGE}};
    struct cordon_run_want want = {.size = sizeof(want), .len = 2 * PAGE};

    /* Two frames come back the wrong way round: they must be had again first. */
    for (unsigned i = 0; i < 2; i++) {
        want.len = PAGE;
        want.highest = back[i].hpa.v + PAGE - 1;
        want.align = PAGE;
        cordon_hpa got;

        assert_int_equal(cordon_run_alloc(b.ctx, &want, &got), 0);
        back[i].hpa = got;
    }
    if (back[0].hpa.v < back[1].hpa.v) {
        struct cordon_extent swap = back[0];

        back[0] = back[1];
        back[1] = swap;
    }
    change(op_grant(GPA + 3 * BLOCK + 5 * PAGE, back, 2, RWX, 0));
    assert_int_equal(bench_revoke(d, GPA + 4 * BLOCK, 1), 0);
    (void)bench_grant(&b, d, GPA + 4 * BLOCK, 1, RWX, CORDON_REGION_KEEP); /* another region */
    assert_int_equal(coalesce(GPA, 6 * BLOCK, 0).mega, 1);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(hit_at(d, GPA + i * BLOCK).level, 0);
    }
    assert_int_equal(hit_at(d, GPA + 5 * BLOCK).level, 1);
    assert_int_equal(bench_leads(d, 0, GPA + 17 * PAGE, CORDON_WRITE), UINT64_MAX);
}

static void test_each_view_has_large_leaves_again(void **state)
{
    uint32_t own, views[2];

    (void)state;
    (void)granted(2, 0);
    assert_int_equal(domain_view_add(d, &views[0]), 0);
    shatter(GPA, 2 * 512); /* the device view has kept its large ones */
    assert_int_equal(bench_leads(d, views[0], GPA, RW), bench_leads(d, 0, GPA, RW));
    assert_int_equal(domain_view_add(d, &own), 0); /* and this one shares the small ones */
    assert_int_equal(coalesce(GPA, 2 * BLOCK, 0).mega, 2);
    for (uint32_t view = 0; view < 3; view++) {
        struct cordon_hit hit;

        assert_int_equal(cordon_translate(d, view, cordon_gpa_make(GPA), 0, &hit), 0);
        assert_int_equal(hit.level, 1);
    }
    domain_view_remove(d, own);
    domain_view_remove(d, views[0]);
}

static void test_a_gib_comes_together_from_small_pages_in_small_steps(void **state)
{
    struct cordon_extent e = {{BIG}, GIB};
    uint64_t at = GIB, mega = 0, giga = 0, calls = 0;

    (void)state;
    assert_int_equal(cordon_resource_add(b.ctx, e.hpa, GIB), 0);
    change(op_grant(GIB, &e, 1, RW, CORDON_REGION_MMIO));
    assert_int_equal(hit_at(d, GIB).level, 2);
    change(op_protect(GIB + 700 * PAGE, 1, CORDON_READ));
    assert_int_equal(hit_at(d, GIB + 700 * PAGE).level, 0);
    change(op_protect(GIB + 700 * PAGE, 1, RW));
    while (at < 2 * GIB) {
        struct cordon_coalesced out = coalesce(at, 2 * GIB - at, 1);

        at = out.next.v;
        mega += out.mega;
        giga += out.giga;
        calls++;
    }
    assert_true(calls >= 512 / 32); /* large leaves count, too */
    assert_int_equal(mega, 1);
    assert_int_equal(giga, 1);
    assert_int_equal(hit_at(d, GIB).level, 2);
    assert_int_equal(bench_leads(d, 0, GIB + 700 * PAGE, RW), BIG + 700 * PAGE);
    change(op_revoke(GIB, GIB / PAGE));
    assert_int_equal(cordon_resource_remove(b.ctx, e.hpa), 0);
}

static void test_no_word_is_ever_invalid_while_leaves_come_together(void **state)
{
    uint64_t stores = 0;

    (void)state;
    (void)granted(2, 0);
    shatter(GPA, 2 * 512);
    uint64_t before = b.record.sequence;

    assert_int_equal(coalesce(GPA, 2 * BLOCK, 0).mega, 2);
    for (uint64_t s = before + 1; s <= b.record.sequence; s++) {
        const struct record_event *e = record_at(&b.record, s);

        if (e->kind == RECORD_STORE) {
            assert_int_equal(e->b & PTE_V, PTE_V);
            stores++;
        }
    }
    assert_int_equal(stores, 2); /* one for each */
}

static void test_wrong_wishes_are_refused(void **state)
{
    struct cordon_coalesce what = {.size = sizeof(what), .gpa = cordon_gpa_make(GPA), .len = BLOCK};
    struct cordon_coalesced out = {.looked = 9};

    (void)state;
    assert_int_equal(cordon_coalesce(NULL, &what, &out), -CORDON_EINVAL);
    assert_int_equal(cordon_coalesce(d, NULL, &out), -CORDON_EINVAL);
    assert_int_equal(cordon_coalesce(d, &what, NULL), -CORDON_EINVAL);
    what.gpa.v++;
    assert_int_equal(cordon_coalesce(d, &what, &out), -CORDON_EALIGN);
    what.gpa.v--;
    what.len = 0;
    assert_int_equal(cordon_coalesce(d, &what, &out), -CORDON_ERANGE);
    what.len = ~0ull << 12;
    assert_int_equal(cordon_coalesce(d, &what, &out), -CORDON_ERANGE);
    what.len = BLOCK;
    what.flags = 1;
    assert_int_equal(cordon_coalesce(d, &what, &out), -CORDON_EINVAL);
    assert_int_equal(out.looked, 9);
    what.flags = 0;
    assert_int_equal(cordon_coalesce(d, &what, &out), 0); /* nothing stands there */
    assert_int_equal(out.looked, 0);
    assert_int_equal(out.next.v, GPA + BLOCK);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_leaves_that_go_on_become_one_and_their_table_is_freed),
        T(test_a_budget_bounds_each_call_and_the_next_goes_on),
        T(test_what_differs_stays_apart),
        T(test_each_view_has_large_leaves_again),
        T(test_a_gib_comes_together_from_small_pages_in_small_steps),
        T(test_no_word_is_ever_invalid_while_leaves_come_together),
        T(test_wrong_wishes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
