/* Dirty and access logging of what harts do: [Priv 12.3.1, 18.5.1]. Devices: test_log_device.c. */
#include <cordon/cordon.h>

#include "map_bench.h"
#include "pt/pt.h"

#include <stdlib.h>

#define GPA (4 * BLOCK)
#define PAGES 1600u /* three large leaves, and some small ones */
#define WORDS ((PAGES + 63) / 64)

static struct map_bench b;
static cordon_domain *red;

/* ---- a hart with Svadu, and a TLB that forgets when it is told ----------------------------- */

static bool kept[PAGES]; /* the TLB holds this page, with D set */

static void forget_all(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    uint64_t first = len == 0 || gpa < GPA ? 0 : (gpa - GPA) / PAGE;

    (void)user;
    (void)vmid;
    for (uint64_t i = (harts & 2) != 0 ? first : PAGES;
         i < PAGES && (len == 0 || i < first + len / PAGE); i++) {
        kept[i] = false;
    }
}

static void hart_store(uint64_t page)
{
    if (!kept[page]) {
        uint64_t *leaf = bench_leaf(&b, red, 0, GPA + page * PAGE);

        assert_int_equal(*leaf & (PTE_V | PTE_W), PTE_V | PTE_W);
        *leaf |= PTE_A | PTE_D;
        kept[page] = true;
    }
}

static void hart_load(uint64_t page)
{
    if (!kept[page]) {
        *bench_leaf(&b, red, 0, GPA + page * PAGE) |= PTE_A;
    }
}

/* ---- the bench ---------------------------------------------------------------------------- */

static cordon_hpa ram;

static int setup(void **state)
{
    (void)state;
    memset(kept, 0, sizeof(kept));
    bench_open(&b, 32 * MIB);
    b.record.ops.hart_fence = forget_all;
    red = bench_domain(&b);
    assert_int_equal(
        cordon_domain_enter(red, 1, &(struct cordon_entry){sizeof(struct cordon_entry), 0, 0}), 0);

    struct cordon_run_want want = {.size = sizeof(want), .len = PAGES * PAGE, .align = BLOCK};
    struct cordon_extent e = {.len = PAGES * PAGE};

    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    struct cordon_op op = op_grant(GPA, &e, 1, RWX, 0);

    assert_int_equal(cordon_change(red, &op, 1), 0);
    ram = e.hpa;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_sound(&b);
    assert_int_equal(cordon_domain_leave(red, 1), 0);
    assert_int_equal(cordon_domain_destroy(red), 0);
    bench_close(&b);
    return 0;
}

static int mark(uint64_t page, uint64_t pages, uint32_t flags)
{
    struct cordon_op op = op_mark(GPA + page * PAGE, pages, flags);
    int err = cordon_change(red, &op, 1);

    bench_sound(&b);
    return err;
}

static struct cordon_harvested harvest(uint64_t page, uint64_t pages, uint64_t *dirty,
                                       uint64_t *used, uint32_t flags)
{
    struct cordon_harvest what = {.size = sizeof(what),
                                  .flags = flags,
                                  .gpa = cordon_gpa_make(GPA + page * PAGE),
                                  .len = pages * PAGE,
                                  .dirty = dirty,
                                  .used = used};
    struct cordon_harvested out;

    assert_int_equal(cordon_log_harvest(red, &what, &out), 0);
    bench_sound(&b);
    return out;
}

static bool has(const uint64_t *map, uint64_t page)
{
    return (map[page / 64] >> page % 64 & 1) != 0;
}

/* ---- dirty -------------------------------------------------------------------------------- */

static void test_a_page_that_was_written_is_told_once(void **state)
{
    static const uint64_t pages[] = {0, 5, 63, 64, 511, 512, 1023, 1024, 1599};
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 0);
    for (unsigned i = 0; i < 9; i++) {
        hart_store(pages[i]);
        hart_store(pages[i]);
    }
    struct cordon_harvested out = harvest(0, PAGES, dirty, NULL, 0);

    assert_int_equal(out.dirty, 9);
    assert_int_equal(out.logged, PAGES);
    assert_int_equal(out.unknown, 0);
    for (uint64_t i = 0; i < PAGES; i++) {
        bool written = false;

        for (unsigned k = 0; k < 9; k++) {
            written |= pages[k] == i;
        }
        assert_int_equal(has(dirty, i), written);
    }
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 0);
}

