/* Leaves of 64 KiB: where they are made, and that every change of a part takes them apart first, so
 * that nothing leads past it. The record's order checker counts each of the 16 words for all the
 * pages. [Priv Svnapot] */
#include "leaf_bench.h"

#include <cordon/move.h>
#include <cordon/shape.h>
#include <cordon/touch.h>
#include <cordon/walk.h>

#include "pt/marks.h"
#include "pt/napot.h"

#define GPA (UINT64_C(64) * MIB)
#define RUN (64 * UINT64_C(1024))
#define N BIT64(63)

static int setup_napot(void **state)
{
    (void)state;
    return one_domain_open(CORDON_CTX_NAPOT);
}

/* PAGES at GPA + AT pages, from a run that begins SHIFT pages behind a multiple of 64 KiB. */
static cordon_hpa granted(uint64_t at, uint64_t pages, uint64_t shift, uint32_t flags)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .len = (pages + shift) * PAGE, .align = RUN};
    cordon_hpa hpa;

    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    if (shift > 0) {
        assert_int_equal(cordon_run_free(b.ctx, hpa, shift * PAGE), 0);
    }
    const struct cordon_extent e = {cordon_hpa_add(hpa, shift * PAGE), pages * PAGE};

    change(op_grant(GPA + at * PAGE, &e, 1, RW, flags));
    bench_ran(d, 0); /* a hart remembers all of it */
    return e.hpa;
}

static struct cordon_hit hit_of(uint64_t page)
{
    return hit_at(d, GPA + page * PAGE);
}

static struct cordon_shape shaped(void)
{
    struct cordon_shape s = {.size = sizeof(s)};

    assert_int_equal(cordon_shape(d, 0, &s), 0);
    return s;
}

static struct cordon_coalesced coalesced(void)
{
    return coalesce(GPA, 16 * MIB, 0);
}

/* Every page leads where it led, but for those of [from, from + gone). */
static void expect_pages(cordon_hpa hpa, uint64_t pages, uint64_t from, uint64_t gone)
{
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t leads = bench_leads(d, 0, GPA + i * PAGE, 0);

        assert_true(leads == (i >= from && i < from + gone ? UINT64_MAX : hpa.v + i * PAGE));
    }
}

/* The next fence of harts was of the whole VMID. */
static void expect_whole_fence(uint64_t since)
{
    const struct record_event *e = record_find(&b.record, since, RECORD_HART_FENCE, UINT64_MAX);

    assert_non_null(e);
    assert_int_equal(e->c, 0);
}

/* ---- made --------------------------------------------------------------------------------- */

static void test_what_is_aligned_alike_is_granted_as_64_kib(void **state)
{
    cordon_hpa hpa = granted(0, 40, 0, 0);
    struct cordon_shape s = shaped();

    (void)state;
    assert_int_equal(s.napot, 2);
    assert_int_equal(s.leaves[0], 8);
    assert_int_equal(s.mapped, 40 * PAGE);
    assert_int_equal(hit_of(31).shift, 16);
    assert_int_equal(hit_of(32).shift, 12);
    assert_int_equal(hit_of(5).span, 11 * PAGE);
    assert_int_equal(hit_of(5).level, 0);
    expect_pages(hpa, 40, 0, 0);
    for (unsigned i = 0; i < 32; i++) { /* [Priv Svnapot] N, and a PPN that ends in 1000b */
        uint64_t run = (hpa.v + i / 16 * RUN) >> 12;

        assert_true(*bench_leaf(&b, d, 0, GPA + i * PAGE) == (N | (run | 8) << 10 | 0xd7));
    }
}

static void test_what_is_not_aligned_alike_is_not(void **state)
{
    cordon_hpa hpa = granted(0, 64, 3, 0);

    (void)state;
    assert_int_equal(shaped().napot, 0);
    expect_pages(hpa, 64, 0, 0);
    assert_int_equal(coalesced().napot, 0);
}

static void test_without_the_extension_none_is_made(void **state)
{
    cordon_hpa hpa = granted(0, 1024, 0, 0);

    (void)state;
    assert_int_equal(bench_revoke(d, GPA + 5 * PAGE, 1), 0);
    assert_int_equal(coalesced().napot, 0);
    assert_int_equal(shaped().napot, 0);
    expect_pages(hpa, 1024, 5, 1);
}

