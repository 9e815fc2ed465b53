/* Memory types: which regions may have one, that leaves keep it through every change, and that what
 * a guest may read past the caches was flushed before. The record's order checker counts flushes.
 * [Priv Svpbmt; Zicbom] */
#include "map_bench.h"

#include <cordon/error.h>
#include <cordon/log.h>
#include <cordon/move.h>
#include <cordon/space.h>
#include <cordon/touch.h>

#define GPA (UINT64_C(64) * MIB)
#define NC CORDON_REGION_NC
#define IO CORDON_REGION_IO

static struct map_bench b;
static cordon_domain *red;

static int open_as(uint32_t flags)
{
    bench_open_flags(&b, 32 * MIB, flags);
    if ((flags & CORDON_CTX_PBMT) != 0) {
        record_expect_flushes(&b.record);
    }
    red = bench_domain(&b);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return open_as(CORDON_CTX_PBMT | CORDON_CTX_NAPOT);
}

static int setup_without(void **state)
{
    (void)state;
    return open_as(0);
}

static int teardown(void **state)
{
    (void)state;
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(red), 0);
    bench_close(&b);
    return 0;
}

static void change(struct cordon_op op)
{
    assert_int_equal(cordon_change(red, &op, 1), 0);
    bench_sound(&b);
}

static struct cordon_hit hit_in(const cordon_domain *d, uint64_t page)
{
    struct cordon_hit hit;

    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(GPA + page * PAGE), 0, &hit), 0);
    return hit;
}

static void expect_type(uint64_t pages, uint32_t type)
{
    for (uint64_t i = 0; i < pages; i++) {
        assert_int_equal(hit_in(red, i).type, type);
    }
}

/* 4 MiB of TYPE in two leaves. */
static cordon_hpa granted(uint32_t type)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = 2 * BLOCK, .align = BLOCK};
    struct cordon_extent e = {.len = want.len};

    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    change(op_grant(GPA, &e, 1, RW, type));
    assert_int_equal(hit_in(red, 0).shift, 21);
    expect_type(1024, type);
    return e.hpa;
}

/* ---- which -------------------------------------------------------------------------------- */

static int try_grant(uint32_t flags)
{
    struct cordon_extent e = {bench_held(&b, 1), PAGE};
    struct cordon_op op = op_grant(GPA, &e, 1, RW, flags);

    if ((flags & CORDON_REGION_MMIO) != 0) {
        e.hpa = cordon_hpa_make(BENCH_MMIO);
    }
    if ((flags & CORDON_REGION_DEMAND) != 0) {
        op.extents = NULL;
        op.extent_count = 0;
    }
    uint64_t before = bench_state(&b);
    int err = cordon_change(red, &op, 1);

    assert_int_equal(bench_state(&b) == before, err != 0);
    return err;
}

static void test_a_type_is_for_ram_that_is_there_and_one_of_two(void **state)
{
    (void)state;
    assert_int_equal(try_grant(NC | IO), -CORDON_EINVAL);
    assert_int_equal(try_grant(NC | CORDON_REGION_MMIO), -CORDON_EINVAL);
    assert_int_equal(try_grant(IO | CORDON_REGION_DEMAND), -CORDON_EINVAL);
    assert_int_equal(try_grant(IO | CORDON_REGION_PIN | CORDON_REGION_NODMA), 0);
    expect_type(1, IO);
}

static void test_harts_without_svpbmt_have_no_types_and_no_flushes(void **state)
{
    (void)state;
    assert_int_equal(try_grant(NC), -CORDON_ENOTSUP);
    assert_int_equal(try_grant(0), 0);
    assert_null(record_find(&b.record, 0, RECORD_FLUSH, UINT64_MAX));
}

/* ---- kept --------------------------------------------------------------------------------- */

static void test_leaves_keep_their_type_when_split_and_merged(void **state)
{
    const struct cordon_coalesce all = {
        .size = sizeof(all), .gpa = cordon_gpa_make(GPA), .len = 2 * BLOCK};
    struct cordon_coalesced out;

    (void)state;
    (void)granted(NC);
    change(op_protect(GPA + 5 * PAGE, 1, CORDON_READ));
    assert_int_equal(hit_in(red, 5).shift, 12);
    assert_int_equal(hit_in(red, 100).shift, 16);
    expect_type(1024, NC);
    change(op_protect(GPA + 5 * PAGE, 1, RW));
    assert_int_equal(cordon_coalesce(red, &all, &out), 0);
    assert_int_equal(out.mega, 1);
    assert_int_equal(hit_in(red, 5).shift, 21);
    expect_type(1024, NC);
}

static void test_neighbours_of_another_type_stay_apart(void **state)
{
    const struct cordon_coalesce all = {
        .size = sizeof(all), .gpa = cordon_gpa_make(GPA), .len = BLOCK};
    const struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK, .align = BLOCK};
    struct cordon_coalesced out;
    cordon_hpa hpa;

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    const struct cordon_extent low = {hpa, 24 * PAGE},
                               high = {cordon_hpa_add(hpa, low.len), BLOCK - low.len};

    change(op_grant(GPA, &low, 1, RW, NC));
    change(op_grant(GPA + low.len, &high, 1, RW, 0));
    assert_int_equal(cordon_coalesce(red, &all, &out), 0);
    assert_int_equal(out.mega, 0);
    assert_int_equal(hit_in(red, 23).type, NC);
    assert_int_equal(hit_in(red, 24).type, 0);
    assert_int_equal(hit_in(red, 16).shift, 12);
}

