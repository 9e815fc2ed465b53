/* Promised pages whose old frames hardware has not let go of: owed, and no loss of others'. */
#include "map_bench.h"

#include "fake_machine.h"

#include <cordon/touch.h>

#define AT UINT64_C(0x40000000)
#define PAGES UINT64_C(3000)
#define OTHERS UINT64_C(100)
#define RED (CORDON_REGION_DEMAND | CORDON_REGION_PROMISED | CORDON_REGION_NODMA)

static struct fake_machine machine;
static cordon_iommu *iommu;
static cordon_device *dev;
static cordon_domain *red, *green; /* red has a device, and memory that it does not see */
static cordon_hpa held[8192];
static size_t held_count;

static int demand(cordon_domain *d, uint64_t pages, uint32_t flags)
{
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .flags = flags,
                                 .gpa = {AT},
                                 .len = pages * PAGE,
                                 .perms = CORDON_RW};

    return cordon_change(d, &op, 1);
}

static int change(uint32_t kind, uint64_t page, uint64_t pages, uint32_t flags)
{
    const struct cordon_op op = {
        .kind = kind, .flags = flags, .gpa = {AT + page * PAGE}, .len = pages * PAGE};

    return cordon_change(red, &op, 1);
}

/* Whatever anybody can have is taken. */
static void take_all(void)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};

    while (cordon_run_alloc(machine.ctx, &want, &held[held_count]) == 0) {
        held_count++;
    }
}

static void give_back(void)
{
    while (held_count > 0) {
        assert_int_equal(cordon_run_free(machine.ctx, held[--held_count], PAGE), 0);
    }
}

/* Red's pages are all discarded, and hardware has not said that it is done. */
static int setup(void **state)
{
    struct cordon_device_config cfg = machine_device_config(8, "disk");

    (void)state;
    machine_open(&machine);
    iommu = machine_iommu(&machine, 0, 0xff);
    red = machine_domain(&machine);
    green = machine_domain(&machine);
    assert_int_equal(cordon_device_add(iommu, &cfg, &dev), 0);
    assert_int_equal(cordon_device_attach(red, dev, 0), 0);
    assert_int_equal(demand(red, PAGES, RED), 0);
    assert_int_equal(demand(green, OTHERS, CORDON_REGION_DEMAND | CORDON_REGION_PROMISED), 0);
    assert_int_equal(cordon_populate(red, cordon_gpa_make(AT), PAGES * PAGE), 0);
    fake_answer_none(&machine.iommu[0]);
    assert_int_equal(change(CORDON_OP_DISCARD, 0, PAGES, 0), -CORDON_EPENDING);
    machine_sound(&machine);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_answer_all(&machine.iommu[0]);
    give_back();
    assert_int_equal(cordon_retire(red), 0);
    machine_sound(&machine);
    assert_int_equal(cordon_populate(red, cordon_gpa_make(AT), PAGES * PAGE), 0);
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_domain_destroy(red), 0);
    assert_int_equal(cordon_domain_destroy(green), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    machine_close(&machine);
    return 0;
}

static void test_what_is_owed_is_taken_from_nobody(void **state)
{
    struct cordon_touched out;

    (void)state;
    take_all();
    /* Nothing is kept for red's pages, whose frames are not free yet; blocks may be, to be split.
     */
    assert_true(machine_stats(&machine).free < (OTHERS + 1024) * PAGE);
    assert_int_equal(cordon_touch(red, cordon_gpa_make(AT), 0, &out), -CORDON_ENOMEM);
    assert_int_equal(change(CORDON_OP_MARK, 0, PAGES, CORDON_REGION_PIN), -CORDON_ENOMEM);
    machine_sound(&machine);
    assert_int_equal(cordon_populate(green, cordon_gpa_make(AT), OTHERS * PAGE), 0);
}

static void test_what_is_owed_is_promised_once_it_is_free(void **state)
{
    (void)state;
    take_all();
    fake_answer_all(&machine.iommu[0]);
    assert_int_equal(cordon_retire(red), 0);
    machine_sound(&machine);
    take_all();
    assert_int_equal(cordon_populate(red, cordon_gpa_make(AT), PAGES * PAGE), 0);
    machine_sound(&machine);
}

static void test_an_owed_page_may_come_out_of_what_is_free(void **state)
{
    struct cordon_touched out;

    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(cordon_touch(red, cordon_gpa_make(AT + i * PAGE), 0, &out), 0);
        assert_int_equal(out.what, CORDON_TOUCH_FILLED);
    }
    machine_sound(&machine);
    assert_int_equal(change(CORDON_OP_REVOKE, 900, 50, 0), -CORDON_EPENDING);
    assert_int_equal(change(CORDON_OP_MARK, 0, 40, CORDON_REGION_PIN), 0);
    machine_sound(&machine);
    take_all(); /* pinning has made good what was owed */
    assert_int_equal(cordon_populate(red, cordon_gpa_make(AT), 900 * PAGE), 0);
    assert_int_equal(demand(red, PAGES, RED), -CORDON_EEXIST);
    give_back();
    const struct cordon_op again = {.kind = CORDON_OP_GRANT,
                                    .flags = RED,
                                    .gpa = {AT + 900 * PAGE},
                                    .len = 50 * PAGE,
                                    .perms = CORDON_RW};

    assert_int_equal(cordon_change(red, &again, 1), 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_is_owed_is_taken_from_nobody),
        T(test_what_is_owed_is_promised_once_it_is_free),
        T(test_an_owed_page_may_come_out_of_what_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
