/*
 * Long random histories over three views with shared subtrees, in every format, with leaves of 64
 * KiB and without. After each step each view must say what the oracle says, and every count of
 * parents and entries must be the walker's.
 */
#include "test_pt_world.h"

#include "pt/merge.h"

#define STEPS 220
#define BATCH 4

static const uint32_t legal_perms[] = {1, 3, 4, 5, 7};
static bool dense;    /* the history stays in a few leaf tables */
static bool napot;    /* with leaves of 64 KiB */
static uint64_t runs; /* of these that were seen */
static const uint32_t view_sets[] = {7, 7, 7, 1, 1, 2, 3, 5, 6, 4};

/* Sizes and places that meet every leaf size and every way of sticking out. */
static uint64_t random_size(uint64_t *seed)
{
    static const uint64_t size[] = {1, 1, 2, 7, 64, 511, 512, 513, 1024, 3000};
    uint64_t n = world_random(seed) % 24;

    if (n == 0) {
        return 262144;
    }
    if (n == 1) {
        return 262144 + 700;
    }
    return size[n % 10];
}

/* A few pages near the bottom, so that one change after the other meets the same leaf tables. */
static void dense_range(uint64_t *seed, uint64_t *linear, uint64_t *pages)
{
    *linear = world_random(seed) % 600 * PAGE;
    *pages = 1 + world_random(seed) % (world_random(seed) % 8 == 0 ? 420 : 12);
}

/* A range inside one window, and inside one half of a sign-extended space. */
static void random_range(const struct world *w, uint64_t *seed, uint64_t *linear, uint64_t *pages)
{
    static const uint64_t grain[] = {1, 1, 16, 512, 512, 262144};

    if (dense) {
        dense_range(seed, linear, pages);
        return;
    }
    for (;;) {
        const struct window *n = &w->window[world_random(seed) % w->windows];
        uint64_t align = grain[world_random(seed) % 6];
        uint64_t first = n->first / PAGE + world_random(seed) % n->pages;
        uint64_t half = UINT64_C(1) << (w->fmt->address_bits - 13);

        first &= ~(align - 1);
        *pages = random_size(seed);
        if (first < n->first / PAGE || first + *pages > n->first / PAGE + n->pages) {
            continue;
        }
        if (w->fmt->sign_extended && (first < half) != (first + *pages - 1 < half)) {
            continue;
        }
        *linear = first * PAGE;
        return;
    }
}

/* Frames that differ from the address, but often not in their low bits. */
static uint64_t random_hpa(uint64_t *seed, uint64_t linear)
{
    static const unsigned same[] = {12, 16, 21, 21, 30, 30, 30};
    unsigned bits = same[world_random(seed) % 7];
    uint64_t hpa = (world_random(seed) & ((UINT64_C(1) << 55) - 1)) >> bits << bits;

    return (hpa | (linear & ((UINT64_C(1) << bits) - 1))) & ~(PAGE - 1);
}

static uint32_t random_views(const struct world *w, uint64_t *seed)
{
    uint32_t views = view_sets[world_random(seed) % 10] & w->forest.views;

    return views != 0 ? views : 1;
}

static void step_change(struct world *w, uint64_t *seed)
{
    uint32_t views = random_views(w, seed);
    uint32_t perms = legal_perms[world_random(seed) % 5];
    uint64_t linear, pages;
    unsigned tries = 0;

    random_range(w, seed, &linear, &pages);
    switch (world_random(seed) % 5) {
    case 0:
        world_unmap(w, views, linear, pages);
        return;
    case 1:
        world_protect(w, views, linear, pages, perms);
        return;
    default:
        while (!oracle_empty(w, views, linear, pages) && tries++ < 50) {
            random_range(w, seed, &linear, &pages);
        }
        if (tries < 50) {
            world_map(w, views, linear, random_hpa(seed, linear), pages, perms);
        } else {
            world_unmap(w, views, linear, pages);
        }
    }
}

static void forget_view(struct world *w, unsigned view)
{
    for (unsigned i = 0; i < w->windows; i++) {
        memset(w->window[i].page[view], 0, w->window[i].pages * sizeof(uint64_t));
    }
    w->mapped[view] = 0;
}

