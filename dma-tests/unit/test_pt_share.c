/*
 * Shared subtrees: which table is one frame for whom, when it stops being so, and that nothing of
 * one view ever shows in another.
 */
#include "test_pt_world.h"

#define G 1u /* the view of the harts */
#define D 2u /* two device views */
#define E 4u
#define ALL 7u

/* The table that a view's walk to LINEAR meets at LEVEL; 0: none. */
static uint64_t table_at(const struct world *w, unsigned view, uint64_t linear, unsigned level)
{
    uint64_t table = w->forest.root[view].v;

    for (unsigned l = w->fmt->levels - 1u; l > level; l--) {
        uint64_t mask = l == w->fmt->levels - 1u ? 2047 : 511;
        uint64_t word = world_words(w, table)[linear >> (12 + 9 * l) & mask];

        if ((word & 0xf) != 1) {
            return 0;
        }
        table = word >> 10 << 12;
    }
    return table;
}

static bool shared(const struct world *w, unsigned a, unsigned b, uint64_t linear, unsigned level)
{
    uint64_t table = table_at(w, a, linear, level);

    return table != 0 && table == table_at(w, b, linear, level);
}

static struct world *open_three(const struct pt_fmt *fmt)
{
    struct world *w = world_open_windows(fmt);

    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    assert_int_equal(pt_view_add(&w->forest, 2), 0);
    return w;
}

static void what_is_granted_to_all_is_written_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = open_three(world_formats[i]);

        world_map(w, ALL, 5 * PAGE, GIB, 7, CORDON_RW);
        world_check(w);
        assert_int_equal(w->tables, 3 * 4 + (w->fmt->levels - 1u));
        for (unsigned level = 0; level < w->fmt->levels - 1u; level++) {
            assert_true(shared(w, 0, 1, 0, level) && shared(w, 0, 2, 0, level));
        }
        world_close(w);
    }
}

static void views_with_tables_of_their_own_share_what_is_new_to_both(void **state)
{
    struct world *w = open_three(&pt_sv48x4);

    (void)state;
    world_map(w, G, 0, GIB, 1, CORDON_RW);
    world_map(w, D, 0, 2 * GIB, 1, CORDON_RW);
    assert_false(shared(w, 0, 1, 0, 0));
    world_map(w, ALL, 4 * MIB - PAGE, 3 * GIB, 1, CORDON_RW);
    world_check(w);
    assert_true(shared(w, 0, 1, 2 * MIB, 0) && shared(w, 0, 2, 2 * MIB, 0));
    assert_false(shared(w, 0, 1, 0, 1));
    /* Into tables of one view each, a new one, and a shared one, all in one change. */
    world_map(w, ALL, PAGE, 4 * GIB, 1022, CORDON_RWX);
    world_check(w);
    world_unmap(w, ALL, 0, 1024);
    world_check(w);
    assert_int_equal(w->tables, 3 * 4);
    world_close(w);
}

/* The first view has nothing yet where the others share: all three are asked, not only the last. */
static void a_view_without_tables_is_not_taken_for_one_that_shares(void **state)
{
    struct world *w = open_three(&pt_sv39x4);

    (void)state;
    world_map(w, D | E, 0, GIB, 1, CORDON_RW);
    world_map(w, ALL, PAGE, 2 * GIB, 1, CORDON_RW);
    world_check(w);
    world_unmap(w, D | E, 0, 2);
    world_map(w, D | E, 2 * PAGE, GIB, 1, CORDON_RW);
    world_protect(w, ALL, 0, 3, CORDON_READ);
    world_check(w);
    world_close(w);
}

static void a_grant_to_one_view_unshares_the_way_to_it_and_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = open_three(world_formats[i]);
        struct pt_retire retire;

        world_map(w, ALL, 0, GIB, 1, CORDON_RW);
        world_map(w, ALL, 2 * MIB, 2 * GIB, 1, CORDON_RW);
        retire = world_map(w, G, 3 * PAGE, 3 * GIB, 1, CORDON_RW);
        world_check(w);
        assert_true(retire.nonleaf);
        assert_false(shared(w, 0, 1, 0, 0));
        assert_true(shared(w, 1, 2, 0, 0));
        assert_true(shared(w, 0, 1, 2 * MIB, 0)); /* its neighbour has two parents now */
        /* Granting again needs nothing more: the tables are its own. */
        retire = world_map(w, G, 4 * PAGE, 4 * GIB, 1, CORDON_RW);
        assert_false(retire.nonleaf);
        world_check(w);
        world_close(w);
    }
}

