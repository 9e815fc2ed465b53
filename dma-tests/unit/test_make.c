/* Runs made by moving frames: where one could be had it is had, and nothing but places changes. */
#include "make_bench.h"

/* ---- it works ----------------------------------------------------------------------------- */

static void test_a_run_of_8_mib_is_made_in_memory_that_is_90_percent_full(void **state)
{
    (void)state;
    for (uint64_t s = 0; s < 3; s++) {
        struct cordon_run_made made = {.places = 7};
        struct cordon_run_want want = want_of(2 * MIB);
        cordon_hpa none;

        fragment(s);
        want.align = 2 * MIB;
        uint64_t owned = bench_stats(&b).owned, free_bytes = bench_stats(&b).free;

        assert_int_equal(cordon_run_alloc(b.ctx, &want, &none), -CORDON_ENOMEM);
        assert_int_equal(make_run(&want, &made), 0);
        check_run(&made, want.len);
        assert_int_equal(made.hpa.v % (2 * MIB), 0);
        assert_int_not_equal(made.moves.pages, 0);
        assert_true(made.moves.pages <= want.len / PAGE);
        assert_true(made.moves.stops <= made.moves.pages &&
                    made.moves.stops >= made.moves.pages / 16);
        assert_int_equal(bench_stats(&b).owned, owned);
        assert_int_equal(bench_stats(&b).held, want.len);
        assert_true(bench_stats(&b).free <= free_bytes - want.len);
        bench_sound(&b);
        check_marks();
        assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
        assert_int_equal(cordon_domain_destroy(dom[0]), 0);
        dom[0] = NULL;
        pages_of[0] = 0;
    }
}

static void test_the_cheapest_place_is_taken(void **state)
{
    struct cordon_run_want want = want_of(2 * MIB);
    struct cordon_run_made made;

    (void)state;
    fragment(9);
    uint64_t least = UINT64_MAX;

    for (uint64_t at = BENCH_RAM; at < BENCH_RAM + RAM; at += BLOCK) {
        struct cordon_block_info info;

        assert_int_equal(cordon_block_query(b.ctx, cordon_hpa_make(at), &info), 0);
        if (info.pages[CORDON_KIND_FREE] + info.pages[CORDON_KIND_MOVABLE] == 512 &&
            info.pages[CORDON_KIND_MOVABLE] < least) {
            least = info.pages[CORDON_KIND_MOVABLE];
        }
    }
    assert_int_equal(make_run(&want, &made), 0);
    assert_int_equal(made.moves.pages, least);
    check_marks();
    assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
}

static void test_a_free_run_is_taken_as_it_is(void **state)
{
    struct cordon_run_want want = want_of(4 * MIB);
    struct cordon_run_made made;

    (void)state;
    assert_int_equal(make_run(&want, &made), 0);
    assert_int_equal(made.moves.pages, 0);
    check_run(&made, want.len);
    assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
}

static void test_large_leaves_stay_large_where_there_is_a_place(void **state)
{
    struct cordon_run_want want = want_of(4 * MIB);
    struct cordon_run_made made;
    struct cordon_hit hit;

    (void)state;
    /* Blocks in turn: ours, another's; then the others go, and no two free ones stand together. */
    dom[0] = bench_domain(&b);
    dom[1] = bench_domain(&b);
    uint64_t n = bench_stats(&b).largest_free >= BLOCK ? 0 : 1;

    for (; n < 64; n++) {
        struct cordon_run_want one = want_of(2 * MIB);
        struct cordon_extent e = {.len = 2 * MIB};

        one.align = 2 * MIB;
        if (cordon_run_alloc(b.ctx, &one, &e.hpa) != 0) {
            break;
        }
        unsigned d = (unsigned)(e.hpa.v / BLOCK & 1);
        struct cordon_op op = op_grant(G_RAM + pages_of[d] * PAGE, &e, 1, RWX, 0);

        assert_int_equal(cordon_change(dom[d], &op, 1), 0);
        pages_of[d] += 512;
    }
    write_marks(0);
    assert_int_equal(bench_revoke(dom[1], G_RAM, pages_of[1]), 0);
    pages_of[1] = 0;
    assert_int_equal(make_run(&want, &made), 0);
    assert_int_equal(made.moves.large, 512);
    assert_int_equal(made.moves.pages, 512);
    assert_int_equal(made.moves.stops, 1);
    for (uint64_t i = 0; i < pages_of[0]; i += 512) {
        assert_int_equal(cordon_translate(dom[0], 0, cordon_gpa_make(G_RAM + i * PAGE), RWX, &hit),
                         0);
        assert_int_equal(hit.level, 1);
    }
    bench_sound(&b);
    check_marks();
    assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
}

