/* Memory slots, as VMM authors know them; several banks of host memory make one guest space from
 * zero; and edits of trees that make no sense. */
#include "space_bench.h"

#include "pt/pt.h"

#define READ_EXEC (CORDON_READ | CORDON_EXEC)

static struct cordon_slot slot_of(uint32_t id, uint64_t gpa, uint64_t pages)
{
    return (struct cordon_slot){
        .size = sizeof(struct cordon_slot), .id = id, .gpa = {gpa}, .len = pages * PAGE};
}

/* The same, backed by a run through a host pointer. */
static struct cordon_slot slot_at(uint32_t id, uint64_t gpa, struct cordon_extent e)
{
    struct cordon_slot slot = slot_of(id, gpa, e.len / PAGE);

    slot.flags = CORDON_REGION_KEEP;
    slot.hva = frames_ptr(b.ctx, e.hpa);
    return slot;
}

static void refuse(struct cordon_slot slot, int err)
{
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_slot_set(s, &slot), err);
    assert_int_equal(bench_state(&b), before);
    bench_sound(&b);
}

static void set(struct cordon_slot slot)
{
    assert_int_equal(cordon_slot_set(s, &slot), 0);
    bench_sound(&b);
}

static void test_a_slot_is_created_moved_resized_made_readonly_and_deleted(void **state)
{
    struct cordon_extent e = held(700);
    struct cordon_slot slot = slot_at(3, 0, e);

    (void)state;
    set(slot);
    assert_leads(0, 700, e.hpa.v);

    slot.hva = NULL; /* keep what it has */
    slot.gpa.v = 5 * PAGE;
    set(slot);
    assert_nothing(0, 5);
    assert_leads(5 * PAGE, 700, e.hpa.v);

    slot.len = 600 * PAGE;
    set(slot);
    assert_leads(5 * PAGE, 600, e.hpa.v);
    assert_nothing(605 * PAGE, 100);
    assert_int_equal(bench_frame(&b, e.hpa.v + 600 * PAGE), CORDON_FRAME_HELD);

    slot.len = 650 * PAGE; /* grows into what it once had */
    set(slot);
    assert_leads(5 * PAGE, 650, e.hpa.v);

    slot.flags |= CORDON_SLOT_READONLY;
    set(slot);
    assert_int_equal(bench_leads(d, 0, 5 * PAGE, CORDON_WRITE), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 5 * PAGE, READ_EXEC), e.hpa.v);

    slot.len = 701 * PAGE;
    refuse(slot, -CORDON_EINVAL); /* more than it ever had */
    slot.len = 0;
    set(slot);
    assert_nothing(0, 710);
    refuse(slot, -CORDON_ENOENT);
    free_held(e);
}

static void test_a_slot_is_harvested_by_its_own_pages(void **state)
{
    struct cordon_extent e = held(130);
    struct cordon_slot slot = slot_at(9, 7 * PAGE, e);
    uint64_t map[3];
    struct cordon_harvest what = {.size = sizeof(what), .len = 130 * PAGE, .dirty = map};
    struct cordon_harvested out;

    (void)state;
    set(slot);
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), -CORDON_EPERM);
    slot.hva = NULL;
    slot.flags |= CORDON_REGION_LOG;
    set(slot);
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), 0); /* begins, perhaps, as dirty */
    *bench_leaf(&b, d, 0, 7 * PAGE) |= PTE_A | PTE_D;
    *bench_leaf(&b, d, 0, (7 + 129) * PAGE) |= PTE_A | PTE_D;
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), 0);
    assert_int_equal(out.dirty, 2);
    assert_true(map[0] == 1 && map[1] == 0 && map[2] == 2);
    slot.gpa.v = 512 * PAGE;
    set(slot);
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), 0);
    assert_int_equal(out.dirty, 130); /* all of it is elsewhere now */
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), 0);
    assert_int_equal(out.dirty, 0);
    assert_int_equal(cordon_slot_harvest(s, 8, &what, &out), -CORDON_ENOENT);
    what.len -= PAGE;
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), -CORDON_EINVAL);
    what.gpa.v = PAGE;
    assert_int_equal(cordon_slot_harvest(s, 9, &what, &out), -CORDON_EINVAL);
    assert_int_equal(cordon_slot_harvest(NULL, 9, &what, &out), -CORDON_EINVAL);
    slot.len = 0;
    set(slot);
    free_held(e);
}

