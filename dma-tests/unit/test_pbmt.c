/* Memory types: which regions may have one, that leaves keep it through every change, and that what
 * a guest may read past the caches was flushed before. The record's order checker counts flushes.
 * [Priv Svpbmt; Zicbom] */
#include "leaf_bench.h"
#include "map/domain.h"

#include <cordon/error.h>
#include <cordon/move.h>
#include <cordon/space.h>
#include <cordon/touch.h>

#define GPA (UINT64_C(64) * MIB)
#define NC CORDON_REGION_NC
#define IO CORDON_REGION_IO

static int setup_pbmt(void **state)
{
    (void)state;
    return one_domain_open(CORDON_CTX_PBMT | CORDON_CTX_NAPOT);
}

static struct cordon_hit hit_of(uint64_t page)
{
    return hit_at(d, GPA + page * PAGE);
}

static void expect_type(uint64_t pages, uint32_t type)
{
    for (uint64_t i = 0; i < pages; i++) {
        assert_int_equal(hit_of(i).type, type);
    }
}

/* 4 MiB of TYPE in two leaves. */
static cordon_hpa granted(uint32_t type)
{
    cordon_hpa hpa = grant_blocks(GPA, 2, RW, type);

    assert_int_equal(hit_of(0).shift, 21);
    expect_type(1024, type);
    return hpa;
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
    int err = cordon_change(d, &op, 1);

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
    (void)state;
    (void)granted(NC);
    change(op_protect(GPA + 5 * PAGE, 1, CORDON_READ));
    assert_int_equal(hit_of(5).shift, 12);
    assert_int_equal(hit_of(100).shift, 16);
    expect_type(1024, NC);
    change(op_protect(GPA + 5 * PAGE, 1, RW));
    assert_int_equal(coalesce(GPA, 2 * BLOCK, 0).mega, 1);
    assert_int_equal(hit_of(5).shift, 21);
    expect_type(1024, NC);
}

static void test_neighbours_of_another_type_stay_apart(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK, .align = BLOCK};
    cordon_hpa hpa;

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    const struct cordon_extent low = {hpa, 24 * PAGE},
                               high = {cordon_hpa_add(hpa, low.len), BLOCK - low.len};

    change(op_grant(GPA, &low, 1, RW, NC));
    change(op_grant(GPA + low.len, &high, 1, RW, 0));
    assert_int_equal(coalesce(GPA, BLOCK, 0).mega, 0);
    assert_int_equal(hit_of(23).type, NC);
    assert_int_equal(hit_of(24).type, 0);
    assert_int_equal(hit_of(16).shift, 12);
}

static void test_a_frame_that_moves_keeps_its_type(void **state)
{
    (void)state;
    (void)granted(IO);
    uint64_t was = hit_of(7).hpa.v;

    assert_int_equal(cordon_relocate(d, cordon_gpa_make(GPA + 7 * PAGE), PAGE, NULL), 0);
    bench_sound(&b);
    assert_true(hit_of(7).hpa.v != was);
    expect_type(1024, IO);
}

static void test_what_is_logged_keeps_its_type(void **state)
{
    (void)state;
    (void)granted(NC);
    change(op_mark(GPA, 512, CORDON_REGION_LOG));
    assert_int_equal(hit_of(0).shift, 12);
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
    assert_int_equal(cordon_share(d, blue, &share), 0); /* flushed: the record looks */
    bench_sound(&b);
    assert_int_equal(hit_at(blue, GPA).type, NC);
    assert_int_equal(bench_revoke(blue, GPA, 1024), 0);
    (void)bench_grant(&b, d, GPA + 2 * BLOCK, 1, RW, 0);
    share.len += PAGE;
    assert_int_equal(cordon_share(d, blue, &share), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_destroy(blue), 0);
}