static void test_large_leaves_are_split_where_there_is_none(void **state)
{
    struct cordon_run_want want = want_of(2 * MIB);
    struct cordon_run_made made;

    (void)state;
    /* Large leaves below, single frames with holes above them, nothing whole. */
    fill(0, 8 * 512, 1u << 9, 0);
    fill(1, bench_stats(&b).free / PAGE * 95 / 100, 1, CORDON_REGION_PIN);
    punch(2, 89);
    want.align = 2 * MIB;
    int err = make_run(&want, &made);

    bench_sound(&b);
    check_marks();
    assert_int_equal(err, 0);
    assert_int_not_equal(made.moves.pages, 0);
    assert_int_equal(made.moves.large, 0);
    assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
}

/* ---- what never moves, apart ---------------------------------------------------------------- */

/* Pages so far apart that each needs a table of its own, between others: how many blocks could be
 * made free afterwards. */
static unsigned blocks_after_a_mixed_load(void)
{
    unsigned count = 0;

    dom[0] = bench_domain(&b);
    for (uint64_t i = 0; i < 700; i++) {
        struct cordon_extent page = {.len = PAGE};
        size_t n = 1;

        assert_int_equal(cordon_scatter_alloc(b.ctx, PAGE, 1, i + 1, &page, &n), 0);
        struct cordon_op op = op_grant(G_RAM + i * 2 * MIB, &page, 1, RWX, 0);

        assert_int_equal(cordon_change(dom[0], &op, 1), 0);
    }
    for (uint64_t at = BENCH_RAM; at < BENCH_RAM + RAM; at += BLOCK) {
        struct cordon_block_info info;

        assert_int_equal(cordon_block_query(b.ctx, cordon_hpa_make(at), &info), 0);
        count += info.pages[CORDON_KIND_FREE] + info.pages[CORDON_KIND_MOVABLE] == 512;
        assert_true(info.fixed <= 1);
    }
    return count;
}

static void test_what_never_moves_stands_together(void **state)
{
    const struct cordon_extent bank = {{BENCH_RAM}, RAM};
    unsigned apart = blocks_after_a_mixed_load(), mixed;
    struct cordon_config cfg;

    assert_int_equal(teardown(state), 0);
    dom[0] = NULL;
    bench_memory(&b, BENCH_RAM, RAM);
    cfg = bench_config(&b);
    cfg.banks = &bank;
    cfg.bank_count = 1;
    cfg.flags = CORDON_CTX_MIXED;
    assert_int_equal(cordon_ctx_create(&cfg, &b.ctx), 0);
    mixed = blocks_after_a_mixed_load();
    assert_true(apart >= 12); /* of 16: two hold tables, one what the layer keeps */
    assert_true(mixed < apart);
}

/* ---- exactly when there is a place --------------------------------------------------------- */

/* What a frame is, by what this test has done with it. */
static bool can_be_had(uint64_t hpa)
{
    struct cordon_frame_info info;

    assert_int_equal(cordon_frame_query(b.ctx, cordon_hpa_make(hpa), &info), 0);
    return info.state == CORDON_FRAME_FREE ||
           (info.state == CORDON_FRAME_OWNED && info.domain != cordon_domain_number(dom[PINNED]));
}

static bool place_exists(const struct cordon_run_want *w)
{
    uint64_t align = w->align != 0 ? w->align : PAGE, run = 0;
    uint64_t last = w->highest != 0 ? w->highest : UINT64_MAX;

    for (uint64_t at = BENCH_RAM; at < BENCH_RAM + RAM; at += PAGE) {
        run = can_be_had(at) && at + PAGE - 1 <= last ? run + PAGE : 0;
        for (uint64_t from = at + PAGE - w->len; run >= w->len && from + w->len == at + PAGE;) {
            if (from % align == 0 && (w->boundary == 0 || from / w->boundary == at / w->boundary)) {
                return true;
            }
            break;
        }
    }
    return false;
}

static struct cordon_run_want random_want(void)
{
    struct cordon_run_want w = want_of((bench_random(&seed) % 700 + 1) * PAGE);

    if (bench_random(&seed) % 2 == 0) {
        w.align = PAGE << bench_random(&seed) % 10;
    }
    if (bench_random(&seed) % 3 == 0) {
        for (w.boundary = PAGE; w.boundary < w.len; w.boundary *= 2) {
        }
    }
    if (bench_random(&seed) % 3 == 0) {
        w.highest = BENCH_RAM + bench_random(&seed) % RAM;
        w.highest = w.highest < w.len ? 0 : w.highest;
    }
    return w;
}