/* The first half of the list is the same: what stands there does not go for a moment. */
static void test_a_slot_that_grows_by_more_extents_leaves_what_it_had_in_place(void **state)
{
    struct cordon_extent e[] = {held(100), held(50), held(20)};
    struct cordon_slot slot = slot_of(0, 0, 100);

    (void)state;
    slot.flags = CORDON_REGION_KEEP;
    slot.extents = e;
    slot.extent_count = 1;
    set(slot);
    slot.len = 150 * PAGE;
    slot.extent_count = 2;
    set(slot);
    assert_int_equal(b.hart_fences, 0);
    assert_leads(0, 100, e[0].hpa.v);
    assert_leads(100 * PAGE, 50, e[1].hpa.v);

    slot.extents = &e[2]; /* other frames: all of it is replaced, in one transaction */
    slot.extent_count = 1;
    slot.len = 20 * PAGE;
    set(slot);
    assert_leads(0, 20, e[2].hpa.v);
    assert_nothing(20 * PAGE, 130);
    slot.len = 0;
    slot.extents = NULL;
    slot.extent_count = 0;
    set(slot);
    for (unsigned i = 0; i < 3; i++) {
        free_held(e[i]);
    }
}

static void test_slots_that_overlap_wrap_or_have_nothing_are_refused(void **state)
{
    struct cordon_extent e = held(64);
    struct cordon_slot slot = slot_at(1, 16 * PAGE, e), bad;
    uint64_t limit = UINT64_C(1) << 41;

    (void)state;
    set(slot);
    struct cordon_extent more = held(8), gone = held(8);

    refuse(slot_at(2, 79 * PAGE, more), -CORDON_EEXIST);
    refuse(slot_at(2, 9 * PAGE, more), -CORDON_EEXIST);
    refuse(slot_at(2, UINT64_MAX - PAGE + 1, more), -CORDON_ERANGE);
    refuse(slot_at(2, limit - 7 * PAGE, more), -CORDON_ERANGE);
    refuse(slot_at(2, 100, more), -CORDON_EALIGN);
    refuse(slot_of(2, 0, 8), -CORDON_ENOENT);
    refuse(slot_at(UINT32_MAX, 0, more), -CORDON_EINVAL);
    refuse(slot_at(2, 0, e), -CORDON_EEXIST); /* the frames of slot 1 */
    free_held(gone);
    refuse(slot_at(2, 0, gone), -CORDON_EPERM); /* no longer held */
    bad = slot_at(2, 0, more);
    bad.hva = &bad; /* no RAM of this context */
    refuse(bad, -CORDON_EALIGN);
    bad.hva = (void *)(b.ram - 16 * MIB);
    refuse(bad, -CORDON_EPERM);
    bad = slot_at(2, 0, more);
    bad.flags |= CORDON_REGION_MMIO;
    refuse(bad, -CORDON_EINVAL);
    bad = slot_at(2, 0, more);
    bad.extents = &more;
    bad.extent_count = 1;
    refuse(bad, -CORDON_EINVAL);
    slot.len = 0;
    set(slot);
    free_held(e);
    free_held(more);
}

/* While others borrow its frames, a slot may move, but not go. */
static void test_a_slot_under_use_moves_and_is_not_deleted(void **state)
{
    struct cordon_extent e = held(8);
    struct cordon_slot slot = slot_at(1, 0, e);
    cordon_domain *other = bench_domain(&b);
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {2 * PAGE}, .len = PAGE, .perms = RW};

    (void)state;
    set(slot);
    assert_int_equal(cordon_share(d, other, &share), 0);
    slot.gpa.v = 64 * PAGE;
    slot.hva = NULL;
    set(slot);
    assert_int_equal(bench_leads(other, 0, 0, RW), e.hpa.v + 2 * PAGE);
    slot.flags |= CORDON_SLOT_READONLY;
    refuse(slot, -CORDON_EBUSY);
    slot.gpa.v = 0;
    refuse(slot, -CORDON_EBUSY);
    slot.len = 0;
    refuse(slot, -CORDON_EBUSY);
    assert_int_equal(bench_revoke(other, 0, 1), 0);
    set(slot);
    assert_int_equal(cordon_domain_destroy(other), 0);
    free_held(e);
}

/* Pages of [0, 64) that are dirty, as bits. */
static uint64_t dirty(uint64_t gpa, uint64_t pages)
{
    uint64_t bits = 0;
    struct cordon_harvest what = {
        .size = sizeof(what), .gpa = {gpa}, .len = pages * PAGE, .dirty = &bits};
    struct cordon_harvested out;

    assert_int_equal(cordon_log_harvest(d, &what, &out), 0);
    assert_int_equal(out.logged, pages);
    return bits;
}

