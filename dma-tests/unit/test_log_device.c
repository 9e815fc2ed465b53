/* Dirty logging of what devices do: told by D where an IOMMU sets it, else all that they may write.
 * [IOMMU DC.tc.GADE, capabilities.AMO_HWAD] */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "map/domain.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

#define GPA 0x40000000ull
#define PAGES 1024u
#define WORDS (PAGES / 64)
#define PTE_D_BIT 0x80ull

static struct fake_machine machine;
static cordon_iommu *marking, *plain;
static cordon_domain *domain;
static uint64_t dirty[WORDS];

static int setup(void **state)
{
    const struct cordon_run_want want = {.len = PAGES * 4096, .align = 2 << 20};

    (void)state;
    machine_open(&machine);
    machine.iommu[0].capabilities |= FAKE_CAP_AMO_HWAD;
    marking = machine_iommu(&machine, 0, 0xffff);
    plain = machine_iommu(&machine, 1, 0xffff);
    domain = machine_domain(&machine);
    (void)machine_grant_run(&machine, domain, GPA, want, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_sound(&machine);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    assert_int_equal(cordon_iommu_remove(marking), 0);
    assert_int_equal(cordon_iommu_remove(plain), 0);
    machine_close(&machine);
    return 0;
}

static cordon_device *attached(cordon_iommu *iommu, uint32_t id, uint32_t drain, uint32_t flags)
{
    struct cordon_device_config cfg = machine_device_config(id, "device");
    cordon_device *dev = NULL;

    cfg.drain = drain;
    assert_int_equal(cordon_device_add(iommu, &cfg, &dev), 0);
    assert_int_equal(cordon_device_attach(domain, dev, flags), 0);
    machine_sound(&machine);
    return dev;
}

static void leave(cordon_device *dev)
{
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    machine_sound(&machine);
}

static void mark(uint32_t flags)
{
    struct cordon_op op = {
        .kind = CORDON_OP_MARK, .flags = flags, .gpa = {GPA}, .len = PAGES * 4096};

    assert_int_equal(cordon_change(domain, &op, 1), 0);
    machine_sound(&machine);
}

static struct cordon_harvested harvest(void)
{
    const struct cordon_harvest what = {
        .size = sizeof(what), .gpa = {GPA}, .len = PAGES * 4096, .dirty = dirty};
    struct cordon_harvested out;

    assert_int_equal(cordon_log_harvest(domain, &what, &out), 0);
    machine_sound(&machine);
    return out;
}

static uint64_t *leaf(uint32_t view, uint64_t page, uint32_t *level)
{
    struct cordon_walk walk = {.size = sizeof(walk)};

    assert_int_equal(
        cordon_walk(domain, view, cordon_gpa_make(GPA + page * 4096), CORDON_WRITE, &walk), 0);
    assert_int_equal(walk.end, CORDON_WALK_LEADS);
    *level = walk.hit.level;
    return (uint64_t *)(machine.ram + (walk.step[walk.step_count - 1].word.v - MACHINE_RAM));
}

/* As an IOMMU does for a device with GADE; or a hart with Svadu. */
static void written(uint32_t view, uint64_t page)
{
    uint32_t level;

    *leaf(view, page, &level) |= PTE_D_BIT;
}

static bool has(uint64_t page)
{
    return (dirty[page / 64] >> page % 64 & 1) != 0;
}

/* Commands that the fake has executed from here on: an invalidation of GSCID, and a fence last. */
static bool told(uint32_t from, uint16_t gscid)
{
    const struct fake_iommu *f = &machine.iommu[0];
    bool invalidated = false, fenced = false;

    for (uint32_t i = from; i < f->logged; i++) {
        const struct fake_event *e = &f->log[i];

        if (e->kind == FAKE_COMMAND && (e->value & 0x3ff) == 0x81 &&
            (e->value >> 44 & 0xffff) == gscid) {
            invalidated = true;
            fenced = false;
        }
        fenced |= e->kind == FAKE_COMMAND && (e->value & 0x7f) == 2;
    }
    return invalidated && fenced;
}

static void test_a_device_view_is_not_write_protected_by_the_logging_of_harts(void **state)
{
    cordon_device *dev = attached(plain, 8, CORDON_DRAIN_IOMMU, 0);
    uint32_t level;

    (void)state;
    mark(CORDON_REGION_LOG);
    assert_int_equal(*leaf(0, 7, &level) & PTE_D_BIT, 0);
    assert_int_equal(level, 0);
    assert_int_equal(*leaf(dev->view, 7, &level) & PTE_D_BIT, PTE_D_BIT);
    assert_int_equal(level, 1); /* nor cut up */
    leave(dev);
}

static void test_a_table_that_was_shared_is_told_apart_before_it_is_logged(void **state)
{
    cordon_device *dev = attached(plain, 8, CORDON_DRAIN_IOMMU, 0);
    struct cordon_op read_only = {
        .kind = CORDON_OP_PROTECT, .gpa = {GPA + 4096}, .len = 4096, .perms = CORDON_READ};
    uint32_t level;

    (void)state;
    assert_int_equal(cordon_change(domain, &read_only, 1), 0); /* small leaves, in one table */
    assert_ptr_equal(leaf(0, 7, &level), leaf(dev->view, 7, &level));
    mark(CORDON_REGION_LOG);
    assert_ptr_not_equal(leaf(0, 7, &level), leaf(dev->view, 7, &level));
    assert_int_equal(*leaf(0, 7, &level) & PTE_D_BIT, 0);
    assert_int_equal(*leaf(dev->view, 7, &level) & PTE_D_BIT, PTE_D_BIT);
    leave(dev);
}

static void test_what_an_iommu_does_not_tell_counts_as_dirty(void **state)
{
    cordon_device *dev = attached(plain, 8, CORDON_DRAIN_IOMMU, 0);
    struct cordon_op read_only = {
        .kind = CORDON_OP_PROTECT, .gpa = {GPA + 4096}, .len = 4096, .perms = CORDON_READ};

    (void)state;
    assert_int_equal(cordon_change(domain, &read_only, 1), 0);
    mark(CORDON_REGION_LOG);
    written(0, 9);
    struct cordon_harvested out = harvest();

    assert_int_equal(out.dirty, PAGES - 1); /* but for the page that it may only read */
    assert_int_equal(out.unknown, PAGES - 2);
    assert_false(has(1));
    assert_int_equal(harvest().unknown, PAGES - 1);
    leave(dev);
    assert_int_equal(harvest().dirty, PAGES - 1); /* up to its end */
    assert_int_equal(harvest().dirty, 0);
}

static void test_an_iommu_that_marks_tells_what_its_devices_wrote(void **state)
{
    cordon_device *dev = attached(marking, 8, CORDON_DRAIN_IOMMU, 0);

    (void)state;
    assert_int_equal(device_context(dev).word[0], 0x81); /* V, GADE */
    mark(CORDON_REGION_LOG);
    written(dev->view, 500);
    written(0, 501);
    uint32_t from = machine.iommu[0].logged;
    struct cordon_harvested out = harvest();

    assert_int_equal(out.dirty, 2);
    assert_int_equal(out.unknown, 0);
    assert_true(has(500) && has(501));
    assert_true(told(from, domain->view[dev->view].gscid));
    from = machine.iommu[0].logged;
    written(0, 3);
    assert_int_equal(harvest().dirty, 1);
    assert_false(told(from, domain->view[dev->view].gscid)); /* nothing of its changed */
    written(dev->view, 77);
    leave(dev);
    assert_int_equal(harvest().dirty, 1); /* what its view knew was not lost with it */
    assert_true(has(77));
}

static void test_an_iommu_that_does_not_answer_makes_all_unknown_until_it_does(void **state)
{
    cordon_device *dev = attached(marking, 8, CORDON_DRAIN_IOMMU, 0);
    struct fake_iommu *fake = &machine.iommu[0];

    (void)state;
    mark(CORDON_REGION_LOG);
    written(dev->view, 500);
    fake_answer_none(fake);
    struct cordon_harvested out = harvest();

    assert_int_equal(out.dirty, PAGES);
    assert_int_equal(out.unknown, PAGES - 1);
    assert_int_equal(harvest().unknown, PAGES);
    fake_answer_all(fake);
    assert_int_equal(harvest().unknown, PAGES); /* it answers, but for what was before it did not */
    assert_int_equal(harvest().dirty, 0);
    leave(dev);
}

static void test_a_device_that_translates_ahead_is_never_told_by_marks(void **state)
{
    cordon_device *dev = attached(marking, 8, CORDON_DRAIN_RESET, 0);

    (void)state;
    mark(CORDON_REGION_LOG);
    assert_int_equal(harvest().unknown, PAGES);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(harvest().dirty, PAGES); /* it may still write */
    assert_int_equal(harvest().dirty, PAGES);
    assert_int_equal(cordon_device_drained(dev), 0);
    assert_int_equal(harvest().dirty, PAGES); /* it may have, until just now */
    assert_int_equal(harvest().dirty, 0);
    assert_int_equal(cordon_device_remove(dev), 0);
}

static int take_writes(uint64_t page)
{
    struct cordon_op op = {
        .kind = CORDON_OP_PROTECT, .gpa = {GPA + page * 4096}, .len = 4096, .perms = CORDON_READ};

    return cordon_change(domain, &op, 1);
}

static void test_what_a_device_may_have_written_is_told_when_it_may_no_more(void **state)
{
    cordon_device *dev = attached(plain, 8, CORDON_DRAIN_IOMMU, 0);

    (void)state;
    mark(CORDON_REGION_LOG);
    (void)harvest();
    assert_int_equal(take_writes(5), 0);
    (void)harvest();
    assert_true(has(5));
    (void)harvest();
    assert_false(has(5));
    leave(dev);
}

static void test_a_device_that_translates_ahead_may_write_what_it_might_until_its_reset(
    void **state)
{
    cordon_device *dev = attached(plain, 8, CORDON_DRAIN_RESET, 0);

    (void)state;
    mark(CORDON_REGION_LOG);
    assert_int_equal(take_writes(5), -CORDON_EPENDING);
    (void)harvest();
    (void)harvest();
    assert_true(has(5)); /* by a translation from before */
    assert_int_equal(cordon_device_drained(dev), 0);
    (void)harvest();
    assert_true(has(5)); /* until just now */
    (void)harvest();
    assert_false(has(5));
    leave(dev);
}

static void test_a_device_that_comes_while_logging_gets_a_view_of_its_own(void **state)
{
    uint32_t level;

    (void)state;
    mark(CORDON_REGION_LOG);
    written(0, 12);
    cordon_device *one = attached(marking, 8, CORDON_DRAIN_IOMMU, CORDON_ATTACH_OWN_VIEW);
    cordon_device *two = attached(plain, 8, CORDON_DRAIN_IOMMU, CORDON_ATTACH_OWN_VIEW);

    assert_int_equal(*leaf(0, 12, &level) & PTE_D_BIT, PTE_D_BIT);
    assert_int_equal(*leaf(0, 13, &level) & PTE_D_BIT, 0);
    assert_int_equal(*leaf(one->view, 12, &level) & PTE_D_BIT, 0);
    assert_int_equal(*leaf(two->view, 13, &level) & PTE_D_BIT, PTE_D_BIT);
    assert_int_equal(harvest().unknown, PAGES - 1);
    leave(two);
    assert_int_equal(harvest().dirty, PAGES);
    written(one->view, 1);
    assert_int_equal(harvest().dirty, 1);
    mark(0);
    assert_int_equal(*leaf(one->view, 13, &level) & PTE_D_BIT, PTE_D_BIT);
    leave(one);
}

static void test_a_view_tells_nothing_once_a_device_that_does_not_mark_joins(void **state)
{
    cordon_device *one = attached(marking, 8, CORDON_DRAIN_IOMMU, 0);
    uint32_t level;

    (void)state;
    mark(CORDON_REGION_LOG);
    assert_int_equal(harvest().dirty, 0);
    assert_int_equal(*leaf(one->view, 13, &level) & PTE_D_BIT, 0);
    cordon_device *two = attached(plain, 8, CORDON_DRAIN_IOMMU, 0);

    assert_int_equal(one->view, two->view);
    assert_int_equal(*leaf(one->view, 13, &level) & PTE_D_BIT, PTE_D_BIT);
    assert_int_equal(harvest().unknown, PAGES);
    leave(two);
    leave(one);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_device_view_is_not_write_protected_by_the_logging_of_harts),
        T(test_a_table_that_was_shared_is_told_apart_before_it_is_logged),
        T(test_what_an_iommu_does_not_tell_counts_as_dirty),
        T(test_an_iommu_that_marks_tells_what_its_devices_wrote),
        T(test_an_iommu_that_does_not_answer_makes_all_unknown_until_it_does),
        T(test_a_device_that_translates_ahead_is_never_told_by_marks),
        T(test_what_a_device_may_have_written_is_told_when_it_may_no_more),
        T(test_a_device_that_translates_ahead_may_write_what_it_might_until_its_reset),
        T(test_a_device_that_comes_while_logging_gets_a_view_of_its_own),
        T(test_a_view_tells_nothing_once_a_device_that_does_not_mark_joins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