static void test_pages_that_came_one_by_one_are_coalesced(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = 4 * RUN, .align = RUN};
    cordon_hpa hpa;

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &hpa), 0);
    for (uint64_t i = 0; i < 60; i++) { /* the last run stays short */
        const struct cordon_extent e = {cordon_hpa_add(hpa, i * PAGE), PAGE};

        change(op_grant(GPA + i * PAGE, &e, 1, RW, 0));
    }
    assert_int_equal(shaped().napot, 0);
    struct cordon_coalesced out = coalesced();

    assert_int_equal(out.napot, 3);
    assert_int_equal(out.mega, 0);
    assert_int_equal(shaped().napot, 3);
    expect_pages(hpa, 60, 0, 0);
    assert_int_equal(coalesced().napot, 0);
    assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_add(hpa, 60 * PAGE), 4 * PAGE), 0);
}

static void test_differing_rights_are_not_coalesced(void **state)
{
    (void)state;
    (void)granted(0, 32, 0, 0);
    change(op_protect(GPA + 20 * PAGE, 1, CORDON_READ));
    assert_int_equal(coalesced().napot, 0);
    change(op_protect(GPA + 20 * PAGE, 1, RW));
    assert_int_equal(coalesced().napot, 1);
}

static void test_runs_of_64_kib_become_2_mib(void **state)
{
    cordon_hpa hpa;

    (void)state;
    hpa = granted(0, 512, 0, 0);
    if (hit_of(0).shift == 21) {
        change(op_protect(GPA, 1, CORDON_READ)); /* apart, and the same again */
        change(op_protect(GPA, 1, RW));
    }
    assert_int_equal(shaped().napot, 31);
    struct cordon_coalesced out = coalesced();

    assert_true(out.mega == 1 || hpa.v % BLOCK != 0);
    expect_pages(hpa, 512, 0, 0);
}

/* ---- taken apart -------------------------------------------------------------------------- */

static void test_a_page_is_revoked_out_of_64_kib_and_15_stay(void **state)
{
    cordon_hpa hpa = granted(0, 48, 0, 0);
    uint64_t since = b.record.sequence;

    (void)state;
    change(op_revoke(GPA + 21 * PAGE, 1));
    expect_pages(hpa, 48, 21, 1);
    assert_int_equal(shaped().napot, 2);
    assert_int_equal(shaped().leaves[0], 15);
    assert_int_equal(bench_frame(&b, hpa.v + 21 * PAGE), CORDON_FRAME_FREE);
    expect_whole_fence(since);
}

static void test_a_revoke_from_the_middle_of_one_to_the_middle_of_another(void **state)
{
    cordon_hpa hpa = granted(0, 80, 0, 0);

    (void)state;
    change(op_revoke(GPA + 10 * PAGE, 50));
    expect_pages(hpa, 80, 10, 50);
    assert_int_equal(shaped().napot, 1);
    assert_int_equal(shaped().leaves[0], 10 + 4);
}

static void test_a_whole_run_goes_without_touching_its_neighbours(void **state)
{
    cordon_hpa hpa = granted(0, 48, 0, 0);
    uint64_t since = b.record.sequence;

    (void)state;
    change(op_revoke(GPA + 16 * PAGE, 16));
    expect_pages(hpa, 48, 16, 16);
    assert_int_equal(shaped().napot, 2);
    const struct record_event *e = record_find(&b.record, since, RECORD_HART_FENCE, UINT64_MAX);

    assert_int_equal(e->c, RUN);
}

static void test_rights_of_a_part_take_it_apart_and_of_all_do_not(void **state)
{
    (void)state;
    (void)granted(0, 32, 0, 0);
    change(op_protect(GPA, 16, CORDON_READ));
    assert_int_equal(shaped().napot, 2);
    assert_int_equal(hit_of(9).perms, CORDON_READ);
    uint64_t since = b.record.sequence;

    change(op_protect(GPA + 18 * PAGE, 2, CORDON_READ));
    assert_int_equal(shaped().napot, 1);
    for (uint64_t i = 16; i < 32; i++) {
        assert_int_equal(hit_of(i).perms, i == 18 || i == 19 ? CORDON_READ : RW);
    }
    expect_whole_fence(since);
}

static void test_a_superpage_is_split_into_runs(void **state)
{
    cordon_hpa hpa = grant_blocks(GPA, 1, RW, 0);

    (void)state;
    bench_ran(d, 0);
    assert_int_equal(hit_of(0).shift, 21);
    change(op_revoke(GPA + 100 * PAGE, 1));
    expect_pages(hpa, 512, 100, 1);
    assert_int_equal(shaped().napot, 31);
    assert_int_equal(shaped().leaves[0], 15);
}

