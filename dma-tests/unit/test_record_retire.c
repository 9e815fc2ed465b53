/*
 * The order checker of the recording port: what goes, once nothing leads to it and whoever may
 * remember it was told and waited for: harts and devices.
 */
#include "record_steps.h"

/* ---- harts --------------------------------------------------------------------------------- */

static void test_a_frame_goes_after_its_leaf_and_the_harts(void **state)
{
    (void)state;
    store(LEAVES, 0, 0);
    port_fence(&r);
    harts(GFN * PAGE, PAGE);
    release(RAM, 1);
    store(LEAVES, 1, 0);
    port_fence(&r);
    harts(0, 0);
    release(RAM + 1, 1);
    release(RAM + 2, 6); /* never led to */
    assert_null(record_broken(&r));
}

static void test_a_frame_freed_with_its_leaf_in_place(void **state)
{
    (void)state;
    port_fence(&r);
    harts(0, 0);
    release(RAM, 1);
    broken("a frame was freed that a leaf still leads to");
}

static void test_a_frame_freed_with_one_of_two_leaves_in_place(void **state)
{
    (void)state;
    store(LEAVES, 2, leaf(RAM, 3)); /* say, of another view */
    store(LEAVES, 0, 0);
    port_fence(&r);
    harts(0, 0);
    release(RAM, 1);
    broken("a frame was freed that a leaf still leads to");
}

static void test_a_frame_freed_before_the_harts_were_fenced(void **state)
{
    (void)state;
    store(LEAVES, 0, 0);
    port_fence(&r);
    release(RAM, 1);
    broken("freed before harts were fenced");
}

static void test_harts_fenced_for_another_place_or_domain_or_too_early(void **state)
{
    (void)state;
    harts(0, 0); /* before the leaf went */
    store(LEAVES, 0, 0);
    harts(0, 0); /* before the store was ordered */
    port_fence(&r);
    harts((GFN + 1) * PAGE, PAGE);
    harts((GFN - 1) * PAGE, PAGE);
    cordon_port_hart_fence(&r, HARTS, VMID + 1, cordon_gpa_make(0), 0);
    cordon_port_hart_fence(&r, HARTS & ~UINT64_C(1), VMID, cordon_gpa_make(0), 0);
    release(RAM, 1);
    broken("freed before harts were fenced");
}

static void test_a_frame_led_to_again_waits_again(void **state)
{
    (void)state;
    store(LEAVES, 0, 0);
    port_fence(&r);
    harts(0, 0);
    store(LEAVES, 0, leaf(RAM, 1));
    store(LEAVES, 0, 0);
    port_fence(&r);
    release(RAM, 1);
    broken("freed before harts were fenced");
}

static void test_tables_wait_for_harts_too(void **state)
{
    (void)state;
    store(LEAVES, 0, 0);
    store(LEAVES, 1, 0);
    store(MIDDLE, 0, 0);
    port_fence(&r);
    harts(GFN * PAGE, 2 * PAGE); /* a range says nothing of caches of tables */
    release(LEAVES, 1);
    broken("freed before harts were fenced");
}

static void test_tables_go_when_all_of_the_vmid_was_fenced(void **state)
{
    (void)state;
    store(ROOT, 2, 0);
    port_fence(&r);
    harts(0, 0);
    release(MIDDLE, 1);
    release(LEAVES, 1);
    release(RAM, 8);  /* their leaves went with the tables */
    release(COPY, 1); /* never reachable */
    release(ROOT, 4);
    assert_null(record_broken(&r));
}

static void test_a_table_freed_that_a_word_leads_to(void **state)
{
    (void)state;
    release(LEAVES, 1);
    port_fence(&r); /* a root above that has died may be freed right after, not later */
    broken("a table was freed that a word still leads to");
}

static void test_a_dead_table_is_left_alone(void **state)
{
    (void)state;
    store(MIDDLE, 0, 0);
    store(LEAVES, 0, 0);
    assert_null(record_broken(&r));
    store(LEAVES, 1, leaf(RAM + 3, 3));
    broken("a valid word was stored into a table that was taken out");
}

static void test_a_dead_table_does_not_come_back(void **state)
{
    (void)state;
    store(MIDDLE, 0, 0);
    port_fence(&r);
    store(MIDDLE, 1, table(LEAVES));
    broken("a table that was taken out became reachable again");
}