static void test_the_dirty_log_of_a_slot_goes_with_it(void **state)
{
    struct cordon_extent e = held(16);
    struct cordon_slot slot = slot_at(1, 0, e);
    struct cordon_touched touched;

    (void)state;
    slot.flags |= CORDON_REGION_LOG;
    set(slot);
    assert_int_equal(dirty(0, 16), 0xffff); /* new: all of it */
    assert_int_equal(cordon_touch(d, cordon_gpa_make(3 * PAGE), CORDON_WRITE, &touched), 0);
    assert_int_equal(dirty(0, 16), 1 << 3);
    assert_int_equal(dirty(0, 16), 0);

    slot.hva = NULL;
    slot.gpa.v = 64 * PAGE;
    set(slot);
    assert_int_equal(dirty(64 * PAGE, 16), 0xffff);
    assert_int_equal(dirty(64 * PAGE, 16), 0);
    slot.flags &= ~CORDON_REGION_LOG; /* and back, in place: no break */
    uint64_t fences = b.hart_fences;

    set(slot);
    slot.flags |= CORDON_REGION_LOG;
    set(slot);
    assert_true(b.hart_fences <= fences + 2);
    assert_leads(64 * PAGE, 16, e.hpa.v);
    slot.flags = CORDON_REGION_KEEP;
    slot.gpa.v = 0; /* moves and is logged no more, in one */
    set(slot);
    assert_leads(0, 16, e.hpa.v);
    assert_int_equal(bench_leads(d, 0, 0, CORDON_WRITE), e.hpa.v);
    slot.len = 0;
    set(slot);
    free_held(e);
}

/* It comes with tables of its own, and what devices have stays as it is; or it does not come. */
static void test_each_allocation_of_a_logged_slot_may_fail(void **state)
{
    struct cordon_extent e = held(16);
    struct cordon_slot slot = slot_at(1, 0, e);
    uint64_t before, n = 0;
    uint32_t view;
    int err = -1;

    (void)state;
    assert_int_equal(domain_view_add(d, &view), 0);
    slot.flags |= CORDON_REGION_LOG;
    before = bench_state(&b);
    while (err != 0) {
        b.record.fail_at = b.record.allocations + ++n;
        err = cordon_slot_set(s, &slot);
        b.record.fail_at = 0;
        assert_true(err == 0 || (err == -CORDON_ENOMEM && bench_state(&b) == before));
    }
    assert_true(n > 3);
    assert_int_equal(dirty(0, 16), 0xffff);
    bench_sound(&b); /* D of the device view's leaves is set */
    assert_ptr_not_equal(bench_leaf(&b, d, 0, 0), bench_leaf(&b, d, view, 0));
    assert_int_equal(dirty(0, 16), 0);
    domain_view_remove(d, view);
    slot.len = 0;
    slot.hva = NULL;
    set(slot);
    free_held(e);
}

static void test_a_slot_of_first_touch_moves_with_what_was_touched(void **state)
{
    struct cordon_slot slot = slot_of(1, 0, 700);
    struct cordon_edit hole = add_of(5, CORDON_NODE_HOLE, 0, 2);
    struct cordon_touched touched, other;

    (void)state;
    slot.flags = CORDON_REGION_DEMAND;
    set(slot);
    assert_int_equal(cordon_touch(d, cordon_gpa_make(600 * PAGE), CORDON_WRITE, &touched), 0);
    assert_int_equal(cordon_touch(d, cordon_gpa_make(5 * PAGE), CORDON_WRITE, &other), 0);
    hole.node.priority = 1;
    assert_refused(&hole, 1, -CORDON_EPERM); /* what it hides could not come back */
    slot.gpa.v = 32 * PAGE;
    set(slot);
    assert_int_equal(bench_leads(d, 0, 632 * PAGE, RWX), touched.hpa.v);
    assert_int_equal(bench_leads(d, 0, 37 * PAGE, RWX), other.hpa.v);
    assert_nothing(38 * PAGE, 64);
    slot.len = 100 * PAGE;
    set(slot);
    assert_int_equal(bench_frame(&b, touched.hpa.v), CORDON_FRAME_FREE);
    slot.flags = 0;
    refuse(slot, -CORDON_EINVAL); /* it has no frames to be filled with */
    slot.len = 0;
    set(slot);
}

/* ---- trees that make no sense -------------------------------------------------------------- */