static void test_what_is_logged_is_of_4_kib(void **state)
{
    uint64_t dirty[1] = {0};
    const struct cordon_harvest what = {
        .size = sizeof(what), .gpa = cordon_gpa_make(GPA + 20 * PAGE), .len = PAGE, .dirty = dirty};
    struct cordon_harvested out;
    struct cordon_touched touched;

    (void)state;
    (void)granted(0, 48, 0, 0);
    uint64_t since = b.record.sequence;

    change(op_mark(GPA + 20 * PAGE, 1, CORDON_REGION_LOG));
    expect_whole_fence(since);
    assert_int_equal(shaped().napot, 2);
    assert_int_equal(cordon_log_harvest(d, &what, &out), 0);
    assert_int_equal(out.dirty, 0);
    assert_int_equal(cordon_touch(d, cordon_gpa_make(GPA + 20 * PAGE), CORDON_WRITE, &touched), 0);
    assert_int_equal(touched.what, CORDON_TOUCH_LOGGED);
    assert_int_equal(coalesced().napot, 0);
    assert_int_equal(cordon_log_harvest(d, &what, &out), 0);
    assert_int_equal(out.dirty, 1);
    change(op_mark(GPA + 20 * PAGE, 1, 0));
    assert_int_equal(coalesced().napot, 1);
}

/* As when there was no memory to log a new place by the page: it counts as written, and stays so.
 */
static void test_a_harvest_leaves_64_kib_alone(void **state)
{
    uint64_t dirty[1] = {0};
    struct pt_harvest h = {.base = GPA, .dirty = dirty};
    uint64_t before;

    (void)state;
    (void)granted(0, 16, 0, 0);
    before = *bench_leaf(&b, d, 0, GPA);
    pt_marks_harvest(&d->forest, 0, cordon_gpa_make(GPA), 16, &h);
    assert_int_equal(dirty[0], 0xffff);
    assert_true(*bench_leaf(&b, d, 0, GPA + 15 * PAGE) == before);
}

static void test_a_frame_is_moved_out_of_64_kib(void **state)
{
    cordon_hpa hpa = granted(0, 32, 0, 0);
    struct cordon_moves moves;
    uint64_t since = b.record.sequence;

    (void)state;
    for (uint64_t i = 0; i < 32; i++) {
        *bench_word(&b, cordon_hpa_add(hpa, i * PAGE)) = 1000 + i;
    }
    assert_int_equal(cordon_relocate(d, cordon_gpa_make(GPA + 7 * PAGE), PAGE, &moves), 0);
    bench_sound(&b);
    assert_int_equal(moves.pages, 1);
    assert_int_equal(shaped().napot, 1);
    expect_whole_fence(since);
    for (uint64_t i = 0; i < 32; i++) {
        uint64_t leads = bench_leads(d, 0, GPA + i * PAGE, 0);

        assert_int_equal(leads == hpa.v + i * PAGE, i != 7);
        assert_int_equal(*bench_word(&b, cordon_hpa_make(leads)), 1000 + i);
    }
}

static void test_a_loan_has_runs_of_its_own(void **state)
{
    cordon_domain *blue = bench_domain(&b);
    cordon_hpa hpa = granted(0, 32, 0, 0);
    const struct cordon_share what = {.size = sizeof(what),
                                      .gpa = cordon_gpa_make(GPA),
                                      .to = cordon_gpa_make(2 * GPA),
                                      .len = 24 * PAGE,
                                      .perms = CORDON_READ};
    struct cordon_hit hit;

    (void)state;
    assert_int_equal(cordon_share(d, blue, &what), 0);
    bench_sound(&b);
    assert_int_equal(cordon_translate(blue, 0, cordon_gpa_make(2 * GPA + PAGE), 0, &hit), 0);
    assert_int_equal(hit.shift, 16);
    assert_int_equal(hit.hpa.v, hpa.v + PAGE);
    struct cordon_op back = op_revoke(2 * GPA + 3 * PAGE, 2);

    assert_int_equal(cordon_change(blue, &back, 1), 0);
    bench_sound(&b);
    assert_true(bench_leads(blue, 0, 2 * GPA + 3 * PAGE, 0) == UINT64_MAX);
    assert_int_equal(shaped().napot, 2); /* the owner's stay */
    assert_int_equal(cordon_domain_destroy(blue), 0);
}

