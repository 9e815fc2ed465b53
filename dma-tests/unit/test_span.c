/* Sorted ranges, and the regions made of them. */
#include "map_bench.h"

#include <stdlib.h>

#define KEYS 4096u

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* ---- the tree ----------------------------------------------------------------------------- */

/* log2 of n, rounded up. */
static unsigned log2_of(uint64_t n)
{
    return 64u - (unsigned)__builtin_clzll(n);
}

static void fill(struct span_set *s, uint64_t (*key)(uint64_t), uint64_t count)
{
    assert_int_equal(span_reserve(s, count), 0);
    for (uint64_t i = 0; i < count; i++) {
        (void)span_insert(s, 10 * key(i), 1 + i % 10, (uint32_t)i, ~i);
    }
}

static uint64_t ascending(uint64_t i)
{
    return i;
}

static uint64_t descending(uint64_t i)
{
    return KEYS - i;
}

static uint64_t from_both_ends(uint64_t i)
{
    return (i & 1) != 0 ? KEYS - i / 2 : i / 2;
}

static uint64_t by_halves(uint64_t i)
{
    uint64_t r = 0;

    for (unsigned bit = 0; bit < 12; bit++) {
        r |= (i >> bit & 1) << (11 - bit);
    }
    return r;
}

static void test_no_order_of_insertion_makes_the_tree_deep(void **state)
{
    uint64_t (*const orders[])(uint64_t) = {ascending, descending, from_both_ends, by_halves};
    struct map_bench b;

    (void)state;
    bench_open(&b, 8 * MIB);
    for (size_t o = 0; o < 4; o++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct span_set s;

            span_set_init(&s, b.ctx, seed);
            fill(&s, orders[o], KEYS);
            assert_int_equal(s.count, KEYS);
            assert_true(span_depth(&s) <= 4 * log2_of(KEYS));
            span_set_clear(&s);
        }
    }
    bench_close(&b);
}

/* What a sorted array would answer. */
static void compare_with_array(const struct span_set *s, const uint64_t *first, size_t count,
                               uint64_t page)
{
    struct span *below, *above;
    size_t i = 0;

    while (i < count && first[i] <= page) {
        i++;
    }
    span_around(s, page, &below, &above);
    assert_true(i > 0 ? below != NULL && below->first == first[i - 1] : below == NULL);
    assert_true(i < count ? above != NULL && above->first == first[i] : above == NULL);
    bool inside = below != NULL && page < span_end(below);

    assert_ptr_equal(span_find(s, page), inside ? below : NULL);
    assert_ptr_equal(span_next(s, page), inside ? below : above);
    assert_ptr_equal(below != NULL ? span_after(below) : above, above);
    assert_ptr_equal(above != NULL ? span_before(above) : below, below);
    assert_int_equal(span_clear_of(s, page, 3),
                     !inside && (above == NULL || above->first >= page + 3));
}

static void test_answers_are_those_of_a_sorted_array(void **state)
{
    struct map_bench b;
    struct span_set s;
    uint64_t seed = 77, *first = calloc(512, sizeof(*first));
    size_t count = 0;

    (void)state;
    bench_open(&b, 8 * MIB);
    span_set_init(&s, b.ctx, 5);
    for (unsigned step = 0; step < 6000; step++) {
        uint64_t at = bench_random(&seed) % 1000 * 7;
        struct span *here = span_find(&s, at);

        if (here != NULL && here->first == at) {
            for (size_t i = 0; i < count; i++) {
                first[i] = first[i] == at ? UINT64_MAX : first[i];
            }
            qsort(first, count--, sizeof(*first), compare);
            span_remove(&s, here);
        } else if (count < 512) {
            assert_int_equal(span_reserve(&s, 1), 0);
            (void)span_insert(&s, at, 1 + at % 7, 3, at);
            first[count++] = at;
            qsort(first, count, sizeof(*first), compare);
        }
        assert_int_equal(s.count, count);
        compare_with_array(&s, first, count, bench_random(&seed) % 7000);
    }
    span_set_clear(&s);
    free(first);
    bench_close(&b);
}

static void test_reserved_nodes_need_no_allocation(void **state)
{
    struct map_bench b;
    struct span_set s;

    (void)state;
    bench_open(&b, 8 * MIB);
    uint64_t before = bench_state(&b);

    span_set_init(&s, b.ctx, 1);
    assert_int_equal(span_reserve(&s, 300), 0);
    b.record.fail_at = b.record.allocations + 1;
    for (uint64_t i = 0; i < 300; i++) {
        (void)span_insert(&s, i, 1, 0, 0);
    }
    assert_int_equal(b.record.allocations + 1, b.record.fail_at);
    for (uint64_t i = 0; i < 300; i++) {
        span_remove(&s, span_find(&s, i));
    }
    span_trim(&s);
    assert_int_equal(bench_state(&b), before);

    /* A reserve that fails half way leaves nothing behind once it is trimmed. */
    b.record.fail_at = b.record.allocations + 3;
    assert_int_equal(span_reserve(&s, 300), -CORDON_ENOMEM);
    span_trim(&s);
    assert_int_equal(bench_state(&b), before);
    bench_close(&b);
}

