/* cordon_remap: a range moves, or gets other frames; the old is told away before the new comes.
 * INV 1, 4, 7. */
#include "one_domain.h"

#define AT UINT64_C(0x400000)
#define TO UINT64_C(0x7c000000)

static struct cordon_remap move_of(uint64_t gpa, uint64_t to, uint64_t pages)
{
    return (struct cordon_remap){
        .size = sizeof(struct cordon_remap), .gpa = {gpa}, .to = {to}, .len = pages * PAGE};
}

static struct cordon_remap replace_of(uint64_t gpa, const struct cordon_extent *e, uint64_t count)
{
    struct cordon_remap r = move_of(gpa, gpa, 0);

    r.extents = e;
    r.extent_count = count;
    for (uint64_t i = 0; i < count; i++) {
        r.len += e[i].len;
    }
    return r;
}

static int move(uint64_t gpa, uint64_t to, uint64_t pages)
{
    const struct cordon_remap r = move_of(gpa, to, pages);

    return cordon_remap(d, &r);
}

static void test_a_range_moves_with_its_frames_rights_and_flags(void **state)
{
    struct cordon_region_info region;
    struct cordon_frame_info frame;
    uint32_t view;

    (void)state;
    assert_int_equal(domain_view_add(d, &view), 0);
    cordon_hpa hpa = bench_grant(&b, d, AT, 1024, RW, CORDON_REGION_KEEP);

    assert_int_equal(move(AT + 3 * PAGE, TO + PAGE, 700), 0);
    bench_sound(&b);
    for (uint32_t v = 0; v <= view; v += view) {
        assert_int_equal(bench_leads(d, v, AT + 2 * PAGE, RW), hpa.v + 2 * PAGE);
        assert_int_equal(bench_leads(d, v, AT + 3 * PAGE, 0), UINT64_MAX);
        assert_int_equal(bench_leads(d, v, AT + 703 * PAGE, RW), hpa.v + 703 * PAGE);
        assert_int_equal(bench_leads(d, v, TO + PAGE, RW), hpa.v + 3 * PAGE);
        assert_int_equal(bench_leads(d, v, TO + 700 * PAGE, RW), hpa.v + 702 * PAGE);
        assert_int_equal(bench_leads(d, v, TO + 700 * PAGE, CORDON_EXEC), UINT64_MAX);
    }
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(TO + PAGE), false, &region), 0);
    assert_int_equal(region.flags, CORDON_REGION_KEEP);
    assert_int_equal(region.len, 700 * PAGE);
    assert_int_equal(cordon_frame_query(b.ctx, cordon_hpa_add(hpa, 3 * PAGE), &frame), 0);
    assert_int_equal(frame.gpa.v, TO + PAGE);

    /* There and back: one region again, and nothing was lost. */
    assert_int_equal(move(TO + PAGE, AT + 3 * PAGE, 700), 0);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(AT), false, &region), 0);
    assert_int_equal(region.len, 1024 * PAGE);
    assert_int_equal(bench_stats(&b).owned, 1024 * PAGE);
    assert_int_equal(bench_revoke(d, AT, 1024), 0);
    assert_int_equal(cordon_run_free(b.ctx, hpa, 1024 * PAGE), 0);
    domain_view_remove(d, view);
}

static void test_whole_blocks_move_as_large_leaves(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = 4 * BLOCK, .align = BLOCK};
    struct cordon_hit hit;
    struct cordon_extent e = {.len = 4 * BLOCK};

    (void)state;
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    struct cordon_op op = op_grant(AT, &e, 1, RWX, 0);

    assert_int_equal(cordon_change(d, &op, 1), 0);
    uint64_t words = bench_stats(&b).ownership;

    assert_int_equal(move(AT + BLOCK, TO, 2 * 512), 0);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(TO), RWX, &hit), 0);
    assert_int_equal(hit.hpa.v, e.hpa.v + BLOCK);
    assert_int_equal(hit.level, 1);
    assert_int_equal(bench_stats(&b).ownership, words); /* no block was split */
}

