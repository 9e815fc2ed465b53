/* Faults decoded and made reports. [IOMMU 3.2] */
#include "fault_bench.h"

#define NO_CONTEXT 258u

/* ---- decoding ----------------------------------------------------------------------------- */

static void test_a_record_is_decoded_with_its_24_bit_device_id(void **state)
{
    (void)state;
    fault(STORE_FAULT, TTYP_WRITE, 0xfedcba, 0x123456789abc);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
    assert_int_equal(reports[0].device_id, 0xfedcba);
    assert_int_equal(reports[0].cause, STORE_FAULT);
    assert_int_equal(reports[0].access, CORDON_WRITE);
    assert_int_equal(reports[0].iova.v, 0x123456789abc);
    assert_int_equal(reports[0].span, 1);
    assert_int_equal(reports[0].count, 1);
    assert_int_equal(reports[0].domain, 0);
    assert_int_equal(reports[0].has_nearest, 0);
    assert_string_equal(reports[0].device, "");
}

static void test_the_access_comes_from_the_cause_where_it_says_one(void **state)
{
    static const struct {
        uint32_t cause, ttyp, access;
    } cases[] = {
        {1, TTYP_READ, CORDON_EXEC},
        {5, TTYP_WRITE, CORDON_READ},
        {7, TTYP_READ, CORDON_WRITE},
        {20, TTYP_READ, CORDON_EXEC},
        {21, TTYP_WRITE, CORDON_READ},
        {23, TTYP_READ, CORDON_WRITE},
        {258, 1, CORDON_EXEC},
        {258, 2, CORDON_READ},
        {258, 3, CORDON_WRITE},
        {258, 5, CORDON_EXEC},
        {258, 6, CORDON_READ},
        {258, 7, CORDON_WRITE},
        {273, 0, 0},
        {260, 8, 0},
        {4000, 63, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fault(cases[i].cause, cases[i].ttyp, 1, 0x1000);
        assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
        assert_int_equal(reports[0].cause, cases[i].cause);
        assert_int_equal(reports[0].access, cases[i].access);
    }
}

static void test_every_cause_of_the_specification_has_a_name(void **state)
{
    static const uint32_t causes[] = {1,   4,   5,   6,   7,   12,  13,  15,  20,  21,
                                      23,  256, 257, 258, 259, 260, 261, 262, 263, 264,
                                      265, 266, 267, 268, 269, 270, 271, 272, 273, 274};

    (void)state;
    assert_string_equal(cordon_cause_name(23), "store guest-page fault");
    assert_string_equal(cordon_cause_name(258), "no valid device context");
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        assert_string_not_equal(cordon_cause_name(causes[i]), "unknown cause");
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(cordon_cause_name(causes[i]), cordon_cause_name(causes[j]));
        }
    }
    assert_string_equal(cordon_cause_name(0), "unknown cause");
    assert_string_equal(cordon_cause_name(275), "unknown cause");
}

static void test_a_report_names_the_device(void **state)
{
    struct cordon_device_config cfg = machine_device_config(0x10018, "edu at 01:03.0");
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_device_add(iommu, &cfg, &dev), 0);
    fault(NO_CONTEXT, TTYP_READ, 0x10018, 0);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
    assert_string_equal(reports[0].device, "edu at 01:03.0");
    assert_int_equal(cordon_device_remove(dev), 0);
}

static void test_a_report_tells_the_domain_and_its_nearest_region(void **state)
{
    cordon_domain *d = machine_domain(&machine);
    cordon_device *dev = machine_device(iommu, 7);

    (void)state;
    (void)machine_grant(&machine, d, 0x40000000, 4);
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    fault(STORE_FAULT, TTYP_WRITE, 7, 0x40004010);
    fault(LOAD_FAULT, TTYP_READ, 7, 0x3fffff00);
    fake_fault(fake, STORE_FAULT, TTYP_WRITE, 7, 0x50000000); /* nobody polls before the detach */
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(reports[i].domain, cordon_domain_number(d));
        assert_int_equal(reports[i].has_nearest, 1);
        assert_int_equal(reports[i].nearest.v, 0x40000000);
        assert_int_equal(reports[i].nearest_len, 0x4000);
        assert_int_equal(reports[i].nearest_after, i == 1);
    }
    assert_int_equal(reports[0].nearest_gap, 0x10);
    assert_int_equal(reports[1].nearest_gap, 0x100);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

static void test_only_a_valid_context_says_the_domain(void **state)
{
    cordon_domain *d = machine_domain(&machine);
    cordon_device *dev;

    (void)state;
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    iommu = machine_iommu(&machine, 0, 0x3f);
    dev = machine_device(iommu, 1);
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    fault(260, TTYP_WRITE, 0x41, 0); /* an id too wide for the directory: not device 1 */
    fault(258, TTYP_WRITE, 2, 0);
    fake_answer_none(fake);
    assert_int_equal(cordon_device_detach(dev), -CORDON_EPENDING);
    fault(258, TTYP_WRITE, 1, 0); /* withdrawn: its words still stand */
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(d), 0);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(reports[i].domain, 0);
        assert_int_equal(reports[i].has_nearest, 0);
    }
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
}

