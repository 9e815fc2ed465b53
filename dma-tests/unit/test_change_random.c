/* Random changes of two maps, held against plain arrays, with an audit after each step. */
#include "map_arrays.h"
#include "pt/pt.h"

#define OPS 4u

static struct cordon_extent extent[OPS][64];
static uint64_t seed;
static uint32_t ctx_flags;

static uint64_t pick(uint64_t n)
{
    return bench_random(&seed) % n;
}

/* One of the next MOST allocations fails. */
static void fail_one(bool may_fail, uint64_t most)
{
    b.record.fail_at = may_fail ? b.record.allocations + 1 + pick(most) : 0;
}

static void check_some(void)
{
    for (unsigned k = 0; k < 40; k++) {
        const struct guest *g = &guest[pick(DOMAINS)];
        uint64_t i = pick(WINDOW);

        check_page(g, i);
        check_region(g, i);
    }
}

/* ---- operations --------------------------------------------------------------------------- */

static const uint32_t perms_of[] = {CORDON_READ, RW, RWX, CORDON_READ | CORDON_EXEC, CORDON_EXEC};
static const uint32_t flags_of[] = {0, 0, CORDON_REGION_NODMA, CORDON_REGION_KEEP};
static const uint32_t type_of[] = {0, CORDON_REGION_NC, CORDON_REGION_IO, 0};
static const uint32_t demand_of[] = {
    CORDON_REGION_DEMAND, CORDON_REGION_DEMAND | CORDON_REGION_HUGE,
    CORDON_REGION_DEMAND | CORDON_REGION_PROMISED,
    CORDON_REGION_DEMAND | CORDON_REGION_PROMISED | CORDON_REGION_HUGE};

/* Allocate the backing of a grant: one run, or pieces. */
static uint64_t backing(struct cordon_extent *e, uint64_t pages)
{
    size_t count = 64;
    struct cordon_run_want want = {.size = sizeof(want), .len = pages * PAGE};

    if (pages >= 512 && pick(2) == 0) {
        want.align = BLOCK;
    }
    if (pages > 64 || pick(3) != 0) {
        e->len = want.len;
        return cordon_run_alloc(b.ctx, &want, &e->hpa) == 0 ? 1 : 0;
    }
    return cordon_scatter_alloc(b.ctx, pages * PAGE, 1, pick(1000), e, &count) == 0 ? count : 0;
}

static bool clear_of(const struct guest *g, uint64_t first, uint64_t pages, bool clear)
{
    for (uint64_t i = first; i < first + pages; i++) {
        if (g->page[i].in == clear) {
            return false;
        }
    }
    return true;
}

static const uint32_t marks_of[] = {0,
                                    0,
                                    CORDON_REGION_LOG,
                                    CORDON_REGION_LOG,
                                    CORDON_REGION_PIN,
                                    CORDON_REGION_LOG | CORDON_REGION_PIN};

/* May what is present of the range be discarded? */
static bool may_go(const struct guest *g, uint64_t first, uint64_t pages)
{
    for (uint64_t i = first; i < first + pages; i++) {
        uint32_t flags = g->page[i].flags;

        if ((flags & (CORDON_REGION_DEMAND | CORDON_REGION_PIN)) != CORDON_REGION_DEMAND ||
            (g->views != 1 && (flags & CORDON_REGION_NODMA) == 0)) {
            return false;
        }
    }
    return true;
}