static void test_a_run_is_made_exactly_when_there_is_a_place(void **state)
{
    unsigned had = 0, refused = 0;

    (void)state;
    seed = 77;
    dom[PINNED] = bench_domain(&b);
    dom[2] = bench_domain(&b); /* while there is a block for what the layer keeps of them */
    fill(0, bench_stats(&b).free / PAGE * 50 / 100, 1, 0);
    fill(PINNED, bench_stats(&b).free / PAGE * 70 / 100, 1, CORDON_REGION_PIN);
    for (uint64_t i = 0; i < pages_of[PINNED]; i++) { /* one in thirty stays, at random */
        if (bench_random(&seed) % 30 != 0) {
            assert_int_equal(bench_revoke(dom[PINNED], G_RAM + i * PAGE, 1), 0);
        }
    }
    fill(2, bench_stats(&b).free / PAGE * 50 / 100, 0, 0);
    punch(1, 80);
    for (unsigned i = 0; i < 60; i++) {
        struct cordon_run_want w = random_want();
        struct cordon_run_made made;
        bool can = place_exists(&w);
        int err = make_run(&w, &made);

        if (err != (can ? 0 : -CORDON_ENOMEM)) {
            fail_msg("want %u: %lu pages, align %lx, boundary %lx, highest %lx: %d, a place %s", i,
                     (unsigned long)(w.len / PAGE), (unsigned long)w.align,
                     (unsigned long)w.boundary, (unsigned long)w.highest, err,
                     can ? "exists" : "does not");
        }
        had += err == 0;
        refused += err != 0;
        check_marks();
        bench_sound(&b);
        if (err == 0) {
            check_run(&made, w.len);
            assert_int_equal(cordon_run_free(b.ctx, made.hpa, w.len), 0);
        }
    }
    print_message("%u made, %u refused\n", had, refused);
    assert_true(had >= 10 && refused >= 10);
}

/* ---- what never moves ---------------------------------------------------------------------- */

static uint64_t places_of(unsigned d)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < pages_of[d]; i++) {
        sum = sum * 31 + bench_leads(dom[d], 0, G_RAM + i * PAGE, 0);
    }
    return sum;
}

static void check_nothing_moves(enum cordon_frame_kind kind)
{
    struct cordon_run_want want = want_of(2 * MIB);
    struct cordon_run_made made;
    uint64_t before = places_of(0);

    assert_int_equal(make_run(&want, &made), -CORDON_ENOMEM);
    assert_int_equal(made.hpa.v, 0);
    assert_int_equal(made.moves.pages, 0);
    assert_int_not_equal(made.kinds[kind], 0);
    assert_int_equal(places_of(0), before);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), PAGE, &made.moves),
                     -CORDON_EPERM);
    assert_int_equal(places_of(0), before);
    bench_sound(&b);
}

/* Single frames all over memory, with FLAGS; every second is given back. */
static void fill_sparsely(uint32_t flags)
{
    seed = 5;
    fill(0, bench_stats(&b).free / PAGE * 97 / 100, 1, flags);
    for (uint64_t i = 0; i < pages_of[0]; i += 2) {
        assert_int_equal(bench_revoke(dom[0], G_RAM + (i + 1) * PAGE, i + 1 < pages_of[0]),
                         i + 1 < pages_of[0] ? 0 : -CORDON_ERANGE);
    }
}

static void test_pinned_frames_never_move(void **state)
{
    (void)state;
    fill_sparsely(CORDON_REGION_PIN);
    check_nothing_moves(CORDON_KIND_PINNED);
}

static void test_frames_that_the_caller_keeps_never_move(void **state)
{
    (void)state;
    seed = 5;
    fill(0, bench_stats(&b).free / PAGE * 97 / 100, 1, CORDON_REGION_KEEP);
    uint64_t before = places_of(0);
    struct cordon_run_want want = want_of(PAGE * 512);
    struct cordon_run_made made;

    assert_int_equal(make_run(&want, &made), -CORDON_ENOMEM);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), PAGE, NULL), -CORDON_EPERM);
    assert_int_equal(places_of(0), before);
    for (uint64_t i = 0; i < pages_of[0]; i++) {
        uint64_t hpa = bench_leads(dom[0], 0, G_RAM + i * PAGE, 0);

        assert_int_equal(bench_revoke(dom[0], G_RAM + i * PAGE, 1), 0);
        assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(hpa), PAGE), 0);
    }
    pages_of[0] = 0;
}

