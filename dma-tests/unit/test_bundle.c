/* The bundle as a whole, and its images: what is taken, and the sentence for each refusal. */
#include "bundle_maker.h"

#include <cordon/error.h>

static void expect_bundle_refused(struct made *m, const char *text)
{
    assert_int_equal(parse(m), -CORDON_EINVAL);
    assert_string_equal(m->why.text, text);
    assert_int_equal(m->bundle.vm_count, 0);
}

static void expect_red_refused(struct made *m, const char *text)
{
    expect_bundle_refused(m, text);
    assert_int_equal(m->bundle.refused_count, 1);
    assert_string_equal(m->bundle.refused[0].name, "red");
    assert_string_equal(m->bundle.refused[0].why.text, text);
}

static void test_a_good_bundle_is_read_whole(void **state)
{
    struct made *m = *state;
    const struct bundle *b = &m->bundle;

    assert_int_equal(parse(m), 0);
    assert_ptr_equal(b->base, m->bytes);
    assert_int_equal(b->len, BUNDLE_BYTES);
    assert_int_equal(b->vm_count, 1);
    assert_int_equal(b->refused_count, 0);
    assert_int_equal(b->vm[0].kernel.offset, KERNEL_AT);
    assert_int_equal(b->vm[0].kernel.len, KERNEL_BYTES);
    assert_int_equal(b->vm[0].initrd.offset, INITRD_AT);
    assert_int_equal(b->vm[0].initrd.len, INITRD_BYTES);
    assert_int_equal(b->vm[0].dtb.len, 0);
    assert_int_equal(b->vm[0].kernel.sha256[31], 'k');
    assert_int_equal(b->vm[0].initrd.sha256[0], 'i');
}

static void test_vmids_of_the_machine_can_be_few(void **state)
{
    struct made *m = *state;

    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vmid_bits, BUNDLE_MAX_VMID_BITS);
    set_u32(m, "/", "vmid-bits", 0);
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vmid_bits, 0);
    set_u32(m, "/", "vmid-bits", BUNDLE_MAX_VMID_BITS);
    assert_int_equal(parse(m), 0);
    set_u32(m, "/", "vmid-bits", BUNDLE_MAX_VMID_BITS + 1);
    expect_bundle_refused(m, "bundle: vmid-bits is 15, it must be 0 to 14");
    set_u32(m, "/", "vmid-bits", UINT32_MAX);
    expect_bundle_refused(m, "bundle: vmid-bits is 4294967295, it must be 0 to 14");
}

static void test_an_image_of_two_vms_is_listed_once(void **state)
{
    struct made *m = *state;
    const struct bundle *b = &m->bundle;

    add_vm(m, "blue");
    add_image(m, "spare", INITRD_AT, 1); /* overlaps, and nobody uses it */
    assert_int_equal(parse(m), 0);
    assert_int_equal(b->vm_count, 2);
    assert_int_equal(b->image_count, 2);
    assert_string_equal(b->image[b->vm[1].kernel.image].name, "kernel");
    assert_string_equal(b->image[b->vm[1].initrd.image].name, "initramfs");
    assert_true(b->image[0].used && b->image[1].used);
    assert_memory_equal(&b->image[0].blob, &b->vm[b->vm_count - 1].kernel, sizeof(struct vm_blob));
}

static void test_an_image_inside_the_tree_is_found_where_it_lies(void **state)
{
    struct made *m = *state;
    const char *inside = "an initramfs in the tree";

    must(fdt_delprop(m->bytes, node_at(m, "/images/initramfs"), "data-position"));
    must(fdt_delprop(m->bytes, node_at(m, "/images/initramfs"), "data-size"));
    set_text(m, "/images/initramfs", "data", inside);
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vm[0].initrd.len, strlen(inside) + 1);
    assert_string_equal((char *)m->bytes + m->bundle.vm[0].initrd.offset, inside);
}

static void test_what_mkimage_adds_is_allowed(void **state)
{
    struct made *m = *state;

    set_text(m, "/", "description", "guests");
    set_u32(m, "/", "timestamp", 1);
    set_u32(m, "/", "#address-cells", 1);
    add_node(m, "/", "configurations");
    add_node(m, "/configurations", "conf-1");
    set_text(m, "/images/kernel", "description", "Linux");
    set_text(m, "/images/kernel", "type", "kernel");
    set_text(m, "/images/kernel", "arch", "riscv");
    set_text(m, "/images/kernel", "os", "linux");
    set_text(m, "/images/kernel", "compression", "none");
    assert_int_equal(parse(m), 0);
}