/* An operation on [FIRST, FIRST + PAGES) that should work, or kind 0. */
static struct cordon_op random_op(const struct guest *g, struct cordon_extent *e, uint64_t first,
                                  uint64_t pages)
{
    struct cordon_op none = {.kind = 0};

    if (clear_of(g, first, pages, true) && pick(3) == 0) {
        /* The first guest always has room for device views: they hold no page that is absent. */
        bool hides = g == &guest[0] || g->views != 1 || pick(2) == 0;
        uint32_t hidden = hides ? CORDON_REGION_NODMA : 0;

        return (struct cordon_op){.kind = CORDON_OP_GRANT,
                                  .flags = demand_of[pick(4)] | hidden,
                                  .gpa = {BASE + first * PAGE},
                                  .len = pages * PAGE,
                                  .perms = perms_of[pick(5)]};
    }
    if (clear_of(g, first, pages, true)) {
        uint64_t count = backing(e, pages);

        if (count == 0) {
            return none;
        }
        uint32_t type = (ctx_flags & CORDON_CTX_PBMT) != 0 ? type_of[pick(4)] : 0;

        return op_grant(BASE + first * PAGE, e, count, perms_of[pick(5)], flags_of[pick(4)] | type);
    }
    if (!clear_of(g, first, pages, false)) {
        return none;
    }
    if (may_go(g, first, pages) && pick(3) != 0) {
        return (struct cordon_op){
            .kind = CORDON_OP_DISCARD, .gpa = {BASE + first * PAGE}, .len = pages * PAGE};
    }
    switch (pick(4)) {
    case 0:
        return op_protect(BASE + first * PAGE, pages, perms_of[pick(5)]);
    case 1:
        return op_mark(BASE + first * PAGE, pages, marks_of[pick(6)]);
    default:
        return op_revoke(BASE + first * PAGE, pages);
    }
}

static void forget(const struct cordon_op *op)
{
    for (uint64_t i = 0; i < op->extent_count; i++) {
        assert_int_equal(cordon_run_free(b.ctx, op->extents[i].hpa, op->extents[i].len), 0);
    }
}

/* A fault, or many ahead of them. */
static void random_touch(struct guest *g, bool may_fail)
{
    uint64_t i = pick(WINDOW), pages = 1 + pick(pick(4) == 0 ? 300 : 20);
    const struct page *p = &g->page[i];
    struct cordon_touched out = {.what = 0};
    cordon_gpa gpa = cordon_gpa_make(BASE + i * PAGE);
    bool absent = p->in && p->hpa == 0, promised = (p->flags & CORDON_REGION_PROMISED) != 0;

    fail_one(may_fail, 4);
    if (pick(3) == 0) {
        (void)!cordon_populate(g->d, gpa, pages * PAGE);
    } else {
        int err = cordon_touch(g->d, gpa, 0, &out);

        assert_true(p->in ? err == 0 || (err == -CORDON_ENOMEM && absent) : err == -CORDON_ENOENT);
        assert_true(err != -CORDON_ENOMEM || may_fail || !promised);
        assert_true(err != 0 || (out.what == CORDON_TOUCH_FILLED) == absent);
    }
    b.record.fail_at = 0;
    learn(g);
}

/* Some operations that stand apart, in ascending or any order, as one change. */
static void random_change(struct guest *g, bool may_fail)
{
    struct cordon_op ops[OPS];
    size_t count = 0;
    uint64_t first = pick(WINDOW);

    for (unsigned k = 0; k < OPS && first < WINDOW; k++) {
        uint64_t pages = pick(8) == 0 ? 1 + pick(700) : 1 + pick(20);

        pages = pages > WINDOW - first ? WINDOW - first : pages;
        ops[count] = random_op(g, extent[count], first, pages);
        count += ops[count].kind != 0;
        first += pages + pick(100);
    }
    if (count > 1 && pick(3) == 0) {
        struct cordon_op swap = ops[0];

        ops[0] = ops[count - 1];
        ops[count - 1] = swap;
    }
    uint64_t before = may_fail ? bench_state(&b) : 0;

    fail_one(may_fail, 6);
    int err = cordon_change(g->d, ops, count);

    b.record.fail_at = 0;
    if (err != 0) {
        assert_int_equal(err, -CORDON_ENOMEM);
        assert_true(!may_fail || bench_state(&b) == before);
    }
    for (size_t k = 0; k < count; k++) {
        if (err == 0) {
            apply(g, &ops[k]);
        } else if (ops[k].kind == CORDON_OP_GRANT) {
            forget(&ops[k]);
        }
    }
    learn(g); /* what was pinned has come */
}

