/* Performance counters: the driver over the software IOMMU, which has 7 of 40 bits. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "plain_bench.h"

#define RAM_LEN (UINT64_C(16) << 20)
#define GPA UINT64_C(0x40000000)
#define PAGES 4u
#define NIC 0x10u
#define DISK 0x18u
#define COUNTERS 7u
#define WRAP (UINT64_C(1) << 40)
#define CAP_HPM (UINT64_C(1) << 30)
#define IPSR 0x54u
#define IOCOUNTINH 0x5cu
#define IOHPMCTR 0x60u /* of counter 0 */
#define IOHPMEVT 0x158u
#define PMIP 4u

static uint8_t *ram;
static cordon_model *model;
static struct cordon_port_ops ops;
static cordon_ctx *ctx;
static cordon_iommu *iommu;
static cordon_domain *domain[2];
static cordon_device *device[2];

/* One of the two guests, each with a device. */
static void open_guest(unsigned i)
{
    domain[i] = plain_domain(ctx);
    (void)plain_grant(ctx, domain[i], GPA, (struct cordon_run_want){.len = PAGES * PAGE});
    device[i] = plain_device(iommu, i == 0 ? NIC : DISK);
    assert_int_equal(cordon_device_attach(domain[i], device[i], 0), 0);
}

/* FOUND: what firmware left of counters. */
static void open_machine(uint64_t capabilities, bool found)
{
    ram = plain_ram(RAM_LEN);
    model = plain_model(ram, RAM_LEN, capabilities);
    if (found) {
        cordon_model_write(model, IOHPMEVT + 8 * COUNTERS, 8, CORDON_HPM_UNTRANSLATED);
    }
    ops = model_port(model);
    ctx = plain_ctx(ram, RAM_LEN, 14, &ops);
    iommu = plain_iommu(ctx, 0xffff);
    open_guest(0);
    open_guest(1);
}

static int setup(void **state)
{
    (void)state;
    open_machine(0, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    plain_sound(ctx);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(cordon_device_detach(device[i]), 0);
        assert_int_equal(cordon_device_remove(device[i]), 0);
        assert_int_equal(cordon_domain_destroy(domain[i]), 0);
    }
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(cordon_ctx_destroy(ctx), 0);
    plain_model_close(model);
    return munmap(ram, RAM_LEN);
}

/* COUNT reads of page N. */
static void fetch(uint32_t device_id, unsigned n, unsigned count)
{
    const struct cordon_model_request r = {.size = sizeof(r),
                                           .device_id = device_id,
                                           .iova = GPA + n * PAGE,
                                           .access = CORDON_MODEL_READ};
    uint64_t data;

    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(cordon_model_dma(model, &r, &data, sizeof(data), NULL), 0);
    }
}

static int try_begin(uint32_t event, uint32_t flags, uint32_t id, uint32_t *counter)
{
    const struct cordon_hpm_select what = {
        .size = sizeof(what), .event = event, .flags = flags, .did_gscid = id};

    return cordon_hpm_begin(iommu, &what, counter);
}

static uint32_t begin(uint32_t event, uint32_t flags, uint32_t id)
{
    uint32_t counter = 0;

    assert_int_equal(try_begin(event, flags, id, &counter), 0);
    assert_in_range(counter, 1, COUNTERS);
    return counter;
}

static uint64_t value(uint32_t counter)
{
    uint64_t v = UINT64_MAX;

    assert_int_equal(cordon_hpm_read(iommu, counter, &v), 0);
    return v;
}

static void assert_values(const uint32_t *counter, const uint64_t *want, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(value(counter[i]), want[i]);
    }
}

/* ---- what is counted ---------------------------------------------------------------------- */

static void test_requests_misses_and_the_words_of_walks_are_counted(void **state)
{
    const uint32_t c[] = {begin(CORDON_HPM_UNTRANSLATED, 0, 0), begin(CORDON_HPM_TLB_MISS, 0, 0),
                          begin(CORDON_HPM_DDT_WALK, 0, 0), begin(CORDON_HPM_SECOND_WALK, 0, 0),
                          begin(CORDON_HPM_FIRST_WALK, 0, 0)};
    struct cordon_iommu_info info;

    (void)state;
    cordon_iommu_info(iommu, &info);
    assert_values(c, (const uint64_t[]){0, 0, 0, 0, 0}, 5);
    fetch(NIC, 0, 1); /* everything is cold */
    assert_values(c, (const uint64_t[]){1, 1, info.directory_levels, 3, 0}, 5);
    fetch(NIC, 0, 5); /* and warm */
    assert_values(c, (const uint64_t[]){6, 1, info.directory_levels, 3, 0}, 5);
    fetch(NIC, 1, 1); /* the tables above it are known */
    assert_values(c, (const uint64_t[]){7, 2, info.directory_levels, 4, 0}, 5);
}