/* What the last change met is no help to the next one, once one view has gone its own way. */
static void what_was_shared_a_moment_ago_is_asked_again(void **state)
{
    struct world *w = open_three(&pt_sv39x4);
    struct pt_retire retire = {0};

    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        world_map(w, ALL, 0, GIB, 6, CORDON_RWX);
        world_map(w, ALL, 6 * PAGE, GIB, 1, CORDON_RWX);
        if (way == 0) {
            world_map(w, D, 9 * PAGE, 3 * GIB, 1, CORDON_RW);
        } else if (way == 1) {
            world_protect(w, D, 0, 1, CORDON_READ);
        } else {
            world_unmap(w, D, 0, 1);
        }
        world_map(w, ALL, 8 * PAGE, 4 * GIB, 1, CORDON_RW);
        world_check(w);
        world_protect(w, ALL, 2 * PAGE, 1, CORDON_READ);
        world_check(w);
        world_unmap(w, ALL, 3 * PAGE, 1);
        world_check(w);
        world_unmap(w, ALL, 0, 10);
    }
    /* A table that all had, and that is gone with its last entry. */
    world_map(w, ALL, 0, GIB, 1, CORDON_RW);
    world_map(w, ALL, PAGE, GIB, 1, CORDON_RW);
    world_unmap(w, ALL, 0, 2);
    world_map(w, ALL, PAGE, GIB, 1, CORDON_RW);
    world_check(w);
    /* A new view has nothing of what the others share. */
    world_map(w, ALL, 2 * PAGE, GIB, 1, CORDON_RW);
    pt_view_remove(&w->forest, 2, &retire);
    pt_retire_free(&w->forest, &retire);
    oracle_set(w, E, 0, 1024, ORACLE_CLEAR, 0);
    assert_int_equal(pt_view_add(&w->forest, 2), 0);
    world_map(w, ALL, 4 * PAGE, GIB, 1, CORDON_RW);
    world_check(w);
    world_close(w);
}

static void a_table_that_is_taken_out_whole_is_told(void **state)
{
    struct world *w = open_three(&pt_sv39x4);
    struct pt_retire retire;

    (void)state;
    world_map(w, ALL, 0, GIB + PAGE, 1024, CORDON_RW);
    retire = world_unmap(w, ALL, 0, 512);
    world_check(w);
    assert_true(retire.nonleaf && retire.downgrade);
    assert_int_equal(retire.count, 1);
    /* Leaves alone: nothing but them. */
    retire = world_unmap(w, ALL, 3 * MIB, 5);
    assert_true(retire.downgrade && !retire.nonleaf);
    /* By its last leaf. */
    world_unmap(w, ALL, 2 * MIB + PAGE, 511);
    retire = world_unmap(w, ALL, 2 * MIB, 1);
    assert_true(retire.downgrade && retire.nonleaf);
    assert_int_equal(retire.count, 2);
    world_check(w);
    world_close(w);
}

static void revoking_from_one_view_leaves_the_others(void **state)
{
    struct world *w = open_three(&pt_sv39x4);
    uint64_t before;

    (void)state;
    world_map(w, ALL, 0, GIB, 700, CORDON_RW);
    world_check(w);
    before = w->tables;
    /* All of it: the tables only lose a parent, nothing is copied. */
    assert_int_equal(world_unmap(w, D, 0, 700).count, 0);
    world_check(w);
    assert_int_equal(w->tables, before);
    /* A part of it. */
    world_unmap(w, E, 0, 3);
    world_check(w);
    assert_int_equal(w->tables, before + 2);
    assert_true(shared(w, 0, 2, 2 * MIB, 0));
    world_close(w);
}