/* ---- reports ------------------------------------------------------------------------------ */

static void test_faults_of_one_page_and_its_neighbours_make_one_report(void **state)
{
    (void)state;
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x10010);
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x10004);
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x11ffc); /* the next page */
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x12000); /* the one after it */
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x0fff8); /* the one before */
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
    assert_int_equal(reports[0].iova.v, 0x10010);
    assert_int_equal(reports[0].span, 0x12000 - 0xfff8 + 1);
    assert_int_equal(reports[0].count, 5);
}

static void test_other_devices_causes_and_places_make_reports_of_their_own(void **state)
{
    (void)state;
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x10000);
    fault(STORE_FAULT, TTYP_WRITE, 2, 0x10000);
    fault(LOAD_FAULT, TTYP_READ, 1, 0x10000);
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x12000);
    fault(NO_CONTEXT, TTYP_READ, 1, 0x10000);
    fault(NO_CONTEXT, TTYP_WRITE, 1, 0x10000);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 6);
    assert_int_equal(reports[0].device_id, 1);
    assert_int_equal(reports[1].device_id, 2);
    assert_int_equal(reports[2].cause, LOAD_FAULT);
    assert_int_equal(reports[3].iova.v, 0x12000);
    assert_int_equal(reports[5].access, CORDON_WRITE);
}

static void test_a_report_that_was_taken_is_not_added_to(void **state)
{
    (void)state;
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x10000);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
    fault(STORE_FAULT, TTYP_WRITE, 1, 0x10000);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
    assert_int_equal(reports[0].count, 1);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 0);
}

static void test_the_ends_of_the_address_space_are_no_neighbours(void **state)
{
    (void)state;
    fault(STORE_FAULT, TTYP_WRITE, 1, 0);
    fault(STORE_FAULT, TTYP_WRITE, 1, UINT64_MAX);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 2);
    assert_int_equal(reports[1].span, 1);
}

static void test_a_device_that_floods_leaves_room_for_others(void **state)
{
    uint64_t of_flood = 0;
    size_t taken;

    (void)state;
    for (uint32_t i = 0; i < 500; i++) {
        fault(STORE_FAULT, TTYP_WRITE, 1, (uint64_t)i * 0x10000);
    }
    for (uint32_t cause = 256; cause < 275; cause++) {
        fault(cause, TTYP_WRITE, 1, 0);
    }
    fault(LOAD_FAULT, TTYP_READ, 9, 0x5000);
    taken = cordon_faults_take(iommu, reports, 200);
    assert_int_equal(reports[taken - 1].device_id, 9);
    assert_int_equal(taken, FAULT_REPORTS_PER_DEVICE + 1);
    for (size_t i = 0; i + 1 < taken; i++) {
        of_flood += reports[i].count;
    }
    assert_int_equal(of_flood, 500); /* widened, so that none of one kind is lost */
    assert_int_equal(reports[taken - 2].span, (499 - 7) * 0x10000ull + 1);
    assert_int_equal(stats().suppressed, 19); /* kinds that found no room are counted */
    assert_int_equal(stats().records, 520);
}

static void test_more_reports_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    for (uint32_t device = 0; device < FAULT_REPORTS + 3; device++) {
        fault(NO_CONTEXT, TTYP_READ, device, 0);
    }
    assert_int_equal(cordon_faults_take(iommu, reports, 10), 10);
    assert_int_equal(reports[9].device_id, 9);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), FAULT_REPORTS - 10);
    assert_int_equal(stats().suppressed, 3);
    fault(NO_CONTEXT, TTYP_READ, 0x777, 0);
    assert_int_equal(cordon_faults_take(iommu, reports, 200), 1);
    assert_int_equal(reports[0].device_id, 0x777);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_record_is_decoded_with_its_24_bit_device_id),
        T(test_the_access_comes_from_the_cause_where_it_says_one),
        T(test_every_cause_of_the_specification_has_a_name),
        T(test_a_report_names_the_device),
        T(test_a_report_tells_the_domain_and_its_nearest_region),
        T(test_only_a_valid_context_says_the_domain),
        T(test_faults_of_one_page_and_its_neighbours_make_one_report),
        T(test_other_devices_causes_and_places_make_reports_of_their_own),
        T(test_a_report_that_was_taken_is_not_added_to),
        T(test_the_ends_of_the_address_space_are_no_neighbours),
        T(test_a_device_that_floods_leaves_room_for_others),
        T(test_more_reports_than_there_is_room_for_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
