/* The device tree made for a guest, decoded again: every address, length, line and phandle. */
#include "guest_tree.h"

#include <cordon/error.h>

static void make(struct tree *t)
{
    assert_int_equal(guest_dt_make(&t->in, t->dt, GUEST_DT_BYTES), 0);
    assert_int_equal(fdt_check_full(t->dt, fdt_totalsize(t->dt)), 0);
}

static void test_high_ram_has_its_devices_in_the_first_gibibyte(void **state)
{
    struct tree *t = *state;

    make(t);
    EXPECT_CELLS(t, "/memory@80000000", "reg", 0, 0x80000000, 0, 0x20000000);
    expect_text(t, "/memory@80000000", "device_type", "memory");
    EXPECT_CELLS(t, "/soc/serial@10000", "reg", 0, 0x10000, 0, 0x1000);
    EXPECT_CELLS(t, "/soc/interrupt-controller@100000", "reg", 0, 0x100000, 0, 0x8000);
    EXPECT_CELLS(t, "/soc/interrupt-controller@1000000", "reg", 0, 0x1000000, 0, 0x2000);
    EXPECT_CELLS(t, "/soc/pci@10000000", "reg", 0, 0x10000000, 0, 0x100000);
    EXPECT_CELLS(t, "/soc/pci@10000000", "ranges", 0x02000000, 0, 0x20000000, 0, 0x20000000, 0,
                 0x20000000, 0x03000000, 0x40, 0, 0x40, 0, 0x10, 0);
    expect_text(t, "/chosen", "stdout-path", "/soc/serial@10000");
    expect_text(t, "/aliases", "serial0", "/soc/serial@10000");
}

static void test_ram_from_zero_has_its_devices_in_the_fourth_gibibyte(void **state)
{
    struct tree *t = *state;

    t->vm.ram_base = cordon_gpa_make(0);
    t->vm.vcpus = 1;
    make(t);
    EXPECT_CELLS(t, "/memory@0", "reg", 0, 0, 0, 0x20000000);
    EXPECT_CELLS(t, "/soc/serial@c0010000", "reg", 0, 0xC0010000, 0, 0x1000);
    EXPECT_CELLS(t, "/soc/interrupt-controller@c0100000", "reg", 0, 0xC0100000, 0, 0x8000);
    EXPECT_CELLS(t, "/soc/interrupt-controller@c1000000", "reg", 0, 0xC1000000, 0, 0x1000);
    EXPECT_CELLS(t, "/soc/pci@d0000000", "reg", 0, 0xD0000000, 0, 0x100000);
    EXPECT_CELLS(t, "/soc/pci@d0000000", "ranges", 0x02000000, 0, 0xE0000000, 0, 0xE0000000, 0,
                 0x20000000, 0x03000000, 0x40, 0, 0x40, 0, 0x10, 0);
    expect_text(t, "/chosen", "stdout-path", "/soc/serial@c0010000");
}

static void test_large_ram_keeps_all_its_bits(void **state)
{
    struct tree *t = *state;

    t->vm.ram_base = cordon_gpa_make(0x1080000000);
    t->vm.ram_len = 0x2200000000;
    make(t);
    EXPECT_CELLS(t, "/memory@1080000000", "reg", 0x10, 0x80000000, 0x22, 0);
}

static void test_each_vcpu_has_a_node_and_a_line_into_its_file(void **state)
{
    struct tree *t = *state;
    uint32_t lines[2 * VM_MAX_VCPUS];

    t->vm.vcpus = VM_MAX_VCPUS;
    make(t);
    for (uint32_t i = 0; i < VM_MAX_VCPUS; i++) {
        char cpu[32], intc[64];

        snprintf(cpu, sizeof cpu, "/cpus/cpu@%x", i);
        snprintf(intc, sizeof intc, "%s/interrupt-controller", cpu);
        EXPECT_CELLS(t, cpu, "reg", i);
        expect_text(t, cpu, "device_type", "cpu");
        expect_text(t, intc, "compatible", "riscv,cpu-intc");
        EXPECT_CELLS(t, intc, "#interrupt-cells", 1);
        lines[2 * i] = tree_phandle(t, intc);
        lines[2 * i + 1] = 9;
        for (uint32_t j = 0; j < i; j++) {
            assert_int_not_equal(lines[2 * j], lines[2 * i]);
        }
    }
    expect_cells(t, "/soc/interrupt-controller@1000000", "interrupts-extended", lines,
                 2 * VM_MAX_VCPUS);
    EXPECT_CELLS(t, "/soc/interrupt-controller@1000000", "reg", 0, 0x1000000, 0, 0x8000);
    assert_false(tree_has(t, "/cpus/cpu@8"));
    EXPECT_CELLS(t, "/cpus", "timebase-frequency", 10000000);
}

