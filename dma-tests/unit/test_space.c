/* A tree of regions is flattened into the map; what differs between two flattenings is one
 * transaction, and what moves keeps its frames. INV 1, 2, 4. */
#include "space/space.h"
#include "space_bench.h"

#define RAM UINT64_C(0x400000)

static void test_ram_is_seen_where_it_stands_and_goes_back_when_it_goes(void **state)
{
    struct cordon_extent e = held(300);
    struct cordon_section seen;

    (void)state;
    assert_int_equal(edit_one(ram_of(1, RAM, &e)), 0);
    assert_leads(RAM, 300, e.hpa.v);
    assert_int_equal(cordon_section_find(s, cordon_gpa_make(0), true, &seen), 0);
    assert_int_equal(seen.gpa.v, RAM);
    assert_int_equal(seen.len, 300 * PAGE);
    assert_int_equal(seen.node, 1);
    assert_int_equal(seen.kind, CORDON_NODE_RAM);
    bench_sound(&b);
    assert_int_equal(edit_one(remove_of(1)), 0);
    assert_nothing(RAM, 300);
    free_held(e); /* KEEP: they are the caller's again */
}

static void test_the_higher_priority_hides_and_a_hole_shows_nothing_through(void **state)
{
    struct cordon_extent low = held(16), high = held(4);
    struct cordon_edit edits[] = {ram_of(1, RAM, &low), ram_of(2, RAM + 4 * PAGE, &high),
                                  add_of(3, CORDON_NODE_HOLE, RAM + 6 * PAGE, 4)};
    struct cordon_section seen;

    (void)state;
    edits[1].node.priority = 1;
    edits[2].node.priority = 2;
    assert_int_equal(cordon_space_update(s, edits, 3), 0);
    assert_leads(RAM, 4, low.hpa.v);
    assert_leads(RAM + 4 * PAGE, 2, high.hpa.v);
    assert_nothing(RAM + 6 * PAGE, 4);
    assert_leads(RAM + 10 * PAGE, 6, low.hpa.v + 10 * PAGE);
    assert_int_equal(cordon_section_find(s, cordon_gpa_make(RAM + 7 * PAGE), false, &seen), 0);
    assert_int_equal(seen.kind, CORDON_NODE_HOLE);
    assert_int_equal(seen.node, 3);
    assert_int_equal(bench_frame(&b, low.hpa.v + 5 * PAGE), CORDON_FRAME_HELD);

    /* What was hidden comes back, with what it holds. */
    memset(frames_ptr(b.ctx, cordon_hpa_add(low.hpa, 5 * PAGE)), 0x5c, PAGE);
    const struct cordon_edit gone[] = {remove_of(2), remove_of(3)};

    assert_int_equal(cordon_space_update(s, gone, 2), 0);
    assert_leads(RAM, 16, low.hpa.v);
    assert_int_equal(*bench_word(&b, cordon_hpa_add(low.hpa, 5 * PAGE)),
                     UINT64_C(0x5c5c5c5c5c5c5c5c));
    assert_int_equal(edit_one(remove_of(1)), 0);
    free_held(low);
    free_held(high);
}