/* Harts write to logged pages; some are harvested; what is not logged becomes large again. */
static void random_log(struct guest *g)
{
    uint64_t map[WINDOW / 64] = {0}, first = pick(WINDOW), pages = 1 + pick(WINDOW - first);
    struct cordon_harvest what = {.size = sizeof(what),
                                  .gpa = cordon_gpa_make(BASE + first * PAGE),
                                  .len = pages * PAGE,
                                  .dirty = map};
    struct cordon_coalesce whole = {.size = sizeof(whole), .gpa = what.gpa, .len = what.len};
    struct cordon_coalesced made;
    struct cordon_harvested out;
    bool logged = false, other = false;

    for (uint64_t i = first; i < first + pages; i++) {
        struct page *p = &g->page[i];
        bool is_logged = (p->flags & CORDON_REGION_LOG) != 0;

        if (is_logged && p->hpa != 0 && (p->perms & CORDON_WRITE) != 0 && pick(4) == 0) {
            *bench_leaf(&b, g->d, 0, BASE + i * PAGE) |= PTE_A | PTE_D;
            p->dirty = true;
        }
        logged |= is_logged;
        other |= p->in && !is_logged;
    }
    int err = cordon_log_harvest(g->d, &what, &out);

    assert_int_equal(err, other ? -CORDON_EPERM : (logged ? 0 : -CORDON_ENOENT));
    for (uint64_t i = 0; i < pages && err == 0; i++) {
        assert_int_equal(map[i / 64] >> i % 64 & 1, g->page[first + i].dirty);
        g->page[first + i].dirty = false;
    }
    assert_int_equal(cordon_coalesce(g->d, &whole, &made), 0);
}

static void random_view(struct guest *g, bool may_fail)
{
    uint32_t view;
    bool waits = false, types = (ctx_flags & CORDON_CTX_PBMT) != 0 && pick(2) == 0;

    for (uint64_t i = 0; i < WINDOW; i++) {
        const struct page *p = &g->page[i];

        waits |= p->in && p->hpa == 0 && (p->flags & CORDON_REGION_NODMA) == 0;
    }
    fail_one(may_fail, 4);
    if (g->views != 1 && pick(2) == 0) {
        view = 31u - (uint32_t)__builtin_clz(g->views);
        domain_view_remove(g->d, view);
        view_went(g);
        g->views &= ~(1u << view);
        g->typed &= ~(1u << view);
    } else if ((types ? domain_view_add_typed(g->d, &view) : domain_view_add(g->d, &view)) == 0) {
        assert_false(waits); /* devices do not fault */
        assert_int_equal(g->views >> view & 1, 0);
        g->views |= 1u << view;
        g->typed |= (uint32_t)types << view;
    }
    b.record.fail_at = 0;
}

/* STEPS by random numbers from FROM on; with MAY_FAIL, allocations fail in them. */
static void run(uint64_t from, unsigned steps, bool may_fail)
{
    open_guests(ctx_flags);
    seed = from;
    for (unsigned step = 0; step < steps; step++) {
        if (pick(12) == 0) {
            random_view(&guest[pick(DOMAINS)], may_fail);
        } else if (pick(8) == 0) {
            random_log(&guest[pick(DOMAINS)]);
        } else if (pick(3) == 0) {
            random_touch(&guest[pick(DOMAINS)], may_fail);
        } else {
            random_change(&guest[pick(DOMAINS)], may_fail);
        }
        bench_sound(&b);
        check_some();
    }
    check_all();
    close_guests();
}

static void test_maps_agree_with_arrays(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        run(i * 7919, 500, false);
    }
}

static void test_maps_with_leaves_of_64_kib_agree_with_arrays(void **state)
{
    ctx_flags = CORDON_CTX_NAPOT;
    test_maps_agree_with_arrays(state);
    ctx_flags = 0;
}

static void test_maps_with_memory_types_agree_with_arrays(void **state)
{
    ctx_flags = CORDON_CTX_PBMT;
    test_maps_agree_with_arrays(state);
    ctx_flags |= CORDON_CTX_NAPOT;
    test_maps_agree_with_arrays(state);
    ctx_flags = 0;
}

static void test_maps_agree_with_arrays_when_allocations_fail(void **state)
{
    (void)state;
    run(31337, 250, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps_agree_with_arrays),
        cmocka_unit_test(test_maps_with_leaves_of_64_kib_agree_with_arrays),
        cmocka_unit_test(test_maps_with_memory_types_agree_with_arrays),
        cmocka_unit_test(test_maps_agree_with_arrays_when_allocations_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
