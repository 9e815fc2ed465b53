/* Listeners are told of every change in two steps; one that refuses, at any place in the line, and
 * memory that runs out, at any point, leave every view as it was. INV 1, 4. */
#include "space_bench.h"

#define RAM UINT64_C(0x400000)
#define TOLD 64u
#define EARS 4u

/* A listener that keeps a map of its own of what it was told. */
struct ear {
    unsigned number;
    uint32_t id;
    int refuse; /* what prepare says */
    unsigned prepared, committed, aborted;
    struct cordon_told told[TOLD]; /* of the last prepare */
    size_t count;
    uint32_t attr[4096]; /* of each page: perms | flags << 8, 0: nothing */
};

static struct ear ear[EARS];
static unsigned line[64], steps; /* who was called, prepare 10+, commit 20+, abort 30+ */

static void step(const struct ear *e, unsigned what)
{
    assert_true(steps < 64);
    line[steps++] = what + e->number;
}

static int on_prepare(void *user, const struct cordon_told *told, size_t count)
{
    struct ear *e = user;

    step(e, 10);
    assert_true(count <= TOLD);
    if (count > 0) {
        memcpy(e->told, told, count * sizeof(*told));
    }
    e->count = count;
    e->prepared += e->refuse == 0;
    return e->refuse;
}

static void on_commit(void *user, const struct cordon_told *told, size_t count)
{
    struct ear *e = user;

    step(e, 20);
    e->committed++;
    assert_int_equal(count, e->count);
    for (size_t i = 0; i < count; i++) {
        uint64_t first = told[i].gpa.v / PAGE, pages = told[i].len / PAGE;
        uint32_t was = told[i].was_perms | told[i].was_flags << 8;
        uint32_t is = told[i].perms | told[i].flags << 8;

        assert_memory_equal(&told[i], &e->told[i], sizeof(*told));
        assert_true(first + pages <= 4096);
        for (uint64_t p = first; p < first + pages; p++) {
            assert_int_equal(e->attr[p], was); /* what goes was there, where it comes is nothing */
            e->attr[p] = is;
        }
    }
}

static void on_abort(void *user, const struct cordon_told *told, size_t count)
{
    struct ear *e = user;

    (void)told;
    step(e, 30);
    assert_int_equal(count, e->count);
    e->aborted++;
}

static int listen(unsigned n)
{
    const struct cordon_listener l = {.size = sizeof(l),
                                      .user = &ear[n],
                                      .prepare = on_prepare,
                                      .commit = on_commit,
                                      .abort = on_abort};

    memset(&ear[n], 0, sizeof(ear[n]));
    ear[n].number = n;
    steps = 0;
    return cordon_listener_add(d, &l, &ear[n].id);
}

/* What it was told is what stands. */
static void assert_knows(const struct ear *e)
{
    struct cordon_region_info r;

    for (uint64_t p = 0; p < 4096; p++) {
        bool there = cordon_region_find(d, cordon_gpa_make(p * PAGE), false, &r) == 0;

        assert_int_equal(e->attr[p], there ? r.perms | r.flags << 8 : 0);
    }
}

static void deaf(unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        assert_int_equal(cordon_listener_remove(d, ear[n].id), 0);
    }
}