static void test_a_range_gets_other_frames_where_it_is(void **state)
{
    (void)state;
    cordon_hpa old = bench_grant(&b, d, AT, 600, RW, 0);
    uint64_t fresh = bench_held(&b, 64).v;
    const struct cordon_extent e[] = {{{fresh + 40 * PAGE}, 3 * PAGE}, {{fresh}, 20 * PAGE}};
    const struct cordon_remap r = replace_of(AT + 500 * PAGE, e, 2);

    assert_int_equal(cordon_remap(d, &r), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(d, 0, AT + 499 * PAGE, RW), old.v + 499 * PAGE);
    assert_int_equal(bench_leads(d, 0, AT + 500 * PAGE, RW), e[0].hpa.v);
    assert_int_equal(bench_leads(d, 0, AT + 503 * PAGE, RW), fresh);
    assert_int_equal(bench_leads(d, 0, AT + 523 * PAGE, RW), old.v + 523 * PAGE);
    assert_int_equal(bench_frame(&b, old.v + 500 * PAGE), CORDON_FRAME_FREE);
    assert_int_equal(bench_frame(&b, old.v + 522 * PAGE), CORDON_FRAME_FREE);
    assert_int_equal(bench_frame(&b, old.v + 523 * PAGE), CORDON_FRAME_OWNED);
    assert_int_equal(bench_frame(&b, fresh), CORDON_FRAME_OWNED);
    assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(fresh + 20 * PAGE), 20 * PAGE), 0);
    assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(fresh + 43 * PAGE), 21 * PAGE), 0);
}

/* Cleared, fenced, harts told, and only then written: as the log has it. */
static void test_the_old_leaf_is_told_away_before_the_new_one_is_written(void **state)
{
    (void)state;
    for (unsigned replaces = 0; replaces < 2; replaces++) {
        (void)bench_grant(&b, d, AT, 4, RW, 0); /* the table stays, and its word is found again */
        const struct cordon_extent e = {bench_held(&b, 1), PAGE};
        const struct cordon_remap r = replaces ? replace_of(AT, &e, 1) : move_of(AT, TO, 1);
        uint64_t word = (uint64_t)(uintptr_t)bench_leaf(&b, d, 0, AT) - b.ctx->ram_offset;
        bench_ran(d, 0);
        uint64_t start = b.record.sequence;

        assert_int_equal(cordon_remap(d, &r), 0);
        const struct record_event *cleared = record_find(&b.record, start, RECORD_STORE, word);
        uint64_t made = (uint64_t)(uintptr_t)bench_leaf(&b, d, 0, r.to.v) - b.ctx->ram_offset;

        assert_non_null(cleared);
        assert_int_equal(cleared->b, 0);
        const struct record_event *fence =
            record_find(&b.record, cleared->sequence, RECORD_FENCE, UINT64_MAX);
        const struct record_event *harts =
            record_find(&b.record, start, RECORD_HART_FENCE, UINT64_MAX);
        const struct record_event *written =
            record_find(&b.record, cleared->sequence, RECORD_STORE, made);

        assert_non_null(written);
        assert_true(fence->sequence < harts->sequence);
        assert_true(harts->sequence < written->sequence);
        if (replaces) {
            const struct record_event *back =
                record_find(&b.record, start, RECORD_FREE, UINT64_MAX);

            assert_true(back->sequence > harts->sequence);
        } else {
            assert_int_equal(cordon_run_free(b.ctx, e.hpa, PAGE), 0);
            assert_int_equal(bench_revoke(d, TO, 1), 0);
        }
        assert_int_equal(bench_revoke(d, AT + (replaces ? 0 : PAGE), replaces ? 4 : 3), 0);
    }
}