static void test_a_refused_vm_does_not_hold_back_the_others(void **state)
{
    struct made *m = *state;

    add_vm(m, "blue");
    set_u32(m, "/vms/red", "vcpus", 9);
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vm_count, 1);
    assert_string_equal(m->bundle.vm[0].name, "blue");
    assert_string_equal(m->bundle.vm[1].name, "");
    assert_int_equal(m->bundle.refused_count, 1);
    assert_string_equal(m->bundle.refused[0].name, "red");
    assert_string_equal(m->bundle.refused[0].why.text, "VM \"red\": vcpus is 9, it must be 1 to 8");
}

static void test_an_image_of_a_refused_vm_alone_is_not_used(void **state)
{
    struct made *m = *state;
    unsigned used = 0;

    add_vm(m, "blue");
    add_image(m, "other", INITRD_AT + 0x40, 0x10);
    set_u32(m, "/images/initramfs", "data-size", 0x40);
    set_text(m, "/vms/red", "ramdisk", "other");
    set_text(m, "/vms/red", "fdt", "nothing");
    assert_int_equal(parse(m), 0);
    for (uint32_t i = 0; i < m->bundle.image_count; i++) {
        const struct bundle_image *image = &m->bundle.image[i];

        assert_int_equal(image->used, strcmp(image->name, "other") != 0);
        used += image->used;
    }
    assert_int_equal(used, 2);
}

/* Every length from nothing to one byte less than whole: refused, nothing read behind the end. */
static void test_a_bundle_cut_short_anywhere_is_refused(void **state)
{
    struct made *m = *state;

    for (size_t len = 0; len < BUNDLE_BYTES; len++) {
        uint8_t *cut = malloc(len ? len : 1);

        assert_non_null(cut);
        memcpy(cut, m->bytes, len);
        assert_int_equal(bundle_parse(cut, len, &m->bundle, &m->why), -CORDON_EINVAL);
        assert_true(strlen(m->why.text) > 10);
        free(cut);
    }
}

static void test_what_is_no_tree_is_refused_in_words(void **state)
{
    struct made *m = *state;
    uint64_t store[8] = {0};

    assert_int_equal(bundle_parse((uint8_t *)store + 4, 40, &m->bundle, &m->why), -CORDON_EINVAL);
    assert_string_equal(m->why.text, "bundle: its address is no multiple of 8");
    assert_int_equal(bundle_parse(store, 64, &m->bundle, &m->why), -CORDON_EINVAL);
    assert_string_equal(m->why.text, "bundle: 0x40 bytes that are no flattened device tree");
    assert_int_equal(bundle_parse(m->bytes, 0x1FFF, &m->bundle, &m->why), -CORDON_EINVAL);
    assert_string_equal(m->why.text,
                        "bundle: cut short: its tree has 0x2000 bytes, 0x1fff are here");
    fdt_set_version(m->bytes, 16);
    expect_bundle_refused(m, "bundle: its tree has version 16, it must have 17");
    fdt_set_version(m->bytes, 17);
    fdt_set_size_dt_struct(m->bytes, 0xFFFFFFF0);
    expect_bundle_refused(m, "bundle: malformed tree (FDT_ERR_TRUNCATED)");
}

/* libfdt 1.6.1 would go on at the same property for ever. */
static void test_a_property_whose_length_wraps_around_is_refused(void **state)
{
    struct made *m = *state;
    struct fdt_property *p;
    int len;

    set_text(m, "/", "description", "guests");
    p = fdt_get_property_w(m->bytes, 0, "description", &len);
    assert_non_null(p);
    p->len = cpu_to_fdt32(UINT32_C(0xFFFFFFF4));
    expect_bundle_refused(m, "bundle: malformed tree (a property goes over its end)");
}

static void test_unknown_and_missing_parts_around_the_vms_refuse_the_bundle(void **state)
{
    struct made *m = *state;

    add_node(m, "/", "extra");
    expect_bundle_refused(m, "bundle: unknown node \"extra\"");
    must(fdt_del_node(m->bytes, node_at(m, "/extra")));
    set_u32(m, "/", "model", 1);
    expect_bundle_refused(m, "bundle: unknown property \"model\"");
    must(fdt_delprop(m->bytes, 0, "model"));
    set_u32(m, "/vms", "count", 1);
    expect_bundle_refused(m, "bundle: unknown property \"count\"");
    must(fdt_delprop(m->bytes, node_at(m, "/vms"), "count"));
    must(fdt_set_name(m->bytes, node_at(m, "/images"), "configurations"));
    expect_bundle_refused(m, "bundle: node \"images\" is missing");
    must(fdt_set_name(m->bytes, node_at(m, "/vms"), "images"));
    expect_bundle_refused(m, "bundle: node \"vms\" is missing");
}