static void test_each_way_to_change_a_map_is_told(void **state)
{
    struct cordon_extent e = held(64);
    cordon_domain *other = bench_domain(&b);

    (void)state;
    (void)bench_grant(&b, d, RAM, 32, RW, 0);
    assert_int_equal(listen(0), 0);
    assert_int_equal(ear[0].count, 1); /* what stood */
    assert_knows(&ear[0]);

    struct cordon_op ops[] = {op_protect(RAM + 8 * PAGE, 8, CORDON_READ),
                              op_revoke(RAM + 24 * PAGE, 8)};
    struct cordon_remap move = {
        .size = sizeof(move), .gpa = {RAM + 8 * PAGE}, .to = {RAM + 40 * PAGE}, .len = 8 * PAGE};
    struct cordon_extent fresh = held(4);
    const struct cordon_remap replace = {.size = sizeof(replace),
                                         .gpa = {RAM},
                                         .to = {RAM},
                                         .len = 4 * PAGE,
                                         .extents = &fresh,
                                         .extent_count = 1};
    struct cordon_share share = {
        .size = sizeof(share), .gpa = {0}, .to = {3 * RAM}, .len = PAGE, .perms = CORDON_READ};

    assert_int_equal(cordon_change(d, ops, 2), 0);
    assert_knows(&ear[0]);
    assert_int_equal(cordon_remap(d, &move), 0);
    assert_knows(&ear[0]);
    assert_int_equal(cordon_remap(d, &replace), 0);
    assert_int_equal(ear[0].count, 2);
    assert_int_equal(ear[0].told[0].kind, CORDON_TOLD_REMOVED);
    assert_int_equal(ear[0].told[1].kind, CORDON_TOLD_ADDED);
    assert_knows(&ear[0]);
    (void)bench_grant(&b, other, 0, 1, RW, 0);
    assert_int_equal(cordon_share(other, d, &share), 0);
    assert_knows(&ear[0]);
    assert_int_equal(edit_one(ram_of(1, 0, &e)), 0);
    struct cordon_edit set = set_of(1);

    set.node.offset = 16 * PAGE;
    set.node.len = 50 * PAGE;
    assert_int_equal(edit_one(set), 0);
    assert_knows(&ear[0]);
    set.node.flags |= CORDON_REGION_NODMA;
    assert_int_equal(edit_one(set), 0);
    assert_int_equal(ear[0].told[0].kind, CORDON_TOLD_CHANGED);
    assert_int_equal(ear[0].count, 1);
    assert_knows(&ear[0]);
    assert_int_equal(ear[0].committed, 8);
    assert_int_equal(ear[0].aborted, 0);

    assert_int_equal(edit_one(remove_of(1)), 0);
    assert_int_equal(bench_revoke(d, 3 * RAM, 1), 0);
    assert_int_equal(cordon_domain_destroy(d), -CORDON_EBUSY); /* somebody listens */
    deaf(1);
    assert_int_equal(cordon_listener_remove(d, ear[0].id), -CORDON_ENOENT);
    assert_int_equal(cordon_domain_destroy(other), 0);
    free_held(e);
}

/* Three listeners; the one that refuses stands first, second, last. */
static void test_one_that_refuses_ends_the_change_in_every_view(void **state)
{
    struct cordon_extent x = held(600), y = held(16), bar = {{BENCH_MMIO}, 4 * PAGE};
    struct cordon_edit build[] = {ram_of(1, RAM, &x), ram_of(2, 3 * RAM, &y),
                                  add_of(3, CORDON_NODE_MMIO, 0, 4)};
    uint32_t view;

    (void)state;
    build[2].node.perms = RW;
    build[2].node.extents = &bar;
    build[2].node.extent_count = 1;
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_int_equal(cordon_space_update(s, build, 2), 0);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(listen(n), 0);
    }
    struct cordon_edit change[] = {set_of(1), remove_of(2), build[2]};

    change[0].node.offset = RAM + 10 * PAGE; /* moves, goes and comes */
    for (unsigned bad = 0; bad < 3; bad++) {
        steps = 0;
        ear[bad].refuse = -CORDON_ELIMIT;
        assert_refused(change, 3, -CORDON_ELIMIT);
        assert_int_equal(steps, 2 * bad + 1);
        for (unsigned n = 0; n <= bad; n++) {
            assert_int_equal(line[n], 10 + n);
        }
        for (unsigned n = 0; n < bad; n++) {
            assert_int_equal(line[bad + 1 + n], 30 + bad - 1 - n); /* the last first */
        }
        ear[bad].refuse = 0;
    }
    static const int odd[] = {1, -CORDON_EPENDING, -1000, INT32_MIN};

    for (unsigned i = 0; i < 4; i++) {
        ear[1].refuse = odd[i];
        steps = 0;
        assert_refused(change, 3, -CORDON_EPERM);
    }
    ear[1].refuse = 0;
    steps = 0;
    assert_int_equal(cordon_space_update(s, change, 3), 0);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(line[n], 10 + n);
        assert_int_equal(line[3 + n], 20 + n);
        assert_knows(&ear[n]);
    }
    deaf(3);
    const struct cordon_edit gone[] = {remove_of(1), remove_of(3)};

    assert_int_equal(cordon_space_update(s, gone, 2), 0);
    domain_view_remove(d, view);
    free_held(x);
    free_held(y);
}