/* Two views share a table; one gets a copy. What both held goes only when both lost it. */
static void test_a_shared_table_lives_while_one_leads_to_it(void **state)
{
    (void)state;
    store(ROOT, 3, table(MIDDLE)); /* as from another root */
    store(ROOT, 2, 0);
    port_fence(&r);
    harts(0, 0);
    release(RAM, 1);
    broken("a frame was freed that a leaf still leads to");
}

/* ---- devices ------------------------------------------------------------------------------- */

static void clear_first(void)
{
    record_expect_views(&r, DOMAIN, 1 << 1 | 1 << 2);
    store(LEAVES, 0, 0);
    port_fence(&r);
    harts(0, 0);
}

#define VIEW1 DOMAIN
#define VIEW2 (CORDON_MAX_DOMAINS + DOMAIN)

static void test_every_view_is_invalidated_fenced_and_over(void **state)
{
    (void)state;
    clear_first();
    command(IOTINVAL_PAGE, VIEW1, GFN);
    command(IOTINVAL, VIEW2, 0);
    command(IOFENCE, 0, 0);
    done();
    release(RAM, 1);
    assert_null(record_broken(&r));
}

static void test_a_view_that_was_skipped(void **state)
{
    (void)state;
    clear_first();
    command(IOTINVAL, VIEW1, 0);
    command(IOFENCE, 0, 0);
    done();
    release(RAM, 1);
    broken("freed before the IOMMU was told, for every view");
}

static void test_a_page_that_was_not_named(void **state)
{
    (void)state;
    clear_first();
    command(IOTINVAL_PAGE, VIEW1, GFN + 1);
    command(IOTINVAL, VIEW2, 0);
    command(IOFENCE, 0, 0);
    done();
    release(RAM, 1);
    broken("freed before the IOMMU was told, for every view");
}

static void test_a_command_fence_that_is_missing_or_too_early(void **state)
{
    (void)state;
    clear_first();
    command(IOTINVAL, VIEW1, 0);
    command(IOFENCE, 0, 0);
    command(IOTINVAL, VIEW2, 0);
    done();
    release(RAM, 1);
    broken("freed before the IOMMU was told, for every view");
}

static void test_an_iommu_that_was_not_waited_for(void **state)
{
    (void)state;
    clear_first();
    command(IOTINVAL, VIEW1, 0);
    command(IOTINVAL, VIEW2, 0);
    command(IOFENCE, 0, 0);
    release(RAM, 1);
    broken("freed before the IOMMU was done");
}

static void test_invalidating_before_the_leaf_went_counts_for_nothing(void **state)
{
    (void)state;
    record_expect_views(&r, DOMAIN, 1 << 1);
    command(IOTINVAL, VIEW1, 0);
    store(LEAVES, 0, 0);
    command(IOTINVAL, VIEW1, 0); /* the store was not ordered yet */
    port_fence(&r);
    harts(0, 0);
    command(IOFENCE, 0, 0);
    done();
    release(RAM, 1);
    broken("freed before the IOMMU was told, for every view");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_frame_goes_after_its_leaf_and_the_harts),
        TEST(test_a_frame_freed_with_its_leaf_in_place),
        TEST(test_a_frame_freed_with_one_of_two_leaves_in_place),
        TEST(test_a_frame_freed_before_the_harts_were_fenced),
        TEST(test_harts_fenced_for_another_place_or_domain_or_too_early),
        TEST(test_a_frame_led_to_again_waits_again),
        TEST(test_tables_wait_for_harts_too),
        TEST(test_tables_go_when_all_of_the_vmid_was_fenced),
        TEST(test_a_table_freed_that_a_word_leads_to),
        TEST(test_a_dead_table_is_left_alone),
        TEST(test_a_dead_table_does_not_come_back),
        TEST(test_a_shared_table_lives_while_one_leads_to_it),
        TEST(test_every_view_is_invalidated_fenced_and_over),
        TEST(test_a_view_that_was_skipped),
        TEST(test_a_page_that_was_not_named),
        TEST(test_a_command_fence_that_is_missing_or_too_early),
        TEST(test_an_iommu_that_was_not_waited_for),
        TEST(test_invalidating_before_the_leaf_went_counts_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