static void test_what_is_written_behind_a_harvest_is_seen_by_the_next(void **state)
{
    uint64_t dirty[WORDS];

    (void)state;
    hart_store(3);
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    hart_store(3); /* the TLB held it, writable and dirty, before logging began */
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 1);
    hart_store(3);
    assert_int_equal(harvest(3, 1, dirty, NULL, 0).dirty, 1);
    hart_store(3);
    assert_int_equal(harvest(0, 64, dirty, NULL, 0).dirty, 1);
}

static void test_a_harvest_takes_only_its_range(void **state)
{
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    for (uint64_t i = 90; i < 300; i++) {
        hart_store(i);
    }
    assert_int_equal(harvest(100, 101, dirty, NULL, 0).dirty, 101);
    assert_true(has(dirty, 0) && has(dirty, 100) && !has(dirty, 101));
    struct cordon_harvested rest = harvest(0, PAGES, dirty, NULL, 0);

    assert_int_equal(rest.dirty, 210 - 101);
    assert_true(has(dirty, 99) && !has(dirty, 100) && !has(dirty, 200) && has(dirty, 201));
}

static void test_a_look_keeps_what_it_sees(void **state)
{
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    hart_store(700);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, CORDON_LOG_KEEP).dirty, 1);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 1);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, CORDON_LOG_KEEP).dirty, 0);
}

static void test_accesses_are_told_from_the_first_harvest_that_asks(void **state)
{
    uint64_t dirty[WORDS], used[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    assert_int_equal(harvest(0, PAGES, NULL, used, 0).used, PAGES);
    hart_load(17);
    hart_store(900);
    struct cordon_harvested out = harvest(0, PAGES, NULL, used, 0);

    assert_int_equal(out.used, 2);
    assert_int_equal(out.dirty, 0);
    assert_true(has(used, 17) && has(used, 900));
    out = harvest(0, PAGES, dirty, used, 0);
    assert_int_equal(out.dirty, 1); /* clearing A has left D alone */
    assert_int_equal(out.used, 0);
}

static void test_a_change_of_rights_loses_nothing(void **state)
{
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    hart_store(8);
    struct cordon_op op = op_protect(GPA, PAGES, CORDON_READ);

    assert_int_equal(cordon_change(red, &op, 1), 0);
    bench_sound(&b);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 1);
    assert_true(has(dirty, 8));
}

static void test_what_software_wrote_is_dirty_too(void **state)
{
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(0, 1000, CORDON_REGION_LOG), 0);
    assert_int_equal(cordon_log_written(red, cordon_gpa_make(GPA + 5 * PAGE + 4000), 200), 0);
    assert_int_equal(cordon_log_written(red, cordon_gpa_make(GPA + 999 * PAGE), 9 * PAGE), 0);
    assert_int_equal(cordon_log_written(red, cordon_gpa_make(0), 1), 0);
    assert_int_equal(cordon_log_written(red, cordon_gpa_make(GPA), 0), 0);
    assert_int_equal(cordon_log_written(red, cordon_gpa_make(~0ull), 2), -CORDON_ERANGE);
    assert_int_equal(harvest(0, 1000, dirty, NULL, 0).dirty, 3);
    assert_true(has(dirty, 5) && has(dirty, 6) && has(dirty, 999));
}

static void touch(uint64_t page, uint32_t access, uint32_t what)
{
    struct cordon_touched out;

    assert_int_equal(cordon_touch(red, cordon_gpa_make(GPA + page * PAGE + 8), access, &out), 0);
    assert_int_equal(out.what, what);
    bench_sound(&b);
}

