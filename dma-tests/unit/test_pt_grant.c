/*
 * Grants backed by lists of extents: any cut of the same frames gives the same tables, and a
 * reserve that is exact to the frame.
 */
#include "test_pt_world.h"

#define EXTENTS 6000u

struct list {
    struct cordon_extent extent[EXTENTS];
    uint64_t count, pages;
};

static void add(struct list *l, uint64_t hpa, uint64_t pages)
{
    assert_true(l->count < EXTENTS);
    l->extent[l->count++] = (struct cordon_extent){cordon_hpa_make(hpa), pages * PAGE};
    l->pages += pages;
}

static void oracle_list(struct world *w, uint32_t views, uint64_t linear, const struct list *l,
                        uint32_t perms)
{
    for (uint64_t i = 0; i < l->count; i++) {
        uint64_t pages = l->extent[i].len / PAGE;

        oracle_set(w, views, linear, pages, l->extent[i].hpa.v, perms);
        linear += pages * PAGE;
    }
}

/* Grant a list; with EXACT no table may be left over. */
static void grant_list(struct world *w, uint32_t views, uint64_t linear, const struct list *l,
                       bool exact)
{
    struct pt_grant grant = {
        cordon_gpa_make(world_gpa(w, linear)), l->extent, l->count, CORDON_RWX, views, 0};
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};

    assert_int_equal(pt_reserve_grant(&w->forest, &grant, &pool), 0);
    pt_map_grant(&w->forest, &grant, &pool, &retire);
    assert_true(!exact || pool.count == 0);
    pt_pool_free(&w->forest, &pool);
    assert_int_equal(retire.count, 0);
    oracle_list(w, views, linear, l, CORDON_RWX);
    world_check(w);
}

static struct world *open_two(const struct pt_fmt *fmt)
{
    struct world *w = world_open_windows(fmt);

    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    return w;
}

/* Pieces of all sizes, some of them neighbours in host memory, from a random start. */
static void random_list(struct list *l, uint64_t *seed, uint64_t linear, uint64_t room)
{
    static const uint64_t size[] = {1, 1, 1, 2, 3, 64, 511, 512, 513, 1500};
    uint64_t end = 0;

    l->count = 0;
    l->pages = 0;
    while (l->pages < room) {
        uint64_t at = linear + l->pages * PAGE, pages = size[world_random(seed) % 10];
        uint64_t hpa = (world_random(seed) & 0xffffff) * PAGE;

        pages = pages < room - l->pages ? pages : room - l->pages;
        if (world_random(seed) % 3 == 0) {
            hpa = end; /* goes on where the last one ended */
        } else if (world_random(seed) % 2) {
            hpa = (hpa & ~(2 * MIB - 1)) | (at & (2 * MIB - 1));
        }
        add(l, hpa, pages);
        end = hpa + pages * PAGE;
    }
}

static void lists_of_any_cut_map_what_they_say(void **state)
{
    static struct list list;
    uint64_t seed = 4242;

    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = open_two(world_formats[i]);

        for (unsigned k = 0; k < 60; k++) {
            uint64_t linear = GIB - 4 * MIB + world_random(&seed) % 2000 * PAGE;
            uint32_t views = 1 + (uint32_t)(world_random(&seed) % 3);

            if (k % 4 == 0) {
                /* Something stands behind, so that tables are there already. */
                world_map(w, 3, GIB + 40 * MIB + PAGE, 0, 1, CORDON_RW);
                world_map(w, views, linear - PAGE, 0, 1, CORDON_RW);
            }
            random_list(&list, &seed, linear, 1 + world_random(&seed) % 9000);
            grant_list(w, views, linear, &list, true);
            world_unmap(w, 3, GIB - 4 * MIB, 262144);
            world_check(w);
        }
        world_close(w);
    }
}

static void the_first_and_last_page_of_the_space_take_lists(void **state)
{
    static struct list list;

    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = open_two(world_formats[i]);
        uint64_t space = UINT64_C(1) << w->fmt->address_bits;

        list.count = list.pages = 0;
        for (unsigned k = 0; k < 700; k++) {
            add(&list, (3000 - k) * PAGE, 1);
        }
        grant_list(w, 3, 0, &list, true);
        grant_list(w, 3, space - 700 * PAGE, &list, true);
        world_close(w);
    }
}

