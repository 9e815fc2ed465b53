/* Reading tables: where walks end, leaf by leaf, table by table, and words that nobody of us
 * wrote. */
#include "test_pt_world.h"

static int lookup(const struct world *w, uint64_t gpa, struct pt_hit *hit)
{
    return pt_lookup(&w->forest, 0, cordon_gpa_make(gpa), hit);
}

static void a_lookup_ends_where_the_hardware_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);
        unsigned top = w->fmt->levels - 1u;
        struct pt_hit hit;

        assert_int_equal(lookup(w, 0, &hit), 0);
        assert_false(hit.leaf);
        assert_int_equal(hit.level, top);
        assert_int_equal(hit.word.v, w->forest.root[0].v);
        assert_int_equal(hit.pte, 0);

        world_map(w, 1, 3 * PAGE, 0x123456000, 1, CORDON_RW);
        assert_int_equal(lookup(w, 3 * PAGE + 4095, &hit), 0);
        assert_true(hit.leaf);
        assert_int_equal(hit.level, 0);
        assert_int_equal(hit.pte, (0x123456 << 10) | w->fmt->leaf_bits | 6);
        assert_int_equal(*world_words(w, hit.word.v), hit.pte);
        assert_int_equal(hit.word.v % PAGE, 3 * 8);

        assert_int_equal(lookup(w, 4 * PAGE, &hit), 0);
        assert_false(hit.leaf);
        assert_int_equal(hit.level, 0);
        assert_int_equal(hit.word.v % PAGE, 4 * 8);

        assert_int_equal(lookup(w, 2 * MIB, &hit), 0);
        assert_false(hit.leaf);
        assert_int_equal(hit.level, 1);
        assert_int_equal(hit.word.v % PAGE, 8);
        world_close(w);
    }
}

static void a_lookup_outside_the_width_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);
        unsigned bits = w->fmt->address_bits;
        struct pt_hit hit = {.level = 99};

        for (unsigned bit = bits; bit < 64; bit++) {
            assert_int_equal(lookup(w, UINT64_C(1) << bit, &hit), -CORDON_ERANGE);
        }
        if (i >= 3) {
            assert_int_equal(lookup(w, UINT64_C(1) << (bits - 1), &hit), -CORDON_ERANGE);
            assert_int_equal(lookup(w, ~(UINT64_C(1) << (bits - 1)), &hit), -CORDON_ERANGE);
            assert_int_equal(hit.level, 99);
            assert_int_equal(lookup(w, UINT64_C(0) - (UINT64_C(1) << (bits - 1)), &hit), 0);
        } else {
            assert_int_equal(hit.level, 99);
            assert_int_equal(lookup(w, (UINT64_C(1) << bits) - 1, &hit), 0);
        }
        world_close(w);
    }
}

/* A way down to 4 KiB, with a 2 MiB and a 1 GiB leaf beside it. */
static struct world *open_corruptible(const struct pt_fmt *fmt)
{
    struct world *w = world_open_windows(fmt);

    world_map(w, 1, 0, 0x40000000, 1, CORDON_RWX);
    world_map(w, 1, 2 * MIB, 0x40200000, 512, CORDON_RWX);
    world_map(w, 1, GIB, 0x40000000, 262144, CORDON_RWX);
    return w;
}

/* Write WORD over the one that a walk to LINEAR meets at LEVEL; every reader must name it. */
static void expect_corrupt(struct world *w, uint64_t linear, unsigned level, uint64_t word)
{
    uint64_t table = w->forest.root[0].v, *at, kept;
    cordon_gpa gpa = cordon_gpa_make(linear);
    struct pt_hit hit;

    for (unsigned l = w->fmt->levels - 1u;; l--) {
        at = &world_words(w, table)[linear >> (12 + 9 * l) & 511];
        if (l == level) {
            break;
        }
        table = *at >> 10 << 12;
    }
    kept = *at;
    *at = word;
    assert_int_equal(lookup(w, linear, &hit), -CORDON_ECORRUPT);
    assert_int_equal(hit.level, level);
    assert_int_equal(hit.pte, word);
    assert_ptr_equal(world_words(w, hit.word.v), at);
    assert_int_equal(pt_next_leaf(&w->forest, 0, &gpa, &hit), -CORDON_ECORRUPT);
    assert_int_equal(hit.pte, word);
    *at = kept;
}