static void a_hole_is_no_reason_to_unshare(void **state)
{
    struct world *w = open_three(&pt_sv48x4);
    uint64_t before;

    (void)state;
    world_map(w, ALL, 0, GIB, 3, CORDON_RW);
    world_check(w);
    before = w->tables;
    assert_false(world_unmap(w, D, 9 * PAGE, 100).nonleaf);
    assert_false(world_protect(w, D, 9 * PAGE, 1000, CORDON_READ).nonleaf);
    world_check(w);
    assert_int_equal(w->tables, before);
    assert_true(shared(w, 0, 1, 0, 0));
    world_close(w);
}

static void other_rights_for_one_view_unshare(void **state)
{
    struct world *w = open_three(&pt_sv39x4);

    (void)state;
    world_map(w, ALL, 0, GIB, 512 + 9, CORDON_RWX);
    world_protect(w, D | E, PAGE, 512, CORDON_RW);
    world_check(w);
    assert_true(shared(w, 1, 2, 0, 0) && !shared(w, 0, 1, 0, 0));
    assert_true(shared(w, 1, 2, 2 * MIB, 0) && !shared(w, 0, 1, 2 * MIB, 0));
    world_close(w);
}

/* A root holds 1 GiB leaves of its own; what they are split into is shared again. */
static void a_leaf_of_each_root_splits_into_one_table(void **state)
{
    struct world *w = open_three(&pt_sv39x4);

    (void)state;
    world_map(w, ALL, GIB, 8 * GIB, 262144, CORDON_RW);
    world_check(w);
    assert_int_equal(w->tables, 3 * 4);
    world_unmap(w, ALL, GIB + 5 * PAGE, 1);
    world_check(w);
    assert_int_equal(w->tables, 3 * 4 + 2);
    assert_true(shared(w, 0, 1, GIB, 0) && shared(w, 0, 2, GIB, 1));
    /* Different rights: different leaves, so different tables. */
    world_unmap(w, ALL, GIB, 262144);
    world_map(w, G, GIB, 8 * GIB, 262144, CORDON_RWX);
    world_map(w, D | E, GIB, 8 * GIB, 262144, CORDON_RW);
    world_unmap(w, ALL, GIB + 5 * PAGE, 1);
    world_check(w);
    assert_int_equal(w->tables, 3 * 4 + 4);
    assert_true(shared(w, 1, 2, GIB, 0) && !shared(w, 0, 1, GIB, 0));
    world_close(w);
}

static void copy_oracle(struct world *w, unsigned from, unsigned to, uint64_t linear,
                        uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t *page = oracle_at(w, to, linear + i * PAGE);

        *page = *oracle_at(w, from, linear + i * PAGE);
        w->mapped[to] += *page != 0;
    }
}

static void link_range(struct world *w, unsigned to, uint64_t linear, uint64_t pages)
{
    assert_int_equal(pt_view_link(&w->forest, 0, to, cordon_gpa_make(linear), pages * PAGE), 0);
    copy_oracle(w, 0, to, linear, pages);
    world_check(w);
}

static void a_linked_view_shares_what_lies_wholly_inside(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = open_three(world_formats[i]);

        world_map(w, G, GIB - 4 * MIB, 9 * GIB + PAGE, 2048, CORDON_RW);
        /* From the middle of one leaf table to the middle of another. */
        link_range(w, 1, GIB - 4 * MIB + 100 * PAGE, 1800);
        assert_false(shared(w, 0, 1, GIB - 4 * MIB, 0));
        assert_true(shared(w, 0, 1, GIB - 2 * MIB, 0));
        assert_true(shared(w, 0, 1, GIB, 0));
        assert_false(shared(w, 0, 1, GIB + 2 * MIB, 0));
        /* The rest, into the tables that the first part left half filled. */
        link_range(w, 1, GIB - 4 * MIB, 100);
        link_range(w, 1, GIB - 4 * MIB + 1900 * PAGE, 148);
        world_unmap(w, ALL, GIB - 4 * MIB, 2048);
        world_check(w);
        assert_int_equal(w->tables, 3 * 4);
        world_close(w);
    }
}

