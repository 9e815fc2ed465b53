/* The settings of a VM in a bundle: defaults, limits and the sentence beyond each. */
#include "bundle_maker.h"

#include <cordon/error.h>

static const struct vm_config *expect_good(struct made *m)
{
    assert_int_equal(parse(m), 0);
    return &m->bundle.vm[0];
}

static void expect_refused(struct made *m, const char *text)
{
    assert_int_equal(parse(m), -CORDON_EINVAL);
    assert_string_equal(m->why.text, text);
    assert_int_equal(m->bundle.vm_count, 0);
}

static void drop(struct made *m, const char *path, const char *prop)
{
    must(fdt_delprop(m->bytes, node_at(m, path), prop));
}

static void test_defaults_where_nothing_is_said(void **state)
{
    const struct vm_config *vm = expect_good(*state);

    assert_string_equal(vm->name, "red");
    assert_int_equal(vm->vcpus, 2);
    assert_int_equal(vm->ram_base.v, 0x80000000);
    assert_int_equal(vm->ram_len, 0x8000000);
    assert_int_equal(vm->scatter_pieces, 0);
    assert_int_equal(vm->gstage, 0);
    assert_int_equal(vm->pool_len, 0);
    assert_string_equal(vm->bootargs, "");
    assert_int_equal(vm->device_count, 0);
    assert_false(vm->allow_no_iommu);
    assert_int_equal(vm->fill, VM_FILL_START);
    assert_false(vm->overcommit);
}

static void test_settings_arrive_as_they_are(void **state)
{
    struct made *m = *state;
    const struct vm_config *vm;

    set_u32(m, "/vms/red", "vcpus", 8);
    set_u64(m, "/vms/red", "ram-base", 0);
    set_u64(m, "/vms/red", "memory", 0xC0000000);
    set_u32(m, "/vms/red", "scatter-pieces", 0x201);
    set_u64(m, "/vms/red", "scatter-seed", 0x1122334455667788);
    set_text(m, "/vms/red", "gstage", "sv57x4");
    set_u64(m, "/vms/red", "pool", 0xE000000);
    set_text(m, "/vms/red", "bootargs", "console=ttyS0 a=~");
    set_bytes(m, "/vms/red", "unsafe-devices-without-iommu", "", 0);
    must(fdt_delprop(m->bytes, node_at(m, "/vms/red"), "ramdisk"));
    set_text(m, "/vms/red", "fdt", "initramfs");
    vm = expect_good(m);
    assert_int_equal(vm->vcpus, 8);
    assert_int_equal(vm->ram_base.v, 0);
    assert_int_equal(vm->ram_len, 0xC0000000);
    assert_int_equal(vm->scatter_pieces, 0x201);
    assert_int_equal(vm->scatter_seed, 0x1122334455667788);
    assert_int_equal(vm->gstage, 10);
    assert_int_equal(vm->pool_len, 0xE000000);
    assert_string_equal(vm->bootargs, "console=ttyS0 a=~");
    assert_true(vm->allow_no_iommu);
    assert_int_equal(vm->initrd.len, 0);
    assert_int_equal(vm->dtb.offset, INITRD_AT);
}

static void test_a_mode_by_its_name(void **state)
{
    struct made *m = *state;

    set_text(m, "/vms/red", "gstage", "sv39x4");
    assert_int_equal(expect_good(m)->gstage, 8);
    set_text(m, "/vms/red", "gstage", "sv48x4");
    assert_int_equal(expect_good(m)->gstage, 9);
    set_text(m, "/vms/red", "gstage", "sv48");
    expect_refused(m, "VM \"red\": gstage must be sv39x4, sv48x4 or sv57x4");
}

