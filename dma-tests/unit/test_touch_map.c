/* Changes of the map, views, loans and the audit, where pages are absent. */
#include "touch_bench.h"

static void test_revoke_goes_over_holes(void **state)
{
    (void)state;
    some_present(DEMAND);
    assert_int_equal(bench_revoke(d, AT + 3 * PAGE, 3), 0); /* page 5, and two that are absent */
    assert_int_equal(bench_stats(&b).owned, 3 * PAGE);
    bench_sound(&b);
    assert_int_equal(bench_revoke(d, AT + 600 * PAGE, 100), 0); /* absent only */
    bench_sound(&b);
    assert_int_equal(touch(AT + 600 * PAGE), -CORDON_ENOENT);
    assert_int_equal(bench_revoke(d, AT + 6 * PAGE, 594), 0);
    assert_int_equal(bench_revoke(d, AT, 3), 0);
    assert_int_equal(bench_stats(&b).owned, 0);
    assert_int_equal(bench_stats(&b).revoking, 0);
    bench_sound(&b);
}

static void test_protect_goes_over_holes_and_holds_for_what_comes(void **state)
{
    const struct cordon_op op = op_protect(AT, 1024, CORDON_READ);
    struct cordon_touched out;

    (void)state;
    some_present(DEMAND);
    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(bench_leads(d, 0, AT + 5 * PAGE, CORDON_WRITE), UINT64_MAX);
    assert_int_equal(touch_for(d, AT + 9 * PAGE, CORDON_WRITE, &out), -CORDON_EFAULT);
    assert_int_equal(touch_for(d, AT + 9 * PAGE, CORDON_READ, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(bench_leads(d, 0, AT + 9 * PAGE, CORDON_WRITE), UINT64_MAX);
    bench_sound(&b);
}

static void test_a_region_moves_with_its_holes(void **state)
{
    const uint64_t to = AT + 5 * GIB + 3 * PAGE;
    struct cordon_remap move = {.size = sizeof(move), .gpa = {AT}, .to = {to}, .len = 1024 * PAGE};
    uint64_t hpa;

    (void)state;
    some_present(DEMAND);
    hpa = bench_leads(d, 0, AT + 6 * PAGE, 0);
    assert_int_equal(cordon_remap(d, &move), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(d, 0, to + 6 * PAGE, 0), hpa);
    assert_true(is_present(to + 511 * PAGE));
    assert_false(is_present(to + 7 * PAGE));
    assert_int_equal(touch(AT + 6 * PAGE), -CORDON_ENOENT);
    assert_int_equal(touch(to + 7 * PAGE), CORDON_TOUCH_FILLED);
    bench_sound(&b);
    move.gpa.v = to + 600 * PAGE; /* absent only */
    move.len = 8 * PAGE;
    move.to.v = AT;
    assert_int_equal(cordon_remap(d, &move), 0);
    assert_int_equal(touch(AT + 7 * PAGE), CORDON_TOUCH_FILLED);
    bench_sound(&b);
}

static void test_other_frames_are_refused(void **state)
{
    const struct cordon_extent e = {bench_held(&b, 1), PAGE};
    const struct cordon_remap other = {.size = sizeof(other),
                                       .gpa = {AT},
                                       .to = {AT},
                                       .len = PAGE,
                                       .extents = &e,
                                       .extent_count = 1};

    (void)state;
    some_present(DEMAND);
    assert_int_equal(cordon_remap(d, &other), -CORDON_EPERM);
    assert_int_equal(cordon_run_free(b.ctx, e.hpa, PAGE), 0);
}

static void test_what_is_lent_is_filled_first(void **state)
{
    cordon_domain *borrower = bench_domain(&b);
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {AT + 4 * PAGE}, .to = {AT}, .len = 6 * PAGE, .perms = RW};

    (void)state;
    some_present(DEMAND);
    assert_int_equal(cordon_share(d, borrower, &share), 0);
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(bench_leads(borrower, 0, AT + i * PAGE, RW),
                         bench_leads(d, 0, AT + (4 + i) * PAGE, RW));
    }
    assert_false(is_present(AT + 10 * PAGE));
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(borrower), 0);
}

