/*
 * Every format, leaf size and right, at both ends of the address space and in its middle: mapped,
 * changed, split at each edge and taken away, beside the oracle. Which leaf sizes a run gets is
 * checked against a loop that tries the largest first at every page.
 */
#include "test_pt_world.h"

static const uint32_t legal_perms[] = {1, 3, 4, 5, 7};

/* Where a leaf of LEVEL fits in each window. Returns how many places. */
static unsigned places(const struct world *w, unsigned level, uint64_t *at)
{
    uint64_t span = PAGE << 9 * level, space = UINT64_C(1) << w->fmt->address_bits;
    unsigned count = 0;

    if (level == 2) {
        at[count++] = GIB;
        return count;
    }
    at[count++] = 0;
    at[count++] = 4 * MIB - span;
    at[count++] = 2 * GIB - span;
    at[count++] = space - span;
    if (w->fmt->sign_extended) {
        at[count++] = space / 2 - span;
        at[count++] = space / 2;
    }
    return count;
}

/* A lookup answers like the hardware's walk at the leaf's first and last byte, and not beside
 * it. */
static void check_lookup(const struct world *w, uint64_t linear, unsigned level, uint64_t pte)
{
    uint64_t span = PAGE << 9 * level;
    const uint64_t at[] = {linear, linear + span - 1, linear + span / 2};
    struct pt_hit hit;

    for (unsigned i = 0; i < 3; i++) {
        cordon_gpa gpa = cordon_gpa_make(world_gpa(w, at[i]));

        assert_int_equal(pt_lookup(&w->forest, 0, gpa, &hit), 0);
        assert_true(hit.leaf);
        assert_int_equal(hit.level, level);
        assert_int_equal(hit.pte, pte);
    }
}

static void one_leaf(struct world *w, uint64_t linear, unsigned level, uint32_t perms)
{
    uint64_t pages = UINT64_C(1) << 9 * level;
    uint64_t hpa = (UINT64_C(1) << 56) - (PAGE << 9 * level) * 3;
    uint64_t tables = world_table_frames(w);

    world_map(w, 1, linear, hpa, pages, perms);
    world_check(w);
    assert_int_equal(w->leaves[level], 1);
    check_lookup(w, linear, level, hpa >> 12 << 10 | w->fmt->leaf_bits | perms << 1);
    for (unsigned i = 0; i < 5; i++) {
        struct pt_retire retire = world_protect(w, 1, linear, pages, legal_perms[i]);

        world_check(w);
        assert_int_equal(w->leaves[level], 1);
        assert_false(retire.nonleaf);
        check_lookup(w, linear, level, hpa >> 12 << 10 | w->fmt->leaf_bits | legal_perms[i] << 1);
    }
    assert_true(world_unmap(w, 1, linear, pages).downgrade);
    world_check(w);
    assert_int_equal(world_table_frames(w), tables);
}

static void each_leaf_size_and_right_everywhere(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);

        for (unsigned level = 0; level <= 2; level++) {
            uint64_t at[8];
            unsigned count = places(w, level, at);

            for (unsigned k = 0; k < count * 5; k++) {
                one_leaf(w, at[k / 5], level, legal_perms[k % 5]);
            }
        }
        world_close(w);
    }
}

/* Take (or change) PAGES pages out of a leaf; what is left keeps its frames and rights, in the
 * largest leaves that the cut allows. */
static void cut(struct world *w, uint64_t linear, unsigned level, uint64_t first, uint64_t pages,
                bool unmap)
{
    uint64_t whole = UINT64_C(1) << 9 * level;
    struct pt_retire retire;

    world_map(w, 1, linear, 7 * GIB + linear % GIB, whole, CORDON_RWX);
    if (unmap) {
        retire = world_unmap(w, 1, linear + first * PAGE, pages);
    } else {
        retire = world_protect(w, 1, linear + first * PAGE, pages, CORDON_READ);
    }
    world_check(w);
    assert_true(retire.nonleaf);
    if (level == 2) {
        uint64_t head = first / 512, tail = (first + pages + 511) / 512;

        /* 2 MiB leaves stay wherever the cut does not end inside one. */
        assert_true(w->leaves[1] >= head + (512 - tail));
        assert_int_equal(w->leaves[2], 0);
    }
    world_unmap(w, 1, linear, whole);
    world_check(w);
}

static void a_leaf_is_split_where_a_change_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);

        for (unsigned level = 1; level <= 2; level++) {
            uint64_t whole = UINT64_C(1) << 9 * level, at[8];
            const struct {
                uint64_t first, pages;
            } part[] = {{0, 1},         {whole - 1, 1},         {0, whole - 1}, {1, whole - 1},
                        {whole / 2, 1}, {whole / 4, whole / 2}, {1, whole - 2}};
            unsigned count = places(w, level, at);

            for (unsigned k = 0; k < count * 14; k++) {
                cut(w, at[k / 14], level, part[k % 7].first, part[k % 7].pages, k % 14 < 7);
            }
        }
        assert_int_equal(world_table_frames(w),
                         w->frames_before + (UINT64_C(1) << (w->fmt->root_bits - 9)));
        world_close(w);
    }
}

/* How many leaves of each size the largest-first loop takes. */
static void greedy(uint64_t linear, uint64_t hpa, uint64_t pages, uint64_t *leaves)
{
    while (pages > 0) {
        unsigned level = 2;

        while ((linear | hpa) % (PAGE << 9 * level) != 0 || pages < UINT64_C(1) << 9 * level) {
            level--;
        }
        leaves[level]++;
        linear += PAGE << 9 * level;
        hpa += PAGE << 9 * level;
        pages -= UINT64_C(1) << 9 * level;
    }
}

static void the_largest_leaf_comes_first(void **state)
{
    uint64_t seed = 0x1234567;

    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);

        for (unsigned k = 0; k < 60; k++) {
            uint64_t shift = 12 + 9 * (world_random(&seed) % 3);
            uint64_t linear = GIB - 4 * MIB + world_random(&seed) % 1200 * PAGE;
            uint64_t room = (2 * GIB + 4 * MIB - linear) / PAGE;
            uint64_t pages =
                k % 3 == 0 ? room - world_random(&seed) % 900 : 1 + world_random(&seed) % 3000;
            uint64_t hpa = (5 * GIB + linear % (UINT64_C(1) << shift)) & ~(PAGE - 1);
            uint64_t want[3] = {0};

            hpa += world_random(&seed) % 8 << shift;
            greedy(linear, hpa, pages, want);
            world_map(w, 1, linear, hpa, pages, CORDON_RW);
            world_check(w);
            assert_memory_equal(w->leaves, want, sizeof(want));
            world_unmap(w, 1, linear, pages);
        }
        world_check(w);
        world_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_leaf_size_and_right_everywhere),
        cmocka_unit_test(a_leaf_is_split_where_a_change_ends),
        cmocka_unit_test(the_largest_leaf_comes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