static void test_remaps_that_are_refused_change_nothing(void **state)
{
    const struct cordon_extent held = {bench_held(&b, 4), 4 * PAGE};
    const struct cordon_extent mmio = {{BENCH_MMIO}, PAGE}, crooked = {{held.hpa.v + 8}, PAGE};
    const struct cordon_extent own = {bench_grant(&b, d, AT, 8, RW, 0), PAGE};
    const struct cordon_extent nowhere = {{0x1000}, PAGE}, whole = {{0}, 0 - PAGE};
    struct cordon_op bar = op_grant(AT + 9 * PAGE, &mmio, 1, RW, CORDON_REGION_MMIO);
    const uint64_t top = UINT64_C(1) << 41;

    (void)state;
    (void)bench_grant(&b, d, AT + 8 * PAGE, 1, CORDON_READ, 0);
    assert_int_equal(cordon_change(d, &bar, 1), 0);
    assert_int_equal(cordon_msi_window(d, cordon_gpa_make(0x28000000), 0), 0);
#define MOVE(...)                                    \
    ({                                               \
        struct cordon_remap r_ = move_of(AT, TO, 1); \
        __VA_ARGS__;                                 \
        r_;                                          \
    })
#define REPLACE(e, ...)                                   \
    ({                                                    \
        struct cordon_remap r_ = replace_of(AT, &(e), 1); \
        __VA_ARGS__;                                      \
        r_;                                               \
    })
    const struct {
        struct cordon_remap r;
        int error;
    } cases[] = {
        {MOVE(r_.size = 0), CORDON_EINVAL},
        {MOVE(r_.size++), CORDON_EINVAL},
        {MOVE(r_.flags = 1), CORDON_EINVAL},
        {MOVE(r_.to.v = AT), CORDON_EINVAL},
        {MOVE(r_.extent_count = 1), CORDON_EINVAL},
        {MOVE(r_.extents = &held, r_.extent_count = 1), CORDON_EINVAL},
        {MOVE(r_.len = 9 * PAGE), CORDON_EINVAL}, /* two kinds of rights */
        {MOVE(r_.gpa.v += 8), CORDON_EALIGN},
        {MOVE(r_.to.v += 8), CORDON_EALIGN},
        {MOVE(r_.len -= 8), CORDON_EALIGN},
        {MOVE(r_.len = 0), CORDON_ERANGE},
        {MOVE(r_.len = 0 - PAGE), CORDON_ERANGE},
        {MOVE(r_.gpa.v = 0 - PAGE), CORDON_ERANGE},
        {MOVE(r_.gpa.v = top), CORDON_ERANGE},
        {MOVE(r_.to.v = top), CORDON_ERANGE},
        {MOVE(r_.to.v = top - PAGE, r_.len = 2 * PAGE), CORDON_ERANGE},
        {MOVE(r_.gpa.v = 0x1000), CORDON_ENOENT},
        {MOVE(r_.len = 11 * PAGE), CORDON_ENOENT},
        {MOVE(r_.to.v = AT + PAGE, r_.len = 4 * PAGE), CORDON_EEXIST},
        {MOVE(r_.to.v = AT + 8 * PAGE), CORDON_EEXIST},
        {MOVE(r_.to.v = 0x28000000), CORDON_EEXIST}, /* an MSI target */
        {MOVE(r_.gpa.v = AT + 9 * PAGE), CORDON_EPERM},
        {REPLACE(held, r_.extents = NULL), CORDON_EINVAL},
        {REPLACE(held, r_.extent_count = 0), CORDON_EINVAL},
        {REPLACE(held, r_.len = 3 * PAGE), CORDON_EINVAL},
        {REPLACE(held, r_.len = 5 * PAGE), CORDON_EINVAL},
        {REPLACE(crooked), CORDON_EALIGN},
        {REPLACE(whole, r_.len = PAGE), CORDON_ERANGE},
        {REPLACE(own), CORDON_EEXIST},
        {REPLACE(nowhere), CORDON_EPERM},
    };
    uint64_t before = bench_state(&b);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int err = cordon_remap(d, &cases[i].r);

        if (err != -cases[i].error) {
            fail_msg("case %zu: %d instead of %d", i, err, -cases[i].error);
        }
        assert_int_equal(bench_state(&b), before);
        bench_sound(&b);
    }
    assert_int_equal(cordon_remap(NULL, &cases[0].r), -CORDON_EINVAL);
    assert_int_equal(cordon_remap(d, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_run_free(b.ctx, held.hpa, held.len), 0);
}