static void test_edits_that_make_no_sense_change_nothing(void **state)
{
    struct cordon_extent e = held(8);
    struct cordon_edit ram = ram_of(1, 0, &e), box = add_of(2, CORDON_NODE_CONTAINER, 64 * PAGE, 8);
    struct cordon_edit bad[4];

    (void)state;
    bad[0] = ram;
    bad[0].node.parent = 7;
    assert_refused(bad, 1, -CORDON_ENOENT);
    bad[0].node.parent = 0;
    bad[1] = ram;
    assert_refused(bad, 2, -CORDON_EEXIST); /* one id twice */
    bad[1].node.id = 3;
    bad[1].node.parent = 1;
    assert_refused(bad, 2, -CORDON_EINVAL); /* inside RAM */
    bad[1] = ram_of(3, 0, &e);
    bad[1].node.priority = 1;
    bad[1].node.offset = 16 * PAGE;
    assert_refused(bad, 2, -CORDON_EEXIST); /* the same frames in two nodes */
    bad[0] = ram;
    bad[0].node.perms = CORDON_WRITE;
    assert_refused(bad, 1, -CORDON_EINVAL);
    bad[0].node.perms = 0;
    assert_refused(bad, 1, -CORDON_EINVAL);
    bad[0] = ram;
    bad[0].node.flags = CORDON_REGION_SHARED;
    assert_refused(bad, 1, -CORDON_EINVAL);
    bad[0] = ram;
    bad[0].node.len = 9 * PAGE;
    assert_refused(bad, 1, -CORDON_EINVAL);
    bad[0] = box;
    bad[0].node.flags = CORDON_REGION_KEEP;
    assert_refused(bad, 1, -CORDON_EINVAL);
    bad[0] = box;
    bad[0].kind = 9;
    assert_refused(bad, 1, -CORDON_EINVAL);
    bad[0].kind = CORDON_TREE_SET;
    assert_refused(bad, 1, -CORDON_ENOENT);
    bad[0].kind = CORDON_TREE_REMOVE;
    assert_refused(bad, 1, -CORDON_ENOENT);
    bad[0] = ram;
    bad[1] = box;
    bad[2] = alias_of(3, 32 * PAGE, 8, 9, 0);
    assert_refused(bad, 3, -CORDON_ENOENT);
    free_held(e);
}

static void test_a_slot_stays_at_the_top_of_the_tree(void **state)
{
    struct cordon_extent e = held(8);
    struct cordon_edit edits[2] = {add_of(1, CORDON_NODE_CONTAINER, 64 * PAGE, 8)};

    (void)state;
    set(slot_at(3, 0, e));
    edits[1] = set_of(CORDON_NODE_SLOT | 3);
    edits[1].node.parent = 1;
    assert_refused(edits, 2, -CORDON_EINVAL);
    edits[1].node.parent = CORDON_NODE_ROOT;
    edits[1].node.priority = 1;
    assert_refused(edits, 2, -CORDON_EINVAL);
    edits[1] = add_of(CORDON_NODE_SLOT | 4, CORDON_NODE_HOLE, 16 * PAGE, 1);
    assert_refused(edits, 2, -CORDON_EINVAL);
    set(slot_of(3, 0, 0));
    free_held(e);
}

static void test_nodes_inside_themselves_are_refused(void **state)
{
    struct cordon_edit e[3] = {add_of(1, CORDON_NODE_CONTAINER, 0, 64),
                               add_of(2, CORDON_NODE_CONTAINER, 0, 64), alias_of(3, 0, 64, 1, 0)};

    (void)state;
    e[0].node.parent = 2;
    e[1].node.parent = 1;
    assert_refused(e, 2, -CORDON_EINVAL);
    e[0].node.parent = 0;
    e[2].node.parent = 2; /* a window onto what it is in */
    assert_refused(e, 3, -CORDON_EINVAL);
    e[1] = alias_of(2, 128 * PAGE, 64, 3, 0); /* of each other */
    e[2] = alias_of(3, 64 * PAGE, 64, 2, 0);
    e[2].node.parent = 0;
    assert_refused(e, 3, -CORDON_EINVAL);
}