static void test_a_frame_that_moves_keeps_its_type(void **state)
{
    (void)state;
    (void)granted(IO);
    uint64_t was = hit_in(red, 7).hpa.v;

    assert_int_equal(cordon_relocate(red, cordon_gpa_make(GPA + 7 * PAGE), PAGE, NULL), 0);
    bench_sound(&b);
    assert_true(hit_in(red, 7).hpa.v != was);
    expect_type(1024, IO);
}

static void test_what_is_logged_keeps_its_type(void **state)
{
    (void)state;
    (void)granted(NC);
    change(op_mark(GPA, 512, CORDON_REGION_LOG));
    assert_int_equal(hit_in(red, 0).shift, 12);
    expect_type(1024, NC);
    change(op_mark(GPA, 512, 0));
    expect_type(1024, NC);
}

static void test_a_borrower_has_the_owners_type(void **state)
{
    struct cordon_share share = {.size = sizeof(share),
                                 .gpa = cordon_gpa_make(GPA),
                                 .to = cordon_gpa_make(GPA),
                                 .len = 2 * BLOCK,
                                 .perms = CORDON_READ};
    cordon_domain *blue = bench_domain(&b);

    (void)state;
    (void)granted(NC);
    assert_int_equal(cordon_share(red, blue, &share), 0); /* flushed: the record looks */
    bench_sound(&b);
    assert_int_equal(hit_in(blue, 0).type, NC);
    assert_int_equal(bench_revoke(blue, GPA, 1024), 0);
    (void)bench_grant(&b, red, GPA + 2 * BLOCK, 1, RW, 0);
    share.len += PAGE;
    assert_int_equal(cordon_share(red, blue, &share), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_destroy(blue), 0);
}

/* ---- flushed ------------------------------------------------------------------------------ */

static uint64_t flushed(uint64_t since, uint64_t hpa)
{
    const struct record_event *e = record_find(&b.record, since, RECORD_FLUSH, hpa);

    return e != NULL ? e->sequence : UINT64_MAX;
}

static void test_another_type_in_place_flushes_between_old_leaf_and_new(void **state)
{
    struct cordon_slot slot = {
        .size = sizeof(slot), .gpa = cordon_gpa_make(GPA), .len = PAGE, .extent_count = 1};
    struct cordon_extent e = {bench_held(&b, 1), PAGE};
    cordon_space *space;

    (void)state;
    slot.extents = &e;
    assert_int_equal(cordon_space_create(red, &space), 0);
    assert_int_equal(cordon_slot_set(space, &slot), 0);
    expect_type(1, 0);
    uint64_t word = b.record.sequence;

    slot.flags = NC;
    assert_int_equal(cordon_slot_set(space, &slot), 0);
    bench_sound(&b);
    expect_type(1, NC);
    uint64_t at = flushed(word, e.hpa.v);
    const struct record_event *fence = record_find(&b.record, word, RECORD_HART_FENCE, UINT64_MAX);

    assert_true(fence != NULL && fence->sequence < at); /* nobody writes by the old leaf any more */
    const struct record_event *store = record_find(&b.record, at, RECORD_STORE, UINT64_MAX);

    assert_true(store != NULL && (store->b >> 61 & 3) == 1 &&
                record_find(&b.record, at, RECORD_HART_FENCE, UINT64_MAX) == NULL);
    assert_int_equal(cordon_space_destroy(space), 0);
}

static void test_what_is_kept_is_flushed_before_it_is_held(void **state)
{
    (void)state;
    cordon_hpa hpa = bench_grant(&b, red, GPA, 1, RW, CORDON_REGION_KEEP | NC);
    uint64_t since = b.record.sequence;

    assert_int_equal(bench_revoke(red, GPA, 1), 0);
    assert_true(flushed(since, hpa.v) <
                record_find(&b.record, since, RECORD_FREE, hpa.v)->sequence);
    assert_int_equal(cordon_run_free(b.ctx, hpa, PAGE), 0);
}

static void test_a_touched_page_is_flushed_of_its_zeroes(void **state)
{
    struct cordon_op op = op_grant(GPA, NULL, 0, RW, CORDON_REGION_DEMAND | CORDON_REGION_HUGE);
    struct cordon_touched out;

    (void)state;
    op.len = 2 * BLOCK + PAGE;
    change(op);
    assert_int_equal(cordon_touch(red, cordon_gpa_make(GPA), CORDON_READ, &out), 0);
    bench_sound(&b); /* the record looks for the flush before the leaf */
    assert_int_equal(cordon_touch(red, cordon_gpa_make(GPA + 2 * BLOCK), CORDON_READ, &out), 0);
    bench_sound(&b);
}

/* ---- audit -------------------------------------------------------------------------------- */

static void test_the_audit_finds_a_leaf_of_another_type(void **state)
{
    (void)state;
    (void)bench_grant(&b, red, GPA, 1, RW, NC);
    uint64_t *leaf = bench_leaf(&b, red, 0, GPA), was = *leaf;

    *leaf = was & ~(UINT64_C(3) << 61);
    (void)bench_breaks(&b, 1);
    *leaf = was | UINT64_C(3) << 61;
    (void)bench_breaks(&b, 1);
    *leaf = was;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_type_is_for_ram_that_is_there_and_one_of_two, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_harts_without_svpbmt_have_no_types_and_no_flushes,
                                        setup_without, teardown),
        cmocka_unit_test_setup_teardown(test_leaves_keep_their_type_when_split_and_merged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_neighbours_of_another_type_stay_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_frame_that_moves_keeps_its_type, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_logged_keeps_its_type, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_borrower_has_the_owners_type, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_type_in_place_flushes_between_old_leaf_and_new,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_kept_is_flushed_before_it_is_held, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_touched_page_is_flushed_of_its_zeroes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_audit_finds_a_leaf_of_another_type, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