static void test_who_refuses_what_stands_is_not_added(void **state)
{
    const struct cordon_listener l = {.size = sizeof(l),
                                      .user = &ear[0],
                                      .prepare = on_prepare,
                                      .commit = on_commit,
                                      .abort = on_abort};
    struct cordon_listener bad = l;
    uint32_t id = 77;

    (void)state;
    memset(ear, 0, sizeof(ear));
    steps = 0;
    ear[0].refuse = -CORDON_EBUSY;
    assert_int_equal(cordon_listener_add(d, &l, &id), -CORDON_EBUSY);
    assert_int_equal(id, 77);
    (void)bench_grant(&b, d, RAM, 1, RW, 0);
    assert_int_equal(steps, 1);
    bad.commit = NULL;
    assert_int_equal(cordon_listener_add(d, &bad, &id), -CORDON_EINVAL);
    bad = l;
    bad.size--;
    assert_int_equal(cordon_listener_add(d, &bad, &id), -CORDON_EINVAL);
}

/* An update that does everything at once, with every allocation failing in turn. */
static void test_each_allocation_of_an_update_may_fail(void **state)
{
    struct cordon_extent x = held(1100), y = held(520), z[9];
    const struct cordon_extent bar = {{BENCH_MMIO}, 8 * PAGE};
    struct cordon_edit build[] = {add_of(9, CORDON_NODE_CONTAINER, RAM, 2048), ram_of(1, 0, &x),
                                  ram_of(2, 1200 * PAGE, &y), add_of(3, CORDON_NODE_MMIO, 0, 8)};
    uint32_t view;
    uint64_t n = 0;
    int err = -1;

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        z[i] = held(1);
    }
    build[1].node.parent = build[2].node.parent = 9;
    build[3].node.perms = RW;
    build[3].node.extents = &bar;
    build[3].node.extent_count = 1;
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_int_equal(cordon_space_update(s, build, 4), 0);
    assert_int_equal(listen(0), 0);
    struct cordon_edit change[] = {set_of(9), set_of(2), set_of(3), ram_of(4, 2 * PAGE, &z[0]),
                                   add_of(5, CORDON_NODE_HOLE, RAM + 400 * PAGE, 3)};

    change[0].node.offset = RAM + 8 * PAGE;
    change[1].node.flags |= CORDON_REGION_NODMA;
    change[1].node.len = 510 * PAGE;
    change[2].node.offset = PAGE;
    change[3].node.priority = 1;
    change[3].node.extents = z;
    change[3].node.extent_count = 9;
    change[3].node.len = 9 * PAGE;
    change[4].node.priority = 1;
    uint64_t before = bench_state(&b);

    while (err != 0) {
        steps = 0;
        b.record.fail_at = b.record.allocations + ++n;
        err = cordon_space_update(s, change, 5);
        b.record.fail_at = 0;
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(bench_state(&b), before);
            assert_int_equal(ear[0].prepared - 1, ear[0].aborted); /* the first was what stood */
            bench_sound(&b);
        }
        assert_true(n < 1000);
    }
    assert_true(n > 20);
    assert_true(ear[0].aborted > 5); /* memory ran out behind its prepare, too */
    bench_sound(&b);
    assert_knows(&ear[0]);
    deaf(1);
    domain_view_remove(d, view);
    for (uint32_t id = 1; id <= 5; id++) {
        assert_int_equal(edit_one(remove_of(id)), 0);
    }
    assert_int_equal(edit_one(remove_of(9)), 0);
    for (unsigned i = 0; i < 9; i++) {
        free_held(z[i]);
    }
    free_held(x);
    free_held(y);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, space_setup, space_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_way_to_change_a_map_is_told),
        TEST(test_one_that_refuses_ends_the_change_in_every_view),
        TEST(test_who_refuses_what_stands_is_not_added),
        TEST(test_each_allocation_of_an_update_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