static void test_a_container_moves_all_below_with_frames_and_contents(void **state)
{
    struct cordon_extent e = held(700), more = held(5);
    struct cordon_edit edits[] = {add_of(9, CORDON_NODE_CONTAINER, RAM, 1024), ram_of(1, 0, &e),
                                  ram_of(2, 800 * PAGE, &more)};
    struct cordon_frame_info frame;
    uint32_t view;

    (void)state;
    edits[1].node.parent = edits[2].node.parent = 9;
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_int_equal(cordon_space_update(s, edits, 3), 0);
    memset(frames_ptr(b.ctx, cordon_hpa_add(e.hpa, 7 * PAGE)), 0x77, PAGE);

    struct cordon_edit set = set_of(9);

    set.node.offset = RAM + 8 * PAGE; /* over its own old place */
    assert_int_equal(edit_one(set), 0);
    bench_sound(&b);
    assert_nothing(RAM, 8);
    assert_leads(RAM + 8 * PAGE, 700, e.hpa.v);
    assert_leads(RAM + 808 * PAGE, 5, more.hpa.v);
    assert_int_equal(bench_leads(d, view, RAM + 8 * PAGE, CORDON_WRITE), e.hpa.v);
    assert_int_equal(*bench_word(&b, cordon_hpa_add(e.hpa, 7 * PAGE)),
                     UINT64_C(0x7777777777777777));
    assert_int_equal(cordon_frame_query(b.ctx, e.hpa, &frame), 0);
    assert_int_equal(frame.gpa.v, RAM + 8 * PAGE);

    set.node.len = 100 * PAGE; /* cut at its end */
    assert_int_equal(edit_one(set), 0);
    assert_leads(RAM + 8 * PAGE, 100, e.hpa.v);
    assert_nothing(RAM + 108 * PAGE, 720);
    const struct cordon_edit gone[] = {remove_of(1), remove_of(2), remove_of(9)};

    assert_int_equal(cordon_space_update(s, gone, 3), 0);
    domain_view_remove(d, view);
    free_held(e);
    free_held(more);
}

static void test_two_ranges_change_places_in_one_update(void **state)
{
    struct cordon_extent x = held(600), y = held(600);
    struct cordon_edit edits[] = {ram_of(1, RAM, &x), ram_of(2, RAM + 600 * PAGE, &y)};

    (void)state;
    assert_int_equal(cordon_space_update(s, edits, 2), 0);
    struct cordon_edit swap[] = {set_of(1), set_of(2)};

    swap[0].node.offset = RAM + 600 * PAGE;
    swap[1].node.offset = RAM;
    assert_int_equal(cordon_space_update(s, swap, 2), 0);
    bench_sound(&b);
    assert_leads(RAM, 600, y.hpa.v);
    assert_leads(RAM + 600 * PAGE, 600, x.hpa.v);
    assert_int_equal(b.hart_fences, 1); /* one break for all of it */
    swap[0].kind = swap[1].kind = CORDON_TREE_REMOVE;
    assert_int_equal(cordon_space_update(s, swap, 2), 0);
    free_held(x);
    free_held(y);
}

static void test_an_alias_is_a_window_and_a_frame_is_seen_at_one_place(void **state)
{
    struct cordon_extent e = held(64);
    struct cordon_edit edits[] = {ram_of(1, 0, &e), alias_of(2, RAM, 16, 1, 8 * PAGE),
                                  alias_of(3, 4 * RAM, 8, 2, 4 * PAGE)};

    (void)state;
    edits[0].node.parent = CORDON_NODE_NOWHERE;
    assert_int_equal(cordon_space_update(s, edits, 2), 0);
    assert_leads(RAM, 16, e.hpa.v + 8 * PAGE);
    assert_nothing(RAM + 16 * PAGE, 1);

    assert_refused(&edits[2], 1, -CORDON_EEXIST); /* an alias of the alias: the same frames */
    edits[1] = set_of(2);
    edits[1].node.parent = CORDON_NODE_NOWHERE;
    edits[1].node.perms = CORDON_READ;
    assert_int_equal(cordon_space_update(s, &edits[1], 2), 0);
    assert_nothing(RAM, 16);
    assert_leads(4 * RAM, 8, e.hpa.v + 12 * PAGE);
    assert_int_equal(bench_leads(d, 0, 4 * RAM, CORDON_WRITE), UINT64_MAX); /* the alias's rights */
    const struct cordon_edit gone[] = {remove_of(3), remove_of(2), remove_of(1)};

    assert_refused(&gone[1], 1, -CORDON_EBUSY); /* a window onto nothing */
    assert_int_equal(cordon_space_update(s, gone, 3), 0);
    free_held(e);
}