static void test_a_hart_that_sets_no_marks_faults_once_for_each(void **state)
{
    uint64_t dirty[WORDS], used[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    touch(3, CORDON_WRITE, CORDON_TOUCH_LOGGED);
    touch(3, CORDON_WRITE, CORDON_TOUCH_SPURIOUS);
    touch(4, CORDON_READ, CORDON_TOUCH_SPURIOUS);
    struct cordon_harvested out = harvest(0, PAGES, dirty, used, 0);

    assert_int_equal(out.dirty, 1);
    assert_true(has(dirty, 3));
    touch(4, CORDON_READ, CORDON_TOUCH_LOGGED);
    touch(5, CORDON_EXEC, CORDON_TOUCH_LOGGED);
    touch(5, CORDON_WRITE, CORDON_TOUCH_LOGGED);
    out = harvest(0, PAGES, dirty, used, 0);
    assert_int_equal(out.dirty, 1);
    assert_int_equal(out.used, 2);
    assert_true(has(dirty, 5) && has(used, 4) && has(used, 5));
}

static void test_what_comes_at_first_touch_is_dirty_then_and_clean_before(void **state)
{
    const uint64_t at = GPA + 4096 * PAGE;
    uint64_t dirty[16];
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = CORDON_REGION_DEMAND | CORDON_REGION_HUGE,
                           .gpa = cordon_gpa_make(at),
                           .len = 1024 * PAGE,
                           .perms = RW};

    (void)state;
    assert_int_equal(cordon_change(red, &op, 1), 0);
    touch(4096 + 3, CORDON_READ, CORDON_TOUCH_FILLED); /* 2 MiB, before */
    assert_int_equal(mark(4096, 1024, CORDON_REGION_LOG), 0);
    assert_int_equal(harvest(4096, 1024, dirty, NULL, 0).dirty, 0);
    touch(4096 + 512, CORDON_READ, CORDON_TOUCH_FILLED); /* one page, while it is logged */
    touch(4096 + 5, CORDON_WRITE, CORDON_TOUCH_LOGGED);
    assert_int_equal(harvest(4096, 1024, dirty, NULL, 0).dirty, 2);
    assert_true(has(dirty, 512) && has(dirty, 5));
    assert_int_equal(harvest(4096, 1024, dirty, NULL, 0).dirty, 0);
}

/* ---- beginning and ending ----------------------------------------------------------------- */

static void test_logging_begins_and_ends_where_it_was_asked_for(void **state)
{
    struct cordon_hit hit;
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(100, 20, CORDON_REGION_LOG), 0);
    assert_int_equal(*bench_leaf(&b, red, 0, GPA + 99 * PAGE) & PTE_D, PTE_D);
    assert_int_equal(*bench_leaf(&b, red, 0, GPA + 100 * PAGE) & PTE_D, 0);
    assert_int_equal(*bench_leaf(&b, red, 0, GPA + 119 * PAGE) & PTE_D, 0);
    assert_int_equal(*bench_leaf(&b, red, 0, GPA + 120 * PAGE) & PTE_D, PTE_D);
    assert_int_equal(cordon_translate(red, 0, cordon_gpa_make(GPA + BLOCK), 0, &hit), 0);
    assert_int_equal(hit.level, 1); /* the next superpage is whole */
    for (uint64_t i = 0; i < PAGES; i++) {
        assert_int_equal(bench_leads(red, 0, GPA + i * PAGE, RWX), ram.v + i * PAGE);
    }
    hart_store(110);
    assert_int_equal(mark(90, 50, CORDON_REGION_LOG), 0); /* what is logged already goes on */
    assert_int_equal(harvest(90, 50, dirty, NULL, 0).dirty, 1);
    assert_int_equal(mark(0, PAGES, 0), 0);
    assert_int_equal(*bench_leaf(&b, red, 0, GPA + 100 * PAGE) & PTE_D, PTE_D);
}

static void test_a_harvest_of_what_is_not_logged_is_refused(void **state)
{
    uint64_t dirty[WORDS];
    struct cordon_harvest what = {
        .size = sizeof(what), .gpa = cordon_gpa_make(GPA), .len = PAGES * PAGE, .dirty = dirty};
    struct cordon_harvested out = {.logged = 77};

    (void)state;
    assert_int_equal(mark(0, 1000, CORDON_REGION_LOG), 0);
    hart_store(4);
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_EPERM);
    what.gpa.v = 0;
    what.len = GPA;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_ENOENT);
    what.len = 1;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_EALIGN);
    what.len = 0;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_ERANGE);
    what.len = ~0ull << 12;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_ERANGE);
    what.len = PAGE;
    what.dirty = NULL;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_EINVAL);
    what.dirty = dirty;
    what.flags = 2;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_EINVAL);
    what.flags = 0;
    what.size--;
    assert_int_equal(cordon_log_harvest(red, &what, &out), -CORDON_EINVAL);
    assert_int_equal(cordon_log_harvest(red, NULL, &out), -CORDON_EINVAL);
    assert_int_equal(cordon_log_harvest(NULL, &what, &out), -CORDON_EINVAL);
    assert_int_equal(out.logged, 77);
    what = (struct cordon_harvest){.size = sizeof(what), .len = GPA + 1000 * PAGE};
    uint64_t all[(GPA / PAGE + 1000 + 63) / 64];

    what.dirty = all; /* holes are no reason */
    assert_int_equal(cordon_log_harvest(red, &what, &out), 0);
    assert_int_equal(out.dirty, 1);
    assert_true(has(all, GPA / PAGE + 4));
}