/* A view goes, and comes back empty. */
static void step_renew(struct world *w, unsigned view)
{
    struct pt_retire retire = {0};

    pt_view_remove(&w->forest, view, &retire);
    assert_true(retire.downgrade && retire.nonleaf && retire.count > 0);
    pt_retire_free(&w->forest, &retire);
    forget_view(w, view);
    world_check(w);
    assert_int_equal(pt_view_add(&w->forest, view), 0);
}

/* Link one window's part, or all of the address space, into a view that holds nothing there. */
static void step_link(struct world *w, uint64_t *seed, unsigned from, unsigned to)
{
    uint64_t linear, pages;

    random_range(w, seed, &linear, &pages);
    if (w->mapped[to] == 0 && world_random(seed) % 2) {
        assert_int_equal(pt_view_link(&w->forest, from, to, cordon_gpa_make(0), 0), 0);
        for (unsigned i = 0; i < w->windows; i++) {
            memcpy(w->window[i].page[to], w->window[i].page[from],
                   w->window[i].pages * sizeof(uint64_t));
        }
        w->mapped[to] = w->mapped[from];
        return;
    }
    if (!oracle_empty(w, 1u << to, linear, pages)) {
        return;
    }
    assert_int_equal(
        pt_view_link(&w->forest, from, to, cordon_gpa_make(world_gpa(w, linear)), pages * PAGE), 0);
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t *page = oracle_at(w, to, linear + i * PAGE);

        *page = *oracle_at(w, from, linear + i * PAGE);
        w->mapped[to] += *page != 0;
    }
}

/* Leaves come together, wherever they go on with each other. */
static void step_merge(struct world *w)
{
    const struct pt_merge all = {.last = UINT64_MAX >> 1,
                                 .to = (UINT64_C(1) << w->fmt->address_bits) - 1,
                                 .budget = UINT64_MAX};
    struct pt_retire retire = {0};
    struct pt_merged out;

    pt_merge(&w->forest, &all, &retire, &out);
    pt_retire_free(&w->forest, &retire);
}

static void history(const struct pt_fmt *fmt, uint64_t seed)
{
    struct world *w = world_open_windows(fmt);

    w->forest.napot = napot;
    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    assert_int_equal(pt_view_add(&w->forest, 2), 0);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t dice = world_random(&seed) % 24;
        unsigned to = 1 + world_random(&seed) % 2;

        if (dice == 0) {
            step_renew(w, to);
        } else if (dice <= 3) {
            step_link(w, &seed, world_random(&seed) % 2 ? 0 : 3 - to, to);
        } else {
            step_change(w, &seed);
        }
        if (napot && dice >= 20) {
            step_merge(w);
        }
        world_check(w);
        runs += w->runs;
    }
    world_close(w);
}

static void every_view_says_so_in_a_few_tables_too(void **state)
{
    (void)state;
    dense = true;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        for (uint64_t k = 0; k < 4; k++) {
            history(world_formats[i], 0xa0761d6478bd642fu + 977 * i + k);
        }
    }
    dense = false;
}

/* With one view every table is shared by all: what was met last is used again and again. */
static void one_view_says_what_the_oracle_says(void **state)
{
    (void)state;
    dense = true;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);
        uint64_t seed = 0xe7037ed1a0b428dbu + i;

        for (unsigned step = 0; step < 3 * STEPS; step++) {
            step_change(w, &seed);
            world_check(w);
        }
        world_close(w);
    }
    dense = false;
}

static void every_view_says_what_the_oracle_says(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        history(world_formats[i], 0x9e3779b97f4a7c15u + i);
        history(world_formats[i], 0xd1b54a32d192ed03u + i);
    }
}

static void every_view_says_so_with_leaves_of_64_kib(void **state)
{
    (void)state;
    napot = true;
    for (unsigned i = 0; i < WORLD_FORMATS; i += 3) { /* of each stage one */
        dense = true;
        history(world_formats[i], 0x8ebc6af09c88c6e3u + i);
        dense = false;
        history(world_formats[i], 0x589965cc75374cc3u + i);
    }
    assert_true(runs > 1000);
    napot = dense = false;
}