static void test_rights_change_in_place_and_flags_reach_the_views(void **state)
{
    struct cordon_extent e = held(8);
    uint32_t view;

    (void)state;
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_int_equal(edit_one(ram_of(1, RAM, &e)), 0);
    struct cordon_edit set = set_of(1);

    set.node.perms = CORDON_READ;
    assert_int_equal(edit_one(set), 0);
    assert_int_equal(bench_leads(d, 0, RAM, CORDON_WRITE), UINT64_MAX);
    assert_int_equal(bench_leads(d, view, RAM, CORDON_READ), e.hpa.v);
    set.node.flags |= CORDON_REGION_NODMA;
    assert_int_equal(edit_one(set), 0);
    assert_int_equal(bench_leads(d, view, RAM, 0), UINT64_MAX);
    assert_leads(RAM, 8, e.hpa.v);
    set.node.disabled = 1;
    assert_int_equal(edit_one(set), 0);
    assert_nothing(RAM, 8);
    assert_int_equal(edit_one(remove_of(1)), 0);
    domain_view_remove(d, view);
    free_held(e);
}

static void test_resources_move_as_frames_do(void **state)
{
    const struct cordon_extent bar = {{BENCH_MMIO}, 8 * PAGE};
    struct cordon_edit add = add_of(1, CORDON_NODE_MMIO, RAM, 8);
    struct resource_holder holder;

    (void)state;
    add.node.perms = RW;
    add.node.extents = &bar;
    add.node.extent_count = 1;
    assert_int_equal(edit_one(add), 0);
    struct cordon_edit set = set_of(1);

    set.node.offset = RAM + 4 * PAGE;
    assert_int_equal(edit_one(set), 0);
    bench_sound(&b);
    assert_nothing(RAM, 4);
    assert_leads(RAM + 4 * PAGE, 8, BENCH_MMIO);
    assert_true(resource_holder(b.ctx, cordon_hpa_make(BENCH_MMIO), &holder));
    assert_int_equal(holder.gfn, (RAM + 4 * PAGE) / PAGE);

    struct cordon_edit hole = add_of(2, CORDON_NODE_HOLE, RAM + 6 * PAGE, 1);

    hole.node.priority = 1;
    set.node.offset = RAM;
    const struct cordon_edit both[] = {set, hole}; /* cut while it moves */

    assert_int_equal(cordon_space_update(s, both, 2), 0);
    assert_leads(RAM, 6, BENCH_MMIO);
    assert_nothing(RAM + 6 * PAGE, 1);
    assert_leads(RAM + 7 * PAGE, 1, BENCH_MMIO + 7 * PAGE);
    assert_int_equal(edit_one(remove_of(1)), 0);
    assert_int_equal(cordon_resource_remove(b.ctx, cordon_hpa_make(BENCH_MMIO)), 0);
    assert_int_equal(cordon_resource_add(b.ctx, cordon_hpa_make(BENCH_MMIO), BENCH_MMIO_LEN), 0);
}

static void test_frames_that_are_the_maps_go_with_their_node_and_are_not_hidden(void **state)
{
    struct cordon_extent e = held(32);
    struct cordon_edit add = ram_of(1, RAM, &e);
    struct cordon_edit hole = add_of(2, CORDON_NODE_HOLE, RAM + PAGE, 1);

    (void)state;
    add.node.flags = 0;
    hole.node.priority = 1;
    assert_int_equal(edit_one(add), 0);
    assert_refused(&hole, 1, -CORDON_EPERM);
    struct cordon_edit set = set_of(1);

    set.node.len = 20 * PAGE; /* what is cut off goes */
    assert_int_equal(edit_one(set), 0);
    assert_int_equal(bench_frame(&b, e.hpa.v + 20 * PAGE), CORDON_FRAME_FREE);
    assert_leads(RAM, 20, e.hpa.v);
    assert_int_equal(edit_one(remove_of(1)), 0);
    assert_int_equal(bench_frame(&b, e.hpa.v), CORDON_FRAME_FREE);
}