static void test_marks_that_cannot_be_are_refused_with_nothing_changed(void **state)
{
    struct cordon_op op = op_mark(GPA, PAGES, CORDON_REGION_LOG);
    cordon_domain *blue = bench_domain(&b);
    struct cordon_share share = {.size = sizeof(share),
                                 .gpa = cordon_gpa_make(GPA),
                                 .to = cordon_gpa_make(GPA),
                                 .len = PAGE,
                                 .perms = RW};

    (void)state;
    assert_int_equal(mark(0, PAGES + 1, CORDON_REGION_LOG), -CORDON_ENOENT);
    assert_int_equal(mark(0, PAGES, CORDON_REGION_NODMA), -CORDON_EINVAL);
    op.perms = RW;
    assert_int_equal(cordon_change(red, &op, 1), -CORDON_EINVAL);
    assert_int_equal(cordon_share(red, blue, &share), 0);
    uint64_t before = bench_state(&b);

    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), -CORDON_EBUSY);
    op = op_mark(GPA, 1, CORDON_REGION_LOG);
    assert_int_equal(cordon_change(blue, &op, 1), -CORDON_EPERM);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(mark(1, PAGES - 1, CORDON_REGION_LOG), 0);
    share.gpa.v += PAGE;
    share.to.v += PAGE;
    assert_int_equal(cordon_share(red, blue, &share), -CORDON_EBUSY);
    share.perms = CORDON_READ; /* who only reads leaves no trace that would be missed */
    assert_int_equal(cordon_share(red, blue, &share), 0);
    assert_int_equal(cordon_domain_destroy(blue), 0);
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
}

static void test_a_beginning_that_runs_out_of_memory_changes_nothing(void **state)
{
    uint64_t before = bench_state(&b);
    int err = -CORDON_ENOMEM;
    unsigned failed = 0;

    (void)state;
    for (uint64_t n = 1; err == -CORDON_ENOMEM; n++) {
        b.record.fail_at = b.record.allocations + n;
        err = mark(0, PAGES, CORDON_REGION_LOG);
        b.record.fail_at = 0;
        failed += err != 0;
        assert_true(err == 0 || bench_state(&b) == before);
    }
    assert_int_equal(err, 0);
    assert_true(failed >= 3); /* three superpages */
}

static void test_what_gets_other_frames_is_dirty(void **state)
{
    uint64_t dirty[WORDS];
    struct cordon_run_want want = {.size = sizeof(want), .len = BLOCK, .align = BLOCK};
    struct cordon_extent e = {.len = BLOCK};
    struct cordon_remap remap = {.size = sizeof(remap),
                                 .gpa = cordon_gpa_make(GPA),
                                 .to = cordon_gpa_make(GPA),
                                 .len = BLOCK,
                                 .extents = &e,
                                 .extent_count = 1};

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    assert_int_equal(cordon_remap(red, &remap), 0);
    bench_sound(&b);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 512);
    hart_store(100);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 1); /* they are small leaves again */
}

static void test_frames_that_move_take_what_was_noted_along(void **state)
{
    uint64_t dirty[WORDS];

    (void)state;
    assert_int_equal(mark(0, PAGES, CORDON_REGION_LOG), 0);
    hart_store(3);
    hart_store(700);
    assert_int_equal(cordon_relocate(red, cordon_gpa_make(GPA), PAGES * PAGE, NULL), 0);
    bench_sound(&b);
    assert_int_not_equal(bench_leads(red, 0, GPA, RWX), ram.v);
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 2); /* to the guest nothing changed */
    assert_true(has(dirty, 3) && has(dirty, 700));
    assert_int_equal(harvest(0, PAGES, dirty, NULL, 0).dirty, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_page_that_was_written_is_told_once),
        T(test_what_is_written_behind_a_harvest_is_seen_by_the_next),
        T(test_a_harvest_takes_only_its_range),
        T(test_a_look_keeps_what_it_sees),
        T(test_accesses_are_told_from_the_first_harvest_that_asks),
        T(test_a_change_of_rights_loses_nothing),
        T(test_what_software_wrote_is_dirty_too),
        T(test_a_hart_that_sets_no_marks_faults_once_for_each),
        T(test_what_comes_at_first_touch_is_dirty_then_and_clean_before),
        T(test_logging_begins_and_ends_where_it_was_asked_for),
        T(test_a_harvest_of_what_is_not_logged_is_refused),
        T(test_marks_that_cannot_be_are_refused_with_nothing_changed),
        T(test_a_beginning_that_runs_out_of_memory_changes_nothing),
        T(test_what_gets_other_frames_is_dirty),
        T(test_frames_that_move_take_what_was_noted_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