static void words_of_nobody_are_named(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = open_corruptible(world_formats[i]);
        uint64_t leaf = w->fmt->leaf_bits | 0xe | UINT64_C(0x40000) << 10;
        uint64_t root = w->forest.root[0].v >> 12 << 10;

        /* One bit too many, or too few, in each kind of word. */
        for (unsigned bit = 54; bit < 64; bit++) {
            uint64_t odd = bit == 61 || bit == 62 ? UINT64_C(3) << 61 : UINT64_C(1) << bit;

            expect_corrupt(w, 0, 0, leaf | odd);
            expect_corrupt(w, 2 * MIB, 1, leaf | odd);
            expect_corrupt(w, 0, 1, root | 1 | UINT64_C(1) << bit);
        }
        for (unsigned bit = 4; bit < 10; bit++) {
            expect_corrupt(w, 2 * MIB, 1, leaf ^ UINT64_C(1) << bit);
            if (bit != 6 && bit != 7) { /* A and D of 4 KiB leaves may be clear */
                expect_corrupt(w, 0, 0, leaf ^ UINT64_C(1) << bit);
            }
            expect_corrupt(w, 0, 1, root | 1 | UINT64_C(1) << bit);
        }
        expect_corrupt(w, 0, 0, leaf & ~UINT64_C(2));   /* W without R, with X */
        expect_corrupt(w, 0, 0, leaf & ~UINT64_C(0xa)); /* W alone */
        expect_corrupt(w, 0, 0, leaf & ~UINT64_C(1));   /* contents without V */
        expect_corrupt(w, 0, 1, root);
        expect_corrupt(w, 0, 0, root | 1);                       /* non-leaf at the lowest level */
        expect_corrupt(w, 2 * MIB, 1, leaf | UINT64_C(1) << 10); /* misaligned by one page */
        expect_corrupt(w, 2 * MIB, 1, leaf | UINT64_C(1) << 18);
        expect_corrupt(w, GIB, 2, leaf | UINT64_C(1) << 19);
        expect_corrupt(w, GIB, 2, leaf | UINT64_C(1) << 27);
        for (unsigned level = 3; level < w->fmt->levels; level++) {
            expect_corrupt(w, 0, level, w->fmt->leaf_bits | 0xe); /* a leaf above 1 GiB */
        }
        world_close(w);
    }
}

static int stop_never(void *arg, cordon_hpa table, uint32_t level)
{
    (void)table;
    (void)level;
    ++*(unsigned *)arg;
    return 0;
}

static void tables_that_are_none_are_not_followed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = open_corruptible(world_formats[i]);
        uint64_t *root = world_words(w, w->forest.root[0].v), kept = root[0];
        /* Below RAM, above it, as far as a PPN reaches; and RAM that is no table. */
        uint64_t wrong[] = {0, WORLD_RAM - PAGE, WORLD_RAM + WORLD_SIZE,
                            ((UINT64_C(1) << 44) - 1) << 12, 0};
        unsigned count = 0;

        for (uint64_t f = 0; f < WORLD_FRAMES; f++) {
            uint64_t hpa = WORLD_RAM + f * PAGE;

            if ((frames_word(w->ctx, cordon_hpa_make(hpa)) & 7) == CORDON_FRAME_FREE) {
                wrong[4] = hpa;
            }
        }
        assert_int_not_equal(wrong[4], 0);
        for (unsigned k = 0; k < 5; k++) {
            unsigned top = w->fmt->levels - 1u;

            for (unsigned level = top; level >= 1; level--) {
                expect_corrupt(w, 0, level, wrong[k] >> 12 << 10 | 1);
            }
            root[0] = wrong[k] >> 12 << 10 | 1;
            assert_int_equal(pt_each_table(&w->forest, 0, stop_never, &count), -CORDON_ECORRUPT);
            root[0] = kept | 0x40;
            assert_int_equal(pt_each_table(&w->forest, 0, stop_never, &count), -CORDON_ECORRUPT);
            root[0] = kept;
        }
        world_close(w);
    }
}