static void test_borrowed_frames_never_move(void **state)
{
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {G_RAM + 4 * PAGE}, .to = {G_RAM}, .len = PAGE, .perms = RW};
    struct cordon_moves moves = {.pages = 9};

    (void)state;
    seed = 3;
    fill(0, 64, 1, 0);
    dom[1] = bench_domain(&b);
    assert_int_equal(cordon_share(dom[0], dom[1], &share), 0);
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_relocate(dom[0], share.gpa, PAGE, &moves), -CORDON_EPERM);
    assert_int_equal(moves.pages, 0);
    assert_int_equal(cordon_relocate(dom[1], share.to, PAGE, NULL), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM + 5 * PAGE), PAGE, NULL), 0);
    assert_int_equal(bench_revoke(dom[1], G_RAM, 1), 0);
    assert_int_equal(cordon_relocate(dom[0], share.gpa, PAGE, &moves), 0);
    assert_int_equal(moves.pages, 1);
    check_marks();
}

/* ---- by GPA -------------------------------------------------------------------------------- */

static void test_what_is_relocated_stands_elsewhere_with_the_same_contents(void **state)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    struct cordon_moves moves, all;

    (void)state;
    seed = 21;
    fill(0, 2000, 0, 0); /* large leaves, and smaller ones behind them */
    assert_int_equal(cordon_domain_enter(dom[0], 0, &entry), 0); /* a hart that has to be told */
    uint64_t before[40];

    for (uint64_t i = 0; i < 40; i++) {
        before[i] = bench_leads(dom[0], 0, G_RAM + (i + 500) * PAGE, RWX);
    }
    assert_int_equal(
        cordon_relocate(dom[0], cordon_gpa_make(G_RAM + 500 * PAGE), 40 * PAGE, &moves), 0);
    assert_int_equal(moves.pages, 40);
    assert_int_equal(moves.stops, 3);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_not_equal(bench_leads(dom[0], 0, G_RAM + (i + 500) * PAGE, RWX), before[i]);
    }
    bench_sound(&b);
    check_marks();
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM + 1024 * PAGE), 2 * MIB, &moves),
                     0);
    assert_int_equal(moves.large, 512);
    assert_int_equal(moves.stops, 1);
    assert_int_equal(cordon_domain_moves(dom[0], &all), 0);
    assert_int_equal(all.pages, 552);
    assert_int_equal(all.large, 512);
    assert_int_equal(all.stops, 4);
    bench_sound(&b);
    check_marks();
    assert_int_equal(cordon_domain_leave(dom[0], 0), 0);
}

static void test_rights_stay_as_they_are(void **state)
{
    struct cordon_op protect = op_protect(G_RAM + 3 * PAGE, 2, CORDON_READ);

    (void)state;
    fill(0, 16, 1, 0);
    assert_int_equal(cordon_change(dom[0], &protect, 1), 0);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), 16 * PAGE, NULL), 0);
    assert_int_equal(bench_leads(dom[0], 0, G_RAM + 3 * PAGE, CORDON_WRITE), UINT64_MAX);
    assert_int_not_equal(bench_leads(dom[0], 0, G_RAM + 3 * PAGE, CORDON_READ), UINT64_MAX);
    assert_int_not_equal(bench_leads(dom[0], 0, G_RAM + 5 * PAGE, RWX), UINT64_MAX);
    bench_sound(&b);
    check_marks();
}

/* What was no code when it moved may become some: it is made known as a whole. */
static void test_a_page_that_moved_may_get_the_right_to_be_fetched(void **state)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    struct cordon_op protect = op_protect(G_RAM, 16, CORDON_RW);

    (void)state;
    fill(0, 16, 1, 0);
    assert_int_equal(cordon_domain_enter(dom[0], 0, &entry), 0);
    assert_int_equal(cordon_change(dom[0], &protect, 1), 0);
    assert_int_equal(cordon_relocate(dom[0], cordon_gpa_make(G_RAM), 16 * PAGE, NULL), 0);
    protect.perms = RWX;
    assert_int_equal(cordon_change(dom[0], &protect, 1), 0);
    bench_sound(&b);
    assert_int_equal(cordon_domain_leave(dom[0], 0), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_run_of_8_mib_is_made_in_memory_that_is_90_percent_full),
        T(test_the_cheapest_place_is_taken),
        T(test_a_free_run_is_taken_as_it_is),
        T(test_large_leaves_stay_large_where_there_is_a_place),
        T(test_large_leaves_are_split_where_there_is_none),
        T(test_what_never_moves_stands_together),
        T(test_a_run_is_made_exactly_when_there_is_a_place),
        T(test_pinned_frames_never_move),
        T(test_frames_that_the_caller_keeps_never_move),
        T(test_borrowed_frames_never_move),
        T(test_what_is_relocated_stands_elsewhere_with_the_same_contents),
        T(test_rights_stay_as_they_are),
        T(test_a_page_that_moved_may_get_the_right_to_be_fetched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