static void test_a_part_given_twice_is_refused(void **state)
{
    struct made *m = *state;

    add_node(m, "/", "vmsx");
    must(fdt_set_name(m->bytes, node_at(m, "/vmsx"), "vms"));
    expect_bundle_refused(m, "bundle: node \"vms\" is given twice");
}

static void test_one_to_eight_vms(void **state)
{
    struct made *m = *state;

    must(fdt_del_node(m->bytes, node_at(m, "/vms/red")));
    expect_bundle_refused(m, "bundle: it has 0 VMs, it must have 1 to 8");
    for (char name[] = "vm0"; name[2] < '8'; name[2]++) {
        add_vm(m, name);
    }
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vm_count, 8);
    add_vm(m, "vm8");
    expect_bundle_refused(m, "bundle: it has 9 VMs, it must have 1 to 8");
}

static void test_image_bytes_stay_inside_bundle_and_outside_tree(void **state)
{
    struct made *m = *state;

    set_u32(m, "/images/initramfs", "data-size", INITRD_BYTES + 1);
    expect_red_refused(m, "VM \"red\", image \"initramfs\": bytes 0x3000 to 0x3056 reach beyond "
                          "the bundle's 0x3055");
    set_u32(m, "/images/initramfs", "data-size", 0xFFFFFFFF);
    expect_red_refused(m, "VM \"red\", image \"initramfs\": bytes 0x3000 to 0x100002fff reach "
                          "beyond the bundle's 0x3055");
    set_u32(m, "/images/initramfs", "data-size", 0);
    expect_red_refused(m, "VM \"red\", image \"initramfs\": it is empty");
    set_u32(m, "/images/initramfs", "data-size", 8);
    set_u32(m, "/images/initramfs", "data-position", 0x1FFF);
    expect_red_refused(m, "VM \"red\", image \"initramfs\": data-position 0x1fff lies inside the "
                          "tree, which ends at 0x2000");
    set_u32(m, "/images/initramfs", "data-position", KERNEL_AT + KERNEL_BYTES - 1);
    expect_red_refused(m, "VM \"red\", image \"initramfs\": its bytes overlap image \"kernel\"");
    set_u32(m, "/images/initramfs", "data-position", KERNEL_AT + KERNEL_BYTES);
    assert_int_equal(parse(m), 0);
}

static void test_image_has_data_in_exactly_one_way(void **state)
{
    struct made *m = *state;

    set_text(m, "/images/initramfs", "data", "x");
    expect_red_refused(m, "VM \"red\", image \"initramfs\": it has both data and data-position or "
                          "data-size");
    must(fdt_delprop(m->bytes, node_at(m, "/images/initramfs"), "data"));
    must(fdt_delprop(m->bytes, node_at(m, "/images/initramfs"), "data-size"));
    expect_red_refused(m, "VM \"red\", image \"initramfs\": it has neither data nor data-position "
                          "and data-size");
}

static void test_image_must_be_there_once_under_its_whole_name(void **state)
{
    struct made *m = *state;

    set_text(m, "/vms/red", "ramdisk", "other");
    expect_red_refused(m, "VM \"red\", image \"other\": the bundle has no such image");
    add_image(m, "other@1", INITRD_AT, 8);
    expect_red_refused(m, "VM \"red\", image \"other\": the bundle has no such image");
    set_text(m, "/vms/red", "ramdisk", "other@1");
    expect_red_refused(m, "VM \"red\": image name \"other@1\" must be 1 to 31 letters, digits, - "
                          "or _");
    must(fdt_set_name(m->bytes, node_at(m, "/images/other@1"), "initramfs"));
    set_text(m, "/vms/red", "ramdisk", "initramfs");
    expect_red_refused(m, "VM \"red\", image \"initramfs\": node \"initramfs\" is given twice");
}