/* The guest's own function takes pages out of the map, and others come, behind the space's back. */
static void test_pages_that_were_taken_directly_stay_away_and_others_are_in_the_way(void **state)
{
    struct cordon_extent e = held(32), other = held(2);
    struct cordon_op grant = op_grant(RAM + 100 * PAGE, &other, 1, RW, CORDON_REGION_KEEP);

    (void)state;
    assert_int_equal(edit_one(ram_of(1, RAM, &e)), 0);
    assert_int_equal(bench_revoke(d, RAM + 3 * PAGE, 5), 0);
    struct cordon_edit set = set_of(1);

    set.node.offset = RAM + 64 * PAGE;
    assert_int_equal(edit_one(set), 0);
    assert_leads(RAM + 64 * PAGE, 3, e.hpa.v);
    assert_nothing(RAM + 67 * PAGE, 5);
    assert_leads(RAM + 72 * PAGE, 24, e.hpa.v + 8 * PAGE);

    assert_int_equal(cordon_change(d, &grant, 1), 0);
    set.node.offset = RAM + 80 * PAGE;
    assert_refused(&set, 1, -CORDON_EEXIST);
    assert_int_equal(bench_revoke(d, RAM + 100 * PAGE, 2), 0);
    assert_int_equal(edit_one(remove_of(1)), 0);
    free_held(e);
    free_held(other);
}

/* Other frames stand where a node's were taken away: they go where the node goes, and with it. */
static void test_what_is_granted_in_a_nodes_place_stands_in_for_it(void **state)
{
    struct cordon_extent e = held(8), other = held(2);
    struct cordon_op grant = op_grant(RAM + 3 * PAGE, &other, 1, RW, CORDON_REGION_KEEP);

    (void)state;
    assert_int_equal(edit_one(ram_of(1, RAM, &e)), 0);
    assert_int_equal(bench_revoke(d, RAM + 3 * PAGE, 2), 0);
    assert_int_equal(cordon_change(d, &grant, 1), 0);
    struct cordon_edit away = set_of(1);

    away.node.offset = RAM + 64 * PAGE;
    assert_int_equal(edit_one(away), 0);
    assert_leads(RAM + 64 * PAGE, 3, e.hpa.v);
    assert_leads(RAM + 67 * PAGE, 2, other.hpa.v);
    assert_nothing(RAM, 8);
    assert_int_equal(edit_one(remove_of(1)), 0);
    assert_nothing(RAM + 64 * PAGE, 8);
    free_held(e);
    free_held(other);
}

/* RAM stands where a node had its registers: it is not what moves. */
static void test_what_stands_there_instead_is_not_taken_for_a_nodes(void **state)
{
    struct cordon_extent frames = held(4), registers = {{BENCH_MMIO}, 4 * PAGE};
    struct cordon_edit mmio = add_of(1, CORDON_NODE_MMIO, RAM, 4);
    struct cordon_op grant = op_grant(RAM, &frames, 1, RW, 0);

    (void)state;
    mmio.node.perms = RW;
    mmio.node.extents = &registers;
    mmio.node.extent_count = 1;
    assert_int_equal(edit_one(mmio), 0);
    assert_int_equal(bench_revoke(d, RAM, 4), 0);
    assert_int_equal(cordon_change(d, &grant, 1), 0);
    struct cordon_edit away = set_of(1);

    away.node.offset += 16 * PAGE;
    assert_refused(&away, 1, -CORDON_EINVAL);
    assert_int_equal(bench_revoke(d, RAM, 4), 0);
    assert_int_equal(edit_one(away), 0);
    assert_int_equal(edit_one(remove_of(1)), 0);
}

static void test_names_of_pages_are_not_given_twice_when_all_have_been_given(void **state)
{
    struct cordon_extent e[3];

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        e[i] = held(8);
        assert_int_equal(edit_one(ram_of(i + 1, RAM + 16 * i * PAGE, &e[i])), 0);
        s->serial = i == 0 ? SERIAL_LIMIT - 2 : s->serial;
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_leads(RAM + 16 * i * PAGE, 8, e[i].hpa.v);
        assert_int_equal(edit_one(remove_of(i + 1)), 0);
        free_held(e[i]);
    }
}