/* What is marked no-DMA is no page of a device's view, whatever stands beside it. */
static void test_a_view_is_filled_without_what_it_must_not_hold(void **state)
{
    uint32_t view;

    (void)state;
    (void)granted(0, 40, 0, 0);
    (void)granted(40, 24, 8, CORDON_REGION_NODMA);
    (void)granted(64, 16, 0, 0);
    assert_int_equal(shaped().napot, 2 + 1 + 1);
    assert_int_equal(domain_view_add(d, &view), 0);
    bench_sound(&b);
    for (uint64_t i = 0; i < 80; i++) {
        bool held = i < 40 || i >= 64;

        assert_int_equal(bench_leads(d, view, GPA + i * PAGE, 0) != UINT64_MAX, held);
    }
    domain_view_remove(d, view);
}

/* ---- told, audited ------------------------------------------------------------------------ */

static void test_a_walk_tells_the_word_and_where_the_page_is(void **state)
{
    cordon_hpa hpa = granted(0, 32, 0, 0);
    struct cordon_walk walk = {.size = sizeof(walk)};
    cordon_gpa gpa = cordon_gpa_make(GPA + 19 * PAGE);
    struct cordon_hit hit;

    (void)state;
    assert_int_equal(cordon_walk(d, 0, cordon_gpa_add(gpa, 0x123), CORDON_READ, &walk), 0);
    assert_int_equal(walk.end, CORDON_WALK_LEADS);
    assert_int_equal(walk.step[walk.step_count - 1].value >> 63, 1);
    assert_int_equal(walk.hit.hpa.v, hpa.v + 19 * PAGE + 0x123);
    assert_int_equal(walk.hit.shift, 16);
    assert_int_equal(walk.hit.span, 13 * PAGE - 0x123);
    assert_int_equal(cordon_leaf_next(d, 0, &gpa, &hit), 0);
    assert_int_equal(gpa.v, GPA + 16 * PAGE);
    assert_int_equal(hit.hpa.v, hpa.v + 16 * PAGE);
    assert_int_equal(hit.span, RUN);
}

static void test_an_audit_finds_a_run_whose_words_differ(void **state)
{
    cordon_hpa hpa = granted(0, 32, 0, 0);
    uint64_t *word = bench_leaf(&b, d, 0, GPA + 7 * PAGE), was = *word;

    (void)state;
    *word = pt_page_leaf(word); /* says the same of its own page: the 15 others still lead there */
    (void)bench_breaks(&b, 1);
    *word = was & ~PTE_W;
    (void)bench_breaks(&b, 1);
    *word = was ^ BIT64(14); /* another size */
    (void)bench_breaks(&b, 1);
    *word = was & ~PTE_D;
    (void)bench_breaks(&b, 1);
    *word = was;
    d->forest.napot = false; /* nobody was to have any */
    (void)bench_breaks(&b, 1);
    d->forest.napot = true;
    expect_pages(hpa, 32, 0, 0);
}

static void test_a_run_that_leads_to_another_frame_is_found(void **state)
{
    cordon_hpa hpa = granted(0, 32, 0, 0);
    uint64_t *word = bench_leaf(&b, d, 0, GPA);

    (void)state;
    for (unsigned i = 0; i < 16; i++) { /* to the run behind it */
        word[i] += RUN >> 2;
    }
    (void)bench_breaks(&b, 1);
    for (unsigned i = 0; i < 16; i++) {
        word[i] -= RUN >> 2;
    }
    expect_pages(hpa, 32, 0, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_napot, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_aligned_alike_is_granted_as_64_kib),
        TEST(test_what_is_not_aligned_alike_is_not),
        cmocka_unit_test_setup_teardown(test_without_the_extension_none_is_made, setup, teardown),
        TEST(test_pages_that_came_one_by_one_are_coalesced),
        TEST(test_differing_rights_are_not_coalesced),
        TEST(test_runs_of_64_kib_become_2_mib),
        TEST(test_a_page_is_revoked_out_of_64_kib_and_15_stay),
        TEST(test_a_revoke_from_the_middle_of_one_to_the_middle_of_another),
        TEST(test_a_whole_run_goes_without_touching_its_neighbours),
        TEST(test_rights_of_a_part_take_it_apart_and_of_all_do_not),
        TEST(test_a_superpage_is_split_into_runs),
        TEST(test_what_is_logged_is_of_4_kib),
        TEST(test_a_harvest_leaves_64_kib_alone),
        TEST(test_a_frame_is_moved_out_of_64_kib),
        TEST(test_a_loan_has_runs_of_its_own),
        TEST(test_a_view_is_filled_without_what_it_must_not_hold),
        TEST(test_a_walk_tells_the_word_and_where_the_page_is),
        TEST(test_an_audit_finds_a_run_whose_words_differ),
        TEST(test_a_run_that_leads_to_another_frame_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