static void test_vcpus_from_one_to_eight(void **state)
{
    struct made *m = *state;

    set_u32(m, "/vms/red", "vcpus", 1);
    expect_good(m);
    set_u32(m, "/vms/red", "vcpus", 0);
    expect_refused(m, "VM \"red\": vcpus is 0, it must be 1 to 8");
    set_u32(m, "/vms/red", "vcpus", 0xFFFFFFFF);
    expect_refused(m, "VM \"red\": vcpus is 4294967295, it must be 1 to 8");
}

static void test_memory_is_in_units_of_two_mebibytes(void **state)
{
    struct made *m = *state;

    set_u64(m, "/vms/red", "memory", 0);
    expect_refused(m, "VM \"red\": memory is 0x0 bytes, it must be a multiple of 2 MiB, not 0");
    set_u64(m, "/vms/red", "memory", 0x8100000);
    expect_refused(m,
                   "VM \"red\": memory is 0x8100000 bytes, it must be a multiple of 2 MiB, not 0");
    set_u64(m, "/vms/red", "memory", 0x8200000);
    expect_good(m);
    set_u64(m, "/vms/red", "ram-base", 0x80100000);
    expect_refused(m, "VM \"red\": ram-base is 0x80100000, it must be a multiple of 2 MiB");
}

static void test_low_ram_ends_below_the_device_window(void **state)
{
    struct made *m = *state;

    set_u64(m, "/vms/red", "ram-base", 0x7FE00000);
    set_u64(m, "/vms/red", "memory", 0x40200000);
    expect_good(m);
    set_u64(m, "/vms/red", "memory", 0x40400000);
    expect_refused(m, "VM \"red\": 0x40400000 bytes of RAM from 0x7fe00000 touch the devices, the "
                      "limit is 0xc0000000");
    set_u64(m, "/vms/red", "memory", UINT64_MAX - 0x1FFFFF);
    expect_refused(m, "VM \"red\": 0xffffffffffe00000 bytes of RAM from 0x7fe00000 touch the "
                      "devices, the limit is 0xc0000000");
}

static void test_high_ram_ends_below_the_64_bit_windows(void **state)
{
    struct made *m = *state;

    set_u64(m, "/vms/red", "memory", 0x4000000000 - 0x80000000);
    expect_good(m);
    set_u64(m, "/vms/red", "memory", 0x4000000000 - 0x80000000 + 0x200000);
    expect_refused(m, "VM \"red\": 0x3f80200000 bytes of RAM from 0x80000000 touch the devices, "
                      "the limit is 0x4000000000");
    set_u64(m, "/vms/red", "memory", 0x8000000);
    set_u64(m, "/vms/red", "ram-base", 0xFFFFFFFFFFE00000);
    expect_refused(m, "VM \"red\": 0x8000000 bytes of RAM from 0xffffffffffe00000 touch the "
                      "devices, the limit is 0x4000000000");
}

static void test_scatter_pieces_are_page_sizes_that_fill_memory(void **state)
{
    struct made *m = *state;

    set_u32(m, "/vms/red", "scatter-pieces", 0x200); /* 2 MiB */
    expect_good(m);
    set_u32(m, "/vms/red", "scatter-pieces", 0x80000);
    expect_refused(m, "VM \"red\": scatter-pieces is 0x80000, only bits of 0x7ffff are sizes");
    set_u32(m, "/vms/red", "scatter-pieces", 0x40000); /* 1 GiB */
    expect_refused(m, "VM \"red\": the smallest of scatter-pieces 0x40000 does not divide memory "
                      "0x8000000");
    set_u32(m, "/vms/red", "scatter-pieces", 0x40001);
    expect_good(m);
    drop(m, "/vms/red", "scatter-pieces");
    set_u64(m, "/vms/red", "scatter-seed", 0);
    expect_refused(m, "VM \"red\": scatter-seed without scatter-pieces");
}