/* A slot of one page of its own, in the space that comes. */
static struct cordon_slot slot_in(cordon_space **space, struct cordon_extent *e)
{
    *e = (struct cordon_extent){bench_held(&b, 1), PAGE};
    assert_int_equal(cordon_space_create(d, space), 0);
    return (struct cordon_slot){.size = sizeof(struct cordon_slot),
                                .gpa = cordon_gpa_make(GPA),
                                .len = PAGE,
                                .extents = e,
                                .extent_count = 1};
}

static void test_what_is_lent_does_not_change_its_type(void **state)
{
    const struct cordon_share share = {.size = sizeof(share),
                                       .gpa = cordon_gpa_make(GPA),
                                       .to = cordon_gpa_make(GPA),
                                       .len = PAGE,
                                       .perms = CORDON_READ};
    cordon_domain *blue = bench_domain(&b);
    struct cordon_extent e;
    cordon_space *space;
    struct cordon_slot slot = slot_in(&space, &e);

    (void)state;
    assert_int_equal(cordon_slot_set(space, &slot), 0);
    assert_int_equal(cordon_share(d, blue, &share), 0);
    uint64_t before = bench_state(&b);

    slot.flags = NC;
    assert_int_equal(cordon_slot_set(space, &slot), -CORDON_EBUSY);
    assert_int_equal(bench_state(&b), before);
    bench_sound(&b);
    struct span *lent = span_find(&d->regions.set, GPA / PAGE);
    uint64_t *leaf = bench_leaf(&b, d, 0, GPA);

    lent->attr ^= region_attr(0, NC); /* sound in the owner's map, but not in the borrower's */
    *leaf ^= region_type(NC);
    (void)bench_breaks(&b, 2);
    *leaf ^= region_type(NC);
    lent->attr ^= region_attr(0, NC);
    assert_int_equal(bench_revoke(blue, GPA, 1), 0);
    assert_int_equal(cordon_slot_set(space, &slot), 0);
    expect_type(1, NC);
    assert_int_equal(cordon_space_destroy(space), 0);
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
    struct cordon_extent e;
    cordon_space *space;
    struct cordon_slot slot = slot_in(&space, &e);

    (void)state;
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
    cordon_hpa hpa = bench_grant(&b, d, GPA, 1, RW, CORDON_REGION_KEEP | NC);
    uint64_t since = b.record.sequence;

    assert_int_equal(bench_revoke(d, GPA, 1), 0);
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
    assert_int_equal(cordon_touch(d, cordon_gpa_make(GPA), CORDON_READ, &out), 0);
    bench_sound(&b); /* the record looks for the flush before the leaf */
    assert_int_equal(cordon_touch(d, cordon_gpa_make(GPA + 2 * BLOCK), CORDON_READ, &out), 0);
    bench_sound(&b);
}

/* ---- audit -------------------------------------------------------------------------------- */

static void test_the_audit_finds_a_leaf_of_another_type(void **state)
{
    (void)state;
    (void)bench_grant(&b, d, GPA, 1, RW, NC);
    uint64_t *leaf = bench_leaf(&b, d, 0, GPA), was = *leaf;

    *leaf = was & ~(UINT64_C(3) << 61);
    (void)bench_breaks(&b, 1);
    *leaf = was | UINT64_C(3) << 61;
    (void)bench_breaks(&b, 1);
    *leaf = was;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_pbmt, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_type_is_for_ram_that_is_there_and_one_of_two),
        cmocka_unit_test_setup_teardown(test_harts_without_svpbmt_have_no_types_and_no_flushes,
                                        setup, teardown),
        TEST(test_leaves_keep_their_type_when_split_and_merged),
        TEST(test_neighbours_of_another_type_stay_apart),
        TEST(test_a_frame_that_moves_keeps_its_type),
        TEST(test_what_is_logged_keeps_its_type),
        TEST(test_a_borrower_has_the_owners_type),
        TEST(test_what_is_lent_does_not_change_its_type),
        TEST(test_another_type_in_place_flushes_between_old_leaf_and_new),
        TEST(test_what_is_kept_is_flushed_before_it_is_held),
        TEST(test_a_touched_page_is_flushed_of_its_zeroes),
        TEST(test_the_audit_finds_a_leaf_of_another_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
