/*
 * Reserving: every failing allocation leaves all as it was, what is reserved suffices and is sane,
 * and what makes no sense is refused.
 */
#include "test_pt_world.h"

static struct world *open_failing(const struct pt_fmt *fmt)
{
    struct world *w = world_open_recorded(fmt, world_record());

    world_windows(w);
    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    assert_int_equal(pt_view_add(&w->forest, 2), 0);
    return w;
}

static struct pt_run run_of(const struct world *w, uint32_t views, uint64_t linear, uint64_t hpa,
                            uint64_t pages)
{
    return (struct pt_run){cordon_gpa_make(world_gpa(w, linear)), cordon_hpa_make(hpa), pages,
                           CORDON_RW, views};
}

static int reserve(struct world *w, bool map, const struct pt_run *run, struct pt_pool *pool)
{
    return map ? pt_reserve_map(&w->forest, run, pool)
               : pt_reserve_change(&w->forest, run->gpa, run->pages, run->views, pool);
}

/* Let allocation 1, 2, 3... of a reserve fail, until it succeeds. Returns how many it made. */
static uint64_t fail_each(struct world *w, bool map, const struct pt_run *run)
{
    struct pt_pool pool = {0}, before;
    uint64_t frames, nth = 0;
    int error;

    /* Something is in the pool already, and must stay there. */
    struct pt_run first = run_of(w, 3, GIB - 2 * MIB, 77 * GIB, 1);
    w->record->fail_at = 0;
    assert_int_equal(pt_reserve_map(&w->forest, &first, &pool), 0);
    assert_true(pool.count > 0);
    before = pool;
    frames = world_table_frames(w);
    do {
        w->record->allocations = 0;
        w->record->fail_at = ++nth;
        error = reserve(w, map, run, &pool);
        if (error != 0) {
            assert_int_equal(error, -CORDON_ENOMEM);
            assert_memory_equal(&pool, &before, sizeof(pool));
            assert_int_equal(world_table_frames(w), frames);
        }
    } while (error != 0);
    w->record->fail_at = 0;
    assert_int_equal(world_table_frames(w) - frames, nth - 1);
    assert_int_equal(pool.count - before.count, nth - 1);
    pt_pool_free(&w->forest, &pool);
    assert_int_equal(pool.count, 0);
    world_check(w);
    return nth - 1;
}

static void each_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = open_failing(world_formats[i]);
        unsigned levels = w->fmt->levels;
        struct pt_run run;

        /* A new part, 4 KiB leaves from one window's start to the middle of a third table. */
        run = run_of(w, 7, GIB + PAGE, PAGE * 2, 1200);
        assert_int_equal(fail_each(w, true, &run), levels - 2 + 3);
        world_map(w, 7, GIB + PAGE, PAGE * 2, 1200, CORDON_RW);
        /* The same tables, for one view of three: a copy of each on the way. */
        run = run_of(w, 1, GIB + 1300 * PAGE, PAGE * 2, 10);
        assert_int_equal(fail_each(w, true, &run), levels - 1);
        run = run_of(w, 2, GIB + 5 * PAGE, 0, 600);
        assert_int_equal(fail_each(w, false, &run), levels - 2 + 2);
        /* Splitting one 2 MiB leaf in the middle, and two at the ends. */
        world_map(w, 7, 2 * GIB, 8 * GIB, 1024, CORDON_RWX);
        run = run_of(w, 7, 2 * GIB + PAGE, 0, 3);
        assert_int_equal(fail_each(w, false, &run), 1);
        run = run_of(w, 7, 2 * GIB + PAGE, 0, 1022);
        assert_int_equal(fail_each(w, false, &run), 2);
        run = run_of(w, 7, 2 * GIB, 0, 1024);
        assert_int_equal(fail_each(w, false, &run), 0);
        world_close(w);
    }
}

static void a_split_of_a_gib_takes_three_tables_at_most(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = open_failing(world_formats[i]);
        struct pt_run run = run_of(w, 7, GIB + PAGE, 0, 262142);

        world_map(w, 7, GIB, 64 * GIB, 262144, CORDON_RWX);
        assert_int_equal(fail_each(w, false, &run), 3);
        run.pages = 1;
        assert_int_equal(fail_each(w, false, &run), 2);
        run.pages = 512 * 511 - 1;
        assert_int_equal(fail_each(w, false, &run), 2);
        world_close(w);
    }
}