struct change {
    unsigned kind; /* 0 map, 1 protect, 2 unmap: the order of commit */
    uint32_t views, perms;
    uint64_t linear, pages, hpa;
};

static bool overlap(const struct change *c, unsigned count, uint64_t linear, uint64_t pages)
{
    for (unsigned i = 0; i < count; i++) {
        if (linear < c[i].linear + c[i].pages * PAGE && c[i].linear < linear + pages * PAGE) {
            return true;
        }
    }
    return false;
}

static unsigned plan(const struct world *w, uint64_t *seed, struct change *c)
{
    unsigned count = 0;

    for (unsigned tries = 0; count < BATCH && tries < 60; tries++) {
        struct change n = {.kind = (unsigned)(world_random(seed) % 3),
                           .views = random_views(w, seed)};

        n.perms = legal_perms[world_random(seed) % 5];
        random_range(w, seed, &n.linear, &n.pages);
        n.hpa = random_hpa(seed, n.linear);
        if (!overlap(c, count, n.linear, n.pages) &&
            (n.kind != 0 || oracle_empty(w, n.views, n.linear, n.pages))) {
            c[count++] = n;
        }
    }
    return count;
}

static void commit(struct world *w, const struct change *c, struct pt_pool *pool,
                   struct pt_retire *retire)
{
    cordon_gpa gpa = cordon_gpa_make(world_gpa(w, c->linear));
    struct pt_run run = {gpa, cordon_hpa_make(c->hpa), c->pages, c->perms, c->views};

    if (c->kind == 0) {
        pt_map(&w->forest, &run, pool, retire);
        oracle_set(w, c->views, c->linear, c->pages, c->hpa, c->perms);
    } else if (c->kind == 1) {
        pt_protect(&w->forest, gpa, c->pages, c->perms, c->views, pool, retire);
        oracle_set(w, c->views, c->linear, c->pages, ORACLE_RIGHTS, c->perms);
    } else {
        pt_unmap(&w->forest, gpa, c->pages, c->views, pool, retire);
        oracle_set(w, c->views, c->linear, c->pages, ORACLE_CLEAR, 0);
    }
}

/* Reserve for each of several changes first, then commit them all from one pool. */
static void transaction(struct world *w, uint64_t *seed)
{
    struct change c[BATCH];
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};
    unsigned count = plan(w, seed, c);

    for (unsigned i = 0; i < count; i++) {
        cordon_gpa gpa = cordon_gpa_make(world_gpa(w, c[i].linear));
        struct pt_run run = {gpa, cordon_hpa_make(c[i].hpa), c[i].pages, c[i].perms, c[i].views};

        assert_int_equal(c[i].kind == 0
                             ? pt_reserve_map(&w->forest, &run, &pool)
                             : pt_reserve_change(&w->forest, gpa, c[i].pages, c[i].views, &pool),
                         0);
    }
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned i = 0; i < count; i++) {
            if (c[i].kind == kind) {
                commit(w, &c[i], &pool, &retire);
            }
        }
    }
    pt_pool_free(&w->forest, &pool);
    pt_retire_free(&w->forest, &retire);
}

static void a_reserve_for_many_changes_suffices_for_all(void **state)
{
    uint64_t seed = 0x2545f4914f6cdd1du;

    (void)state;
    for (unsigned i = 0; i < WORLD_FORMATS; i++) {
        struct world *w = world_open_windows(world_formats[i]);

        w->forest.napot = i % 2;
        assert_int_equal(pt_view_add(&w->forest, 1), 0);
        assert_int_equal(pt_view_add(&w->forest, 2), 0);
        for (unsigned step = 0; step < STEPS / 2; step++) {
            transaction(w, &seed);
            world_check(w);
        }
        world_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_view_says_what_the_oracle_says),
        cmocka_unit_test(one_view_says_what_the_oracle_says),
        cmocka_unit_test(every_view_says_so_in_a_few_tables_too),
        cmocka_unit_test(every_view_says_so_with_leaves_of_64_kib),
        cmocka_unit_test(a_reserve_for_many_changes_suffices_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