static void test_memory_comes_at_the_start_or_at_first_touch(void **state)
{
    struct made *m = *state;

    set_text(m, "/vms/red", "fill", "start");
    assert_int_equal(expect_good(m)->fill, VM_FILL_START);
    set_text(m, "/vms/red", "fill", "first-touch-2M");
    assert_int_equal(expect_good(m)->fill, VM_FILL_TOUCH_2M);
    set_text(m, "/vms/red", "fill", "first-touch");
    assert_int_equal(expect_good(m)->fill, VM_FILL_TOUCH);
    assert_false(expect_good(m)->overcommit);
    set_bytes(m, "/vms/red", "overcommit", "", 0);
    assert_true(expect_good(m)->overcommit);
    set_u32(m, "/vms/red", "scatter-pieces", 1);
    expect_refused(m, "VM \"red\": scatter-pieces needs fill \"start\"");
    drop(m, "/vms/red", "scatter-pieces");
    set_text(m, "/vms/red", "fill", "start");
    expect_refused(m, "VM \"red\": overcommit needs fill \"first-touch\" or \"first-touch-2M\"");
    set_text(m, "/vms/red", "fill", "never");
    expect_refused(m, "VM \"red\": fill \"never\" must be \"start\", \"first-touch\" or "
                      "\"first-touch-2M\"");
}

static void test_pool_has_a_size_and_a_limit(void **state)
{
    struct made *m = *state;

    set_u64(m, "/vms/red", "pool", 0x100000);
    expect_refused(m, "VM \"red\": pool is 0x100000 bytes, it must be a multiple of 2 MiB");
    set_u64(m, "/vms/red", "pool", 0xE200000);
    expect_refused(m, "VM \"red\": pool is 0xe200000 bytes, the limit is 0xe000000");
    set_u64(m, "/vms/red", "pool", 0);
    expect_good(m);
}

static void test_bootargs_fit_and_are_printable(void **state)
{
    struct made *m = *state;
    char args[VM_BOOTARGS_BYTES + 1];

    memset(args, 'a', sizeof args);
    args[511] = '\0';
    set_text(m, "/vms/red", "bootargs", args);
    assert_string_equal(expect_good(m)->bootargs, args);
    args[511] = 'a';
    args[512] = '\0';
    set_text(m, "/vms/red", "bootargs", args);
    expect_refused(m, "VM \"red\": bootargs has 512 characters, the limit is 511");
    set_text(m, "/vms/red", "bootargs", "quiet\n");
    expect_refused(m, "VM \"red\": bootargs: character 6 is not printable");
    set_bytes(m, "/vms/red", "bootargs", "a\0b", 4);
    expect_refused(m, "VM \"red\": property \"bootargs\" is no text");
    set_bytes(m, "/vms/red", "bootargs", "a", 1);
    expect_refused(m, "VM \"red\": property \"bootargs\" is no text");
    set_bytes(m, "/vms/red", "bootargs", "", 0);
    expect_refused(m, "VM \"red\": property \"bootargs\" is no text");
}

static void test_a_vm_without_its_needs_is_refused(void **state)
{
    static const char *const needs[] = {"vcpus", "memory", "kernel"};
    struct made *m = *state;

    for (size_t i = 0; i < 3; i++) {
        char name[8], path[16], text[64];

        snprintf(name, sizeof name, "vm%zu", i);
        snprintf(path, sizeof path, "/vms/vm%zu", i);
        snprintf(text, sizeof text, "VM \"vm%zu\": property \"%s\" is missing", i, needs[i]);
        add_vm(m, name);
        drop(m, path, needs[i]);
        assert_int_equal(parse(m), 0);
        assert_int_equal(m->bundle.refused_count, 1);
        assert_string_equal(m->bundle.refused[0].why.text, text);
        must(fdt_del_node(m->bytes, node_at(m, path)));
    }
}