/* Split blocks, a device view, 20 runs: whichever allocation fails, nothing has changed. */
static void test_each_allocation_of_a_remap_may_fail(void **state)
{
    struct cordon_extent e[20];
    uint32_t view;

    (void)state;
    assert_int_equal(domain_view_add(d, &view), 0);
    (void)bench_grant(&b, d, AT, 3 * 512, RW, 0);
    for (unsigned kind = 0; kind < 2; kind++) {
        uint64_t n = 0, before;
        int err = -CORDON_ENOMEM;
        size_t count = 20;

        assert_int_equal(cordon_scatter_alloc(b.ctx, 20 * PAGE, 1, 3, e, &count), 0);
        const struct cordon_remap r =
            kind ? replace_of(AT + 17 * PAGE, e, count) : move_of(AT + 17 * PAGE, TO, 900);

        before = bench_state(&b);
        while (err != 0) {
            b.record.fail_at = b.record.allocations + ++n;
            err = cordon_remap(d, &r);
            if (err != 0) {
                assert_int_equal(err, -CORDON_ENOMEM);
                assert_int_equal(bench_state(&b), before);
                bench_sound(&b);
            }
            assert_true(n < 200);
        }
        b.record.fail_at = 0;
        assert_true(n > 3);
        bench_sound(&b);
        if (!kind) {
            assert_int_equal(move(TO, AT + 17 * PAGE, 900), 0);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(cordon_run_free(b.ctx, e[i].hpa, e[i].len), 0);
            }
        }
    }
    domain_view_remove(d, view);
}

/* A map of pages, moved about at random in two views; each page's frame is known by an array. */
static void test_moves_at_random_agree_with_an_array(void **state)
{
    static uint64_t page[2048]; /* at AT + i pages: its frame's HPA, or 0 */
    uint64_t seed = 5;
    uint32_t view;

    (void)state;
    memset(page, 0, sizeof(page));
    assert_int_equal(domain_view_add(d, &view), 0);
    cordon_hpa hpa = bench_grant(&b, d, AT, 1100, RW, 0);

    for (uint64_t i = 0; i < 1100; i++) {
        page[i] = hpa.v + i * PAGE;
    }
    for (unsigned turn = 0; turn < 300; turn++) {
        uint64_t from = bench_random(&seed) % 2048, to = bench_random(&seed) % 2048;
        uint64_t len = 1 + bench_random(&seed) % (turn % 4 == 0 ? 600 : 8);
        uint64_t most = 2048 - (from > to ? from : to);
        bool good = from != to;

        len = len < most ? len : most;
        for (uint64_t i = 0; i < len; i++) {
            good = good && page[from + i] != 0 && page[to + i] == 0;
        }
        assert_int_equal(move(AT + from * PAGE, AT + to * PAGE, len) == 0, good);
        for (uint64_t i = 0; i < len && good; i++) {
            page[to + i] = page[from + i];
            page[from + i] = 0;
        }
        for (uint64_t i = 0; i < 2048 && good; i++) {
            uint64_t want = page[i] != 0 ? page[i] : UINT64_MAX;

            assert_int_equal(bench_leads(d, 0, AT + i * PAGE, RW), want);
            assert_int_equal(bench_leads(d, view, AT + i * PAGE, RW), want);
        }
        if (turn % 10 == 0) {
            bench_sound(&b);
        }
    }
    domain_view_remove(d, view);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_range_moves_with_its_frames_rights_and_flags),
        TEST(test_whole_blocks_move_as_large_leaves),
        TEST(test_a_range_gets_other_frames_where_it_is),
        TEST(test_the_old_leaf_is_told_away_before_the_new_one_is_written),
        TEST(test_remaps_that_are_refused_change_nothing),
        TEST(test_each_allocation_of_a_remap_may_fail),
        TEST(test_moves_at_random_agree_with_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