/* Map single pages at the given linear addresses, then meet them again in order. */
static void leaves_come_in_order_from_end_to_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);
        uint64_t space = UINT64_C(1) << w->fmt->address_bits;
        const struct {
            uint64_t linear, pages, level;
        } leaf[] = {{0, 1, 0},           {2 * MIB - PAGE, 1, 0},      {2 * MIB, 512, 1},
                    {GIB, 262144, 2},    {2 * GIB + 2 * MIB, 512, 1}, {space - 4 * MIB, 512, 1},
                    {space - PAGE, 1, 0}};
        cordon_gpa gpa = cordon_gpa_make(0);
        struct pt_hit hit;

        assert_int_equal(pt_next_leaf(&w->forest, 0, &gpa, &hit), -CORDON_ENOENT);
        assert_int_equal(gpa.v, 0);
        for (unsigned k = 0; k < 7; k++) {
            world_map(w, 1, leaf[k].linear, (k + 1) * 8 * GIB + leaf[k].linear % GIB, leaf[k].pages,
                      CORDON_READ);
        }
        for (unsigned k = 0; k < 7; k++) {
            /* From its middle, a leaf is found by its start. */
            gpa.v += k == 3 ? 5 * MIB + 1 : 0;
            assert_int_equal(pt_next_leaf(&w->forest, 0, &gpa, &hit), 0);
            assert_int_equal(gpa.v, world_gpa(w, leaf[k].linear));
            assert_true(hit.leaf);
            assert_int_equal(hit.level, leaf[k].level);
            assert_int_equal(hit.pte, *world_words(w, hit.word.v));
            gpa.v += leaf[k].pages * PAGE;
            if (k == 2) {
                gpa.v = GIB;
            }
        }
        assert_int_equal(gpa.v, i >= 3 ? 0 : space);
        if (i < 3) {
            assert_int_equal(pt_next_leaf(&w->forest, 0, &gpa, &hit), -CORDON_ENOENT);
            gpa.v = UINT64_MAX;
            assert_int_equal(pt_next_leaf(&w->forest, 0, &gpa, &hit), -CORDON_ENOENT);
        } else {
            gpa.v = space / 2; /* the hole leads to the high half */
            assert_int_equal(pt_next_leaf(&w->forest, 0, &gpa, &hit), 0);
            assert_int_equal(gpa.v, world_gpa(w, space - 4 * MIB));
        }
        world_close(w);
    }
}

struct visits {
    uint32_t level[64];
    uint64_t hpa[64];
    unsigned count, stop_at;
};

static int visit(void *arg, cordon_hpa table, uint32_t level)
{
    struct visits *v = arg;

    v->hpa[v->count] = table.v;
    v->level[v->count++] = level;
    return v->count == v->stop_at ? 77 : 0;
}

static void each_table_comes_after_its_parent(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);
        uint64_t space = UINT64_C(1) << w->fmt->address_bits;
        unsigned levels = w->fmt->levels;
        struct visits v = {.stop_at = 0}, part = {.stop_at = 3};

        world_map(w, 1, 0, 0x40000000, 1, CORDON_RW);
        world_map(w, 1, 2 * MIB, 0x40000000, 1, CORDON_RW);
        world_map(w, 1, space - PAGE, 0x40000000, 1, CORDON_RW);
        assert_int_equal(pt_each_table(&w->forest, 0, visit, &v), 0);
        assert_int_equal(v.count, 2 * levels);
        assert_int_equal(v.hpa[0], w->forest.root[0].v);
        for (unsigned k = 0; k < levels; k++) {
            assert_int_equal(v.level[k], levels - 1 - k);
        }
        assert_int_equal(v.level[levels], 0);
        for (unsigned k = 1; k < levels; k++) {
            assert_int_equal(v.level[levels + k], levels - 1 - k);
        }
        assert_int_equal(pt_each_table(&w->forest, 0, visit, &part), 77);
        assert_int_equal(part.count, 3);
        world_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_ends_where_the_hardware_ends),
        cmocka_unit_test(a_lookup_outside_the_width_is_refused),
        cmocka_unit_test(words_of_nobody_are_named),
        cmocka_unit_test(tables_that_are_none_are_not_followed),
        cmocka_unit_test(leaves_come_in_order_from_end_to_end),
        cmocka_unit_test(each_table_comes_after_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
