/* The guest's bus: what vbus_add takes, and whom vbus_find names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cordon/error.h>

#include "bus/bus.h"

static struct vbus_device device_at(uint64_t gpa, uint64_t len)
{
    return (struct vbus_device){.gpa = {gpa}, .len = len};
}

static struct vbus bus_with(uint64_t gpa, uint64_t len)
{
    struct vbus bus = {0};
    struct vbus_device dev = device_at(gpa, len);

    assert_int_equal(vbus_add(&bus, &dev), 0);
    return bus;
}

static void test_neighbours_are_taken_and_overlaps_refused(void **state)
{
    struct vbus bus = bus_with(0x1000, 0x1000);
    struct vbus_device below = device_at(0, 0x1000), above = device_at(0x2000, 0x1000);
    struct vbus_device tail = device_at(0xFFF, 2), head = device_at(0x2FFF, 2);
    struct vbus_device around = device_at(0, 0x8000), inside = device_at(0x1800, 1);

    (void)state;
    assert_int_equal(vbus_add(&bus, &around), -CORDON_EEXIST);
    assert_int_equal(vbus_add(&bus, &inside), -CORDON_EEXIST);
    assert_int_equal(vbus_add(&bus, &tail), -CORDON_EEXIST);
    assert_int_equal(bus.count, 1);
    assert_int_equal(vbus_add(&bus, &below), 0);
    assert_int_equal(vbus_add(&bus, &above), 0);
    assert_int_equal(vbus_add(&bus, &head), -CORDON_EEXIST);
    assert_int_equal(bus.count, 3);
}

static void test_empty_and_wrapping_ranges_are_refused(void **state)
{
    struct vbus bus = {0};
    struct vbus_device empty = device_at(0x1000, 0), wraps = device_at(UINT64_MAX - 1, 3);

    (void)state;
    assert_int_equal(vbus_add(&bus, &empty), -CORDON_ERANGE);
    assert_int_equal(vbus_add(&bus, &wraps), -CORDON_ERANGE);
    assert_int_equal(bus.count, 0);
}

static void test_the_last_place_is_given_and_one_more_refused(void **state)
{
    struct vbus bus = {0};

    (void)state;
    for (uint64_t i = 0; i < VBUS_MAX_DEVICES; i++) {
        struct vbus_device dev = device_at(i * 0x1000, 0x1000);

        assert_int_equal(vbus_add(&bus, &dev), 0);
    }
    struct vbus_device more = device_at(0x100000, 0x1000);
    assert_int_equal(vbus_add(&bus, &more), -CORDON_ELIMIT);
    assert_ptr_equal(vbus_find(&bus, cordon_gpa_make(0xF000), 1), &bus.device[15]);
}

static void test_find_names_the_device_of_each_byte(void **state)
{
    struct vbus bus = bus_with(0x10000, 0x1000);

    (void)state;
    assert_ptr_equal(vbus_find(&bus, cordon_gpa_make(0x10000), 8), &bus.device[0]);
    assert_ptr_equal(vbus_find(&bus, cordon_gpa_make(0x10FFF), 1), &bus.device[0]);
    assert_ptr_equal(vbus_find(&bus, cordon_gpa_make(0x10FF8), 8), &bus.device[0]);
    assert_null(vbus_find(&bus, cordon_gpa_make(0xFFFF), 1));
    assert_null(vbus_find(&bus, cordon_gpa_make(0x11000), 1));
    assert_null(vbus_find(&bus, cordon_gpa_make(UINT64_MAX), 1));
}

static void test_misaligned_wide_and_odd_widths_find_nobody(void **state)
{
    struct vbus bus = bus_with(0x10000, 0x1000);

    (void)state;
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10001), 2));
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10002), 4));
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10004), 8));
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10000), 0));
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10000), 3));
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10000), 16));
}

static void test_an_access_that_sticks_out_finds_nobody(void **state)
{
    struct vbus bus = bus_with(0x10000, 0x0FFC);

    (void)state;
    assert_ptr_equal(vbus_find(&bus, cordon_gpa_make(0x10FF8), 4), &bus.device[0]);
    assert_null(vbus_find(&bus, cordon_gpa_make(0x10FF8), 8));
}

static void test_a_range_at_the_top_of_the_address_space_works(void **state)
{
    struct vbus bus = bus_with(UINT64_MAX - 0xFFF, 0xFFF);

    (void)state;
    assert_ptr_equal(vbus_find(&bus, cordon_gpa_make(UINT64_MAX - 1), 1), &bus.device[0]);
    assert_null(vbus_find(&bus, cordon_gpa_make(UINT64_MAX), 1));
    assert_null(vbus_find(&bus, cordon_gpa_make(0), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neighbours_are_taken_and_overlaps_refused),
        cmocka_unit_test(test_empty_and_wrapping_ranges_are_refused),
        cmocka_unit_test(test_the_last_place_is_given_and_one_more_refused),
        cmocka_unit_test(test_find_names_the_device_of_each_byte),
        cmocka_unit_test(test_misaligned_wide_and_odd_widths_find_nobody),
        cmocka_unit_test(test_an_access_that_sticks_out_finds_nobody),
        cmocka_unit_test(test_a_range_at_the_top_of_the_address_space_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