static void insert_unreserved(void *arg)
{
    (void)span_insert(arg, 1, 1, 0, 0);
}

static void test_inserting_without_a_reserve_stops_us(void **state)
{
    struct map_bench b;
    struct span_set s;

    (void)state;
    bench_open(&b, 8 * MIB);
    span_set_init(&s, b.ctx, 1);
    assert_true(bench_aborts(insert_unreserved, &s));
    bench_close(&b);
}

/* ---- regions ------------------------------------------------------------------------------ */

#define PAGES 200u

/* Every page's attributes agree with ATTR (0: none), and no two neighbours could be one region. */
static void compare_regions(const struct regions *r, const uint32_t *attr)
{
    const struct span *last = NULL;

    for (uint64_t page = 0; page < PAGES; page++) {
        const struct span *s = span_find(&r->set, page);

        assert_int_equal(s != NULL ? s->attr : 0, attr[page]);
        if (s != NULL && last != NULL && s != last && span_end(last) == s->first) {
            assert_int_not_equal(s->attr, last->attr);
        }
        last = s;
    }
}

static bool all_set(const uint32_t *attr, uint64_t first, uint64_t pages, bool set)
{
    for (uint64_t i = first; i < first + pages; i++) {
        if ((attr[i] != 0) != set) {
            return false;
        }
    }
    return true;
}

static void insert(struct regions *r, uint64_t first, uint64_t pages, uint32_t attr)
{
    struct span *below, *above;

    span_around(&r->set, first, &below, &above);
    regions_insert(r, first, pages, attr, below, above);
}

static void test_regions_are_those_of_a_page_array(void **state)
{
    struct map_bench b;
    struct regions r;
    uint32_t attr[PAGES] = {0};
    uint64_t seed = 99;

    (void)state;
    bench_open(&b, 8 * MIB);
    span_set_init(&r.set, b.ctx, 3);
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t first = bench_random(&seed) % PAGES;
        uint64_t pages = 1 + bench_random(&seed) % 24;
        uint32_t perms = (bench_random(&seed) & 1) != 0 ? RW : RWX;
        uint32_t flags = (uint32_t)bench_random(&seed) & CORDON_REGION_NODMA;

        pages = pages > PAGES - first ? PAGES - first : pages;
        assert_int_equal(regions_cover(&r, first, pages), all_set(attr, first, pages, true));
        assert_int_equal(span_reserve(&r.set, REGION_NODES_PER_OP), 0);
        if (all_set(attr, first, pages, false)) {
            insert(&r, first, pages, region_attr(perms, flags));
            for (uint64_t i = 0; i < pages; i++) {
                attr[first + i] = region_attr(perms, flags);
            }
        } else if (all_set(attr, first, pages, true)) {
            bool remove = (bench_random(&seed) & 1) != 0;

            if (remove) {
                regions_remove(&r, first, pages, span_find(&r.set, first));
            } else {
                regions_protect(&r, first, pages, perms, span_find(&r.set, first));
            }
            for (uint64_t i = 0; i < pages; i++) {
                attr[first + i] = remove ? 0 : region_attr(perms, attr[first + i] >> 8);
            }
        }
        if (step % 16 == 0) {
            compare_regions(&r, attr);
        }
    }
    span_set_clear(&r.set);
    bench_close(&b);
}

static void test_one_operation_needs_two_nodes_at_most(void **state)
{
    struct map_bench b;
    struct regions r;

    (void)state;
    bench_open(&b, 8 * MIB);
    span_set_init(&r.set, b.ctx, 3);
    assert_int_equal(span_reserve(&r.set, 8), 0);
    insert(&r, 0, 100, region_attr(RW, 0));
    uint64_t free_before = r.set.free_nodes;

    regions_protect(&r, 40, 20, CORDON_READ, span_find(&r.set, 40));
    assert_int_equal(free_before - r.set.free_nodes, 2);
    regions_protect(&r, 40, 20, RW, span_find(&r.set, 40));
    assert_int_equal(free_before, r.set.free_nodes);
    regions_remove(&r, 40, 20, span_find(&r.set, 40));
    assert_int_equal(free_before - r.set.free_nodes, 1);
    span_set_clear(&r.set);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_order_of_insertion_makes_the_tree_deep),
        cmocka_unit_test(test_answers_are_those_of_a_sorted_array),
        cmocka_unit_test(test_reserved_nodes_need_no_allocation),
        cmocka_unit_test(test_inserting_without_a_reserve_stops_us),
        cmocka_unit_test(test_regions_are_those_of_a_page_array),
        cmocka_unit_test(test_one_operation_needs_two_nodes_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