static void test_harts_are_described_in_both_ways_alike(void **state)
{
    struct tree *t = *state;
    const char list[] = "i\0m\0a\0c\0zicbom\0ssaia\0sstc";
    const void *value;
    int len = 0;

    make(t);
    expect_text(t, "/cpus/cpu@1", "riscv,isa", "rv64imac_zicbom_ssaia_sstc");
    expect_text(t, "/cpus/cpu@1", "riscv,isa-base", "rv64i");
    value = fdt_getprop(t->dt, tree_node(t, "/cpus/cpu@1"), "riscv,isa-extensions", &len);
    assert_int_equal(len, sizeof list);
    assert_memory_equal(value, list, sizeof list);
    expect_text(t, "/cpus/cpu@1", "mmu-type", "riscv,sv57");
    EXPECT_CELLS(t, "/cpus/cpu@1", "riscv,cbom-block-size", 64);
    assert_false(tree_has_prop(t, "/cpus/cpu@1", "riscv,cboz-block-size"));
}

static void test_mmu_type_follows_the_host(void **state)
{
    struct tree *t = *state;

    t->in.cpu.mmu = HOST_MMU_SV39;
    make(t);
    expect_text(t, "/cpus/cpu@0", "mmu-type", "riscv,sv39");
    t->in.cpu.mmu = HOST_MMU_SV48;
    make(t);
    expect_text(t, "/cpus/cpu@0", "mmu-type", "riscv,sv48");
}

static void test_messages_lead_to_the_interrupt_files_and_wires_to_the_aplic(void **state)
{
    struct tree *t = *state;
    const char *imsic = "/soc/interrupt-controller@1000000";
    const char *aplic = "/soc/interrupt-controller@100000";
    uint32_t imsic_phandle, aplic_phandle;

    make(t);
    imsic_phandle = tree_phandle(t, imsic);
    aplic_phandle = tree_phandle(t, aplic);
    assert_int_not_equal(imsic_phandle, 0);
    assert_int_not_equal(aplic_phandle, imsic_phandle);
    expect_text(t, imsic, "compatible", "riscv,imsics");
    EXPECT_CELLS(t, imsic, "riscv,num-ids", 255);
    EXPECT_CELLS(t, imsic, "#interrupt-cells", 0);
    EXPECT_CELLS(t, imsic, "#msi-cells", 0);
    assert_true(tree_has_prop(t, imsic, "msi-controller"));
    assert_true(tree_has_prop(t, imsic, "interrupt-controller"));
    expect_text(t, aplic, "compatible", "riscv,aplic");
    EXPECT_CELLS(t, aplic, "msi-parent", imsic_phandle);
    EXPECT_CELLS(t, aplic, "riscv,num-sources", 31);
    EXPECT_CELLS(t, aplic, "#interrupt-cells", 2);
    assert_true(tree_has_prop(t, aplic, "interrupt-controller"));
    expect_text(t, "/soc/serial@10000", "compatible", "ns16550a");
    EXPECT_CELLS(t, "/soc/serial@10000", "interrupt-parent", aplic_phandle);
    EXPECT_CELLS(t, "/soc/serial@10000", "interrupts", 1, 4);
    expect_text(t, "/soc/pci@10000000", "compatible", "pci-host-ecam-generic");
    EXPECT_CELLS(t, "/soc/pci@10000000", "msi-parent", imsic_phandle);
    EXPECT_CELLS(t, "/soc/pci@10000000", "bus-range", 0, 0);
}

static void test_the_guest_sees_no_iommu_and_no_intx(void **state)
{
    struct tree *t = *state;
    int node;

    make(t);
    for (node = 0; node >= 0; node = fdt_next_node(t->dt, node, NULL)) {
        assert_null(fdt_getprop(t->dt, node, "iommu-map", NULL));
        assert_null(fdt_getprop(t->dt, node, "iommus", NULL));
        assert_null(fdt_getprop(t->dt, node, "interrupt-map", NULL));
        assert_int_not_equal(fdt_node_check_compatible(t->dt, node, "riscv,iommu"), 0);
    }
    assert_int_equal(node, -FDT_ERR_NOTFOUND);
}

static void test_the_pool_is_reserved_unmapped_and_outside_of_ram(void **state)
{
    struct tree *t = *state;

    make(t);
    assert_false(tree_has(t, "/reserved-memory"));
    t->vm.pool_len = 0x800000;
    make(t);
    EXPECT_CELLS(t, "/reserved-memory", "#address-cells", 2);
    EXPECT_CELLS(t, "/reserved-memory", "#size-cells", 2);
    assert_true(tree_has_prop(t, "/reserved-memory", "ranges"));
    EXPECT_CELLS(t, "/reserved-memory/pool@2000000", "reg", 0, 0x2000000, 0, 0x800000);
    expect_text(t, "/reserved-memory/pool@2000000", "compatible", "cordon,contiguous-pool");
    assert_true(tree_has_prop(t, "/reserved-memory/pool@2000000", "no-map"));
    t->vm.ram_base = cordon_gpa_make(0);
    make(t);
    EXPECT_CELLS(t, "/reserved-memory/pool@c2000000", "reg", 0, 0xC2000000, 0, 0x800000);
}