/* The exact number for a run into nothing, by counting the entries that it touches one by one. */
static uint64_t tables_by_hand(const struct world *w, uint64_t linear, uint64_t hpa, uint64_t pages)
{
    uint64_t tables = 0, last = linear + pages * PAGE - 1;

    for (unsigned level = 1; level < w->fmt->levels; level++) {
        uint64_t span = PAGE << 9 * level;

        for (uint64_t at = linear / span * span; at <= last; at += span) {
            bool whole = at >= linear && at + span - 1 <= last;
            unsigned fit = 2;

            while ((hpa - linear) % (PAGE << 9 * fit) != 0) {
                fit--;
            }
            /* Something smaller than this entry's leaf stands in it: it is a table. */
            tables += !(whole && level <= fit) &&
                      !(level < fit && at / (PAGE << 9 * fit) != linear / (PAGE << 9 * fit) &&
                        at / (PAGE << 9 * fit) != last / (PAGE << 9 * fit));
        }
    }
    return tables;
}

static void a_reserve_is_exact_for_any_run(void **state)
{
    uint64_t seed = 31337;

    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);

        for (unsigned k = 0; k < 200; k++) {
            uint64_t grain = 12 + 9 * (world_random(&seed) % 3);
            uint64_t linear = GIB - 4 * MIB + world_random(&seed) % 2000 * PAGE;
            uint64_t pages = k % 2
                                 ? 1 + world_random(&seed) % 2000
                                 : (2 * GIB + 4 * MIB - linear) / PAGE - world_random(&seed) % 1000;
            uint64_t hpa = 16 * GIB + (linear & ((UINT64_C(1) << grain) - 1)) +
                           (world_random(&seed) % 8 << grain);
            struct pt_run run = run_of(w, 1, linear, hpa, pages);
            struct pt_pool pool = {0};

            assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
            assert_int_equal(pool.count, tables_by_hand(w, linear, hpa, pages));
            pt_pool_free(&w->forest, &pool);
        }
        world_close(w);
    }
}

/* A run of which every part has leaves of 1 GiB takes no table below the middle, however long. */
static void a_huge_run_of_large_leaves_is_cheap(void **state)
{
    struct world *w = world_open(&pt_sv57x4);
    struct pt_run run = run_of(w, 1, 0, 0, UINT64_C(1) << 43);
    struct pt_pool pool = {0};

    (void)state;
    /* 2^55 bytes need a table for each 512 GiB: too many for this RAM, and refused as such. */
    assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_ENOMEM);
    run.pages = UINT64_C(1) << 36;
    assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
    assert_int_equal(pool.count, 1 + 512);
    pt_pool_free(&w->forest, &pool);
    world_close(w);
}

static void ranges_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open(world_formats[i]);
        uint64_t space = UINT64_C(1) << w->fmt->address_bits;
        const struct {
            uint64_t gpa, pages;
            int error;
        } bad[] = {{1, 1, -CORDON_EALIGN},
                   {2048, 1, -CORDON_EALIGN},
                   {0, 0, -CORDON_ERANGE},
                   {space, 1, -CORDON_ERANGE},
                   {0, space / PAGE + 1, -CORDON_ERANGE},
                   {space - PAGE, 2, -CORDON_ERANGE},
                   {PAGE, UINT64_C(1) << 52, -CORDON_ERANGE},
                   {PAGE, UINT64_MAX, -CORDON_ERANGE},
                   {UINT64_C(1) << 63, 1, -CORDON_ERANGE}};
        uint64_t frames = world_table_frames(w);

        for (unsigned k = 0; k < 9; k++) {
            struct pt_run run = {cordon_gpa_make(bad[k].gpa), cordon_hpa_make(0), bad[k].pages,
                                 CORDON_RW, 1};
            struct pt_pool pool = {0};

            assert_int_equal(reserve(w, false, &run, &pool), bad[k].error);
            assert_int_equal(reserve(w, true, &run, &pool), bad[k].error);
            assert_int_equal(pool.count, 0);
        }
        assert_int_equal(world_table_frames(w), frames);
        world_close(w);
    }
}

/* The quick way for one page says no to the same things as the long one. */
static void a_standing_table_excuses_nothing(void **state)
{
    struct world *w = world_open_windows(&pt_sv39x4);
    struct pt_run good = run_of(w, 1, 9 * PAGE, GIB, 1), run;
    struct pt_pool pool = {0};

    (void)state;
    world_map(w, 1, 0, GIB, 1, CORDON_RW);
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(pt_reserve_map(&w->forest, &good, &pool), 0);
        for (uint32_t perms = 0; perms < 64; perms++) {
            bool legal = perms == 1 || perms == 3 || perms == 4 || perms == 5 || perms == 7;

            run = good;
            run.perms = perms;
            assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), legal ? 0 : -CORDON_EINVAL);
        }
        run = good;
        run.hpa.v = GIB + 1;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_EALIGN);
        run.hpa.v = UINT64_C(1) << 56;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_ERANGE);
        run.hpa.v = UINT64_MAX - 4095;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_ERANGE);
        run.hpa.v = (UINT64_C(1) << 56) - PAGE;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
        run.pages = 2;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_ERANGE);
        run = good;
        run.pages = (UINT64_C(1) << 52) + 1;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_ERANGE);
        assert_int_equal(pt_reserve_change(&w->forest, run.gpa, run.pages, 1, &pool),
                         -CORDON_ERANGE);
        run = good;
        run.gpa.v += 8;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_EALIGN);
        assert_int_equal(pt_reserve_change(&w->forest, run.gpa, 1, 1, &pool), -CORDON_EALIGN);
        run.gpa.v = good.gpa.v | UINT64_C(1) << 41;
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), -CORDON_ERANGE);
        assert_int_equal(pt_reserve_change(&w->forest, run.gpa, 1, 1, &pool), -CORDON_ERANGE);
        assert_int_equal(pool.count, 0);
    }
    world_close(w);
}