static void test_depth_and_visits_are_bounded(void **state)
{
    struct cordon_edit e[2 * CORDON_MAX_DEPTH + 2];
    uint32_t n = 0;

    (void)state;
    for (uint32_t i = 0; i <= CORDON_MAX_DEPTH; i++) {
        e[i] = add_of(i + 1, CORDON_NODE_CONTAINER, 0, 64);
        e[i].node.parent = i;
    }
    assert_refused(e, CORDON_MAX_DEPTH + 1, -CORDON_ELIMIT);
    assert_int_equal(cordon_space_update(s, e, CORDON_MAX_DEPTH - 1), 0);
    for (uint32_t i = 0; i < CORDON_MAX_DEPTH - 1; i++) {
        e[i] = remove_of(i + 1);
    }
    assert_int_equal(cordon_space_update(s, e, CORDON_MAX_DEPTH - 1), 0);

    /* Each container shows the next one 64 times: 64^4 visits. */
    static struct cordon_edit bomb[5 * 65];

    for (uint32_t level = 0; level < 5; level++) {
        bomb[n] = add_of(1 + level * 100, CORDON_NODE_CONTAINER, 0, 64);
        bomb[n++].node.parent = level == 0 ? CORDON_NODE_ROOT : CORDON_NODE_NOWHERE;
        for (uint32_t i = 0; i < 64 && level < 4; i++) {
            bomb[n] = alias_of(2 + level * 100 + i, 0, 64, 101 + level * 100, 0);
            bomb[n].node.priority = (int32_t)i;
            bomb[n++].node.parent = 1 + level * 100;
        }
    }
    assert_refused(bomb, n, -CORDON_ELIMIT);
}

/* ---- several banks -------------------------------------------------------------------------- */

/* Host memory at odd places, with holes between, is one guest space from zero; and back. */
static void test_banks_with_holes_between_make_one_space_from_zero(void **state)
{
    const struct cordon_extent banks[] = {{{UINT64_C(0x80203000)}, 5 * MIB - 3 * PAGE},
                                          {{UINT64_C(0x80e00000)}, 4 * MIB},
                                          {{UINT64_C(0x81805000)}, 3 * MIB + 7 * PAGE}};
    struct map_bench other;
    struct cordon_config cfg;
    struct cordon_extent e[64];
    size_t count = 64;
    uint64_t gpa = 0, len = 7 * MIB + 5 * PAGE;

    (void)state;
    bench_memory(&other, BENCH_RAM, 32 * MIB);
    cfg = bench_config(&other);
    cfg.banks = banks;
    cfg.bank_count = 3;
    assert_int_equal(cordon_ctx_create(&cfg, &other.ctx), 0);
    cordon_domain *guest = bench_domain(&other);
    cordon_space *space;

    assert_int_equal(cordon_space_create(guest, &space), 0);
    assert_int_equal(cordon_scatter_alloc(other.ctx, len, 0, 0, e, &count), 0);
    assert_true(count >= 2);
    struct cordon_slot slot = slot_of(0, 0, len / PAGE);

    slot.extents = e;
    slot.extent_count = count;
    assert_int_equal(cordon_slot_set(space, &slot), 0);
    uint32_t used = 0;

    for (size_t i = 0; i < count; i++) {
        for (uint64_t at = 0; at < e[i].len; at += PAGE, gpa += PAGE) {
            assert_int_equal(bench_leads(guest, 0, gpa, RWX), e[i].hpa.v + at);
        }
        for (uint32_t k = 0; k < 3; k++) {
            used |= (uint32_t)(e[i].hpa.v - banks[k].hpa.v < banks[k].len) << k;
        }
    }
    assert_int_equal(gpa, len);
    assert_true(__builtin_popcount(used) >= 2); /* or it says nothing of banks */
    bench_sound(&other);
    assert_int_equal(cordon_space_destroy(space), 0);
    assert_int_equal(cordon_domain_destroy(guest), 0);
    bench_close(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, space_setup, space_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_slot_is_created_moved_resized_made_readonly_and_deleted),
        TEST(test_a_slot_is_harvested_by_its_own_pages),
        TEST(test_a_slot_that_grows_by_more_extents_leaves_what_it_had_in_place),
        TEST(test_slots_that_overlap_wrap_or_have_nothing_are_refused),
        TEST(test_a_slot_under_use_moves_and_is_not_deleted),
        TEST(test_the_dirty_log_of_a_slot_goes_with_it),
        TEST(test_each_allocation_of_a_logged_slot_may_fail),
        TEST(test_a_slot_of_first_touch_moves_with_what_was_touched),
        TEST(test_edits_that_make_no_sense_change_nothing),
        TEST(test_a_slot_stays_at_the_top_of_the_tree),
        TEST(test_nodes_inside_themselves_are_refused),
        TEST(test_depth_and_visits_are_bounded),
        TEST(test_banks_with_holes_between_make_one_space_from_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