/* Neighbours in host memory are one run: 512 of them, aligned, are one 2 MiB leaf. */
static void neighbours_get_the_leaves_of_one_run(void **state)
{
    static struct list list;
    struct world *w = open_two(&pt_sv39x4);

    (void)state;
    list.count = list.pages = 0;
    add(&list, 9 * GIB, 5);
    for (unsigned k = 0; k < 1024 + 100; k++) {
        add(&list, 4 * GIB + (507 + k - 507) * PAGE, 1);
    }
    grant_list(w, 3, GIB - 5 * PAGE, &list, true);
    assert_int_equal(w->leaves[1], 2 * 2);
    assert_int_equal(w->leaves[0], 2 * 105);
    world_close(w);
}

/* HEAD single pages, then COUNT 2 MiB frames, each before the last one in host memory. */
static void grant_descending(struct world *w, struct list *l, uint64_t linear, unsigned head,
                             unsigned count)
{
    l->count = l->pages = 0;
    for (unsigned k = 0; k < head; k++) {
        add(l, (head - k) * PAGE, 1);
    }
    for (unsigned k = 0; k < count; k++) {
        add(l, 8 * GIB + (count - k) * 2 * MIB, 512);
    }
    grant_list(w, 3, linear, l, true);
}

static void superpages_out_of_order_get_large_leaves(void **state)
{
    static struct list list;
    struct world *w = open_two(&pt_sv39x4);

    (void)state;
    grant_descending(w, &list, GIB - 4 * MIB, 0, 515); /* over two borders */
    assert_int_equal(w->leaves[1], 2 * 515);
    assert_int_equal(w->leaves[0], 0);
    world_close(w);

    w = open_two(&pt_sv39x4);
    grant_descending(w, &list, GIB - 3 * MIB, 3, 64); /* where none can be a superpage */
    assert_int_equal(w->leaves[1], 0);
    assert_int_equal(w->leaves[0], 2 * (64 * 512 + 3));
    world_close(w);
}

/* Long enough, and at a border of the guest's, but not at one of the host's. */
static void extents_of_2m_across_host_borders_get_small_leaves(void **state)
{
    static struct list list;
    struct world *w = open_two(&pt_sv39x4);

    (void)state;
    list.count = list.pages = 0;
    for (unsigned k = 0; k < 4; k++) {
        add(&list, 8 * GIB - 4 * k * MIB + PAGE, 512);
    }
    grant_list(w, 3, GIB, &list, true);
    assert_int_equal(w->leaves[1], 0);
    assert_int_equal(w->leaves[0], 2 * 4 * 512);
    world_close(w);
}

/* Frames of 2 MiB in the midst of a list, that follow each other over a whole aligned GiB. */
static void neighbouring_superpages_get_one_leaf(void **state)
{
    static struct list list;
    struct world *w = open_two(&pt_sv39x4);

    (void)state;
    list.count = list.pages = 0;
    add(&list, 8 * MIB, 512);
    add(&list, 4 * MIB, 512);
    for (unsigned k = 0; k < 512; k++) {
        add(&list, 3 * GIB + k * 2 * MIB, 512);
    }
    add(&list, 2 * MIB, 512);
    add(&list, PAGE, 1);
    grant_list(w, 3, GIB - 4 * MIB, &list, true);
    assert_int_equal(w->leaves[2], 2);
    assert_int_equal(w->leaves[1], 2 * 3);
    assert_int_equal(w->leaves[0], 2);
    world_close(w);
}

/* 512 separate changes in one leaf table's part take one table, not 512. */
static void runs_side_by_side_are_reserved_for_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = open_two(world_formats[i]);
        struct pt_pool pool = {0};
        struct pt_retire retire = {0};

        for (unsigned turn = 0; turn < 2; turn++) {
            for (uint64_t k = 0; k < 1024; k++) {
                struct pt_run run = {cordon_gpa_make(k * PAGE), cordon_hpa_make((5000 - k) * PAGE),
                                     1, CORDON_RWX, 3};

                if (turn == 0) {
                    assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
                } else {
                    pt_map(&w->forest, &run, &pool, &retire);
                    oracle_set(w, 3, k * PAGE, 1, run.hpa.v, CORDON_RWX);
                }
            }
            assert_int_equal(pool.count, turn == 0 ? w->fmt->levels : 0);
        }
        world_check(w);
        world_close(w);
    }
}