static void test_counting_disturbs_no_cache(void **state)
{
    uint32_t miss;

    (void)state;
    fetch(NIC, 0, 1);
    miss = begin(CORDON_HPM_TLB_MISS, 0, 0);
    for (unsigned i = 0; i < 10; i++) {
        uint32_t other = begin(CORDON_HPM_DDT_WALK, 0, 0);

        fetch(NIC, 0, 1);
        assert_int_equal(value(other), 0);
        assert_int_equal(cordon_hpm_end(iommu, other), 0);
    }
    assert_int_equal(value(miss), 0);
}

static void test_one_devices_counter_is_not_another_devices(void **state)
{
    const uint32_t c[] = {begin(CORDON_HPM_UNTRANSLATED, CORDON_HPM_DV_GSCV, NIC),
                          begin(CORDON_HPM_UNTRANSLATED, CORDON_HPM_DV_GSCV, DISK),
                          begin(CORDON_HPM_UNTRANSLATED, 0, 0),
                          begin(CORDON_HPM_TLB_MISS, CORDON_HPM_DV_GSCV, DISK),
                          begin(CORDON_HPM_DDT_WALK, CORDON_HPM_DV_GSCV, DISK)};
    struct cordon_iommu_info info;

    (void)state;
    fetch(NIC, 0, 3);
    assert_values(c, (const uint64_t[]){3, 0, 3, 0, 0}, 5);
    fetch(DISK, 0, 2);
    cordon_iommu_info(iommu, &info);
    assert_values(c, (const uint64_t[]){3, 2, 5, 1, info.directory_levels}, 5);
}

static void test_low_bits_up_to_the_lowest_0_are_any(void **state)
{
    const uint32_t c[] = {
        begin(CORDON_HPM_UNTRANSLATED, CORDON_HPM_DV_GSCV | CORDON_HPM_DMASK, NIC | 3),
        begin(CORDON_HPM_UNTRANSLATED, CORDON_HPM_DV_GSCV | CORDON_HPM_DMASK, NIC | 7)};

    (void)state;
    fetch(NIC, 0, 1);
    fetch(DISK, 0, 1);
    assert_values(c, (const uint64_t[]){1, 2}, 2);
}

static void test_a_gscid_is_its_domains_number(void **state)
{
    const uint32_t flags = CORDON_HPM_DV_GSCV | CORDON_HPM_IDT;
    const uint32_t c[] = {
        begin(CORDON_HPM_TLB_MISS, flags, cordon_domain_number(domain[0])),
        begin(CORDON_HPM_SECOND_WALK, flags, cordon_domain_number(domain[1])),
    };

    (void)state;
    fetch(NIC, 0, 2);
    assert_values(c, (const uint64_t[]){1, 0}, 2);
    fetch(DISK, 0, 2);
    assert_values(c, (const uint64_t[]){1, 3}, 2);
}

static void test_cycles_are_always_counted(void **state)
{
    uint64_t before = value(0);

    (void)state;
    fetch(NIC, 0, 1);
    assert_true(value(0) > before);
}

/* ---- counters ----------------------------------------------------------------------------- */

static void test_a_narrow_counter_wraps_and_loses_nothing(void **state)
{
    uint32_t c = begin(CORDON_HPM_UNTRANSLATED, 0, 0);

    (void)state;
    cordon_model_write(model, IOHPMCTR + 8 * c, 8, WRAP - 2);
    assert_int_equal(value(c), WRAP - 2);
    fetch(NIC, 0, 5);
    assert_int_equal(value(c), WRAP + 3);
    assert_int_equal(cordon_model_read(model, IPSR, 4) & PMIP, 0);
}

static void test_all_are_taken_and_one_given_back_begins_at_0(void **state)
{
    struct cordon_iommu_info info;
    uint32_t c[COUNTERS], more = 99;
    uint64_t v = 99;

    (void)state;
    cordon_iommu_info(iommu, &info);
    assert_int_equal(info.hpm_counters, COUNTERS);
    for (unsigned i = 0; i < COUNTERS; i++) {
        c[i] = begin(CORDON_HPM_UNTRANSLATED, 0, 0);
    }
    assert_int_equal(try_begin(CORDON_HPM_TLB_MISS, 0, 0, &more), -CORDON_ELIMIT);
    assert_int_equal(more, 99);
    fetch(NIC, 0, 4);
    assert_int_equal(cordon_hpm_end(iommu, c[3]), 0);
    assert_int_equal(cordon_hpm_read(iommu, c[3], &v), -CORDON_ENOENT);
    assert_int_equal(v, 99);
    fetch(NIC, 0, 1);
    assert_int_equal(begin(CORDON_HPM_UNTRANSLATED, 0, 0), c[3]);
    fetch(NIC, 0, 2);
    assert_int_equal(value(c[3]), 2);
    assert_int_equal(value(c[2]), 7);
}

