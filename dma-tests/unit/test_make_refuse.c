/* Runs that cannot be made, or not now: nothing is lost. And what blocks of memory tell. */
#include "make_bench.h"

/* ---- what makes no sense ------------------------------------------------------------------- */

static void test_wants_that_make_no_sense(void **state)
{
    struct cordon_run_want want = want_of(PAGE);
    struct cordon_run_made made;
    uint64_t before = bench_state(&b);

    (void)state;
    memset(&made, 0x5a, sizeof(made));
    assert_int_equal(cordon_run_make(NULL, &want, 0, &made), -CORDON_EINVAL);
    assert_int_equal(cordon_run_make(b.ctx, NULL, 0, &made), -CORDON_EINVAL);
    assert_int_equal(cordon_run_make(b.ctx, &want, 0, NULL), -CORDON_EINVAL);
    want.flags = 64;
    assert_int_equal(make_run(&want, &made), -CORDON_EINVAL);
    want = want_of(PAGE + 1);
    assert_int_equal(make_run(&want, &made), -CORDON_EALIGN);
    want = want_of(0);
    assert_int_equal(make_run(&want, &made), -CORDON_ERANGE);
    want = want_of(2 * PAGE);
    want.boundary = PAGE;
    assert_int_equal(make_run(&want, &made), -CORDON_ERANGE);
    assert_int_equal(made.places, UINT64_C(0x5a5a5a5a5a5a5a5a));
    want = want_of(UINT64_C(1) << 62);
    assert_int_equal(make_run(&want, &made), -CORDON_ENOMEM);
    assert_int_equal(made.hpa.v, 0);
    want = want_of(RAM);
    assert_int_equal(make_run(&want, &made), -CORDON_ENOMEM);
    want = want_of(PAGE);
    want.highest = BENCH_RAM - 1;
    assert_int_equal(make_run(&want, &made), -CORDON_ENOMEM);
    assert_int_equal(bench_state(&b), before);
}

static void test_what_cannot_be_relocated_is_refused(void **state)
{
    struct cordon_moves moves;

    (void)state;
    seed = 4;
    fill(0, 8, 1, 0);
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_relocate(NULL, cordon_gpa_make(G_RAM), PAGE, &moves), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_moves(NULL, &moves), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_moves(dom[0], NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM + 1), PAGE, &moves),
                     -CORDON_EALIGN);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), 1, &moves), -CORDON_EALIGN);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), 0, &moves), -CORDON_ERANGE);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(0 - PAGE), 2 * PAGE, &moves),
                     -CORDON_ERANGE);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM - PAGE), PAGE, &moves),
                     -CORDON_ENOENT);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), 9 * PAGE, &moves),
                     -CORDON_ENOENT);
    assert_int_equal(moves.pages, 0);
    assert_int_equal(bench_state(&b), before);
}

static void test_no_more_is_moved_than_the_budget(void **state)
{
    struct cordon_run_want want = want_of(2 * MIB);
    struct cordon_run_made made;

    (void)state;
    fragment(2);
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_run_make(b.ctx, &want, 64 * PAGE, &made), -CORDON_ELIMIT);
    assert_int_equal(made.moves.pages, 0);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_run_make(b.ctx, &want, 2 * MIB, &made), 0);
    assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
}

/* ---- what runs out ------------------------------------------------------------------------- */

static void test_each_allocation_may_fail(void **state)
{
    struct cordon_run_want want = want_of(2 * MIB);
    struct cordon_run_made made;
    int err = -CORDON_ENOMEM;

    (void)state;
    fill(1, 512, 1u << 9, 0);
    fragment(6);
    uint64_t owned = bench_stats(&b).owned, free_bytes = bench_stats(&b).free;

    for (uint64_t n = 1; err != 0 && n < 4000; n = n < 64 ? n + 1 : n + 37) {
        b.record.fail_at = b.record.allocations + n;
        err = make_run(&want, &made);
        uint64_t asked = b.record.allocations + n - b.record.fail_at;

        b.record.fail_at = 0;
        bench_sound(&b);
        assert_int_equal(bench_stats(&b).owned, owned);
        assert_int_equal(bench_stats(&b).revoking, 0);
        if (err == 0) {
            assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
            err = asked < n ? 0 : -CORDON_ENOMEM; /* one that failed was one that may */
        } else {
            assert_int_equal(err, -CORDON_ENOMEM);
        }
        assert_true(bench_stats(&b).free + 64 * PAGE >= free_bytes);
    }
    check_marks();
}

static void test_nothing_moves_when_there_is_nowhere_to_go(void **state)
{
    struct cordon_run_want want = want_of(2 * MIB);
    struct cordon_run_made made;

    (void)state;
    seed = 8;
    fill(0, bench_stats(&b).free / PAGE * 985 / 1000, 1, 0);
    uint64_t before = bench_state(&b);

    assert_int_equal(make_run(&want, &made), -CORDON_ENOMEM);
    assert_int_equal(made.moves.pages, 0);
    assert_int_equal(bench_state(&b), before);
}

/* ---- what could move ----------------------------------------------------------------------- */

static void test_blocks_tell_what_their_frames_are(void **state)
{
    uint64_t kinds[CORDON_KINDS] = {0}, len = 0;
    struct cordon_block_info info = {.len = 1};
    struct cordon_memory_stats s;

    (void)state;
    seed = 31;
    fill(0, 700, 0, 0);
    fill(1, 300, 1, CORDON_REGION_PIN);
    (void)bench_held(&b, 5);
    for (uint64_t at = 0; cordon_block_query(b.ctx, cordon_hpa_make(at), &info) == 0;
         at = info.hpa.v + BLOCK) {
        uint64_t pages = 0;

        for (unsigned k = 0; k < CORDON_KINDS; k++) {
            kinds[k] += info.pages[k];
            pages += info.pages[k];
        }
        assert_int_equal(pages * PAGE, info.len);
        len += info.len;
    }
    s = bench_stats(&b);
    assert_int_equal(len, RAM);
    assert_int_equal(kinds[CORDON_KIND_FREE] * PAGE, s.free);
    assert_int_equal(kinds[CORDON_KIND_MOVABLE], 700);
    assert_int_equal(kinds[CORDON_KIND_PINNED], 300);
    assert_int_equal(kinds[CORDON_KIND_HELD], 5);
    assert_int_equal(kinds[CORDON_KIND_TABLE] * PAGE, s.table);
    assert_int_equal(kinds[CORDON_KIND_HYP] * PAGE, s.hyp);
    assert_int_equal(cordon_block_query(b.ctx, cordon_hpa_make(BENCH_RAM + RAM), &info),
                     -CORDON_ENOENT);
    assert_int_equal(cordon_block_query(NULL, cordon_hpa_make(0), &info), -CORDON_EINVAL);
    assert_int_equal(cordon_block_query(b.ctx, cordon_hpa_make(0), NULL), -CORDON_EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_wants_that_make_no_sense),
        T(test_what_cannot_be_relocated_is_refused),
        T(test_no_more_is_moved_than_the_budget),
        T(test_each_allocation_may_fail),
        T(test_nothing_moves_when_there_is_nowhere_to_go),
        T(test_blocks_tell_what_their_frames_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