/* For one view among sharers, side by side too: each copy is counted once. */
static void copies_are_reserved_for_once(void **state)
{
    static struct list list;
    struct world *w = open_two(&pt_sv48x4);

    (void)state;
    list.count = list.pages = 0;
    for (unsigned k = 0; k < 600; k++) {
        add(&list, (3000 - k) * PAGE, 1);
    }
    world_map(w, 3, 0, GIB, 1, CORDON_RW);
    world_map(w, 3, 3 * MIB, GIB, 1, CORDON_RW);
    grant_list(w, 1, PAGE, &list, true);
    world_close(w);
}

static int reserve_list(struct world *w, uint64_t gpa, const struct cordon_extent *x,
                        uint64_t count, uint32_t perms)
{
    struct pt_grant grant = {cordon_gpa_make(gpa), x, count, perms, 1, 0};
    struct pt_pool pool = {0};
    int error = pt_reserve_grant(&w->forest, &grant, &pool);

    pt_pool_free(&w->forest, &pool);
    return error;
}

static void what_no_leaf_can_say_is_refused(void **state)
{
    struct world *w = world_open(&pt_sv39x4);
    uint64_t top = UINT64_C(1) << 56, frames = world_table_frames(w);
    const struct cordon_extent good = {{0}, PAGE};
    struct cordon_extent bad[][2] = {{{{1}, PAGE}, good},
                                     {{{0}, 4097}, good},
                                     {{{0}, 0}, good},
                                     {good, {{0}, 0}},
                                     {{{top}, PAGE}, good},
                                     {good, {{top - PAGE}, 2 * PAGE}},
                                     {{{top - PAGE}, top}, good},
                                     {{{PAGE}, UINT64_MAX - PAGE + 1}, good}};
    const int error[] = {-CORDON_EALIGN, -CORDON_EALIGN, -CORDON_ERANGE, -CORDON_ERANGE,
                         -CORDON_ERANGE, -CORDON_ERANGE, -CORDON_ERANGE, -CORDON_ERANGE};
    static struct cordon_extent huge[513];
    const struct cordon_extent empty = {{PAGE}, 0}, with_empty[] = {good, empty};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(reserve_list(w, 0, bad[i], 2, CORDON_RW), error[i]);
    }
    /* Lengths whose sum is 2^64 and a page. */
    for (unsigned i = 0; i < 512; i++) {
        huge[i] = (struct cordon_extent){{0}, top / 2};
    }
    huge[512] = good;
    assert_int_equal(reserve_list(w, 0, huge, 513, CORDON_RW), -CORDON_ERANGE);
    assert_int_equal(reserve_list(w, 0, &empty, 1, CORDON_RW), -CORDON_ERANGE);
    assert_int_equal(reserve_list(w, 0, with_empty, 2, CORDON_RW), -CORDON_ERANGE);
    assert_int_equal(reserve_list(w, 0, &good, 0, CORDON_RW), -CORDON_ERANGE);
    assert_int_equal(reserve_list(w, 1, &good, 1, CORDON_RW), -CORDON_EALIGN);
    assert_int_equal(reserve_list(w, UINT64_C(1) << 41, &good, 1, CORDON_RW), -CORDON_ERANGE);
    for (uint32_t perms = 0; perms < 32; perms++) {
        bool legal = perms == 1 || perms == 3 || perms == 4 || perms == 5 || perms == 7;

        assert_int_equal(reserve_list(w, 0, &good, 1, perms), legal ? 0 : -CORDON_EINVAL);
    }
    assert_int_equal(world_table_frames(w), frames);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_any_cut_map_what_they_say),
        cmocka_unit_test(the_first_and_last_page_of_the_space_take_lists),
        cmocka_unit_test(neighbours_get_the_leaves_of_one_run),
        cmocka_unit_test(superpages_out_of_order_get_large_leaves),
        cmocka_unit_test(extents_of_2m_across_host_borders_get_small_leaves),
        cmocka_unit_test(neighbouring_superpages_get_one_leaf),
        cmocka_unit_test(runs_side_by_side_are_reserved_for_once),
        cmocka_unit_test(copies_are_reserved_for_once),
        cmocka_unit_test(what_no_leaf_can_say_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
