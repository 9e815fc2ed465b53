/*
 * The order checker of the recording port: what becomes reachable, and the log itself. Right orders
 * pass, and each step out of order is found. The steps are done by hand, as a builder and a driver
 * would.
 */
#include "record_steps.h"

/* ---- tables that become reachable --------------------------------------------------------- */

static void test_contents_come_before_the_fence(void **state)
{
    (void)state;
    store(COPY, 0, leaf(RAM + 2, 3));
    store(MIDDLE, 1, table(COPY));
    broken("a table became reachable before its contents were fenced");
}

static void test_contents_come_before_the_word(void **state)
{
    (void)state;
    port_fence(&r);
    store(MIDDLE, 1, table(COPY));
    broken("a table became reachable before its contents");
}

static void test_contents_far_below_count_too(void **state)
{
    claim(0x30, 1, CORDON_FRAME_TABLE);

    (void)state;
    store(0x30, 0, table(COPY));
    port_fence(&r);
    store(COPY, 0, leaf(RAM + 2, 3));
    store(ROOT, 3, table(0x30));
    broken("a table became reachable before its contents were fenced");
}

static void test_contents_are_stored_through_the_port(void **state)
{
    (void)state;
    store(COPY, 0, leaf(RAM + 2, 3));
    memory[COPY][1] = leaf(RAM + 3, 3);
    port_fence(&r);
    store(MIDDLE, 1, table(COPY));
    broken("a table became reachable with contents that were not stored through the port");
}

static void test_a_reachable_table_is_changed_through_the_port(void **state)
{
    (void)state;
    memory[LEAVES][1] = 0;
    store(LEAVES, 1, leaf(RAM + 1, 1));
    broken("a word of a reachable table was changed behind the port's back");
}

static void test_a_split_leads_to_the_same_frames(void **state)
{
    (void)state;
    claim(0x2000, 512, owned(GFN + 512));
    store(MIDDLE, 1, leaf(0x2000, 3));
    for (unsigned i = 0; i < 512; i++) {
        store(COPY, i, i == 7 ? 0 : leaf(0x2000 + i, 3)); /* one goes, as a revoke would have it */
    }
    port_fence(&r);
    store(MIDDLE, 1, table(COPY));
    assert_null(record_broken(&r));

    claim(0x31, 1, CORDON_FRAME_TABLE);
    claim(0x3000, 512, owned(GFN + 1024));
    store(MIDDLE, 2, leaf(0x3000, 3));
    for (unsigned i = 0; i < 512; i++) {
        store(0x31, i, leaf(0x3000 + (i ^ 1), 3));
    }
    port_fence(&r);
    store(MIDDLE, 2, table(0x31));
    broken("a superpage was split into leaves that lead elsewhere");
}

/* A 1 GiB leaf gives way to 2 MiB leaves, one of which is split already; four levels. */
static void test_levels_are_counted_from_the_root(void **state)
{
    const uint64_t giant = UINT64_C(0x40000), roots = 0x34, top = 0x38;

    (void)state;
    record_levels(&r, 4);
    claim(roots, 4, CORDON_FRAME_TABLE);
    claim(top, 1, CORDON_FRAME_TABLE);
    claim(0x30, 1, CORDON_FRAME_TABLE);
    claim(0x31, 1, CORDON_FRAME_TABLE);
    for (uint64_t i = 0; i < 512; i++) {
        claim(giant + 512 * i, 512, owned(GFN + 512 * i));
    }
    store(top, 1, leaf(giant, 3));
    port_fence(&r);
    store(roots, 0, table(top));
    for (unsigned i = 0; i < 512; i++) {
        store(0x31, i, leaf(giant + 3 * 512 + i, 3));
        store(0x30, i, i == 3 ? table(0x31) : leaf(giant + 512 * i, 3));
    }
    port_fence(&r);
    store(top, 1, table(0x30));
    assert_null(record_broken(&r));
    store(0x31, 7, 0);
    port_fence(&r);
    harts(0, 0);
    release(giant + 3 * 512 + 7, 1);
    assert_null(record_broken(&r));
    release(giant + 3 * 512 + 8, 1);
    broken("a frame was freed that a leaf still leads to");
}

static void test_words_of_frames_that_were_never_claimed_are_let_be(void **state)
{
    (void)state;
    store(0x3f, 0, leaf(0x9999, 3));
    store(0x3f, 1, table(LEAVES));
    assert_null(record_broken(&r));
}

/* ---- leaves -------------------------------------------------------------------------------- */

static void test_a_leaf_leads_to_what_was_claimed(void **state)
{
    (void)state;
    claim(0x2000, 1, CORDON_FRAME_HELD);
    store(LEAVES, 2, leaf(0x2000, 3));
    broken("a leaf leads to a frame that no domain owns");
}

static void test_a_freed_frame_is_not_led_to_again(void **state)
{
    (void)state;
    claim(0x2000, 1, CORDON_FRAME_HELD);
    release(0x2000, 1);
    assert_null(record_broken(&r));
    store(LEAVES, 2, leaf(0x2000, 3));
    broken("a leaf leads to a frame that no domain owns");
}