static void a_part_of_a_superpage_is_linked_as_smaller_leaves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = open_three(world_formats[i]);

        world_map(w, G, GIB, 8 * GIB, 262144, CORDON_RWX);
        link_range(w, 1, GIB + 3 * PAGE, 262144 - 7);
        assert_int_equal(w->leaves[2], 1);
        assert_int_equal(w->leaves[1], 510);
        assert_int_equal(w->leaves[0], 509 + 508);
        link_range(w, 2, GIB, 262144);
        assert_int_equal(w->leaves[2], 2);
        world_close(w);
    }
}

static void a_link_of_nothing_leaves_nothing(void **state)
{
    struct world *w = open_three(&pt_sv57x4);

    (void)state;
    world_map(w, G, PAGE, GIB, 1, CORDON_RW);
    link_range(w, 1, 2 * PAGE, 100);
    assert_int_equal(w->mapped[1], 0);
    assert_int_equal(w->tables, 3 * 4 + 4);
    assert_int_equal(pt_view_link(&w->forest, 0, 1, cordon_gpa_make(0), 0), 0);
    copy_oracle(w, 0, 1, 0, 1024);
    world_check(w);
    assert_int_equal(w->tables, 3 * 4 + 4);
    world_close(w);
}

/* Both have one table already, with nothing of the range in it: it stays one. */
static void a_link_over_a_hole_of_a_shared_table_unshares_nothing(void **state)
{
    struct world *w = open_three(&pt_sv39x4);

    (void)state;
    world_map(w, ALL, 0, GIB, 3, CORDON_RW);
    link_range(w, 1, 3 * PAGE, 50);
    assert_true(shared(w, 0, 1, 0, 0) && shared(w, 1, 2, 0, 0));
    /* A third view shares what the linked one has, and does not get what that one gets. */
    world_map(w, G, 100 * PAGE, 2 * GIB, 2, CORDON_RW);
    assert_true(shared(w, 1, 2, 0, 0));
    link_range(w, 1, 90 * PAGE, 50);
    assert_false(shared(w, 1, 2, 0, 0));
    world_close(w);
}

static void a_link_that_is_refused_changes_nothing(void **state)
{
    struct world *w = world_open_recorded(&pt_sv48x4, world_record());

    (void)state;
    world_windows(w);
    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    world_map(w, G, 0, GIB, 700, CORDON_RW);
    world_check(w);
    assert_int_equal(pt_view_link(&w->forest, 0, 1, cordon_gpa_make(0), 1), -CORDON_EALIGN);
    assert_int_equal(pt_view_link(&w->forest, 0, 1, cordon_gpa_make(1), PAGE), -CORDON_EALIGN);
    assert_int_equal(pt_view_link(&w->forest, 0, 1, cordon_gpa_make(PAGE), UINT64_C(1) << 50),
                     -CORDON_ERANGE);
    for (uint64_t nth = 1;; nth++) {
        w->record->allocations = 0;
        w->record->fail_at = nth;
        if (pt_view_link(&w->forest, 0, 1, cordon_gpa_make(PAGE), 600 * PAGE) == 0) {
            assert_true(nth > 3);
            break;
        }
        world_check(w);
    }
    copy_oracle(w, 0, 1, PAGE, 600);
    world_check(w);
    world_close(w);
}

static void views_are_added_once_and_not_past_the_last(void **state)
{
    struct world *w = world_open(&pt_sv39x4);
    struct pt_retire retire = {0};

    (void)state;
    assert_int_equal(pt_view_add(&w->forest, 0), -CORDON_EEXIST);
    assert_int_equal(pt_view_add(&w->forest, CORDON_MAX_VIEWS), -CORDON_ELIMIT);
    for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
        assert_int_equal(pt_view_add(&w->forest, view), 0);
        assert_int_equal(w->forest.root[view].v % 16384, 0);
    }
    pt_view_remove(&w->forest, 3, &retire);
    assert_int_equal(retire.count, 1);
    assert_int_equal(world_table_frames(w), w->frames_before + 8 * 4);
    pt_retire_free(&w->forest, &retire);
    assert_int_equal(world_table_frames(w), w->frames_before + 7 * 4);
    assert_int_equal(pt_view_add(&w->forest, 3), 0);
    world_close(w);
}

