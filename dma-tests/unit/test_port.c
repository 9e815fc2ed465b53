/* The host's port: what reaches the caller's table, and what missing hardware does. */
#include "map_bench.h"

static uint64_t seen_reg, seen_value;

static uint64_t on_read(void *user, uint64_t hpa, uint32_t width)
{
    return *(uint64_t *)user + hpa * 16 + width;
}

static void on_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    (void)user;
    seen_reg = hpa * 16 + width;
    seen_value = value;
}

static uint64_t on_time(void *user)
{
    return *(uint64_t *)user;
}

static void test_missing_hardware_behaves_as_said(void **state)
{
    struct cordon_port_ops none = {.size = sizeof(none)};
    static struct port_record r;
    void *const cookies[] = {NULL, &none, &r};

    (void)state;
    record_init(&r, NULL);
    for (size_t i = 0; i < 3; i++) {
        uint64_t before = cordon_port_time_us(cookies[i]);

        assert_int_equal(cordon_port_read32(cookies[i], cordon_hpa_make(8)), UINT32_MAX);
        assert_int_equal(cordon_port_read64(cookies[i], cordon_hpa_make(8)), UINT64_MAX);
        cordon_port_write32(cookies[i], cordon_hpa_make(8), 1);
        cordon_port_write64(cookies[i], cordon_hpa_make(8), 1);
        cordon_port_hart_fence(cookies[i], 1, 0, cordon_gpa_make(0), 0);
        cordon_port_hart_fence_all(cookies[i], 1);
        cordon_port_relax(cookies[i]);
        assert_true(cordon_port_time_us(cookies[i]) >= before);
    }
    record_end(&r);
}

static void test_calls_reach_the_table_with_address_and_width(void **state)
{
    uint64_t user = 1000;
    struct cordon_port_ops ops = {.size = sizeof(ops),
                                  .user = &user,
                                  .mmio_read = on_read,
                                  .mmio_write = on_write,
                                  .time_us = on_time};

    (void)state;
    assert_int_equal(cordon_port_read32(&ops, cordon_hpa_make(0x10)), 1000 + 0x100 + 4);
    assert_int_equal(cordon_port_read64(&ops, cordon_hpa_make(0x20)), 1000 + 0x200 + 8);
    cordon_port_write32(&ops, cordon_hpa_make(0x30), 0x12345678);
    assert_int_equal(seen_reg, 0x304);
    assert_int_equal(seen_value, 0x12345678);
    cordon_port_write64(&ops, cordon_hpa_make(0x40), UINT64_MAX);
    assert_int_equal(seen_reg, 0x408);
    assert_int_equal(seen_value, UINT64_MAX);
    assert_int_equal(cordon_port_time_us(&ops), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_hardware_behaves_as_said),
        cmocka_unit_test(test_calls_reach_the_table_with_address_and_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