/* Frame 0x2000 was its owner's, and is free; then it is claimed anew. */
static void free_and_claim(void)
{
    claim(0x2000, 1, owned(GFN + 2));
    store(LEAVES, 2, leaf(0x2000, 3));
    store(LEAVES, 2, 0);
    port_fence(&r);
    harts(0, 0);
    release(0x2000, 1);
    claim(0x2000, 1, CORDON_FRAME_HELD);
}

static void lead_to_it(void)
{
    claim(0x2000, 1, owned(GFN + 3));
    store(LEAVES, 3, leaf(0x2000, 3));
}

static void test_a_frame_that_was_free_is_led_to_with_what_it_held(void **state)
{
    (void)state;
    free_and_claim();
    assert_null(record_broken(&r));
    lead_to_it();
    broken("a leaf leads to a frame that was free and not scrubbed since");
}

static void test_a_frame_that_was_free_is_scrubbed_first(void **state)
{
    (void)state;
    free_and_claim();
    port_note(&r, PORT_NOTE_SCRUB, 0x2000 * PAGE, 0);
    lead_to_it();
    assert_null(record_broken(&r));
}

static void test_or_all_of_it_is_copied_to(void **state)
{
    (void)state;
    free_and_claim();
    port_note(&r, PORT_NOTE_COPY, 0x3000 * PAGE, 0x2000 * PAGE);
    cordon_port_code_fence(&r, HARTS);
    lead_to_it();
    assert_null(record_broken(&r));
}

static void test_a_scrub_before_it_was_free_counts_for_nothing(void **state)
{
    (void)state;
    port_note(&r, PORT_NOTE_SCRUB, 0x2000 * PAGE, 0);
    free_and_claim();
    lead_to_it();
    broken("a leaf leads to a frame that was free and not scrubbed since");
}

static void test_what_a_caller_keeps_is_his(void **state)
{
    (void)state;
    port_note(&r, PORT_NOTE_FREE, 0x2000 * PAGE, CORDON_FRAME_REVOKING | BIT64(15));
    lead_to_it();
    assert_null(record_broken(&r));
}

static void test_a_frame_is_scrubbed_when_nothing_leads_to_it(void **state)
{
    (void)state;
    port_note(&r, PORT_NOTE_SCRUB, RAM * PAGE, 0);
    broken("a frame was scrubbed that a leaf still leads to");
}

/* ---- the log ------------------------------------------------------------------------------- */

static void test_events_are_kept_in_order_and_bounded(void **state)
{
    uint64_t start = r.sequence;

    (void)state;
    store(LEAVES, 5, leaf(RAM + 2, 1));
    port_fence(&r);
    cordon_port_write32(&r, cordon_hpa_make(0x3000048), 7);
    harts(0x5000, 0x2000);
    const struct record_event *e = record_at(&r, start + 1);

    assert_int_equal(e->kind, RECORD_STORE);
    assert_int_equal(e->a, LEAVES * PAGE + 40);
    assert_int_equal(e->b, leaf(RAM + 2, 1));
    assert_int_equal(e->c, 0);
    assert_int_equal(record_find(&r, start, RECORD_FENCE, UINT64_MAX)->sequence, start + 2);
    assert_int_equal(record_find(&r, start, RECORD_MMIO_WRITE, 0x3000048)->b, 7);
    e = record_find(&r, start, RECORD_HART_FENCE, VMID);
    assert_int_equal(e->b, 0x5000);
    assert_int_equal(e->c, 0x2000);
    assert_null(record_find(&r, e->sequence, RECORD_HART_FENCE, UINT64_MAX));
    for (unsigned i = 0; i < RECORD_EVENTS; i++) {
        port_fence(&r);
    }
    assert_null(record_at(&r, start + 4));
    assert_non_null(record_at(&r, start + 5));
    assert_null(record_at(&r, 0));
    assert_null(record_find(&r, 0, RECORD_STORE, UINT64_MAX));
    assert_int_equal(memory[LEAVES][5], leaf(RAM + 2, 1));
}

static void test_only_the_nth_allocation_fails(void **state)
{
    (void)state;
    r.allocations = 0;
    r.fail_at = 3;
    assert_true(port_may_alloc(&r));
    assert_true(port_may_alloc(&r));
    assert_false(port_may_alloc(&r));
    assert_true(port_may_alloc(&r));
    assert_true(port_may_alloc(NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_contents_come_before_the_fence),
        TEST(test_contents_come_before_the_word),
        TEST(test_contents_far_below_count_too),
        TEST(test_contents_are_stored_through_the_port),
        TEST(test_a_reachable_table_is_changed_through_the_port),
        TEST(test_a_split_leads_to_the_same_frames),
        TEST(test_levels_are_counted_from_the_root),
        TEST(test_words_of_frames_that_were_never_claimed_are_let_be),
        TEST(test_a_leaf_leads_to_what_was_claimed),
        TEST(test_a_freed_frame_is_not_led_to_again),
        TEST(test_a_frame_that_was_free_is_led_to_with_what_it_held),
        TEST(test_a_frame_that_was_free_is_scrubbed_first),
        TEST(test_or_all_of_it_is_copied_to),
        TEST(test_a_scrub_before_it_was_free_counts_for_nothing),
        TEST(test_what_a_caller_keeps_is_his),
        TEST(test_a_frame_is_scrubbed_when_nothing_leads_to_it),
        TEST(test_events_are_kept_in_order_and_bounded),
        TEST(test_only_the_nth_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