/* The same history for eight views at once, and for each of eight alone: one answer. */
static void shared_and_separate_answer_alike(void **state)
{
    struct world *w = world_open(&pt_sv39x4);
    uint64_t seed = 99;

    (void)state;
    for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
        assert_int_equal(pt_view_add(&w->forest, view), 0);
    }
    for (unsigned step = 0; step < 40; step++) {
        uint64_t page = world_random(&seed) % 900, pages = 1 + world_random(&seed) % 700;
        uint64_t hpa = (world_random(&seed) & 0xffffffff) * PAGE;

        for (uint32_t set = 0; set < 5; set++) {
            /* Views 0 to 3 together; 4, 5, 6 and 7 each alone. */
            uint32_t views = set == 0 ? 15 : 8u << set;
            cordon_gpa gpa = cordon_gpa_make(page * PAGE);
            struct pt_run run = {gpa, cordon_hpa_make(hpa), pages, CORDON_RW, views};
            struct pt_pool pool = {0};
            struct pt_retire retire = {0};

            assert_int_equal(pt_reserve_change(&w->forest, gpa, pages, views, &pool), 0);
            pt_unmap(&w->forest, gpa, pages, views, &pool, &retire);
            if (step % 4 != 3) {
                assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
                pt_map(&w->forest, &run, &pool, &retire);
            }
            pt_pool_free(&w->forest, &pool);
            pt_retire_free(&w->forest, &retire);
        }
        for (uint64_t p = 0; p < 1700; p++) {
            struct pt_hit hit, other;

            assert_int_equal(pt_lookup(&w->forest, 0, cordon_gpa_make(p * PAGE), &hit), 0);
            for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
                assert_int_equal(pt_lookup(&w->forest, view, cordon_gpa_make(p * PAGE), &other), 0);
                assert_int_equal(other.leaf, hit.leaf);
                assert_true(!hit.leaf || other.pte == hit.pte);
            }
        }
    }
    world_close(w);
}

/* [Priv Svnapot] Each of its words leads to all 16 pages. */
static void a_part_of_64_kib_is_linked_by_the_page(void **state)
{
    struct world *w = world_open_windows(&pt_sv39x4);

    (void)state;
    w->forest.napot = true;
    world_map(w, 1, GIB, 4 * GIB, 48, CORDON_RW);
    world_check(w);
    assert_int_equal(w->runs, 3);
    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    assert_int_equal(pt_view_link(&w->forest, 0, 1, cordon_gpa_make(GIB + 5 * PAGE), 23 * PAGE), 0);
    oracle_set(w, 2, GIB + 5 * PAGE, 23, 4 * GIB + 5 * PAGE, CORDON_RW);
    world_check(w);
    assert_int_equal(w->runs, 3); /* none of them in the new view */
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_granted_to_all_is_written_once),
        cmocka_unit_test(views_with_tables_of_their_own_share_what_is_new_to_both),
        cmocka_unit_test(a_view_without_tables_is_not_taken_for_one_that_shares),
        cmocka_unit_test(a_grant_to_one_view_unshares_the_way_to_it_and_no_more),
        cmocka_unit_test(what_was_shared_a_moment_ago_is_asked_again),
        cmocka_unit_test(a_table_that_is_taken_out_whole_is_told),
        cmocka_unit_test(revoking_from_one_view_leaves_the_others),
        cmocka_unit_test(a_hole_is_no_reason_to_unshare),
        cmocka_unit_test(other_rights_for_one_view_unshare),
        cmocka_unit_test(a_leaf_of_each_root_splits_into_one_table),
        cmocka_unit_test(a_linked_view_shares_what_lies_wholly_inside),
        cmocka_unit_test(a_part_of_a_superpage_is_linked_as_smaller_leaves),
        cmocka_unit_test(a_link_of_nothing_leaves_nothing),
        cmocka_unit_test(a_link_over_a_hole_of_a_shared_table_unshares_nothing),
        cmocka_unit_test(a_link_that_is_refused_changes_nothing),
        cmocka_unit_test(views_are_added_once_and_not_past_the_last),
        cmocka_unit_test(shared_and_separate_answer_alike),
        cmocka_unit_test(a_part_of_64_kib_is_linked_by_the_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
