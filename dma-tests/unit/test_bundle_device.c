/* The devices of a VM in a bundle: how they are named, and that nobody else has them. */
#include "bundle_maker.h"

#include <cordon/error.h>

static void expect_refused(struct made *m, const char *text)
{
    assert_int_equal(parse(m), -CORDON_EINVAL);
    assert_string_equal(m->why.text, text);
}

static void test_pci_names_become_numbers(void **state)
{
    struct made *m = *state;
    const struct vm_config *vm = &m->bundle.vm[0];

    add_device(m, "red", "a-disk", "0000:00:01.0");
    add_device(m, "red", "b-odd", "ffff:ff:1f.7");
    set_text(m, "/vms/red/devices/b-odd", "reset", "none-allowed");
    add_device(m, "red", "c-far", "0001:80:10.3");
    set_text(m, "/vms/red/devices/c-far", "reset", "required");
    assert_int_equal(parse(m), 0);
    assert_int_equal(vm->device_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct vm_device *dev = &vm->device[i];

        switch (dev->segment) {
        case 0:
            assert_int_equal(dev->bdf, 0x0008);
            assert_int_equal(dev->reset, VM_RESET_REQUIRED);
            break;
        case 0xFFFF:
            assert_int_equal(dev->bdf, 0xFFFF);
            assert_int_equal(dev->reset, VM_RESET_NONE_ALLOWED);
            break;
        default:
            assert_int_equal(dev->segment, 1);
            assert_int_equal(dev->bdf, 0x8083);
            assert_int_equal(dev->reset, VM_RESET_REQUIRED);
        }
    }
}

static void test_misspelt_pci_names_are_refused(void **state)
{
    static const char *const names[] = {"",
                                        "0000:00:01",
                                        "0000:00:01.8",
                                        "0000:00:20.0",
                                        "0000:0:01.0",
                                        "00:01.0",
                                        "0000:00:01,0",
                                        "0000-00:01.0",
                                        "0000:00:01.0 ",
                                        "000g:00:01.0",
                                        "0000:00:0A.0",
                                        "0000:00:01.:",
                                        "000/:00:01.0",
                                        "00000:00:01.0",
                                        "0000:00:01.f"};
    struct made *m = *state;

    add_device(m, "red", "disk", "0000:00:01.0");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[160];

        set_text(m, "/vms/red/devices/disk", "pci", names[i]);
        snprintf(text, sizeof text,
                 "VM \"red\", device \"disk\": pci \"%s\" must be like 0000:00:1f.7", names[i]);
        expect_refused(m, text);
    }
}

static void test_a_device_has_one_owner(void **state)
{
    struct made *m = *state;
    const char *first, *second;
    char text[160];

    add_vm(m, "blue");
    add_device(m, "red", "disk", "0000:00:03.0");
    add_device(m, "blue", "rogue", "0000:00:03.0");
    assert_int_equal(parse(m), 0);
    first = m->bundle.vm[0].name;
    second = m->bundle.refused[0].name;
    assert_int_equal(m->bundle.vm_count, 1);
    assert_int_equal(m->bundle.refused_count, 1);
    snprintf(text, sizeof text,
             "VM \"%s\", device \"%s\": 0000:00:03.0 is given to VM \"%s\" already", second,
             strcmp(second, "red") == 0 ? "disk" : "rogue", first);
    assert_string_equal(m->bundle.refused[0].why.text, text);
    set_text(m, "/vms/blue/devices/rogue", "pci", "0001:00:03.0"); /* another bridge's */
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vm_count, 2);
}

static void test_a_refused_vm_claims_nothing(void **state)
{
    struct made *m = *state;

    add_vm(m, "blue");
    add_device(m, "red", "disk", "0000:00:03.0");
    add_device(m, "blue", "disk", "0000:00:03.0");
    set_u32(m, "/vms/red", "vcpus", 0);
    assert_int_equal(parse(m), 0);
    assert_int_equal(m->bundle.vm_count, 1);
    assert_string_equal(m->bundle.vm[0].name, "blue");
    assert_int_equal(m->bundle.vm[0].device_count, 1);
    assert_string_equal(m->bundle.refused[0].why.text, "VM \"red\": vcpus is 0, it must be 1 to 8");
}

static void test_a_device_is_listed_once(void **state)
{
    struct made *m = *state;

    add_device(m, "red", "disk", "0000:00:03.0");
    add_device(m, "red", "dis2", "0000:00:03.0");
    assert_int_equal(parse(m), -CORDON_EINVAL);
    assert_non_null(strstr(m->why.text, "\": 0000:00:03.0 is listed twice"));
}

static void test_sixteen_devices_at_most(void **state)
{
    struct made *m = *state;
    char name[8], pci[16];

    for (unsigned i = 0; i < 17; i++) {
        snprintf(name, sizeof name, "d%u", i);
        snprintf(pci, sizeof pci, "0000:00:%02x.1", i);
        add_device(m, "red", name, pci);
        assert_int_equal(parse(m), i < 16 ? 0 : -CORDON_EINVAL);
    }
    assert_string_equal(m->why.text, "VM \"red\": more than 16 devices");
}

static void test_unknown_and_missing_parts_of_a_device_are_refused(void **state)
{
    struct made *m = *state;

    add_device(m, "red", "disk", "0000:00:03.0");
    set_text(m, "/vms/red/devices/disk", "reset", "none");
    expect_refused(m, "VM \"red\", device \"disk\": reset \"none\" must be \"required\" or "
                      "\"none-allowed\"");
    set_text(m, "/vms/red/devices/disk", "reset", "required");
    set_u32(m, "/vms/red/devices/disk", "irq", 1);
    expect_refused(m, "VM \"red\", device \"disk\": unknown property \"irq\"");
    must(fdt_delprop(m->bytes, node_at(m, "/vms/red/devices/disk"), "irq"));
    add_node(m, "/vms/red/devices/disk", "sub");
    expect_refused(m, "VM \"red\", device \"disk\": unknown node \"sub\"");
    must(fdt_del_node(m->bytes, node_at(m, "/vms/red/devices/disk/sub")));
    set_u32(m, "/vms/red/devices", "all", 1);
    expect_refused(m, "VM \"red\": unknown property \"all\"");
    must(fdt_delprop(m->bytes, node_at(m, "/vms/red/devices"), "all"));
    must(fdt_delprop(m->bytes, node_at(m, "/vms/red/devices/disk"), "pci"));
    expect_refused(m, "VM \"red\", device \"disk\": property \"pci\" is missing");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(test_pci_names_become_numbers),
        TEST(test_misspelt_pci_names_are_refused),
        TEST(test_a_device_has_one_owner),
        TEST(test_a_refused_vm_claims_nothing),
        TEST(test_a_device_is_listed_once),
        TEST(test_sixteen_devices_at_most),
        TEST(test_unknown_and_missing_parts_of_a_device_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