static void test_what_firmware_counted_stands_still(void **state)
{
    (void)state;
    open_machine(0, true);
    fetch(NIC, 0, 3);
    for (unsigned n = 1; n <= COUNTERS; n++) {
        assert_int_equal(cordon_model_read(model, IOHPMEVT + 8 * n, 8), 0);
        assert_int_equal(cordon_model_read(model, IOHPMCTR + 8 * n, 8), WRAP - 1);
    }
    assert_int_equal(cordon_model_read(model, IOCOUNTINH, 4), 0xfe);
}

/* ---- refused ------------------------------------------------------------------------------ */

static void test_an_iommu_without_counters_says_so(void **state)
{
    struct cordon_iommu_info info;
    uint32_t c = 99;
    uint64_t v;

    (void)state;
    open_machine(CORDON_MODEL_CAPABILITIES & ~CAP_HPM, false);
    cordon_iommu_info(iommu, &info);
    assert_int_equal(info.hpm_counters, 0);
    assert_int_equal(try_begin(CORDON_HPM_UNTRANSLATED, 0, 0, &c), -CORDON_ENOTSUP);
    assert_int_equal(cordon_hpm_read(iommu, 0, &v), -CORDON_ENOTSUP);
    assert_int_equal(cordon_hpm_end(iommu, 1), -CORDON_ENOTSUP);
}

static void test_what_cannot_be_counted_is_refused(void **state)
{
    const uint32_t by_id = CORDON_HPM_DV_GSCV, by_gscid = CORDON_HPM_DV_GSCV | CORDON_HPM_IDT;
    const struct {
        uint32_t event, flags, id;
        int err;
    } bad[] = {
        {0, 0, 0, -CORDON_EINVAL},
        {9, 0, 0, -CORDON_EINVAL},
        {4, 8, 0, -CORDON_EINVAL},
        {4, by_gscid | 8, 1, -CORDON_EINVAL},
        {1, 0, NIC, -CORDON_EINVAL},
        {1, CORDON_HPM_DMASK, 0, -CORDON_EINVAL},
        {4, CORDON_HPM_IDT, 0, -CORDON_EINVAL},
        {1, by_id, 1u << 24, -CORDON_EINVAL},
        {4, by_gscid, 1u << 16, -CORDON_EINVAL},
        {1, by_gscid, 1, -CORDON_EINVAL}, /* it would count nothing */
        {5, by_gscid, 1, -CORDON_EINVAL},
        {CORDON_HPM_ATS, 0, 0, -CORDON_ENOTSUP}, /* the model has no ATS, and does not count it */
    };
    struct cordon_hpm_select what = {.size = sizeof(what) - 4, .event = 1};
    uint32_t c = 99;
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(try_begin(bad[i].event, bad[i].flags, bad[i].id, &c), bad[i].err);
    }
    assert_int_equal(cordon_hpm_begin(iommu, &what, &c), -CORDON_EINVAL);
    assert_int_equal(cordon_hpm_begin(iommu, NULL, &c), -CORDON_EINVAL);
    assert_int_equal(cordon_hpm_begin((cordon_iommu *)domain[0], &what, &c), -CORDON_EHANDLE);
    assert_int_equal(c, 99);
    assert_int_equal(cordon_hpm_read(iommu, 1, &v), -CORDON_ENOENT);
    assert_int_equal(cordon_hpm_read(iommu, 32, &v), -CORDON_ENOENT);
    assert_int_equal(cordon_hpm_read(iommu, UINT32_MAX, &v), -CORDON_ENOENT);
    assert_int_equal(cordon_hpm_read(iommu, 0, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_hpm_end(iommu, 0), 0);
    assert_int_equal(cordon_hpm_read(iommu, 0, &v), 0); /* the cycles go on */
    assert_int_equal(cordon_hpm_end(iommu, 64), -CORDON_ENOENT);
    assert_int_equal(cordon_hpm_end(NULL, 1), -CORDON_EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_misses_and_the_words_of_walks_are_counted),
        TEST(test_counting_disturbs_no_cache),
        TEST(test_one_devices_counter_is_not_another_devices),
        TEST(test_low_bits_up_to_the_lowest_0_are_any),
        TEST(test_a_gscid_is_its_domains_number),
        TEST(test_cycles_are_always_counted),
        TEST(test_a_narrow_counter_wraps_and_loses_nothing),
        TEST(test_all_are_taken_and_one_given_back_begins_at_0),
        cmocka_unit_test_teardown(test_what_firmware_counted_stands_still, teardown),
        cmocka_unit_test_teardown(test_an_iommu_without_counters_says_so, teardown),
        TEST(test_what_cannot_be_counted_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