static void test_a_container_without_dma_closes_what_is_below(void **state)
{
    struct cordon_extent e = held(8);
    struct cordon_edit edits[] = {add_of(9, CORDON_NODE_CONTAINER, RAM, 64), ram_of(1, 0, &e)};
    uint32_t view;

    (void)state;
    assert_int_equal(domain_view_add(d, &view), 0);
    edits[0].node.flags = CORDON_REGION_NODMA;
    edits[1].node.parent = 9;
    assert_int_equal(cordon_space_update(s, edits, 2), 0);
    assert_leads(RAM, 8, e.hpa.v);
    assert_int_equal(bench_leads(d, view, RAM, 0), UINT64_MAX);
    struct cordon_edit open = set_of(9);

    open.node.flags = 0;
    assert_int_equal(edit_one(open), 0);
    assert_int_equal(bench_leads(d, view, RAM, RW), e.hpa.v);
    const struct cordon_edit gone[] = {remove_of(9), remove_of(1)};

    assert_int_equal(cordon_space_update(s, gone, 2), 0);
    domain_view_remove(d, view);
    free_held(e);
}

/* What the map refuses, after the tree had agreed, is as if it had never been asked. */
static void test_a_refused_update_leaves_the_tree_as_it_was(void **state)
{
    struct cordon_extent e = held(8), other = held(1);
    const struct cordon_op grant = op_grant(3 * RAM, &other, 1, RW, CORDON_REGION_KEEP);
    struct cordon_node node;
    struct cordon_section seen;

    (void)state;
    assert_int_equal(edit_one(ram_of(1, RAM, &e)), 0);
    assert_int_equal(cordon_change(d, &grant, 1), 0);
    struct cordon_edit edits[] = {set_of(1), add_of(2, CORDON_NODE_HOLE, 0, 4)};

    edits[0].node.offset = 3 * RAM;
    assert_refused(edits, 2, -CORDON_EEXIST);
    assert_int_equal(cordon_node_find(s, 1, false, &node), 0);
    assert_int_equal(node.offset, RAM);
    assert_int_equal(cordon_node_find(s, 2, false, &node), -CORDON_ENOENT);
    assert_int_equal(cordon_section_find(s, cordon_gpa_make(0), true, &seen), 0);
    assert_int_equal(seen.gpa.v, RAM);
    assert_int_equal(bench_revoke(d, 3 * RAM, 1), 0);
    assert_int_equal(cordon_space_update(s, edits, 2), 0); /* now nothing is in the way */
    assert_leads(3 * RAM, 8, e.hpa.v);
    assert_int_equal(edit_one(remove_of(1)), 0);
    free_held(e);
    free_held(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, space_setup, space_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ram_is_seen_where_it_stands_and_goes_back_when_it_goes),
        TEST(test_the_higher_priority_hides_and_a_hole_shows_nothing_through),
        TEST(test_a_container_moves_all_below_with_frames_and_contents),
        TEST(test_two_ranges_change_places_in_one_update),
        TEST(test_an_alias_is_a_window_and_a_frame_is_seen_at_one_place),
        TEST(test_rights_change_in_place_and_flags_reach_the_views),
        TEST(test_what_is_granted_in_a_nodes_place_stands_in_for_it),
        TEST(test_what_stands_there_instead_is_not_taken_for_a_nodes),
        TEST(test_names_of_pages_are_not_given_twice_when_all_have_been_given),
        TEST(test_a_container_without_dma_closes_what_is_below),
        TEST(test_a_refused_update_leaves_the_tree_as_it_was),
        TEST(test_resources_move_as_frames_do),
        TEST(test_frames_that_are_the_maps_go_with_their_node_and_are_not_hidden),
        TEST(test_pages_that_were_taken_directly_stay_away_and_others_are_in_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