static void test_unknown_and_misshapen_settings_are_refused(void **state)
{
    struct made *m = *state;

    set_u32(m, "/vms/red", "cpus", 1);
    expect_refused(m, "VM \"red\": unknown property \"cpus\"");
    drop(m, "/vms/red", "cpus");
    add_node(m, "/vms/red", "disks");
    expect_refused(m, "VM \"red\": unknown node \"disks\"");
    must(fdt_del_node(m->bytes, node_at(m, "/vms/red/disks")));
    set_u64(m, "/vms/red", "vcpus", 1);
    expect_refused(m, "VM \"red\": property \"vcpus\" has 8 bytes, it must have 4");
    set_u32(m, "/vms/red", "vcpus", 1);
    set_u32(m, "/vms/red", "memory", 0x200000);
    expect_refused(m, "VM \"red\": property \"memory\" has 4 bytes, it must have 8");
    set_u64(m, "/vms/red", "memory", 0x8000000);
    set_u32(m, "/vms/red", "unsafe-devices-without-iommu", 0);
    expect_refused(
        m, "VM \"red\": property \"unsafe-devices-without-iommu\" has 4 bytes, it must have 0");
}

/* libfdt never writes one property twice, so a second one is made by renaming. */
static void test_a_setting_given_twice_is_refused(void **state)
{
    struct made *m = *state;
    size_t at = 0;

    set_u32(m, "/vms/red", "vcpuz", 1);
    while (memcmp(m->bytes + at, "vcpuz", 6) != 0) {
        at++;
        assert_true(at < TREE_BYTES - 6);
    }
    m->bytes[at + 4] = 's';
    expect_refused(m, "VM \"red\": property \"vcpus\" is given twice");
}

static void test_names_are_words_and_unique(void **state)
{
    struct made *m = *state;

    must(fdt_set_name(m->bytes, node_at(m, "/vms/red"), "re,d"));
    expect_refused(m, "VM \"re,d\": a name must be 1 to 31 letters, digits, - or _");
    must(fdt_set_name(m->bytes, node_at(m, "/vms/re,d"), "r\x1b[31m"));
    expect_refused(m, "VM \"r?[31m\": a name must be 1 to 31 letters, digits, - or _");
    assert_string_equal(m->bundle.refused[0].name, "r?[31m");
    must(fdt_set_name(m->bytes, node_at(m, "/vms/r\x1b[31m"), "a234567890123456789012345678901"));
    assert_string_equal(expect_good(m)->name, "a234567890123456789012345678901");
    must(fdt_set_name(m->bytes, node_at(m, "/vms/a234567890123456789012345678901"),
                      "a2345678901234567890123456789012"));
    expect_refused(m, "VM \"a2345678901234567890123456789012\": a name must be 1 to 31 letters, "
                      "digits, - or _");
    must(fdt_set_name(m->bytes, node_at(m, "/vms/a2345678901234567890123456789012"), "Re-d_9"));
    expect_good(m);
    add_vm(m, "red");
    must(fdt_set_name(m->bytes, node_at(m, "/vms/red"), "Re-d_9"));
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vm_count, 1);
    assert_string_equal(m->bundle.refused[0].why.text,
                        "VM \"Re-d_9\": an earlier VM has this name");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_defaults_where_nothing_is_said),
        TEST(test_settings_arrive_as_they_are),
        TEST(test_a_mode_by_its_name),
        TEST(test_vcpus_from_one_to_eight),
        TEST(test_memory_is_in_units_of_two_mebibytes),
        TEST(test_low_ram_ends_below_the_device_window),
        TEST(test_high_ram_ends_below_the_64_bit_windows),
        TEST(test_scatter_pieces_are_page_sizes_that_fill_memory),
        TEST(test_memory_comes_at_the_start_or_at_first_touch),
        TEST(test_pool_has_a_size_and_a_limit),
        TEST(test_bootargs_fit_and_are_printable),
        TEST(test_a_vm_without_its_needs_is_refused),
        TEST(test_unknown_and_misshapen_settings_are_refused),
        TEST(test_a_setting_given_twice_is_refused),
        TEST(test_names_are_words_and_unique),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