static void test_the_owners_harts_get_turns_while_much_is_filled_to_be_lent(void **state)
{
    cordon_domain *borrower = bench_domain(&b);
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {AT}, .to = {AT}, .len = 1024 * PAGE, .perms = RW};

    (void)state;
    demand(d, AT, 1024, DEMAND);
    uint64_t turns = d->lock.next;

    assert_int_equal(cordon_share(d, borrower, &share), 0);
    assert_true(d->lock.next - turns >= 1024 / 64);
    assert_int_equal(bench_stats(&b).owned, share.len);
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(borrower), 0);
}

static void test_a_device_view_wants_each_page_present(void **state)
{
    const struct cordon_op more = op_demand(AT + 4096 * PAGE, 1, RW, DEMAND);
    const struct cordon_op hidden =
        op_demand(AT + 4096 * PAGE, 8, RW, DEMAND | CORDON_REGION_NODMA);
    uint32_t view = 0;
    uint64_t before;

    (void)state;
    some_present(DEMAND);
    before = bench_state(&b);
    assert_int_equal(domain_view_add(d, &view), -CORDON_EBUSY);
    assert_true(bench_state(&b) == before);
    assert_int_equal(cordon_populate(d, cordon_gpa_make(AT), 1024 * PAGE), 0);
    assert_int_equal(domain_view_add(d, &view), 0);
    assert_int_equal(bench_leads(d, view, AT + 1023 * PAGE, RW),
                     bench_leads(d, 0, AT + 1023 * PAGE, RW));
    bench_sound(&b);
    assert_int_equal(cordon_change(d, &more, 1), -CORDON_EBUSY);
    assert_int_equal(cordon_change(d, &hidden, 1), 0); /* what devices do not see may be absent */
    assert_int_equal(touch(hidden.gpa.v + 3 * PAGE), CORDON_TOUCH_FILLED);
    assert_int_equal(touch(hidden.gpa.v + 4 * PAGE), CORDON_TOUCH_FILLED);
    assert_true(is_present(hidden.gpa.v + 3 * PAGE));
    assert_int_equal(bench_leads(d, view, hidden.gpa.v + 3 * PAGE, 0), UINT64_MAX);
    bench_sound(&b);
    domain_view_remove(d, view);
}

/* What the audit says when the leaf of GPA is gone, and its table's count says so too. */
static struct cordon_finding without(uint64_t gpa)
{
    uint64_t *leaf = bench_leaf(&b, d, 0, gpa), was = *leaf;
    cordon_hpa table = {((uint64_t)(uintptr_t)leaf - b.ctx->ram_offset) & ~(PAGE - 1)};
    uint64_t *own = frames_word_at(b.ctx, table);

    *leaf = 0;
    *own -= field_put(FW_TABLE_VALID, 1);
    struct cordon_finding found = bench_breaks(&b, 1);

    *leaf = was;
    *own += field_put(FW_TABLE_VALID, 1);
    bench_sound(&b);
    return found;
}

static void test_the_audit_wants_other_regions_whole(void **state)
{
    (void)state;
    some_present(DEMAND);
    bench_grant(&b, d, AT + 1024 * PAGE, 2, RW, 0);
    assert_string_equal(without(AT + 1025 * PAGE).text, "a page of the map that the view lacks");
    assert_string_equal(without(AT + 5 * PAGE).text,
                        "an owned frame is not where it says it stands");
}

static void test_destroying_a_domain_frees_what_came(void **state)
{
    cordon_domain *other = bench_domain(&b);
    struct cordon_memory_stats before = bench_stats(&b);
    struct cordon_touched out;

    (void)state;
    demand(other, AT, 4096, HUGE);
    assert_int_equal(touch_for(other, AT, 0, &out), CORDON_TOUCH_FILLED);
    demand(other, 0, 4096, DEMAND);
    assert_int_equal(touch_for(other, 7 * PAGE, 0, &out), CORDON_TOUCH_FILLED);
    assert_int_equal(cordon_domain_destroy(other), 0);
    assert_true(bench_stats(&b).free >= before.free);
    assert_int_equal(bench_stats(&b).owned, 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_revoke_goes_over_holes),
        T(test_protect_goes_over_holes_and_holds_for_what_comes),
        T(test_a_region_moves_with_its_holes),
        T(test_other_frames_are_refused),
        T(test_what_is_lent_is_filled_first),
        T(test_the_owners_harts_get_turns_while_much_is_filled_to_be_lent),
        T(test_a_device_view_wants_each_page_present),
        T(test_the_audit_wants_other_regions_whole),
        T(test_destroying_a_domain_frees_what_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