static void test_chosen_says_what_was_given_and_no_more(void **state)
{
    struct tree *t = *state;

    make(t);
    assert_false(tree_has_prop(t, "/chosen", "bootargs"));
    assert_false(tree_has_prop(t, "/chosen", "linux,initrd-start"));
    strcpy(t->vm.bootargs, "console=ttyS0");
    t->vm.initrd.len = 0x1234;
    t->in.initrd = cordon_gpa_make(0x184000000);
    make(t);
    expect_text(t, "/chosen", "bootargs", "console=ttyS0");
    EXPECT_CELLS(t, "/chosen", "linux,initrd-start", 1, 0x84000000);
    EXPECT_CELLS(t, "/chosen", "linux,initrd-end", 1, 0x84001234);
}

static void test_the_largest_tree_fits_its_room(void **state)
{
    struct tree *t = *state;

    t->vm.vcpus = VM_MAX_VCPUS;
    t->vm.pool_len = 0x800000;
    t->vm.initrd.len = 1;
    memset(t->vm.bootargs, 'x', VM_BOOTARGS_BYTES - 1);
    t->in.cpu.isa = isa_offer(UINT64_MAX, UINT32_MAX);
    t->in.cpu.cbop_bytes = t->in.cpu.cboz_bytes = 64;
    make(t);
    assert_true(fdt_totalsize(t->dt) <= GUEST_DT_BYTES / 2);
}

/* Every size up to the one that fits: refused, and nothing written behind it. */
static void test_a_buffer_that_is_too_small_is_refused(void **state)
{
    struct tree *t = *state;
    uint32_t needed;

    make(t);
    needed = fdt_totalsize(t->dt);
    for (uint32_t size = 0; size < needed; size += 8) {
        uint8_t *small = malloc(size ? size : 1);

        assert_non_null(small);
        assert_int_equal(guest_dt_make(&t->in, small, size), -CORDON_ELIMIT);
        free(small);
    }
}

static void test_a_hart_without_what_a_guest_needs_is_refused(void **state)
{
    static const char *const without[] = {"rv64mac_ssaia", "rv64iac_ssaia", "rv64imc_ssaia",
                                          "rv64imafdc_sstc"};
    struct tree *t = *state;

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(isa_parse(without[i], &t->in.cpu.isa), 0);
        assert_int_equal(guest_dt_make(&t->in, t->dt, GUEST_DT_BYTES), -CORDON_ENOTSUP);
    }
    assert_int_equal(isa_parse("rv64ima_ssaia", &t->in.cpu.isa), 0);
    make(t);
    t->in.cpu.mmu = HOST_MMU_NONE;
    assert_int_equal(guest_dt_make(&t->in, t->dt, GUEST_DT_BYTES), -CORDON_ENOTSUP);
}

static void test_only_counts_of_identities_that_files_can_have(void **state)
{
    static const uint32_t bad[] = {0, 62, 64, 100, 2048, 2111};
    struct tree *t = *state;

    for (size_t i = 0; i < 6; i++) {
        t->in.imsic_ids = bad[i];
        assert_int_equal(guest_dt_make(&t->in, t->dt, GUEST_DT_BYTES), -CORDON_EINVAL);
    }
    t->in.imsic_ids = 63;
    make(t);
    t->in.imsic_ids = 2047;
    make(t);
}

static void test_random_bytes_are_passed_on_where_there_are_any(void **state)
{
    struct tree *t = *state;
    int len = 0;
    uint8_t seed[GUEST_RNG_BYTES];

    memset(seed, 0x5a, sizeof(seed));
    memcpy(t->in.rng_seed, seed, sizeof(seed));
    t->in.kaslr_seed = 0x1122334455667788;
    make(t);
    assert_false(tree_has_prop(t, "/chosen", "rng-seed"));
    assert_false(tree_has_prop(t, "/chosen", "kaslr-seed"));
    t->in.has_random = true;
    make(t);
    assert_memory_equal(fdt_getprop(t->dt, tree_node(t, "/chosen"), "rng-seed", &len), seed,
                        sizeof(seed));
    assert_int_equal(len, sizeof(seed));
    EXPECT_CELLS(t, "/chosen", "kaslr-seed", 0x11223344, 0x55667788);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_high_ram_has_its_devices_in_the_first_gibibyte),
        TEST(test_ram_from_zero_has_its_devices_in_the_fourth_gibibyte),
        TEST(test_large_ram_keeps_all_its_bits),
        TEST(test_each_vcpu_has_a_node_and_a_line_into_its_file),
        TEST(test_harts_are_described_in_both_ways_alike),
        TEST(test_mmu_type_follows_the_host),
        TEST(test_messages_lead_to_the_interrupt_files_and_wires_to_the_aplic),
        TEST(test_the_guest_sees_no_iommu_and_no_intx),
        TEST(test_the_pool_is_reserved_unmapped_and_outside_of_ram),
        TEST(test_chosen_says_what_was_given_and_no_more),
        TEST(test_random_bytes_are_passed_on_where_there_are_any),
        TEST(test_the_largest_tree_fits_its_room),
        TEST(test_a_buffer_that_is_too_small_is_refused),
        TEST(test_a_hart_without_what_a_guest_needs_is_refused),
        TEST(test_only_counts_of_identities_that_files_can_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