static void test_image_must_have_one_sha256(void **state)
{
    struct made *m = *state;

    set_bytes(m, "/images/kernel/hash-1", "value", m->bytes, 31);
    expect_red_refused(m, "VM \"red\", image \"kernel\", hash-1: value has 31 bytes, it must have "
                          "32");
    set_bytes(m, "/images/kernel/hash-1", "value", m->bytes, 32);
    set_text(m, "/images/kernel/hash-1", "algo", "crc32");
    expect_red_refused(m, "VM \"red\", image \"kernel\", hash-1: algo is \"crc32\", it must be "
                          "\"sha256\"");
    must(fdt_delprop(m->bytes, node_at(m, "/images/kernel/hash-1"), "algo"));
    expect_red_refused(m, "VM \"red\", image \"kernel\", hash-1: property \"algo\" is missing");
    add_node(m, "/images/kernel", "hash-2");
    expect_red_refused(m, "VM \"red\", image \"kernel\": unknown node \"hash-2\"");
    must(fdt_del_node(m->bytes, node_at(m, "/images/kernel/hash-2")));
    must(fdt_del_node(m->bytes, node_at(m, "/images/kernel/hash-1")));
    expect_red_refused(m, "VM \"red\", image \"kernel\": it has no hash-1");
}

static void test_image_settings_that_nobody_would_heed_are_refused(void **state)
{
    struct made *m = *state;

    set_u64(m, "/images/kernel", "load", 0x80200000);
    expect_red_refused(m, "VM \"red\", image \"kernel\": unknown property \"load\"");
    must(fdt_delprop(m->bytes, node_at(m, "/images/kernel"), "load"));
    set_text(m, "/images/kernel", "arch", "arm64");
    expect_red_refused(m, "VM \"red\", image \"kernel\": arch is \"arm64\", it must be \"riscv\"");
    set_text(m, "/images/kernel", "arch", "riscv");
    set_text(m, "/images/kernel", "compression", "gzip");
    expect_red_refused(m, "VM \"red\", image \"kernel\": compression is \"gzip\", it must be "
                          "\"none\"");
}

static void test_the_kernel_must_be_an_image_that_fits(void **state)
{
    struct made *m = *state;

    put_kernel(m, 0x200000, 0x8000000 - 0x200000 - INITRD_BYTES);
    assert_int_equal(parse(m), 0);
    put_kernel(m, 0x200000, 0x8000000 - 0x200000 - INITRD_BYTES + 1);
    expect_red_refused(m, "VM \"red\": kernel (0x7dfffac at 0x200000) and 0x55 more do not fit "
                          "memory 0x8000000");
    put_kernel(m, UINT64_MAX - 0xFF, KERNEL_BYTES);
    expect_red_refused(m, "VM \"red\": kernel \"kernel\" has a header whose sizes are wrong");
    put_kernel(m, 0, KERNEL_BYTES - 1);
    expect_red_refused(m, "VM \"red\": kernel \"kernel\" has a header whose sizes are wrong");
    put_kernel(m, 0, KERNEL_BYTES);
    assert_int_equal(parse(m), 0);
    m->bytes[KERNEL_AT + 24] = 1; /* big-endian */
    expect_red_refused(m, "VM \"red\": kernel \"kernel\" is no RISC-V Linux Image");
    put_kernel(m, 0, KERNEL_BYTES);
    m->bytes[KERNEL_AT + 59] = 4;
    expect_red_refused(m, "VM \"red\": kernel \"kernel\" is no RISC-V Linux Image");
    set_u32(m, "/images/kernel", "data-size", 63);
    expect_red_refused(m, "VM \"red\": kernel \"kernel\" is no RISC-V Linux Image");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_a_good_bundle_is_read_whole),
        TEST(test_vmids_of_the_machine_can_be_few),
        TEST(test_an_image_of_two_vms_is_listed_once),
        TEST(test_an_image_inside_the_tree_is_found_where_it_lies),
        TEST(test_what_mkimage_adds_is_allowed),
        TEST(test_a_refused_vm_does_not_hold_back_the_others),
        TEST(test_an_image_of_a_refused_vm_alone_is_not_used),
        TEST(test_a_bundle_cut_short_anywhere_is_refused),
        TEST(test_what_is_no_tree_is_refused_in_words),
        TEST(test_a_property_whose_length_wraps_around_is_refused),
        TEST(test_unknown_and_missing_parts_around_the_vms_refuse_the_bundle),
        TEST(test_a_part_given_twice_is_refused),
        TEST(test_one_to_eight_vms),
        TEST(test_image_bytes_stay_inside_bundle_and_outside_tree),
        TEST(test_image_has_data_in_exactly_one_way),
        TEST(test_image_must_be_there_once_under_its_whole_name),
        TEST(test_image_must_have_one_sha256),
        TEST(test_image_settings_that_nobody_would_heed_are_refused),
        TEST(test_the_kernel_must_be_an_image_that_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