/* Two changes of one transaction cut the sharers of a table in four: two copies for the second
 * one. */
static void a_reserve_outlives_what_other_changes_unshare(void **state)
{
    struct world *w = world_open_windows(&pt_sv39x4);
    const uint32_t views[] = {5, 3};
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};

    (void)state;
    for (uint32_t view = 1; view < 4; view++) {
        assert_int_equal(pt_view_add(&w->forest, view), 0);
    }
    for (uint64_t k = 0; k < 2; k++) {
        struct pt_run run = run_of(w, 15, k * PAGE, GIB, 1);

        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
        pt_map(&w->forest, &run, &pool, &retire);
    }
    pt_pool_free(&w->forest, &pool);
    for (uint64_t k = 0; k < 2; k++) {
        assert_int_equal(
            pt_reserve_change(&w->forest, cordon_gpa_make(k * PAGE), 1, views[k], &pool), 0);
    }
    for (uint64_t k = 0; k < 2; k++) {
        pt_protect(&w->forest, cordon_gpa_make(k * PAGE), 1, CORDON_READ, views[k], &pool, &retire);
    }
    for (uint32_t view = 0; view < 4; view++) {
        for (uint64_t k = 0; k < 2; k++) {
            struct pt_hit hit;

            assert_int_equal(pt_lookup(&w->forest, view, cordon_gpa_make(k * PAGE), &hit), 0);
            assert_int_equal(hit.pte >> 1 & 7, views[k] >> view & 1 ? CORDON_READ : CORDON_RW);
        }
    }
    pt_pool_free(&w->forest, &pool);
    pt_retire_free(&w->forest, &retire);
    world_close(w);
}

/* What a pool had counted goes with its frames. */
static void a_pool_that_was_freed_starts_anew(void **state)
{
    struct world *w = world_open_windows(&pt_sv48x4);
    struct pt_run run = run_of(w, 1, 0, GIB, 1);
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};

    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
        assert_int_equal(pool.count, 3);
        if (turn == 0) {
            pt_pool_free(&w->forest, &pool);
        }
    }
    pt_map(&w->forest, &run, &pool, &retire);
    oracle_set(w, 1, 0, 1, GIB, CORDON_RW);
    world_check(w);
    world_close(w);
}

static void roots_that_cannot_be_had_are_an_error(void **state)
{
    struct port_record *r = world_record();
    struct world *w = world_open_recorded(&pt_sv39x4, r);
    uint64_t frames = world_table_frames(w);
    struct pt_forest other;

    (void)state;
    r->allocations = 0;
    r->fail_at = 1;
    assert_int_equal(pt_view_add(&w->forest, 1), -CORDON_ENOMEM);
    assert_int_equal(w->forest.views, 1);
    r->allocations = 0;
    assert_int_equal(pt_forest_init(&other, w->ctx, &pt_sv48x4), -CORDON_ENOMEM);
    assert_int_equal(world_table_frames(w), frames);
    r->fail_at = 0;
    assert_int_equal(pt_forest_init(&other, w->ctx, &pt_sv48x4), 0);
    pt_forest_free(&other);
    assert_int_equal(world_table_frames(w), frames);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failing_allocation_changes_nothing),
        cmocka_unit_test(a_split_of_a_gib_takes_three_tables_at_most),
        cmocka_unit_test(a_reserve_is_exact_for_any_run),
        cmocka_unit_test(a_huge_run_of_large_leaves_is_cheap),
        cmocka_unit_test(ranges_that_make_no_sense_are_refused),
        cmocka_unit_test(a_standing_table_excuses_nothing),
        cmocka_unit_test(a_reserve_outlives_what_other_changes_unshare),
        cmocka_unit_test(a_pool_that_was_freed_starts_anew),
        cmocka_unit_test(roots_that_cannot_be_had_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
